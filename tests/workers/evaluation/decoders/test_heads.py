"""Heads at their edges: which outputs they know for theirs, and what they make of extreme ones."""

import numpy as np
import pytest

from workers.evaluation.decoders import Decoder, Frame, Output, find_decoder
from workers.evaluation.decoders.centernet import CenterNet
from workers.evaluation.decoders.nanodet import NanoDet, NanoDetPlus
from workers.evaluation.decoders.ssd import DetectionOutput, ScoredBoxes
from workers.evaluation.decoders.suppressed import Suppressed
from workers.evaluation.decoders.yolo import YoloV5, YoloV8, YoloV10, YoloX
from workers.evaluation.decoders.yunet import YuNet

FRAME = Frame(64, 96)
COUNT = 8 * 12 + 4 * 6 + 2 * 3  # cells by the strides 8, 16, 32


def outputs(*shapes: tuple[int, ...]) -> list[Output]:
    return [Output(f"out{number}", shape) for number, shape in enumerate(shapes)]


@pytest.mark.parametrize(
    ("shapes", "name"),
    [
        ([(3 * COUNT, 6)], "yolov5"),
        ([(3 * COUNT, 85)], "yolov5"),
        ([(5, COUNT)], "yolov8"),
        ([(84, COUNT)], "yolov8"),
        ([(COUNT, 6)], "yolox"),
        ([(COUNT, 85)], "yolox"),
        ([(300, 6)], "yolov10"),
        ([(1, 100, 7)], "detection_output"),
        ([(COUNT + 2, 112)], "nanodet_plus"),
        ([(96, 80), (96, 32), (24, 80), (24, 32), (6, 80), (6, 32)], "nanodet"),
        ([(96, 32), (96, 80), (24, 80), (24, 32), (6, 80), (6, 32)], "nanodet"),
        ([(80, 16, 24), (2, 16, 24), (2, 16, 24)], "centernet"),
        ([(3 * COUNT, 5)], None),  # no class
        ([(3 * COUNT + 1, 85)], None),
        ([(4, COUNT)], None),
        ([(COUNT, COUNT)], None),
        ([(300, 6), (300, 6)], None),
        ([(96, 80), (96, 32), (24, 80)], None),
        ([(96, 32)], None),
        ([(80, 16, 24), (2, 16, 24), (2, 8, 12)], None),
        ([(1000,)], None),
        ([(3, 64, 96)], None),
    ],
)
def test_heads_are_told_by_their_shapes(shapes: list[tuple[int, ...]], name: str | None) -> None:
    found = find_decoder(outputs(*shapes), FRAME)
    assert (found.name if found else None) == name


def test_the_frame_decides_what_a_count_of_cells_means() -> None:
    assert find_decoder(outputs((84, COUNT)), Frame(96, 64)) is not None
    assert find_decoder(outputs((84, COUNT)), Frame(64, 64)) is None


# what has been suppressed in the graph


def suppressed(*described: tuple[str, tuple[int, ...]]) -> Suppressed | None:
    return Suppressed.match([Output(name, shape) for name, shape in described], FRAME)


TENSORFLOW = (  # TensorFlow 2's detection API, in the order of its exports
    ("detection_anchor_indices", (100,)),
    ("detection_boxes", (100, 4)),
    ("detection_classes", (100,)),
    ("detection_multiclass_scores", (100, 91)),
    ("detection_scores", (100,)),
    ("num_detections", ()),
    ("raw_detection_boxes", (1917, 4)),
    ("raw_detection_scores", (1917, 91)),
)


@pytest.mark.parametrize("order", [1, -1])
def test_tensorflow_gives_final_and_raw_detections_in_any_order(order: int) -> None:
    described = TENSORFLOW[::order]
    head = suppressed(*described)
    assert head is not None
    assert [described[place][0] for place in (head.boxes, head.classes, head.scores or 0)] == [
        "detection_boxes",
        "detection_classes",
        "detection_scores",
    ]
    values = [np.zeros(shape, np.float32) for _, shape in described]
    values[head.boxes][7] = [0.25, 0.5, 0.75, 1]  # top, left, bottom, right
    values[head.classes][7], values[head.scores or 0][7] = 3, 0.9
    found = head.decode(values)
    assert (found.corners.tolist(), found.labels.tolist()) == ([[48, 16, 96, 48]], [3])


@pytest.mark.parametrize(
    "described",
    [
        [("boxes", (10, 4)), ("scores", (10,))],  # no classes
        [("boxes", (10, 4)), ("labels", (10,))],  # no scores
        [("boxes", (10, 4)), ("scores", (10, 3)), ("labels", (10,))],  # a score for every class: not suppressed yet
        [("boxes", (10, 6)), ("scores", (10,)), ("labels", (10,))],
        [("boxes", (10, 4)), ("labels", (11,)), ("scores", (10,))],
        [("raw_boxes", (10, 4)), ("labels", (10,)), ("scores", (10,))],
        [("box_classes", (10, 4))],
    ],
)
def test_other_outputs_are_not_final(described: list[tuple[str, tuple[int, ...]]]) -> None:
    assert suppressed(*described) is None


def test_a_picture_without_objects_has_outputs_of_no_rows() -> None:
    head = suppressed(("boxes", (0, 4)), ("scores", (0,)), ("labels", (0,)))
    assert head is not None
    assert len(head.decode([np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)]).scores) == 0


