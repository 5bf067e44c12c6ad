"""From what a user gives to the files of one model."""

import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.workers.ir import tiny
from tests.workers.ir.files.messages import external, field
from workers.errors import IncompleteModel, Refusal, UnreadableModel, UnsupportedFormat
from workers.ir.files import sources
from workers.ir.files.formats import HEAD, recognise
from workers.ir.files.sources import Source, open_source

ONNX = tiny.matmul().SerializeToString()
IR = b"<?xml version='1.0'?><net name='m' version='11'/>"
SAVED = field(1, 1) + field(2, field(2, field(1, field(1, b"name") + field(2, b"Const"))))


def opened(path: Path) -> Source:
    with open_source(path) as source:
        assert source.path.exists()
        return source


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def packed(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", ["m.onnx", "m.xml", "m", "m.pb", "m.tflite", "Größe 日本.bin"])
def test_a_file_is_what_it_holds_and_is_read_under_a_suffix_that_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(ONNX)
    with open_source(tmp_path / name) as source:
        assert (source.format, source.path.suffix, source.sha256, source.bytes) == ("onnx", ".onnx", sha256(ONNX), len(ONNX))
        assert source.path.read_bytes() == ONNX
        place = source.path
    assert place.exists() == (place == tmp_path / name)  # a link of ours is gone
    assert (tmp_path / name).read_bytes() == ONNX


def test_weights_beside_a_model_belong_to_it(tmp_path: Path) -> None:
    weights = bytes(range(48))
    source = opened(external(tmp_path, weights))
    assert source.files == (tmp_path / "model.onnx", tmp_path / "weights")
    assert source.bytes == (tmp_path / "model.onnx").stat().st_size + 48
    listing = f"{sha256((tmp_path / 'model.onnx').read_bytes())}  model.onnx\n{sha256(weights)}  weights\n"
    assert source.sha256 == sha256(listing.encode())


def test_an_ir_has_its_weights_beside_it(tmp_path: Path) -> None:
    written(tmp_path, {"m.xml": IR})
    with pytest.raises(IncompleteModel, match=r"weights 'm\.bin' of 'm\.xml'"):
        opened(tmp_path / "m.xml")
    written(tmp_path, {"m.bin": b"w"})
    assert opened(tmp_path / "m.xml").files == (tmp_path / "m.xml", tmp_path / "m.bin")


@pytest.mark.parametrize("as_zip", [False, True])
@pytest.mark.parametrize(
    ("files", "form", "count"),
    [
        ({"deep/er/m.onnx": ONNX, "README.md": b"text", "labels.txt": b"cat"}, "onnx", 1),
        ({"m.xml": IR, "m.bin": b"w", "m.mapping": b"x"}, "openvino", 2),
        ({"s/saved_model.pb": SAVED, "s/variables/variables.index": b"i", "s/assets/vocabulary.txt": b"v"}, "savedmodel", 3),
        ({"s/saved_model.pb": SAVED, "s/assets/other.onnx": ONNX}, "savedmodel", 2),  # what it brings along is no model
    ],
)
def test_the_one_model_of_a_folder_or_zip(tmp_path: Path, files: dict[str, bytes], form: str, count: int, as_zip: bool) -> None:
    given = packed(tmp_path / "m.zip", files) if as_zip else written(tmp_path / "folder", files)
    source = opened_with_files(given)
    assert (source[0].format, source[1]) == (form, count)
    if as_zip:
        assert source[0].sha256 == sha256(given.read_bytes())


def opened_with_files(path: Path) -> tuple[Source, int]:
    with open_source(path) as source:
        assert all(file.is_file() for file in source.files)
        return source, len(source.files)


def test_what_was_unpacked_is_gone_afterwards(tmp_path: Path) -> None:
    with open_source(packed(tmp_path / "m.zip", {"m.onnx": ONNX})) as source:
        (file,) = source.files
    assert not file.exists()


@pytest.mark.parametrize(
    ("files", "kind", "words"),
    [
        ({"a.onnx": ONNX, "b/c.onnx": ONNX}, UnsupportedFormat, r"2 models in it: a\.onnx, b/c\.onnx"),
        ({f"{n}.onnx": ONNX for n in range(9)}, UnsupportedFormat, r"9 models in it: 0\.onnx, .*4\.onnx\.$"),
        ({"a.md": b"text", "b.csv": b"1,2"}, UnsupportedFormat, r"without a model: 2 files \(\.csv, \.md\)"),
        ({"README": b"text"}, UnsupportedFormat, "a text file"),
        ({}, UnsupportedFormat, "empty"),
        ({"a.onnx": ONNX[:-20], "b.md": b"text"}, UnreadableModel, "cut off"),
        ({"model.pb": SAVED}, IncompleteModel, "without its variables"),
    ],
)
def test_folders_without_one_model_are_refused(
    tmp_path: Path, files: dict[str, bytes], kind: type[Refusal], words: str
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(kind, match=words):
        opened(written(tmp_path / "folder", files))


def test_a_zip_in_a_folder_is_not_opened(tmp_path: Path) -> None:
    packed(tmp_path / "m.zip", {"m.onnx": ONNX})
    written(tmp_path, {"note.txt": b"text"})
    with pytest.raises(UnsupportedFormat, match="a text file"):
        opened(tmp_path)


def test_a_folder_of_very_many_files_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_FILES", 3)
    written(tmp_path, {"m.onnx": ONNX, "b": b"text", "c": b"text"})
    assert opened(tmp_path).format == "onnx"
    written(tmp_path, {"deep/d": b"text"})
    with pytest.raises(UnsupportedFormat, match="more than 3 files"):
        opened(tmp_path)


@pytest.mark.parametrize("name", ["gone.onnx", "x" * 300, "a\0b"])
def test_a_path_that_leads_nowhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableModel, match="no file or folder"):
        opened(tmp_path / name)


def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableModel, match="no file or folder 'pipe'"):
        opened(tmp_path / "pipe")


# what a file is


@pytest.mark.parametrize("byte", range(256))
def test_a_file_of_one_byte_is_refused(tmp_path: Path, byte: int) -> None:
    (tmp_path / "f").write_bytes(bytes([byte]))
    with pytest.raises(Refusal):
        recognise(tmp_path / "f")


@pytest.mark.parametrize("before", range(6))
def test_a_long_text_is_a_text_wherever_its_beginning_ends(tmp_path: Path, before: int) -> None:
    (tmp_path / "f").write_bytes(b"x" * before + "日本語".encode() * HEAD)
    with pytest.raises(UnsupportedFormat, match="a text file"):
        recognise(tmp_path / "f")
