import stat
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from workers import archives
from workers.archives import open_zip, pack_arrays, unpack
from workers.errors import Refusal, UnreadableData, UnsafeArchive


def pack(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return path


def refuse(path: Path, words: str) -> None:
    with pytest.raises(UnsafeArchive, match=words):
        unpack(path, path.parent / "unpacked", UnreadableData)
    assert not list(path.parent.glob("unpacked/**/*"))


def test_files_are_unpacked_under_their_names(tmp_path: Path) -> None:
    unpack(pack(tmp_path / "a.zip", ("x/y.txt", b"one"), ("z.txt", b"two")), tmp_path / "out", UnreadableData)
    assert {str(f.relative_to(tmp_path / "out")): f.read_bytes() for f in (tmp_path / "out").rglob("*.txt")} == {
        "x/y.txt": b"one",
        "z.txt": b"two",
    }


@pytest.mark.parametrize("name", ["../a", "/etc/a", "x/../../a", "..\\a", "C:\\a", "C:/a", "."])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    refuse(pack(tmp_path / "a.zip", ("good.txt", b""), (name, b"evil")), "outside the archive")


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refuse(pack(tmp_path / "a.zip", (link, b"/etc/passwd")), "link")


@pytest.mark.parametrize("name", ["inner.zip", "x/inner.TAR", "inner.tar.gz"])
def test_archives_inside_are_refused(tmp_path: Path, name: str) -> None:
    refuse(pack(tmp_path / "a.zip", (name, b"")), "archive inside")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a/./b", "a/b")])
def test_names_that_clash_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    refuse(pack(tmp_path / "a.zip", *((name, b"") for name in names)), "same name")


def test_long_names_are_refused(tmp_path: Path) -> None:
    refuse(pack(tmp_path / "a.zip", ("x" * 300, b"")), "too long")


def test_entries_that_are_encrypted_are_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", ("secret", b"content"))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refuse(path, "encrypted")


def test_exotic_compression_is_refused(tmp_path: Path) -> None:
    refuse(pack(tmp_path / "a.zip", ("a", b"content" * 100), compression=zipfile.ZIP_LZMA), "not packed by Deflate")


def test_bomb_is_refused(tmp_path: Path) -> None:
    refuse(pack(tmp_path / "a.zip", ("zeros", bytes(archives.FREE_BYTES + 1))), "times its size")


def test_size_that_is_announced_too_small_yields_no_more(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", ("zeros", bytes(10_000)))
    content = path.read_bytes().replace(struct.pack("<I", 10_000), struct.pack("<I", 10))
    path.write_bytes(content)
    with pytest.raises(UnreadableData, match="damaged"):
        unpack(path, tmp_path / "out", UnreadableData)
    assert (tmp_path / "out" / "zeros").stat().st_size <= 10


@pytest.mark.parametrize(("limit", "words"), [("MAX_ENTRIES", "holds 2 files"), ("MAX_BYTES", "unpacks to 6 bytes")])
def test_limits_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, words: str) -> None:
    monkeypatch.setattr(archives, limit, 1)
    refuse(pack(tmp_path / "a.zip", ("a", b"one"), ("b", b"two")), words)


def test_what_operating_systems_leave_behind_is_skipped(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", ("__MACOSX/._a", b""), (".DS_Store", b""), ("a", b""))
    with open_zip(path, UnreadableData) as (_, files):
        assert [entry.filename for entry in files] == ["a"]


def test_damage_is_a_refusal_of_the_given_kind(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", ("a", b"content"), compression=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"content", b"altered"))
    with pytest.raises(UnreadableData, match="damaged"):
        unpack(path, tmp_path / "out", UnreadableData)


def test_an_entry_before_the_file_is_damage(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", ("a", b"content"))
    content = bytearray(path.read_bytes())
    end = content.rfind(b"PK\x05\x06")
    (offset,) = struct.unpack_from("<I", content, end + 16)
    struct.pack_into(
        "<I", content, end + 16, offset + 5
    )  # of the directory; that of entries is taken to be 5 too large as well
    path.write_bytes(content)
    with pytest.raises(UnreadableData, match="before the file"):
        unpack(path, tmp_path / "out", UnreadableData)


@given(data=st.data())
def test_altered_archives_are_unpacked_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("altered")
    path = pack(folder / "a.zip", ("x/a.txt", b"content" * 20), ("b.txt", b"two"))
    content = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with suppress(Refusal):
        unpack(path, folder / "out", UnreadableData)


@pytest.mark.parametrize("name", ["serving_default_x:0", "x:0", "file", "allow_pickle", "größe", "a/b", "x.npy", "arr_0"])
def test_arrays_may_be_called_as_inputs_are(tmp_path: Path, name: str) -> None:
    arrays: dict[str, NDArray[Any]] = {name: np.arange(6).reshape(2, 3), "other": np.ones(2, np.float16)}
    pack_arrays(tmp_path / "a.npz", arrays)
    with open_zip(tmp_path / "a.npz", UnreadableData) as (_, entries):
        assert [entry.filename for entry in entries] == [f"{name}.npy", "other.npy"]
    with np.load(tmp_path / "a.npz") as found:
        for called, array in arrays.items():
            np.testing.assert_array_equal(found[called], array)


def test_objects_are_not_packed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        pack_arrays(tmp_path / "a.npz", {"x": np.array([{}])})
