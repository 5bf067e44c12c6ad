"""What users bring along: a metric of their own, and a model that decodes."""

from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from workers.annotations import Boxes, TargetKind
from workers.errors import InvalidRecipe, Refusal, UnreadableModel
from workers.evaluation.decoders import Frame, Output
from workers.evaluation.decoders.decoder_model import DecoderModel
from workers.evaluation.tasks import innermost
from workers.evaluation.tasks.classification import Classification
from workers.evaluation.tasks.custom import Custom, load_metric
from workers.evaluation.tasks.decoded import Decoded
from workers.evaluation.tasks.detection import Detection
from workers.evaluation.tasks.embedding import Embedding
from workers.evaluation.tasks.segmentation import Segmentation
from workers.statistics.decisions import OutputKind, Reading

LOGITS = np.array([[3.0, 0, 0], [0, 3, 0], [0, 0, 3], [3, 0, 0]])
TASK = Classification(0, Reading(OutputKind.CLASSES, classes=3))


def written(folder: Path, text: str) -> Path:
    (folder / "own.py").write_text(text)
    return folder / "own.py"


def test_a_metric_is_a_function_in_a_file(tmp_path: Path) -> None:
    file = written(tmp_path, "import numpy as np\n\ndef largest(outputs, label):\n    return outputs['out'].max()\n")
    assert load_metric(f"{file}:largest")({"out": np.array([1.0, 7.0])}, None) == 7


def test_a_colon_in_the_path_is_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    assert load_metric(f"{written(tmp_path / 'a:b', 'def one(outputs, label): return 1')}:one")({}, None) == 1


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("def f(o, l): return 1", "g", r"own\.py has no function 'g'"),
        ("f = 3", "f", r"own\.py has no function 'f'"),
        ("def f(:", "f", "SyntaxError"),
        ("import no_such_package_anywhere", "f", "no_such_package_anywhere"),
        ("1 / 0", "f", "ZeroDivisionError"),
        ("undefined", "f", "NameError"),
        ("raise ValueError('bad table')", "f", "bad table"),
    ],
)
def test_a_file_that_gives_no_metric_is_refused(tmp_path: Path, text: str, name: str, words: str) -> None:
    with pytest.raises(InvalidRecipe, match=words):
        load_metric(f"{written(tmp_path, text)}:{name}")


@pytest.mark.parametrize("place", ["nowhere.py:f", "metric.txt:f", "f", ""])
def test_a_place_without_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRecipe, match="metric: "):
        load_metric(place)


def right(outputs: Mapping[str, Any], label: Any) -> float:
    return float(outputs["logits"].argmax() == label)


def test_a_metric_is_the_mean_over_the_samples_and_comes_first() -> None:
    task = Custom(TASK, right, ["logits"], TargetKind.CLASS)
    rows = task.compare([LOGITS], [LOGITS[[0, 1, 2, 1]]], [0, 1, 1, 0])
    own, *others = task.measures(rows)
    assert (own.name, own.reference) == ("custom", "labels")
    assert own.scores(np.array([[1.0, 1, 1, 1], [0, 0, 0, 2]])).tolist() == [[0.75, 0.5], [1, 0]]
    assert {measure.name for measure in others} == {"top1", "f1", "auc"}
    assert (task.name, task.classes) == ("classification", 3)


def test_labels_that_the_task_cannot_read_go_to_the_metric_alone() -> None:
    asked: list[Any] = []

    def metric(outputs: Mapping[str, Any], label: Any) -> float:
        asked.append(label)
        return 1.0

    task = Custom(TASK, metric, ["logits"], TargetKind.VALUES)
    rows = task.compare([LOGITS], [LOGITS], ["any", "thing", "at", "all"])
    assert asked == ["any", "thing", "at", "all"] * 2
    assert {measure.reference for measure in task.measures(rows)[1:]} == {"original"}
    assert TargetKind.TEXT in task.answers


def test_a_metric_with_labels_is_not_asked_about_samples_without() -> None:
    def metric(outputs: Mapping[str, Any], label: Any) -> float:
        raise AssertionError("asked without a label")

    rows = Custom(TASK, metric, ["logits"], TargetKind.CLASS).compare([LOGITS], [LOGITS], None)
    assert [row[1:] for row in rows] == [(pytest.approx(nan, nan_ok=True),) * 2] * 4


def test_a_metric_without_labels_judges_by_the_outputs_alone() -> None:
    task = Custom(TASK, lambda outputs, label: 1.0 if label is None else 0.0, ["logits"], None)
    own, *_ = task.measures(task.compare([LOGITS], [LOGITS], None))
    assert own.reference == "original"
    assert own.scores(np.ones((1, 4))).tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("result", "words"), [(nan, "returns nan"), (float("inf"), "returns inf"), ("x", "ValueError"), (None, "TypeError")]
)
def test_what_is_no_number_is_refused(result: Any, words: str) -> None:
    with pytest.raises(InvalidRecipe, match=words):
        Custom(TASK, lambda outputs, label: result, ["logits"], None).compare([LOGITS], [LOGITS], None)


