"""Decoders against the post-processing that the authors of the heads publish, written out cell by cell."""

from math import exp
from typing import Any

import numpy as np
import pytest

from workers.errors import InvalidRecipe
from workers.evaluation.decoders import HEADS, Decoder, Frame, Output, find_decoder
from workers.evaluation.decoders.detections import Detections, overlaps, suppress
from workers.recipe.recipe import HEADS as NAMES

RNG = np.random.default_rng(0)
FRAME = Frame(64, 96)
CELLS = [(stride, row, column) for stride in (8, 16, 32) for row in range(64 // stride) for column in range(96 // stride)]
BOX = [12.0, 10.0, 44.0, 50.0]  # left, top, right, bottom
CENTRED = [28.0, 30.0, 32.0, 40.0]


def found(outputs: list[tuple[str, Any]], name: str, activation: str | None = None) -> Detections:
    """What the decoder finds that fits the outputs by itself, which must be the one of that name."""
    described = [
        Output(title, value.shape, "softmax" if activation == title else None, value.dtype.kind == "i")
        for title, value in outputs
    ]
    decoder: Decoder | None = find_decoder(described, FRAME)
    assert decoder is not None
    assert decoder.name == name
    return decoder.decode([value for _, value in outputs])


def one(detections: Detections, corners: list[float], label: int, score: float) -> None:
    assert len(detections.scores) == 1
    np.testing.assert_allclose(detections.corners[0], corners, atol=1e-3)
    assert detections.labels[0] == label
    assert detections.scores[0] == pytest.approx(score, abs=1e-5)


def test_yolov5_multiplies_object_and_class() -> None:
    rows = np.zeros((3 * len(CELLS), 5 + 3), np.float32)
    rows[77] = [*CENTRED, 0.8, 0.1, 0.5, 0.03]
    detections = found([("output0", rows)], "yolov5")
    assert detections.labels.tolist() == [1, 0]
    np.testing.assert_allclose(detections.scores, [0.4, 0.08], atol=1e-6)
    np.testing.assert_allclose(detections.corners[0], BOX)


def test_yolov8_has_channels_first() -> None:
    rows = np.zeros((4 + 3, len(CELLS)), np.float32)
    rows[:, 9] = [*CENTRED, 0.01, 0.7, 0]
    one(found([("output0", rows)], "yolov8"), BOX, 1, 0.7)


def test_yolox_counts_in_cells_and_logarithms() -> None:
    rows = np.zeros((len(CELLS), 5 + 3), np.float32)
    index = 30
    stride, row, column = CELLS[index]
    rows[index] = [0.25, -0.5, np.log(2.0), np.log(3.0), 0.5, 0, 0, 0.6]
    x, y, width, height = (0.25 + column) * stride, (-0.5 + row) * stride, 2 * stride, 3 * stride
    one(found([("out", rows)], "yolox"), [x - width / 2, y - height / 2, x + width / 2, y + height / 2], 2, 0.3)


def test_yolov10_is_final() -> None:
    rows = np.zeros((300, 6), np.float32)
    rows[0] = [*BOX, 0.9, 4]
    one(found([("output0", rows)], "yolov10"), BOX, 4, 0.9)


def test_nanodet_takes_the_mean_of_distributions() -> None:
    outputs: list[tuple[str, Any]] = []
    distances = RNG.normal(size=(len(CELLS), 32)).astype(np.float32)
    scores = np.zeros((len(CELLS), 5), np.float32)
    index = 60
    scores[index, 3] = 0.75
    start = 0
    for stride in (8, 16, 32):
        count = sum(cell[0] == stride for cell in CELLS)
        outputs += [(f"cls{stride}", scores[start : start + count]), (f"dis{stride}", distances[start : start + count])]
        start += count
    stride, row, column = CELLS[index]
    sides = []
    for side in range(4):
        bins = [exp(value) for value in distances[index, 8 * side : 8 * side + 8].astype(float)]
        sides.append(stride * sum(number * value for number, value in enumerate(bins)) / sum(bins))
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    one(found(outputs, "nanodet"), [x - sides[0], y - sides[1], x + sides[2], y + sides[3]], 3, 0.75)


def test_nanodet_plus_counts_from_the_corners_of_its_cells() -> None:
    """`get_bboxes` of NanoDetPlusHead: priors column times stride, row times stride; classes, then four distributions."""
    cells = [(stride, y, x) for stride in (8, 16, 32, 64) for y in range(-(-64 // stride)) for x in range(-(-96 // stride))]
    rows = np.concatenate([np.zeros((len(cells), 5)), RNG.normal(size=(len(cells), 32))], axis=1).astype(np.float32)
    index = len(cells) - 9  # of the stride 32, at whose sides 96 and 64 end, before two of the stride 64
    rows[index, 2] = 0.65
    stride, y, x = cells[index]
    sides = []
    for side in range(4):
        bins = [exp(value) for value in rows[index, 5 + 8 * side : 13 + 8 * side].astype(float)]
        sides.append(stride * sum(number * value for number, value in enumerate(bins)) / sum(bins))
    left, top = x * stride, y * stride
    detections = found([("output", rows)], "nanodet_plus")
    one(detections, [left - sides[0], top - sides[1], left + sides[2], top + sides[3]], 2, 0.65)


def test_detection_output_ends_at_minus_one_and_has_a_background() -> None:
    rows = np.zeros((1, 1, 10, 7), np.float32)
    share = [BOX[0] / 96, BOX[1] / 64, BOX[2] / 96, BOX[3] / 64]
    rows[0, 0, 0] = [0, 3, 0.9, *share]
    rows[0, 0, 1] = [-1, 0, 0, 0, 0, 0, 0]
    rows[0, 0, 2] = [0, 1, 0.9, *share]
    one(found([("detection_out", rows[0])], "detection_output"), BOX, 2, 0.9)


def test_ssd_leaves_the_background_out() -> None:
    scores = np.tile(np.array([1, 0, 0], np.float32), (100, 1))
    scores[5] = [0.2, 0.1 / 3, 0.7666667]
    boxes = np.tile(np.array([BOX[0] / 96, BOX[1] / 64, BOX[2] / 96, BOX[3] / 64], np.float32), (100, 1))
    one(found([("scores", scores), ("boxes", boxes)], "ssd", activation="scores"), BOX, 1, 0.7666667)


@pytest.mark.parametrize("form", ["torchvision", "openvino", "tensorflow"])
def test_what_was_suppressed_in_the_graph_is_final(form: str) -> None:
    corners = np.array([BOX], np.float32)
    scores, labels = np.array([0.6], np.float32), np.array([7])
    shares = np.array([[BOX[1] / 64, BOX[0] / 96, BOX[3] / 64, BOX[2] / 96]], np.float32)
    outputs: dict[str, list[tuple[str, Any]]] = {
        "torchvision": [("boxes", corners), ("labels", labels), ("scores", scores)],
        "openvino": [("boxes", np.concatenate([corners, scores[:, None]], axis=1)), ("labels", labels)],
        "tensorflow": [("detection_boxes", shares), ("detection_classes", labels), ("detection_scores", scores)],
    }
    one(found(outputs[form], "suppressed"), BOX, 7, 0.6)


def test_centernet_finds_peaks() -> None:
    heat, size, offset = np.zeros((2, 16, 24)), np.zeros((2, 16, 24)), np.zeros((2, 16, 24))
    heat[1, 7, 7], heat[1, 7, 8] = 0.8, 0.5  # the second is on the slope of the first
    size[:, 7, 7], offset[:, 7, 7] = [8, 10], [0, 0.5]
    one(found([("hm", heat), ("wh", size), ("reg", offset)], "centernet"), BOX, 1, 0.8)


def test_yunet_takes_the_geometric_mean() -> None:
    outputs: list[tuple[str, Any]] = []
    for stride in (8, 16, 32):
        count = sum(cell[0] == stride for cell in CELLS)
        arrays = {"cls": np.zeros((count, 1)), "obj": np.zeros((count, 1)), "bbox": np.zeros((count, 4))}
        if stride == 16:
            arrays["cls"][3], arrays["obj"][3], arrays["bbox"][3] = 0.9, 0.4, [0.5, 0.25, np.log(2), np.log(1)]
        outputs += [(f"{name}_{stride}", value) for name, value in arrays.items()]
    x, y = (3 + 0.5) * 16, 0.25 * 16
    one(found(outputs, "yunet"), [x - 16, y - 8, x + 16, y + 8], 0, 0.6)


def test_suppression_is_that_of_the_textbook() -> None:
    corner = RNG.uniform(0, 60, (80, 2))
    corners = np.concatenate([corner, corner + RNG.uniform(5, 40, (80, 2))], axis=1).astype(np.float32)
    scores = np.sort(RNG.random(80))[::-1].astype(np.float32)
    labels = RNG.integers(0, 3, 80)
    kept: list[int] = []
    for index in range(80):
        before = [other for other in kept if labels[other] == labels[index]]
        if all(overlaps(corners[index : index + 1], corners[other : other + 1])[0, 0] <= 0.5 for other in before):
            kept.append(index)
    assert suppress(Detections(corners, scores, labels), 0.5).tolist() == kept


def test_a_head_that_does_not_fit_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidRecipe, match=r"'yolov8' does not fit the outputs logits \[1000\]") as caught:
        find_decoder([Output("logits", (1000,))], FRAME, "yolov8")
    assert "nanodet" in caught.value.hint


def test_recipes_know_every_head() -> None:
    assert tuple(head.name for head in HEADS) == NAMES


def test_a_classifier_is_no_detector() -> None:
    assert find_decoder([Output("logits", (1000,))], FRAME) is None
    assert find_decoder([Output("tokens", (197, 192))], Frame(224, 224)) is None
