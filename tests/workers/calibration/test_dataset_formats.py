"""The same two pictures, labelled in every format that people have."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workers.annotations import Boxes, TargetKind
from workers.calibration.formats import Annotation, RawBoxes
from workers.calibration.formats.text_lines import UNKNOWN
from workers.calibration.image_decoding import place_picture
from workers.calibration.image_folders import Album, open_folder
from workers.calibration.preprocessing import ImageInput
from workers.calibration.targets import framed, targets_of_album, targets_of_array
from workers.errors import LabelMismatch
from workers.recipe import Preprocessing

WIDTH, HEIGHT = 40, 20
CAT = (4.0, 5.0, 24.0, 15.0)  # in a.png
DOG = (0.0, 0.0, 20.0, 10.0)  # in b.png
VOC = """<annotation><object><name>{}</name><difficult>0</difficult>
<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object></annotation>"""
CVAT = """<annotations><meta><task><labels><label><name>cat</name></label><label><name>dog</name></label></labels></task></meta>
<image name="a.png"><box label="cat" xtl="4" ytl="5" xbr="24" ybr="15"/></image>
<image name="b.png"><box label="dog" xtl="0" ytl="0" xbr="20" ybr="10"/></image></annotations>"""
COCO = {
    "images": [{"id": 7, "file_name": "images/a.png"}, {"id": 9, "file_name": "b.png"}],
    "categories": [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}],
    "annotations": [
        {"image_id": 7, "category_id": 17, "bbox": [4, 5, 20, 10]},
        {"image_id": 9, "category_id": 18, "bbox": [0, 0, 20, 10], "iscrowd": 1},
    ],
}
MODEL = ImageInput(
    name="x",
    height=20,
    width=20,
    channels=3,
    layout="NCHW",
    color_order="RGB",
    mean_values=(0.0,) * 3,
    scale_values=(1.0,) * 3,
    dtype=np.dtype(np.float32),
    item=(3, 20, 20),
)


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


PICTURE = png(np.zeros((HEIGHT, WIDTH, 3)))
PICTURES: dict[str, bytes | str] = {"images/a.png": PICTURE, "images/b.png": PICTURE}


def opened(folder: Path, files: dict[str, bytes | str], classes: int | None = 2, task: str | None = None) -> Album:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_folder(folder, classes, task)


def annotated(album: Album) -> Annotation:
    assert album.annotation is not None
    return album.annotation


DETECTION: dict[str, dict[str, bytes | str]] = {
    "COCO": PICTURES | {"annotations.json": json.dumps(COCO)},
    "YOLO": PICTURES
    | {
        "labels/a.txt": "0 0.35 0.5 0.5 0.5\n",
        "labels/b.txt": "1 .25 .25 .5 .5\n",
        "data.yaml": "names:\n  0: cat\n  1: dog\n",
    },
    "Pascal VOC": PICTURES
    | {"Annotations/a.xml": VOC.format("cat", 5, 6, 24, 15), "Annotations/b.xml": VOC.format("dog", 1, 1, 20, 10)},
    "CVAT": PICTURES | {"annotations.xml": CVAT},
}


@pytest.mark.parametrize("form", DETECTION)
def test_boxes_are_read_from(form: str, tmp_path: Path) -> None:
    album = opened(tmp_path, DETECTION[form])
    found = annotated(album)
    assert (found.kind, found.what, found.class_names) == (TargetKind.BOXES, form, ("cat", "dog"))
    assert album.ignored <= 1  # data.yaml
    stretched = Preprocessing(fit="stretch")
    boxes = targets_of_album(album, found, MODEL, stretched)
    cat, dog = boxes.read(album.names.index("images/a.png")), boxes.read(album.names.index("images/b.png"))
    np.testing.assert_allclose(cat.corners, [[2, 5, 12, 15]], atol=1e-4)
    np.testing.assert_allclose(dog.corners, [[0, 0, 10, 10]], atol=1e-4)
    assert (cat.labels.tolist(), dog.labels.tolist()) == ([0], [1])
    assert dog.crowd.tolist() == [form == "COCO"]


@pytest.mark.parametrize(
    ("fit", "expected"),
    [("stretch", [2, 5, 12, 15]), ("letterbox", [2, 7.5, 12, 12.5]), ("cover", [0, 5, 14, 15])],
)
def test_boxes_move_with_their_picture(fit: Any, expected: list[float]) -> None:
    where = place_picture((WIDTH, HEIGHT), "a", 20, 20, Preprocessing(fit=fit))
    np.testing.assert_allclose(framed(RawBoxes.of([(CAT, 0, False)]), where, 20, 20).corners, [expected], atol=1e-5)


def test_boxes_outside_the_frame_are_no_objects() -> None:
    where = place_picture((WIDTH, HEIGHT), "a", 20, 20, Preprocessing(fit="cover"))
    boxes: Boxes = framed(RawBoxes.of([((0.0, 0.0, 9.0, 9.0), 0, False)]), where, 20, 20)
    assert len(boxes.labels) == 0


def test_masks_lie_beside_images(tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH))
    mask[:, 20:] = 3
    album = opened(tmp_path, PICTURES | {"masks/a.png": png(mask), "masks/b.png": png(mask)})
    assert album.names == ("images/a.png", "images/b.png")
    target = targets_of_album(album, annotated(album), MODEL, Preprocessing()).read(0)
    assert (target[:, :10] == 0).all()
    assert (target[:, 10:] == 3).all()


def test_what_a_letterbox_frames_has_no_label(tmp_path: Path) -> None:
    mask = png(np.full((HEIGHT, WIDTH), 3))
    album = opened(tmp_path, PICTURES | {"masks/a.png": mask, "masks/b.png": mask})
    target = targets_of_album(album, annotated(album), MODEL, Preprocessing(fit="letterbox")).read(0)
    assert sorted(np.unique(target).tolist()) == [3, 255]


def test_folders_in_pairs(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"noisy/a.png": PICTURE, "clean/a.png": png(np.full((2 * HEIGHT, 2 * WIDTH, 3), 9))}
    album = opened(tmp_path, files)
    assert album.names == ("noisy/a.png",)
    target = targets_of_album(album, annotated(album), MODEL, Preprocessing()).read(0)
    assert target.shape == (40, 40, 3)
    assert (target == 9).all()


@pytest.mark.parametrize(
    ("folders", "listed", "expected"),
    [(("cat", "dog"), None, [0, 1]), (("cat", "dog"), "dog\ncat\n", [1, 0]), (("7", "12"), None, [7, 12])],
)
def test_class_folders(tmp_path: Path, folders: tuple[str, str], listed: str | None, expected: list[int]) -> None:
    files: dict[str, bytes | str] = {f"train/{folder}/{number}.png": PICTURE for number, folder in enumerate(folders)}
    album = opened(tmp_path, files | ({"classes.txt": listed} if listed else {}))
    found = annotated(album)
    assert found.kind is TargetKind.CLASS
    assert sorted((found.entries[f"train/{f}/{n}.png"], i) for i, (n, f) in enumerate(enumerate(folders))) == sorted(
        (label, i) for i, label in enumerate(expected)
    )


def test_folders_that_cannot_be_counted_are_no_classes(tmp_path: Path) -> None:
    album = opened(tmp_path, {"cat/a.png": PICTURE, "dog/b.png": PICTURE}, classes=1000)
    assert album.annotation is None


@pytest.mark.parametrize(
    ("table", "kind", "expected"),
    [
        ("filename,class\na.png,dog\nb.png,cat\n", TargetKind.CLASS, [1, 0]),
        ("filename,class_index\na.png,4\nb.png,2\n", TargetKind.CLASS, [4, 2]),
        ("filename,age,weight\na.png,1.5,2\nb.png,3,4\n", TargetKind.VALUES, [[1.5, 2], [3, 4]]),
    ],
)
def test_tables(tmp_path: Path, table: str, kind: TargetKind, expected: list[Any]) -> None:
    found = annotated(opened(tmp_path, PICTURES | {"labels.csv": table}))
    assert (found.kind, list(found.entries.values())) == (kind, expected)


def test_the_task_tells_which_of_several_labels_are_meant(tmp_path: Path) -> None:
    mask = png(np.zeros((HEIGHT, WIDTH)))
    files = DETECTION["YOLO"] | {"masks/a.png": mask, "masks/b.png": mask}
    assert annotated(opened(tmp_path, files)).kind is TargetKind.BOXES
    assert annotated(open_folder(tmp_path, 2, "segmentation")).kind is TargetKind.MAP


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"x.json": "{"}, "not JSON"),
        ({"x.json": '{"images": [{}], "annotations": []}'}, "not COCO's"),
        ({"labels/a.txt": "cat 1 2 3 4"}, "not class, centre and size"),
        ({"a.xml": "<annotation>"}, "not XML"),
        ({"a.xml": "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation/>"}, "entities"),
        ({"a.xml": "<annotation><object/></annotation>"}, "without name or corners"),
    ],
)
def test_broken_annotations_are_refused_by_name(tmp_path: Path, files: dict[str, bytes | str], words: str) -> None:
    with pytest.raises(LabelMismatch, match=words):
        opened(tmp_path, PICTURES | files)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.zeros(3), TargetKind.VALUES),
        (np.zeros((3, 4)), TargetKind.VALUES),
        (np.array([[0, 1], [1, 1], [0, 0]]), TargetKind.LABELS),
        (np.array([[5, -1], [1, 2], [3, 3]]), TargetKind.TEXT),
        (np.zeros((3, 8, 8), np.uint8), TargetKind.MAP),
        (np.zeros((3, 8, 8, 3), np.uint8), TargetKind.IMAGE),
    ],
)
def test_labels_of_arrays_tell_their_kind(labels: Any, kind: TargetKind) -> None:
    assert targets_of_array(labels, 3).kind is kind


TABLES = {
    "labels.csv": "filename,text\na.png,cab c\nb.png,b?\n",
    "rec_gt.txt": "images/a.png\tcab c\nimages/b.png\tb?\n",
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("alphabet", ["a\nb\nc\n", "abc\n"])
def test_lines_of_text_become_classes_of_characters(tmp_path: Path, table: str, alphabet: str) -> None:
    found = annotated(opened(tmp_path, {**PICTURES, table: TABLES[table], "dict.txt": alphabet}))
    assert found.kind is TargetKind.TEXT
    lines = {name: line.tolist() for name, line in found.entries.items()}
    assert lines == {"images/a.png": [3, 1, 2, 4, 3], "images/b.png": [2, UNKNOWN]}  # the blank is 0, a space the last


def test_lines_of_text_need_an_alphabet(tmp_path: Path) -> None:
    with pytest.raises(LabelMismatch, match="which characters") as refused:
        opened(tmp_path, {**PICTURES, "labels.csv": TABLES["labels.csv"]})
    assert "alphabet.txt" in refused.value.hint
    with pytest.raises(LabelMismatch, match="one character a line"):
        opened(tmp_path, {**PICTURES, "labels.csv": TABLES["labels.csv"], "keys.txt": "a\nbc\nd\n"})
