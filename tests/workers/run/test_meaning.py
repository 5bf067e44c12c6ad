"""What a job finds out about the meaning of a model before it begins: the samples, the preprocessing, the decoder."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray
from openvino import opset13 as ops
from PIL import Image

from workers.calibration import Samples, from_dataset
from workers.calibration.data_splits import split_data
from workers.errors import DataOverlap, DoubtfulOriginal, InvalidRecipe
from workers.evaluation.model_comparison import compare_models, find_task
from workers.evaluation.tasks import TaskRequest
from workers.ir.reading.importer import Imported, load
from workers.jobs.job import JobTask, Kind
from workers.recipe import Recipe
from workers.run.original_check import Tryout, check_original, find_numbering

RNG = np.random.default_rng(0)
PATTERNS = RNG.integers(0, 256, (4, 8, 8, 3))
PATTERNS[2:] = PATTERNS[:2, ..., ::-1]  # whoever swaps the channels takes one class for another


def classifier(scale: float, path: Path) -> Imported:
    """Four classes, each by its pattern; takes pixels from 0 to 255 / scale."""
    centred = (PATTERNS - PATTERNS.mean(axis=(1, 2, 3), keepdims=True)).transpose(0, 3, 1, 2) * scale
    x = ops.parameter((1, 3, 8, 8), np.float32, name="x")
    x.output(0).set_names({"x"})
    values = ops.convolution(x, ops.constant(centred.astype(np.float32)), [1, 1], [0, 0], [0, 0], [1, 1])
    offset = 0.5 * (centred**2).reshape(4, -1).sum(axis=1) / scale
    shift = ops.constant((offset - offset.mean()).reshape(1, 4, 1, 1).astype(np.float32))
    logits = ops.reshape(ops.subtract(values, shift), ops.constant([1, 4]), False)
    logits.output(0).set_names({"logits"})
    ov.save_model(ov.Model([ops.result(logits)], [x]), path, compress_to_fp16=False)
    return load(path)


def images(count: int, noise: float = 20.0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    labels = np.arange(count) % 4
    pixels = np.clip(PATTERNS[labels] + RNG.normal(0, noise, (count, 8, 8, 3)), 0, 255)
    return pixels.astype(np.uint8), labels


@pytest.fixture
def model(tmp_path: Path) -> Imported:
    return classifier(1.0, tmp_path / "model.xml")


def recipe(**more: object) -> Recipe:
    steps = [{"method": "layerwise_pruning", "sparsity_level": 0.5}]
    return Recipe.model_validate({"steps": steps, "calibration": {"source": "dataset", "count": 8}, **more})


RAW: dict[str, object] = {"mean_values": [0], "scale_values": [1]}


def samples_of(model: Imported, folder: Path, preprocessing: dict[str, object], count: int = 64) -> Samples:
    pixels, labels = images(count)
    np.savez(folder / "data.npz", x=pixels, y=labels)
    return from_dataset(folder / "data.npz", model, recipe(preprocessing=preprocessing).preprocessing)


def check(model: Imported, samples: Samples) -> None:
    task = find_task(model.model, samples, 1)
    check_original(Tryout(model.model, samples, 1, np.random.default_rng(0)), task)


def test_an_original_that_answers_the_labels_is_taken(model: Imported, tmp_path: Path) -> None:
    check(model, samples_of(model, tmp_path, RAW))


def test_a_channel_order_that_does_clearly_better_stops_the_run(model: Imported, tmp_path: Path) -> None:
    with pytest.raises(DoubtfulOriginal, match=r"with RGB in place of BGR it is 100\.0"):
        check(model, samples_of(model, tmp_path, RAW | {"color_order": "BGR"}))


def test_labels_that_it_only_guesses_stop_the_run_with_what_was_tried(model: Imported, tmp_path: Path) -> None:
    samples = samples_of(model, tmp_path, RAW)
    assert samples.labels is not None
    wrong = replace(samples, labels=RNG.permutation(samples.labels))
    with pytest.raises(DoubtfulOriginal, match=r"no better than guessing\. Tried as well: 0\.\.1"):
        check(model, wrong)


def task_on(data: Path, evaluation: Path | None) -> JobTask:
    return JobTask(Kind.COMPRESS, "", "", data=str(data), evaluation=str(evaluation) if evaluation else None)


def test_what_calibrates_never_judges(model: Imported, tmp_path: Path) -> None:
    pixels, labels = images(40)
    np.savez(tmp_path / "all.npz", x=pixels, y=labels)
    np.savez(tmp_path / "some.npz", x=pixels[30:], y=labels[30:])
    with pytest.raises(DataOverlap, match="of the 40 held-out samples also calibrate"):
        split_data(task_on(tmp_path / "all.npz", tmp_path / "all.npz"), model, recipe(), lambda done, total: None)
    wanted = recipe(calibration={"source": "dataset", "count": 38})
    with pytest.raises(DataOverlap, match="of the 10 held-out samples"):
        split_data(task_on(tmp_path / "all.npz", tmp_path / "some.npz"), model, wanted, lambda done, total: None)
    splits = split_data(task_on(tmp_path / "all.npz", None), model, recipe(), lambda done, total: None)
    assert not set(splits.calibration.numbers.tolist()) & set(splits.test.numbers.tolist())
    assert splits.calibration.count + splits.test.count == 40


def test_a_sorted_dataset_calibrates_with_all_its_classes(model: Imported, tmp_path: Path) -> None:
    pixels, labels = images(40)
    order = np.argsort(labels, kind="stable")
    np.savez(tmp_path / "sorted.npz", x=pixels[order], y=labels[order])
    splits = split_data(task_on(tmp_path / "sorted.npz", None), model, recipe(), lambda done, total: None)
    assert splits.calibration.labels is not None
    assert np.bincount(splits.calibration.labels).tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("wanted", "judges"),
    [
        ({}, 128),
        ({"constraint": {"metric": "agreement", "max_drop": 0.05}}, 256),
        ({"pareto": {"points": 2}}, 128 + 128),  # half of which selects
    ],
)
def test_more_samples_are_drawn_where_they_decide(model: Imported, wanted: dict[str, object], judges: int) -> None:
    splits = split_data(
        JobTask(Kind.COMPRESS, "", ""),
        model,
        recipe(calibration={"source": "fractals", "count": 8}, **wanted),
        lambda done, total: None,
    )
    selecting = splits.validation.count if "pareto" in wanted else 0
    assert splits.test.count + selecting == judges


def decoder(path: Path, name: str = "embedding", takes: str = "logits") -> Path:
    x = ops.parameter((1, 4), np.float32, name=takes)
    x.output(0).set_names({takes})
    result = ops.multiply(x, ops.constant(np.array([[2.0, 1, 1, 1]], np.float32)))
    result.output(0).set_names({name})
    ov.save_model(ov.Model([ops.result(result)], [x]), path, compress_to_fp16=False)
    return path


def test_a_model_may_decode(model: Imported, tmp_path: Path) -> None:
    samples = samples_of(model, tmp_path, RAW, 24)
    asked = TaskRequest(decoder_model=decoder(tmp_path / "decoder.xml"))
    task = find_task(model.model, samples, 1, asked)
    assert task.name == "embedding"
    comparison = compare_models(model.model, model.model, samples, batch_size=1, threads=1, task=task)
    found = {(m.measure.name, m.measure.reference): m.compressed.value for m in comparison.measures}
    assert found["recall_at_k", "labels"] == 1
    assert found["spearman", "original"] == pytest.approx(1)


@pytest.mark.parametrize(("name", "takes", "words"), [("answer", "logits", "'answer' is none of"), ("boxes", "x", "'x' is no")])
def test_a_decoder_of_other_names_is_refused(model: Imported, tmp_path: Path, name: str, takes: str, words: str) -> None:
    asked = TaskRequest(decoder_model=decoder(tmp_path / "decoder.xml", name, takes))
    with pytest.raises(InvalidRecipe, match=words):
        find_task(model.model, samples_of(model, tmp_path, RAW, 8), 1, asked)


def test_a_function_of_the_users_is_a_metric(model: Imported, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def margin(outputs, label):\n    return (outputs['logits'].argmax() == label) / 2\n")
    asked = TaskRequest(metric=f"{tmp_path / 'mine.py'}:margin")
    samples = samples_of(model, tmp_path, RAW, 24)
    task = find_task(model.model, samples, 1, asked)
    comparison = compare_models(model.model, model.model, samples, batch_size=1, threads=1, task=task)
    first = comparison.measures[0]
    assert (first.measure.name, first.measure.reference, first.original.value) == ("custom", "labels", 0.5)


def test_a_function_that_is_not_there_is_refused(model: Imported, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    with pytest.raises(InvalidRecipe, match="no function 'margin'"):
        find_task(model.model, samples_of(model, tmp_path, RAW, 8), 1, TaskRequest(metric=f"{tmp_path / 'mine.py'}:margin"))


@pytest.mark.parametrize(("ids", "called"), [((1, 2, 90), 89), ((1, 2, 90), 90), ((0, 1, 2), 2), ((0, 1, 2), 3)])
def test_labels_are_brought_into_the_numbers_of_the_detector(tmp_path: Path, ids: tuple[int, ...], called: int) -> None:
    """One object of the third class, at the same place in every picture; COCO's ids have gaps."""
    network, folder = tmp_path / "detector.xml", tmp_path / "data"
    detector_of_one(called, network)
    folder.mkdir()
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(20)]
    objects = [{"image_id": number, "category_id": ids[2], "bbox": [2, 2, 8, 8]} for number in range(20)]
    categories = [{"id": number, "name": name} for number, name in zip(ids, ("cat", "dog", "owl"), strict=True)]
    (folder / "coco.json").write_text(json.dumps({"images": images, "annotations": objects, "categories": categories}))
    for number in range(20):
        Image.fromarray(RNG.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{number}.png")
    model = load(network)
    samples = from_dataset(folder, model, recipe().preprocessing)
    task = find_task(model.model, samples, 1)
    numbering = find_numbering(Tryout(model.model, samples, 1, np.random.default_rng(0)), task)
    assert (numbering is None) == (called == 2)
    if numbering:
        renumbered = numbering.applied(samples)
        targets = renumbered.targets_of(0, 1)
        assert targets is not None
        assert targets[0].labels.tolist() == [called]
        assert renumbered.class_names[called] == "owl"
        assert "brought into its numbers" in renumbered.notes[-1]


def detector_of_one(label: int, path: Path) -> None:
    """Finds one object of that class, with the suppression in the graph."""
    x = ops.parameter((1, 3, 16, 16), np.float32, name="x")
    x.output(0).set_names({"x"})
    values = ops.convolution(x, ops.constant(np.ones((4, 3, 16, 16), np.float32)), [1, 1], [0, 0], [0, 0], [1, 1])
    moved = ops.multiply(ops.reshape(values, ops.constant([1, 4]), False), ops.constant(np.float32(0)))
    found = {
        "boxes": ops.add(moved, ops.constant(np.array([[2, 2, 10, 10]], np.float32))),
        "scores": ops.constant(np.array([0.9], np.float32)),
        "labels": ops.constant(np.array([label], np.int64)),
    }
    results = []
    for name, value in found.items():
        value.output(0).set_names({name})
        results.append(ops.result(value))
    ov.save_model(ov.Model(results, [x]), path, compress_to_fp16=False)
