"""What an upload of a dataset is found to hold."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workers.calibration.inspection import SIDE, inspect_dataset
from workers.errors import LabelMismatch, NonFiniteData, UnreadableData


def png(value: int, height: int = 20, width: int = 30) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def test_class_folders_are_counted_and_doubles_named(tmp_path: Path) -> None:
    files = {"cat/1.png": png(1), "cat/2.png": png(2, 40), "dog/3.png": png(1), "classes.txt": b"dog\ncat\n"}
    found, thumbnails = inspect_dataset(folder(tmp_path, files))
    assert (found["samples"], found["labels"], found["labels_from"]) == (3, "class", "class folders")
    del files["classes.txt"]
    unnamed, _ = inspect_dataset(folder(tmp_path / "unnamed", files))
    assert unnamed["labels"] is None
    assert any("2 folders (cat, dog)" in problem for problem in unnamed["problems"])
    assert found["sizes"] == {"20x30": 2, "40x30": 1}
    assert found["classes"] == {"dog": 1, "cat": 2}
    assert any("there twice, the first of them: dog/3.png is cat/1.png" in problem for problem in found["problems"])
    assert any("2 of 2 classes have fewer than 5 samples" in problem for problem in found["problems"])
    assert thumbnails is not None
    assert thumbnails.shape == (3, SIDE, SIDE, 3)
    json.dumps(found)


def test_objects_are_counted_by_class(tmp_path: Path) -> None:
    files = {"images/a.png": png(1), "labels/a.txt": b"1 .5 .5 .2 .2\n1 .3 .3 .1 .1\n"}
    found, _ = inspect_dataset(folder(tmp_path, files))
    assert (found["labels"], found["labels_from"], found["classes"]) == ("boxes", "YOLO", {"1": 2})


def test_what_looks_wrong_with_labels_is_said(tmp_path: Path) -> None:
    boxes = {"images/a.png": png(1), "images/b.png": png(2), "labels/a.txt": b"0 .9 .5 .4 .2\n", "labels/b.txt": b""}
    found, _ = inspect_dataset(folder(tmp_path / "boxes", boxes | {"classes.txt": b"cat\ndog\n"}))
    said = " ".join(found["problems"])
    assert "1 of 2 classes have no sample: dog." in said
    assert "1 images have no objects, the first of them images/b.png." in said
    assert "In 1 images objects reach beyond the picture or have no size, first in images/a.png." in said
    lines = {"a.png": png(1), "alphabet.txt": b"a\nb\n", "labels.csv": b"filename,text\na.png,ab\xc3\xa9\n"}
    found, _ = inspect_dataset(folder(tmp_path / "lines", lines))
    assert (found["labels"], found["labels_from"]) == ("text", "labels.csv with alphabet.txt")
    assert "1 characters of the labels are not in the alphabet." in found["problems"]
    np.savez(tmp_path / "data.npz", x=np.zeros((12, 4), np.float32), y=np.arange(12) % 3 + 1)
    found, _ = inspect_dataset(tmp_path / "data.npz")
    assert any("No sample has class 0" in problem for problem in found["problems"])


def test_arrays_tell_shape_and_range(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3), y=np.array([3, 3]))
    found, thumbnails = inspect_dataset(tmp_path / "data.npz")
    assert found["arrays"] == [{"name": "x", "shape": [2, 2, 3], "type": "uint8", "least": 0, "most": 23}]
    assert (found["samples"], found["classes"]) == (2, {"3": 2})
    assert thumbnails is not None


def test_what_cannot_be_used_is_refused_by_the_sample(tmp_path: Path) -> None:
    values = np.zeros((3, 4))
    values[1, 2] = np.nan
    np.savez(tmp_path / "data.npz", x=values)
    with pytest.raises(NonFiniteData, match="Sample 1 of 'x'"):
        inspect_dataset(tmp_path / "data.npz")
    with pytest.raises(UnreadableData, match="'bad.png'"):
        inspect_dataset(folder(tmp_path / "images", {"bad.png": png(1)[:60]}))
    with pytest.raises(LabelMismatch, match="no class for 'b.png'"):
        inspect_dataset(
            folder(tmp_path / "table", {"a.png": png(1), "b.png": png(2), "labels.csv": b"filename,class_index\na.png,1\n"})
        )
