"""Fractals moved towards what a network recognises."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as ops
import pytest
import torch

from tests.workers.ir import tiny
from workers.calibration import from_fractals
from workers.calibration.preprocessing import image_input
from workers.calibration.samples import Samples
from workers.errors import NotTrainable
from workers.ir.reading.importer import Imported, load
from workers.recipe import Preprocessing
from workers.training import inversion
from workers.training.inversion import Inversion, doubt, share_out
from workers.training.network import Network

PLAIN = Preprocessing(mean_values=(0.0,), scale_values=(255.0,))


class Shelf:
    """Pictures in memory."""

    def __init__(self, *pictures: Any) -> None:
        self.pictures = list(pictures)

    @property
    def count(self) -> Any:
        return len(self.pictures)

    def append(self, pixels: Any) -> None:
        self.pictures += list(pixels)


@pytest.fixture
def classifier(tmp_path: Path) -> Imported:
    return load(tiny.save(tiny.cnn(side=32), tmp_path / "m.onnx"))


def start(imported: Imported, count: int = 24, steps: int = 4, declared: Preprocessing = PLAIN) -> tuple[Samples, Inversion]:
    samples = from_fractals(imported, count, 0, declared)
    image = next(found[0] for entry in imported.inputs if (found := image_input(entry, declared)))
    return samples, Inversion.of(imported, samples, image, steps, 0, 1)


def pixels(samples: Samples, count: int) -> npt.NDArray[np.uint8]:
    found = samples.images(0, count)
    assert found is not None
    return found


def moved(
    imported: Imported, count: int = 24, steps: int = 4, shelf: Any = None, declared: Any = PLAIN
) -> tuple[npt.NDArray[Any], ...]:
    samples, made = start(imported, count, steps, declared)
    shelf = shelf or Shelf()
    made.run(shelf, lambda done, total: None)
    return np.stack(shelf.pictures), pixels(samples, count)


def test_pictures_keep_their_statistics(classifier: Imported) -> None:
    after, before = (pixels.astype(float) for pixels in moved(replace(classifier, statistics={})))
    assert np.abs(after - before).max() > 0
    assert abs(after.mean() - before.mean()) < 4
    assert abs(after.std() / before.std() - 1) < 0.05
    slopes = [np.log(spectrum(pixels)[1:12]) for pixels in (after, before)]
    assert np.abs(slopes[0] - slopes[1]).max() < 0.7


def spectrum(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Energy by frequency along the rows, a mean over all pictures."""
    return (np.abs(np.fft.rfft(pixels - pixels.mean((1, 2), keepdims=True), axis=2)) ** 2).mean((0, 1, 3))


def test_the_same_seed_gives_the_same_bytes(classifier: Imported) -> None:
    assert np.array_equal(moved(classifier)[0], moved(classifier)[0])


def test_an_interrupted_run_goes_on_where_it_was(classifier: Imported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inversion, "MOST_AT_ONCE", 4)
    monkeypatch.setattr(inversion, "BLOCK", 12)
    whole = moved(classifier)[0]
    assert np.array_equal(moved(classifier, shelf=Shelf(*whole[:16]))[0], whole)


@pytest.mark.parametrize("count", [5, 9])
def test_the_first_pictures_of_a_block_do_not_depend_on_the_next_block(
    classifier: Imported, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(inversion, "BLOCK", 5)
    assert np.array_equal(moved(classifier, count)[0][:5], moved(classifier, 10)[0][:5])


def test_classes_are_shared_out_as_well_as_can_be() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(5, 5))
    best = max(permutations(range(5)), key=lambda order: scores[range(5), order].sum())
    assert tuple(share_out(scores)) == best


def test_every_class_comes_equally_often() -> None:
    chosen = share_out(np.random.default_rng(0).normal(size=(12, 4)))
    assert np.bincount(chosen).tolist() == [3, 3, 3, 3]