def test_a_metric_that_fails_is_named_with_its_fault() -> None:
    with pytest.raises(InvalidRecipe, match="KeyError: 'missing'"):
        Custom(TASK, lambda outputs, label: float(outputs["missing"]), ["logits"], None).compare([LOGITS], [LOGITS], None)


# models that decode


def decoder(folder: Path, *results: str, name: str = "raw") -> Path:
    """Rows (1, 2, 6) are parted into boxes, scores, and classes: the last two numbers, of which the greater is the class."""
    raw = ops.parameter([1, 2, 6], name=name)
    raw.output(0).set_names({name})
    axis, places = ops.constant(np.int64(2)), {"boxes": [0, 1, 2, 3], "scores": [4], "labels": [5], "class_map": [0, 1]}
    made = []
    for result in results:
        picked = ops.gather(raw, ops.constant(np.array(places.get(result, [0]), np.int64)), axis)
        if result in ("scores", "labels", "embedding"):
            picked = ops.reshape(picked, ops.constant(np.array([1, -1], np.int64)), False)
        if result in ("labels", "class_map"):
            picked = ops.convert(picked, "i64")
        picked.output(0).set_names({result})
        made.append(ops.result(picked.output(0)))
    ov.save_model(ov.Model(made, [raw]), folder / "decoder.xml", compress_to_fp16=False)
    return folder / "decoder.xml"


FRAME = Frame(64, 64)
RAW = [Output("other", (3,)), Output("raw", (2, 6))]
VALUES = [np.zeros(3, np.float32), np.array([[8, 8, 40, 40, 0.5, 1], [4, 4, 20, 20, 0.9, 2]], np.float32)]


def decoded(path: Path, frame: Frame | None = FRAME) -> Decoded:
    return Decoded(DecoderModel(path, RAW, 1), VALUES, frame)


def batch(values: Sequence[Any]) -> list[Any]:
    return [np.stack([value, value]) for value in values]


def test_decoded_boxes_are_detections_measured_against_labels(tmp_path: Path) -> None:
    task = decoded(decoder(tmp_path, "boxes", "scores", "labels"))
    assert isinstance(task.task, Detection)
    assert (task.name, task.classes, task.answers) == ("detection", None, frozenset({TargetKind.BOXES}))
    assert "boxes, scores, labels" in task.notes[0]
    truth = Boxes(np.array([[8, 8, 40, 40]], np.float32), np.array([1]), np.zeros(1, bool))
    worse = [VALUES[0], VALUES[1] * [1, 1, 1, 1, 1, 0]]  # all of class 0
    rows = task.compare(batch(VALUES), batch(worse), [truth, truth])
    assert len(rows) == 2
    found = {(measure.name, measure.reference): measure.scores(np.ones((1, 2)))[0].tolist() for measure in task.measures(rows)}
    assert found["mAP", "labels"] == [1, 0]
    assert innermost(task, rows) == (task.task, rows)


def test_decoded_maps_and_embeddings(tmp_path: Path) -> None:
    maps = decoded(decoder(tmp_path, "class_map"))
    assert isinstance(maps.task, Segmentation)
    assert len(maps.compare(batch(VALUES), batch(VALUES), None)) == 2
    assert isinstance(decoded(decoder(tmp_path, "embedding"), None).task, Embedding)


def test_boxes_without_a_picture_are_no_detections(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecipe, match="it returns boxes, scores, labels"):
        decoded(decoder(tmp_path, "boxes", "scores", "labels"), None)


def test_a_decoder_that_returns_half_a_detection_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecipe, match="it returns boxes") as refused:
        decoded(decoder(tmp_path, "boxes"))
    assert "boxes (n, 4) with scores" in refused.value.hint


def test_names_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecipe, match=r"input 'heads' is no output of the model \(other, raw\)"):
        decoded(decoder(tmp_path, "boxes", name="heads"))
    with pytest.raises(InvalidRecipe, match="output 'detections' is none of boxes, scores"):
        decoded(decoder(tmp_path, "detections"))


def test_a_decoder_of_another_shape_is_refused_when_it_runs(tmp_path: Path) -> None:
    model = DecoderModel(decoder(tmp_path, "boxes"), RAW, 1)
    with pytest.raises(Refusal, match="run the decoder"):
        model.decode_sample([VALUES[0], np.zeros((3, 6), np.float32)])


def test_a_decoder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "decoder.onnx").write_bytes(b"")
    with pytest.raises(UnreadableModel):
        DecoderModel(tmp_path / "decoder.onnx", RAW, 1)


def test_what_decoders_return_is_described_as_outputs_are(tmp_path: Path) -> None:
    model = DecoderModel(decoder(tmp_path, "boxes", "labels"), RAW, 1)
    described = model.outputs(model.decode_sample(VALUES))
    assert [(output.name, output.shape, output.integers) for output in described] == [
        ("boxes", (2, 4), False),
        ("labels", (2,), True),
    ]
