"""Files on their way to the service: one file each, of the same bytes for the same content."""

import os
from pathlib import Path
from zipfile import ZipFile

import pytest

from service.terminal.packing import as_file
from workers.errors import UnreadableModel


def packed(path: Path) -> tuple[bytes, dict[str, bytes]]:
    with as_file(path) as file:
        with ZipFile(file) as archive:
            return file.read_bytes(), {name: archive.read(name) for name in archive.namelist()}


def test_a_file_travels_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"model")
    with as_file(tmp_path / "m.onnx") as file:
        assert file == tmp_path / "m.onnx"
    assert file.read_bytes() == b"model"


def test_a_folder_travels_whole_and_sorted(tmp_path: Path) -> None:
    folder = tmp_path / "saved.v1"
    for name in ("b/2", "a", "b/1", "b/ß"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    (folder / "empty").mkdir()
    _, content = packed(folder)
    assert content == {name: name.encode() for name in ("a", "b/1", "b/2", "b/ß")}
    assert list(content) == sorted(content)


def test_an_ir_brings_its_weights_and_nothing_else(tmp_path: Path) -> None:
    for name in ("m.xml", "m.bin", "other.bin", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    assert packed(tmp_path / "m.xml")[1] == {"m.xml": b"m.xml", "m.bin": b"m.bin"}


def test_dates_do_not_change_the_bytes(tmp_path: Path) -> None:
    for name in ("m.xml", "m.bin"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    first = packed(tmp_path / "m.xml")[0]
    os.utime(tmp_path / "m.xml", (0, 10**9))
    assert packed(tmp_path / "m.xml")[0] == first


@pytest.mark.parametrize("name", ["m.xml", "nowhere", "nowhere.onnx"])
def test_what_is_missing_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableModel, match=f"{name} is missing"), as_file(tmp_path / name):
        pass


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_bytes(b"")
    with pytest.raises(UnreadableModel, match=r"m\.bin is missing"), as_file(tmp_path / "m.xml"):
        pass


def test_the_zip_is_gone_afterwards(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with as_file(tmp_path / "folder") as file:
        assert file.name == "folder.zip"
    assert not file.exists()


@pytest.mark.parametrize("ending", [".data", "_data"])
def test_an_onnx_file_travels_with_its_weights(tmp_path: Path, ending: str) -> None:
    (tmp_path / "m.onnx").write_bytes(b"graph")
    (tmp_path / f"m.onnx{ending}").write_bytes(b"weights")
    with as_file(tmp_path / "m.onnx") as file, ZipFile(file) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"m.onnx": b"graph", f"m.onnx{ending}": b"weights"}
