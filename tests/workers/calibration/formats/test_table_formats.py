"""labels.csv, lines of text, class folders and labels that are pictures."""

import numpy as np
import pytest

from tests.workers.calibration.formats.listings import listing
from workers.annotations import TargetKind
from workers.calibration.formats import class_folders, find_annotation, pictures, table, text_lines
from workers.calibration.formats.text_lines import UNKNOWN
from workers.errors import LabelMismatch


def classes(text: str, **others: str) -> dict[str, int]:
    found = table.find(listing({"labels.csv": text} | {f"{name}.txt": content for name, content in others.items()}))
    assert found is not None
    assert found.kind is TargetKind.CLASS
    return dict(found.entries)


@pytest.mark.parametrize(
    "text",
    [
        "filename,class_index\na.png,3\nb.png,0\n",
        "class_index,filename,note\n3,a.png,x\n0,b.png,\n",
        "filename, class_index\na.png, 3\nb.png, 0\n",
        "\N{BYTE ORDER MARK}filename,class_index\r\nb.png,0\r\na.png,3\r\n",
        '"filename","class_index"\n"a.png","3"\n"b.png","0"\n',
        "filename,class_index,class\na.png,3,dog\nb.png,0,cat\n",
    ],
)
def test_class_indices_however_the_table_is_written(text: str) -> None:
    assert classes(text) == {"a.png": 3, "b.png": 0}


def test_names_of_classes_are_counted_by_classes_txt_or_the_alphabet() -> None:
    text = "filename,class\na.png,zebra\nb.png,ape\n"
    assert classes(text) == {"a.png": 1, "b.png": 0}
    assert classes(text, classes="zebra\nyak\nape\n") == {"a.png": 0, "b.png": 2}


