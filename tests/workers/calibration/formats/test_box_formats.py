"""Boxes in YOLO, COCO, Pascal VOC and CVAT: odd layouts are read as their makers mean them, broken ones are refused."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.workers.calibration.formats.listings import listing
from workers.calibration.formats import Annotation, FileListing, coco, cvat, voc, yolo
from workers.errors import LabelMismatch

Find = Callable[[FileListing], Annotation | None]


def found(find: Find, files: dict[str, str], images: tuple[str, ...] = ("a.png", "b.png")) -> Annotation:
    annotation = find(listing(files, images))
    assert annotation is not None
    return annotation


def labels(annotation: Annotation) -> dict[str, list[int]]:
    return {name: boxes.labels.tolist() for name, boxes in annotation.entries.items()}


def coco_file(*names: str, boxes: Any = (), categories: Any = ({"id": 1, "name": "cat"},)) -> str:
    """One image for every name; `boxes` on the first of them."""
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    entries = [{"image_id": 0, "category_id": 1, "bbox": box} for box in boxes]
    return json.dumps({"images": images, "annotations": entries, "categories": categories})


def voc_file(*objects: str) -> str:
    return f"<annotation>{''.join(objects)}</annotation>"


def voc_object(name: str = "cat", sides: str = "1 1 5 5", difficult: str = "0") -> str:
    corners = "".join(f"<{side}>{value}</{side}>" for side, value in zip(voc.SIDES, sides.split(" "), strict=True))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"


def cvat_file(image: str, sides: str = "0 0 4 4", label: str = "cat", listed: str = "cat") -> str:
    corners = " ".join(f'{side}="{value}"' for side, value in zip(cvat.SIDES, sides.split(" "), strict=True))
    head = f"<meta><job><labels><label><name>{listed}</name></label></labels></job></meta>" if listed else ""
    return f'<annotations>{head}<image name="{image}"><box label="{label}" {corners}/></image></annotations>'


# YOLO


def test_an_outline_becomes_its_box() -> None:
    annotation = found(yolo.find, {"labels/a.txt": "3 0.1 0.4 0.5 0.2 0.3 0.9\n\n"})
    np.testing.assert_allclose(annotation.entries["a.png"].corners, [[0.1, 0.2, 0.5, 0.9]])
    assert annotation.entries["a.png"].shares


def test_an_empty_file_of_labels_is_a_picture_without_objects() -> None:
    assert labels(found(yolo.find, {"labels/a.txt": "", "labels/b.txt": "\n"})) == {"a.png": [], "b.png": []}


def test_pictures_of_the_same_name_have_the_boxes_of_their_own_split() -> None:
    files = {"labels/train/1.txt": "0 .5 .5 1 1", "labels/val/1.txt": "7 .5 .5 1 1"}
    annotation = found(yolo.find, files, ("images/train/1.jpg", "images/val/1.jpg"))
    assert labels(annotation) == {"images/train/1.jpg": [0], "images/val/1.jpg": [7]}
    assert annotation.files == 2


def test_texts_that_are_called_as_no_picture_are_no_labels() -> None:
    assert yolo.find(listing({"a.txt": "0 .5 .5 1 1", "readme.txt": "hello"})) is None
    assert yolo.find(listing({"train.txt": "a.png\nb.png"})) is None


@pytest.mark.parametrize(
    "line",
    ["0", "0 .5 .5 .5", "0 .1 .1 .2 .2 .3", "x .5 .5 .5 .5", "0.5 .5 .5 .5 .5", "-1 .5 .5 .5 .5", f"{2**31} .5 .5 .5 .5"]
    + [f"{10**30} .5 .5 .5 .5", "0 nan .5 .5 .5", "0 .5 inf .5 .5", "0 1e300 .5 .5 .5"],
)
def test_a_line_that_is_no_box_is_quoted(line: str) -> None:
    with pytest.raises(LabelMismatch, match="class, centre and size") as refused:
        yolo.find(listing({"labels/a.txt": f"0 .5 .5 .5 .5\n{line}"}))
    assert repr(line) in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "nc: 2\nnames: ['cat', \"dog\"]\n",
        "names:\n  0: cat\n  1: dog\n",
        "names:\n- cat\n- 'dog'\n",
        "path: x\nnames:\n  - cat\n\n  - dog\nnc: 2\n",
        "names:\n  0: cat\n  1: dog\ntrain:\n  - images/train\nval:\n  - images/val\n",
    ],
)
@pytest.mark.parametrize("name", ["data.yaml", "dataset.yaml", "data.yml"])
def test_class_names_of_either_form_of_yaml(text: str, name: str) -> None:
    assert found(yolo.find, {"labels/a.txt": "", name: text}).class_names == ("cat", "dog")


def test_classes_txt_comes_before_yaml() -> None:
    files = {"labels/a.txt": "", "data.yaml": "names: [wrong]", "classes.txt": "right"}
    assert found(yolo.find, files).class_names == ("right",)


# COCO


def test_boxes_are_left_top_width_height() -> None:
    annotation = found(coco.find, {"x.json": coco_file("a.png", boxes=[[1, 2, 30.5, 4]])})
    assert annotation.entries["a.png"].corners.tolist() == [[1, 2, 31.5, 6]]


def test_a_picture_without_annotations_has_no_objects_and_one_that_is_not_told_of_takes_no_part() -> None:
    assert labels(found(coco.find, {"x.json": coco_file("a.png")})) == {"a.png": []}


def test_captions_beside_the_boxes_are_passed_over() -> None:
    """The archive that COCO publishes holds captions_val2017.json, which comes before instances_val2017.json."""
    captions = json.dumps({"images": [{"id": 0, "file_name": "a.png"}], "annotations": [{"image_id": 0, "caption": "A cat."}]})
    files = {
        "annotations/captions_val.json": captions,
        "annotations/instances_val.json": coco_file("a.png", boxes=[[0, 0, 1, 1]]),
    }
    assert labels(found(coco.find, files)) == {"a.png": [0]}


def test_the_file_that_tells_of_the_pictures_at_hand_is_taken() -> None:
    files = {"instances_train.json": coco_file("c.png", "d.png"), "instances_val.json": coco_file("b.png")}
    assert list(found(coco.find, files).entries) == ["b.png"]
    with pytest.raises(LabelMismatch, match=r"None of the 2 images that 'instances_train\.json'"):
        coco.find(listing(files, ("e.png",)))


def test_each_split_has_its_own_file_in_its_own_folder() -> None:
    """Roboflow exports one file for each split, which names pictures without their folder."""
    files = {"valid/_annotations.coco.json": coco_file("1.jpg", boxes=[[0, 0, 1, 1]])}
    assert list(found(coco.find, files, ("train/1.jpg", "valid/1.jpg")).entries) == ["valid/1.jpg"]


def test_names_of_files_may_be_those_of_windows() -> None:
    assert list(found(coco.find, {"x.json": coco_file("images\\a.png")}).entries) == ["a.png"]


def test_other_json_is_no_annotation() -> None:
    assert coco.find(listing({"x.json": "[]", "y.json": '{"images": []}', "z.json": "7"})) is None


@pytest.mark.parametrize(
    "text",
    [
        coco_file("a.png", boxes=[[1, 2, 3]]),
        coco_file("a.png", boxes=[[1, 2, 3, "wide"]]),
        coco_file("a.png", boxes=[[1, 2, 3, 10**400]]),
        coco_file("a.png", boxes=[[1, 2, 3, float("nan")]]),
        coco_file("a.png", boxes=[[1, 2, 3, 4]], categories=[{"id": 2}]),
        coco_file("a.png", boxes=[[1, 2, 3, 4]], categories=[7]),
        coco_file("a.png", categories=[{"id": float("inf")}]),
        coco_file("a.png", categories=[{"name": "no id"}]),
        '{"images": 5, "annotations": []}',
        '{"images": [{"id": []}], "annotations": []}',
        '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [7]}',
        '{"images": [], "annotations": [{"image_id": 1, "bbox": [1, 1, 1, 1]}]}',
    ],
)
def test_broken_coco_is_refused_by_name(text: str) -> None:
    with pytest.raises(LabelMismatch, match=r"'x\.json' is not COCO's"):
        coco.find(listing({"x.json": text}))


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "1" * 5000, "\0"])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(LabelMismatch, match="not JSON"):
        coco.find(listing({"x.json": text}))


# Pascal VOC


def test_corners_count_from_one_and_difficult_objects_are_not_asked_for() -> None:
    boxes = found(voc.find, {"a.xml": voc_file(voc_object(), voc_object("dog", "3 4 9.5 8", "1"))}).entries["a.png"]
    assert boxes.corners.tolist() == [[0, 0, 5, 5], [2, 3, 9.5, 8]]
    assert (boxes.labels.tolist(), boxes.crowd.tolist()) == ([0, 1], [False, True])


def test_a_namesake_in_another_split_has_its_own_objects() -> None:
    files = {"train/Annotations/1.xml": voc_file(voc_object("cat")), "val/Annotations/1.xml": voc_file(voc_object("dog"))}
    images = ("train/JPEGImages/1.jpg", "val/JPEGImages/1.jpg")
    assert labels(found(voc.find, files, images)) == {images[0]: [0], images[1]: [1]}


def test_other_xml_is_no_annotation() -> None:
    assert voc.find(listing({"a.xml": "<net name='m'/>"})) is None
    assert voc.find(listing({"c.xml": voc_file(voc_object())})) is None


@pytest.mark.parametrize("sides", ["1 1 5 nan", "1 1 5 inf", "1 1 5 ", "1 1 5 five", "1 1 5 1e300"])
def test_corners_that_are_none_are_refused(sides: str) -> None:
    with pytest.raises(LabelMismatch, match=r"'a\.xml' holds an object without name or corners"):
        voc.find(listing({"a.xml": voc_file(voc_object(sides=sides))}))


def test_a_class_that_is_not_listed_is_named() -> None:
    with pytest.raises(LabelMismatch, match=r"'a\.png' names the class 'cat'"):
        voc.find(listing({"a.xml": voc_file(voc_object("cat")), "classes.txt": "dog"}))


# CVAT


@pytest.mark.parametrize("listed", ["cat", ""])
def test_boxes_of_cvat(listed: str) -> None:
    annotation = found(cvat.find, {"annotations.xml": cvat_file("sub/b.png", "1.5 2 3 4", listed=listed)})
    assert annotation.entries["b.png"].corners.tolist() == [[1.5, 2, 3, 4]]
    assert (list(annotation.entries), annotation.class_names) == (["b.png"], ("cat",))


def test_cvat_names_pictures_with_their_folder() -> None:
    file = cvat_file("val/1.png")
    assert list(found(cvat.find, {"annotations.xml": file}, ("train/1.png", "val/1.png")).entries) == ["val/1.png"]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (cvat_file("c.png"), "None of the images"),
        (cvat_file("a.png", "1 1 1 nan"), "box without corners"),
        (cvat_file("a.png", "1 1 1 x"), "box without corners"),
        (cvat_file("a.png", label="dog"), "names the class 'dog'"),
        ('<annotations><image name="a.png"><box label="cat"/></image></annotations>', "box without corners"),
        ("<annotations>", "not XML"),
    ],
)
def test_broken_cvat_is_refused(file: str, words: str) -> None:
    with pytest.raises(LabelMismatch, match=words):
        cvat.find(listing({"annotations.xml": file}))


def test_an_annotations_xml_of_another_kind_is_not_cvats() -> None:
    assert cvat.find(listing({"annotations.xml": "<root/>"})) is None
