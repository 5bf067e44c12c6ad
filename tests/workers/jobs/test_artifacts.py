import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import ChecksumMismatch, Conflict, NotFound, StorageFull, TooLarge
from workers.jobs.artifacts import Artifacts
from workers.jobs.records import AssetKind

MODEL = AssetKind.MODEL


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path)


def receive(artifacts: Artifacts, data: bytes, name: str = "net.onnx") -> str:
    with artifacts.incoming(1000, 0) as incoming:
        incoming.write(data)
        sha256 = incoming.finish()
    artifacts.place(incoming.path, MODEL, sha256, name)
    return sha256


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("ResNet.ONNX", "model.onnx"),
        ("net", "model"),
        ("../../x.zip", "model.zip"),
        ("a.b/../c", "model"),
        ("x.on nx", "model"),
    ],
)
def test_only_the_suffix_of_a_name_is_kept(artifacts: Artifacts, name: str, stored: str) -> None:
    sha256 = receive(artifacts, b"weights", name)
    assert artifacts.path(MODEL, sha256).name == stored


def test_the_same_bytes_are_stored_once(artifacts: Artifacts, tmp_path: Path) -> None:
    assert (
        receive(artifacts, b"weights") == receive(artifacts, b"weights", "other.onnx") == hashlib.sha256(b"weights").hexdigest()
    )
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["model.onnx"]


def test_the_limit_holds_while_bytes_come_in(artifacts: Artifacts) -> None:
    with artifacts.incoming(10, 0) as incoming:
        incoming.write(b"12345678")
        with pytest.raises(TooLarge):
            incoming.write(b"90a")
        assert incoming.size == 8


def test_an_upload_leaves_some_disk_free(artifacts: Artifacts) -> None:
    with artifacts.incoming(1000, 1 << 60) as incoming, pytest.raises(StorageFull):
        incoming.write(b"weights")


def test_a_wrong_checksum_is_refused(artifacts: Artifacts) -> None:
    with artifacts.incoming(1000, 0) as incoming:
        incoming.write(b"weights")
        with pytest.raises(ChecksumMismatch):
            incoming.finish("0" * 64)


@given(parts=st.lists(st.binary(max_size=50), max_size=5))
def test_parts_add_up_to_the_whole(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    artifacts = Artifacts(tmp_path_factory.mktemp("data"))
    for part in parts:
        with artifacts.incoming(1000, 0, "u1") as incoming:
            incoming.write(part)
    assert artifacts.received("u1") == len(b"".join(parts))
    with artifacts.incoming(1000, 0, "u1") as incoming:
        assert incoming.finish() == hashlib.sha256(b"".join(parts)).hexdigest()


def test_two_writers_do_not_mix(artifacts: Artifacts) -> None:
    with artifacts.incoming(1000, 0, "u1"), pytest.raises(Conflict), artifacts.incoming(1000, 0, "u1"):
        pass


def test_a_discarded_file_is_gone(artifacts: Artifacts) -> None:
    sha256 = receive(artifacts, b"weights")
    artifacts.discard(MODEL, sha256)
    with pytest.raises(NotFound):
        artifacts.path(MODEL, sha256)


def write_ir(artifacts: Artifacts, job: str) -> Path:
    out = artifacts.workdir(job, 1) / "out"
    (out / "1").mkdir()
    (out / "1" / "model.xml").write_text("<net/>")
    (out / "1" / "model.bin").write_bytes(bytes(1000))
    return out


def test_results_are_listed_with_their_hashes(artifacts: Artifacts) -> None:
    write_ir(artifacts, "j")
    files = artifacts.seal("j", 1)
    assert [file.name for file in files] == ["1/model.bin", "1/model.xml", "model.zip"]
    for file in files:
        data = artifacts.result("j", 1, file.name).read_bytes()
        assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_the_bundle_is_a_model_repository_and_reproducible(artifacts: Artifacts) -> None:
    first, second = (write_ir(artifacts, job) for job in ("a", "b"))
    os.utime(second / "1" / "model.xml", (0, 0))
    assert artifacts.seal("a", 1) == artifacts.seal("b", 1)
    with ZipFile(first / "model.zip") as archive:
        assert archive.namelist() == ["1/model.xml", "1/model.bin"]
        assert archive.read("1/model.xml") == b"<net/>"


def test_links_are_not_published(artifacts: Artifacts, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("password")
    out = artifacts.workdir("j", 1) / "out"
    (out / "soft").symlink_to(secret)
    (out / "hard").hardlink_to(secret)
    assert artifacts.seal("j", 1) == []


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """What no job may publish, nor overwrite."""
    path = tmp_path / "secret"
    path.write_text("password")
    return path


def test_no_link_becomes_part_of_the_bundle(artifacts: Artifacts, secret: Path) -> None:
    out = write_ir(artifacts, "j")
    (out / "1" / "model.xml").unlink()
    (out / "1" / "model.xml").symlink_to(secret)
    assert [file.name for file in artifacts.seal("j", 1)] == ["1/model.bin"]


def test_what_lies_in_the_place_of_the_bundle_is_not_written_through(artifacts: Artifacts, secret: Path) -> None:
    (write_ir(artifacts, "j") / "model.zip").symlink_to(secret)
    artifacts.seal("j", 1)
    assert secret.read_text() == "password"


@pytest.mark.parametrize("place", ["out", "out/1"])
def test_a_link_in_the_place_of_a_folder_leads_nowhere(artifacts: Artifacts, secret: Path, place: str) -> None:
    out = write_ir(artifacts, "j")
    folder = out.parent / place
    folder.rename(secret.parent / "moved")
    folder.symlink_to(secret.parent, target_is_directory=True)
    try:
        assert artifacts.seal("j", 1) == []
    except NotADirectoryError:
        assert place == "out"
    with pytest.raises(NotFound):
        artifacts.result("j", 1, "secret" if place == "out" else "1/secret")


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to])
def test_a_result_and_a_log_are_files_of_their_own(
    artifacts: Artifacts, secret: Path, make: Callable[[Path, Path], None]
) -> None:
    workdir = artifacts.workdir("j", 1)
    make(workdir / "log.txt", secret)
    make(workdir / "out" / "thumbnails.png", secret)
    assert artifacts.open_log("j", 1) is None
    with pytest.raises(NotFound):
        artifacts.result("j", 1, "thumbnails.png")


def test_a_log_that_is_a_pipe_is_not_waited_for(artifacts: Artifacts) -> None:
    os.mkfifo(artifacts.workdir("j", 1) / "log.txt")
    assert artifacts.open_log("j", 1) is None


def test_a_new_attempt_starts_afresh_and_keeps_the_old_log(artifacts: Artifacts) -> None:
    write_ir(artifacts, "j")
    artifacts.log("j", 1).write_text("killed")
    workdir = artifacts.workdir("j", 2)
    assert [path.name for path in workdir.rglob("*")] == ["out"]
    assert artifacts.log("j", 1).read_text() == "killed"
    with pytest.raises(NotFound):
        artifacts.result("j", 1, "1/model.xml")