def test_without_a_table_there_is_nothing() -> None:
    assert table.find(listing({"labels.txt": "a.png,3"})) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "filename"),
        ("filename\na.png\nb.png\n", "no column beside filename"),
        ("name,class_index\na.png,3\n", "'filename'"),
        ("filename,class_index\na.png,three\nb.png,0\n", "'three'"),
        ("filename,class_index\na.png\nb.png,0\n", "not a table"),
        ("filename,class_index\na.png,1\n", r"no class for 'b\.png'"),
        ("filename,class_index\na.png,1\na.png,2\nb.png,1\n", "names a file twice"),
        ("filename,class_index\na.png,1\nb.png,2\nc.png,1\n", r"'c\.png', and there is no such image"),
        ("filename,class\na.png\nb.png\n", r"'a\.png' has no class"),
        ("filename,class\na.png,\nb.png,cat\n", r"'a\.png' has no class"),
        ("filename,age\na.png,1\nb.png,nan\n", "'nan'"),
        ("filename,age\na.png,1\nb.png,-inf\n", "'-inf'"),
        ("filename,age\na.png,1\nb.png\n", "not a table"),
        ("filename,age\na.png,1,9\nb.png,2\n", "not a table"),
        ('filename,class\n"a.png,cat\n', "cannot be read"),
        ("filename," + "x" * 200_000, "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_reason(text: str, words: str) -> None:
    with pytest.raises(LabelMismatch, match=words):
        table.find(listing({"labels.csv": text}))


def test_a_class_that_classes_txt_lacks_is_named() -> None:
    with pytest.raises(LabelMismatch, match="'cow', which is not in classes.txt"):
        classes("filename,class\na.png,cat\nb.png,cow\n", classes="cat\ndog\n")


# lines of text


def lines(text: str, alphabet: str) -> dict[str, list[int]]:
    found = text_lines.find(listing({"labels.csv": text, "alphabet.txt": alphabet}))
    assert found is not None
    assert all(line.dtype == np.int64 for line in found.entries.values())
    return {name: line.tolist() for name, line in found.entries.items()}


@pytest.mark.parametrize("alphabet", ["a\nb", "a\nb\n", "a\r\nb\r\n", "ab", "ab\n", "\na\nb\n"])
def test_an_alphabet_is_one_character_a_line_or_all_in_one(alphabet: str) -> None:
    assert lines("filename,text\na.png,ab\nb.png,ba\n", alphabet) == {"a.png": [1, 2], "b.png": [2, 1]}


def test_a_line_may_be_empty_and_hold_what_the_model_does_not_know() -> None:
    assert lines("filename,text\na.png,\nb.png,aé日\n", "aé") == {"a.png": [], "b.png": [1, 2, UNKNOWN]}


def test_a_space_of_the_alphabet_has_its_own_place() -> None:
    assert lines("filename,text\na.png,a b\nb.png,b\n", "a\n \nb\n") == {"a.png": [1, 2, 3], "b.png": [3]}


def test_the_first_of_two_equal_characters_counts() -> None:
    assert lines("filename,text\na.png,ab\nb.png,b\n", "aab") == {"a.png": [1, 3], "b.png": [3]}


@pytest.mark.parametrize("alphabet", ["", "\n", "\r\n\r\n"])
def test_an_empty_alphabet_is_refused(alphabet: str) -> None:
    with pytest.raises(LabelMismatch, match="holds no characters"):
        lines("filename,text\na.png,a b\nb.png,a\n", alphabet)


def test_a_header_beyond_all_limits_is_refused() -> None:
    with pytest.raises(LabelMismatch, match="cannot be read"):
        find_annotation(listing({"labels.csv": "filename,text," + "x" * 200_000}), None, None)


def test_tabs_part_a_picture_from_its_text_which_may_hold_more_of_them() -> None:
    found = text_lines.find(listing({"gt.txt": "a.png\ta\tb\nb.png\t\n\n", "dict.txt": "a\nb\n\t\n"}))
    assert found is not None
    assert {name: line.tolist() for name, line in found.entries.items()} == {"a.png": [1, 3, 2], "b.png": []}


def test_a_text_without_tabs_is_no_table_of_lines() -> None:
    assert text_lines.find(listing({"labels.txt": "cat\ndog\n"})) is None
    assert text_lines.find(listing({"gt.txt": "a.png\tab\nb.png ba\n"})) is None


# class folders


def folders(*names: str, classes: int | None = None, listed: str | None = None) -> dict[str, int] | None:
    images = [f"train/{name}/{number}.png" for number, name in enumerate(names)]
    found = class_folders.find(listing({"classes.txt": listed} if listed else {}, images), classes)
    return None if found is None else {name.split("/")[1]: label for name, label in found.entries.items()}


@pytest.mark.parametrize(
    ("names", "classes", "listed", "expected"),
    [
        (("b", "a"), 2, None, {"b": 1, "a": 0}),
        (("b", "a"), 3, None, None),  # which three?
        (("10", "9", "0"), 1000, None, {"10": 10, "9": 9, "0": 0}),
        (("9", "x"), 1000, None, None),
        (("n02", "n01"), 1000, "n01 tench, Tinca\nn02 goldfish\n", {"n02": 1, "n01": 0}),
        (("great dane", "cat"), None, "cat\ngreat dane\n", {"great dane": 1, "cat": 0}),
        (("one",), 1, None, None),
        (("images", "more"), 2, None, None),
    ],
)
def test_folders_are_counted(
    names: tuple[str, ...], classes: int | None, listed: str | None, expected: dict[str, int] | None
) -> None:
    assert folders(*names, classes=classes, listed=listed) == expected


def test_a_picture_outside_of_all_folders_makes_them_no_classes() -> None:
    assert class_folders.find(listing({}, ["a/1.png", "b/2.png", "3.png"]), 2) is None


def test_a_folder_that_is_not_listed_is_named() -> None:
    with pytest.raises(LabelMismatch, match="'dog' is not among the 1 names"):
        folders("cat", "dog", listed="cat\n")


# pictures


def test_masks_are_those_of_the_same_split() -> None:
    names = [f"{split}/{kind}/1.png" for split in ("train", "val") for kind in ("images", "masks")]
    labels = pictures.labels_among(names)
    assert labels == {"train/masks/1.png", "val/masks/1.png"}
    found = pictures.find_masks(listing({}, sorted(set(names) - labels), sorted(labels)))
    assert found is not None
    assert found.entries == {"train/images/1.png": "train/masks/1.png", "val/images/1.png": "val/masks/1.png"}


def test_a_folder_of_masks_alone_labels_nothing() -> None:
    assert pictures.labels_among(["masks/1.png", "masks/2.png"]) == frozenset()
    assert pictures.find_masks(listing({}, ["masks/1.png"])) is None


def test_a_mask_that_is_called_otherwise_stays_a_picture() -> None:
    assert pictures.labels_among(["images/1.png", "masks/1_mask.png"]) == frozenset()


def test_wanted_pictures_are_found_in_pairs() -> None:
    found = pictures.find_pairs(listing({}, ["low/1.png", "low/2.png"], ["High/1.png"]))
    assert found is not None
    assert (found.kind, found.entries) == (TargetKind.IMAGE, {"low/1.png": "High/1.png"})


def test_a_task_that_nothing_answers_finds_nothing() -> None:
    files = listing({"labels/a.txt": "0 .5 .5 1 1", "labels/b.txt": ""})
    assert find_annotation(files, None, "segmentation") is None
    found = find_annotation(files, None, "detection")
    assert found is not None
    assert found.kind is TargetKind.BOXES