def test_an_axis_of_one_is_no_axis() -> None:
    head = suppressed(("dets", (1, 5, 5)), ("labels", (1, 5)))
    assert head is not None
    rows = np.array([[[8, 8, 40, 40, 0.4], [8, 8, 48, 40, 0.7], *[[0, 0, 0, 0, 0]] * 3]])
    found = head.decode([rows, np.array([[5, 6, 0, 0, 0]])])
    assert (found.labels.tolist(), found.corners[0].tolist()) == ([6, 5], [8, 8, 48, 40])


# extreme values


def test_logits_beyond_all_bounds_give_finite_boxes() -> None:
    rows = np.full((COUNT, 85), 1e4, np.float32)
    assert np.isfinite(YoloX(FRAME, (8, 16, 32)).decode([rows]).corners).all()
    distances = [np.full((96, 4), 50.0, np.float32), np.full((96, 32), -1e30, np.float32)]
    assert np.isfinite(NanoDet(FRAME, ((8, 0, 1),)).decode(distances).corners).all()


def test_a_head_that_finds_nothing_has_no_boxes_and_does_not_fail() -> None:
    zeros = [np.zeros((84, COUNT)), np.zeros((3 * COUNT, 85)), np.zeros((COUNT, 85)), np.zeros((300, 6))]
    heads: list[Decoder] = [YoloV8(), YoloV5(), YoloX(FRAME, (8, 16, 32)), YoloV10()]
    assert [len(head.decode([value]).scores) for head, value in zip(heads, zeros, strict=True)] == [0, 0, 0, 0]
    assert len(DetectionOutput(FRAME).decode([np.array([[[-1.0, 0, 0, 0, 0, 0, 0]]])]).scores) == 0
    assert len(CenterNet(FRAME, 0, 1, None).decode([np.zeros((3, 16, 24)), np.ones((2, 16, 24))]).scores) == 0


def test_the_rows_of_detection_output_without_an_end_are_all_there() -> None:
    row = [0, 2, 0.5, 0.25, 0.25, 0.5, 0.5]
    found = DetectionOutput(FRAME).decode([np.array([row, row])])
    assert (found.labels.tolist(), found.corners[0].tolist()) == ([1, 1], [24, 16, 48, 32])


def test_yolo_takes_logits_and_probabilities() -> None:
    table = np.full((5 + 1, COUNT), -9.0)
    table[:4, 0], table[5, 0] = [48, 32, 20, 10], 2.0
    found = YoloV8().decode([table])
    assert (found.labels.tolist(), found.corners.tolist()) == ([1], [[38, 27, 58, 37]])
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-2)))


def test_an_even_distribution_is_in_the_middle_of_its_bins() -> None:
    scores, distances = np.zeros((6, 1)), np.zeros((6, 32))
    scores[4] = 0.9  # column 1, row 1 at stride 32: middle (48, 48), every side 3.5 strides away
    found = NanoDet(FRAME, ((32, 0, 1),)).decode([scores, distances])
    assert found.corners.tolist() == [[48 - 112, 48 - 112, 48 + 112, 48 + 112]]


def test_nanodet_plus_wants_four_strides() -> None:
    assert NanoDetPlus.match(outputs((COUNT, 112)), FRAME) is None


def test_ssd_is_told_by_its_softmax() -> None:
    scores, boxes = Output("a", (100, 3), "softmax"), Output("b", (100, 4))
    assert ScoredBoxes.match([scores, boxes], FRAME) == ScoredBoxes(FRAME, 0, 1)
    assert ScoredBoxes.match([boxes, Output("a", (100, 4), "softmax")], FRAME) == ScoredBoxes(FRAME, 1, 0)
    for other in ([Output("a", (100, 3)), boxes], [Output("a", (99, 3), "softmax"), boxes], [boxes, boxes], [boxes]):
        assert ScoredBoxes.match(other, FRAME) is None


@pytest.mark.parametrize(
    ("names", "size"),
    [(("hm", "wh", "reg"), 1), (("hm", "reg", "wh"), 2), (("reg", "size", "heatmap"), 1), (("hm", "x", "y"), 1)],
)
def test_centernet_tells_size_from_offset_by_name(names: tuple[str, ...], size: int) -> None:
    heat = next(index for index, name in enumerate(names) if name in ("hm", "heatmap"))
    found = CenterNet.match([Output(name, (2, 16, 24)) for name in names], FRAME)
    assert found is not None
    assert (found.heat, found.size, found.offset) == (heat, size, 3 - heat - size)


def test_centernet_without_offsets_takes_the_middle_of_a_cell() -> None:
    heat, size = np.full((1, 16, 24), -9.0), np.full((2, 16, 24), 2.0)
    heat[0, 3, 5] = 3
    found = CenterNet(FRAME, 0, 1, None).decode([heat, size])
    assert found.corners.tolist() == [[4 * 4.5, 4 * 2.5, 4 * 6.5, 4 * 4.5]]


def test_a_peak_at_the_rim_is_a_peak() -> None:
    heat = np.zeros((1, 16, 24))
    heat[0, 0, 0], heat[0, 15, 23] = 0.6, 0.8
    found = CenterNet(FRAME, 0, 1, None).decode([heat, np.ones((2, 16, 24))])
    np.testing.assert_allclose(found.scores, [0.8, 0.6])


def test_yunet_needs_all_parts_of_every_stride() -> None:
    parts = [Output(f"{part}_{stride}", ()) for stride in (8, 16) for part in ("bbox", "obj", "cls")]
    found = YuNet.match(parts, FRAME)
    assert found is not None
    assert found.heads == ((8, 2, 1, 0), (16, 5, 4, 3))
    for missing in range(len(parts)):
        assert YuNet.match([part for index, part in enumerate(parts) if index != missing], FRAME) is None
    assert YuNet.match(outputs((1, 1)), FRAME) is None
