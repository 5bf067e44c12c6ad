"""Object storage, in front of a server that speaks S3: what one machine keeps, another one finds."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.servers import process
from workers.errors import NotFound, Unavailable
from workers.jobs.artifacts import Artifacts
from workers.jobs.blob_store import ObjectStore, SharedFolder, blob_store_of
from workers.jobs.records import AssetKind
from workers.settings import Settings

MODEL = AssetKind.MODEL


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return httpx.get(url).is_success
        except httpx.TransportError:
            return False

    with process([sys.executable, "-W", "ignore", "-m", "moto.server", "--port", str(port)], ready=ready):
        yield url


@pytest.fixture
def settings(endpoint: str) -> Settings:
    """Of a bucket of our own."""
    bucket = f"b{uuid4().hex}"
    httpx.put(f"{endpoint}/{bucket}").raise_for_status()
    credentials = {"storage_access_key": "key", "storage_secret_key": "secret"}
    return Settings.model_validate({"storage_url": f"s3://{bucket}/files", "storage_endpoint": endpoint} | credentials)


def machine(settings: Settings, folder: Path) -> Artifacts:
    return Artifacts(folder, ObjectStore(folder, settings))


def upload(artifacts: Artifacts, data: bytes) -> str:
    with artifacts.incoming(1 << 30, 0) as incoming:
        incoming.write(data)
        sha256 = incoming.finish()
    artifacts.place(incoming.path, MODEL, sha256, "net.onnx")
    return sha256


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_another_machine_finds_an_upload(settings: Settings, tmp_path: Path) -> None:
    here, there = machine(settings, tmp_path / "here"), machine(settings, tmp_path / "there")
    data = os.urandom(20 << 20)  # in several parts
    sha256 = upload(here, data)
    path = there.path(MODEL, sha256)
    assert path.name == "model.onnx"
    assert path.read_bytes() == data
    assert files(tmp_path / "there") == [f"models/{sha256}/model.onnx"]


def test_another_machine_finds_results_and_log(settings: Settings, tmp_path: Path) -> None:
    here, there = machine(settings, tmp_path / "here"), machine(settings, tmp_path / "there")
    out = here.workdir("j", 1) / "out"
    (out / "1").mkdir()
    for name in ("1/model.xml", "1/model.bin", "report.json"):
        (out / name).write_text(name)
    here.log("j", 1).write_text("done")
    here.keep_log("j", 1)
    sealed = here.seal("j", 1)
    assert [file.name for file in sealed] == ["1/model.bin", "1/model.xml", "model.zip", "report.json"]
    for file in sealed:
        assert there.result("j", 1, file.name).read_bytes() == (out / file.name).read_bytes()
    assert there.log("j", 1).read_text() == "done"


def test_a_name_that_begins_like_another_is_not_taken_for_it(settings: Settings, tmp_path: Path) -> None:
    here, there = machine(settings, tmp_path / "here"), machine(settings, tmp_path / "there")
    out = here.workdir("j", 1) / "out"
    (out / "report.json.old").write_text("old")
    here.seal("j", 1)
    with pytest.raises(NotFound):
        there.result("j", 1, "report.json")


def test_what_is_discarded_is_gone_everywhere(settings: Settings, tmp_path: Path) -> None:
    here = machine(settings, tmp_path / "here")
    sha256 = upload(here, b"weights")
    (here.workdir("j", 1) / "out" / "report.json").write_text("{}")
    here.seal("j", 1)
    here.discard(MODEL, sha256)
    here.discard_job("j")
    for folder in ("here", "there"):
        artifacts = machine(settings, tmp_path / folder)
        with pytest.raises(NotFound):
            artifacts.path(MODEL, sha256)
        with pytest.raises(NotFound):
            artifacts.result("j", 1, "report.json")


def test_results_that_are_not_published_leave_nothing(settings: Settings, tmp_path: Path) -> None:
    here, there = machine(settings, tmp_path / "here"), machine(settings, tmp_path / "there")
    (here.workdir("j", 1) / "out" / "report.json").write_text("{}")
    here.seal("j", 1)
    here.tidy("j", 1)
    with pytest.raises(NotFound):
        there.result("j", 1, "report.json")


def test_a_copy_may_go_and_comes_again(settings: Settings, tmp_path: Path) -> None:
    here = machine(settings, tmp_path)
    sha256 = upload(here, b"weights")
    here.forget_copies(60)
    assert files(tmp_path) == [f"models/{sha256}/model.onnx"]
    here.forget_copies(-1)
    assert files(tmp_path) == []
    assert here.path(MODEL, sha256).read_bytes() == b"weights"


def test_checkpoints_are_no_copies(settings: Settings, tmp_path: Path) -> None:
    here = machine(settings, tmp_path)
    solved = here.checkpoints("a" * 32) / "part" / "layer.npz"
    solved.parent.mkdir(parents=True)
    solved.write_bytes(b"solved")
    here.forget_copies(-1)
    assert solved.read_bytes() == b"solved"


def test_without_object_storage_nothing_is_a_copy(tmp_path: Path) -> None:
    assert isinstance(blob_store_of(Settings(data_dir=tmp_path)), SharedFolder)
    here = Artifacts(tmp_path)
    sha256 = upload(here, b"weights")
    here.forget_copies(-1)
    assert here.path(MODEL, sha256).read_bytes() == b"weights"


def test_a_bucket_that_is_missing_is_named(settings: Settings, tmp_path: Path) -> None:
    elsewhere = settings.model_copy(update={"storage_url": "s3://nowhere"})
    with pytest.raises(Unavailable, match="nowhere|NoSuchBucket"):
        upload(machine(elsewhere, tmp_path), b"weights")