def network(tail: Callable[..., Any]) -> ov.Model:
    """A convolution, and what `tail` makes of it, as an imported model."""
    given = ops.parameter([1, 3, 32, 32], name="in")
    given.output(0).set_names({"in"})
    rng = np.random.default_rng(1)
    kernel = ops.constant(rng.normal(size=(8, 3, 3, 3)).astype(np.float32) / 3)
    found = ops.relu(ops.convolution(given, kernel, [2, 2], [1, 1], [1, 1], [1, 1]))
    return ov.Model(tail(found, rng), [given])


def dense(value: Any, rng: np.random.Generator, width: int) -> Any:
    kernel = ops.constant(5 * rng.normal(size=(width, 8, 1, 1)).astype(np.float32))
    return ops.convolution(value, kernel, [1, 1], [0, 0], [0, 0], [1, 1])


def named(node: Any, name: str) -> list[Any]:
    node.output(0).set_names({name})
    return [node]


TAILS = {
    "classes": lambda value, rng: named(ops.reduce_mean(dense(value, rng, 6), np.array([2, 3])), "logits"),
    "boxes": lambda value, rng: named(ops.sigmoid(dense(value, rng, 4)), "scores"),
    "faces": lambda value, rng: named(ops.sigmoid(dense(value, rng, 1)), "scores"),
    "map": lambda value, rng: named(dense(value, rng, 6), "logits"),
    "features": lambda value, rng: named(ops.reduce_mean(dense(value, rng, 8), np.array([2, 3])), "embedding"),
}


@pytest.mark.parametrize("kind", TAILS)
def test_a_network_answers_more_surely_what_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(inversion, "VARIATION", 0.0)  # weights that mean nothing answer too weakly to stand against it
    path = tmp_path / "m.xml"
    ov.save_model(network(TAILS[kind]), path, compress_to_fp16=False)
    imported = load(path)
    samples, made = start(imported, steps=6)
    shelf = Shelf()
    made.run(shelf, lambda done, total: None)
    targets = made._targets(range(0, 24, made.answers.size), 24, lambda done, total: None)

    def mean_doubt(pixels: Any) -> Any:
        values = np.resize(pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255, (made.answers.size, 3, 32, 32))
        return float(doubt(made.answers.scores({"in": torch.from_numpy(values)})[:24], torch.from_numpy(targets))) / 24

    before, after = mean_doubt(samples.images(0, 24)), mean_doubt(np.stack(shelf.pictures))
    assert after < before


def test_statistics_that_batch_norm_held_are_approached(classifier: Imported) -> None:
    """The first layer of the network is followed by BatchNorm; what it held is found again after it was folded."""
    without, image = replace(classifier, statistics={}), image_input(classifier.inputs[0], PLAIN)[0]
    far = {name: replace(held, mean=held.mean + 0.3) for name, held in classifier.statistics.items()}
    assert len(far) == 1
    samples = from_fractals(classifier, 24, 0, PLAIN)
    distances = []
    for known in (without, replace(classifier, statistics=far)):
        made, shelf = Inversion.of(known, samples, image, 10, 0, 1), Shelf()
        made.run(shelf, lambda done, total: None)
        judge = Inversion.of(replace(classifier, statistics=far), samples, image, 1, 0, 1)
        feeds = judge._feeds(
            inversion._picture(np.resize(np.stack(shelf.pictures), (judge.answers.size, 32, 32, 3))), judge._numbers(0, 24)
        )
        distances.append(float(judge.answers.scores_and_distance(feeds)[1]))
    assert distances[1] < distances[0]


def test_a_network_that_torch_cannot_follow_is_refused(classifier: Imported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(Network.__init__.__globals__["OPERATIONS"], "Relu")
    with pytest.raises(NotTrainable, match="Relu"):
        start(classifier)


def test_colours_and_preprocessing_are_those_of_the_model(classifier: Imported) -> None:
    declared = Preprocessing(mean_values=(10.0, 20.0, 30.0), scale_values=(2.0, 3.0, 4.0), color_order="BGR")
    samples, made = start(classifier, count=4, declared=declared)
    numbers = np.arange(4)
    fed = made._feeds(inversion._picture(pixels(samples, 4)), numbers)["in"]
    assert np.allclose(fed, samples.batch(0, 4)["in"], atol=1e-4)
    assert replace(samples, numbers=numbers).count == 4
