"""What a training is fed with."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from workers.calibration.samples import Samples
from workers.training.batches import TrainingBatch, TrainingBatches


def numbered(count: int, source: Literal["fractals", "dataset"] = "dataset", labels: bool = True) -> Samples:
    """Images of which every pixel is the number of the sample."""
    return Samples(
        source=source,
        feeds={
            "x": lambda numbers: np.broadcast_to(numbers[:, None, None, None], (len(numbers), 3, 16, 16)).astype(np.float32)
        },
        numbers=np.arange(count),
        labels=np.arange(count) % 7 if labels else None,
        applied={"x": {"layout": "NCHW"}},
    )


def seen(batch: TrainingBatch) -> list[int]:
    return batch.feeds["x"][:, 0, 0, 0].round().long().tolist()


def test_every_sample_but_the_selecting_ones_comes_once_a_round() -> None:
    batches = TrainingBatches(numbered(50), 9, augment=True, seed=0, labelled=True)
    order = [number for index in range(10) for number in seen(batches.training(index))]
    assert batches.selecting.count == 5
    chosen = set(batches.selecting.numbers.tolist())
    for turn in (order[:45], order[45:90]):
        assert sorted(turn) == sorted(set(range(50)) - chosen)
    assert order[:45] != order[45:90]


def test_labels_stay_with_their_samples() -> None:
    batches = TrainingBatches(numbered(50), 8, augment=True, seed=0, labelled=True)
    for index in range(7):
        batch = batches.training(index)
        assert (batch.labels == torch.tensor(seen(batch)) % 7).all()


def test_fractals_never_come_twice_and_none_of_them_has_calibrated() -> None:
    batches = TrainingBatches(replace(numbered(40, "fractals", labels=False), endless=True), 8, augment=False, seed=0)
    order = [number for index in range(20) for number in seen(batches.training(index))]
    assert len({*order, *batches.selecting.numbers.tolist(), *range(40)}) == 160 + 4 + 40


def test_a_number_gives_the_same_batch_whenever_it_is_asked_for() -> None:
    one, other = (TrainingBatches(numbered(50), 8, augment=True, seed=3) for _ in range(2))
    one.training(0)
    torch.testing.assert_close(one.training(4).feeds["x"], other.training(4).feeds["x"], rtol=0, atol=0)


def test_the_last_selecting_batch_is_filled_up() -> None:
    batches = TrainingBatches(numbered(200), 8, augment=True, seed=0)
    parts = batches.selection()
    assert [len(seen(part)) for part in parts] == [8, 8, 8]
    assert {number for part in parts for number in seen(part)} == set(batches.selecting.numbers.tolist())


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_images_change_in_their_layout(layout: str) -> None:
    """Colours stay apart: an image whose channels are alike within themselves keeps them."""
    fed = np.broadcast_to(np.arange(3, dtype=np.float32)[:, None, None], (32, 3, 16, 24))
    fed = fed if layout == "NCHW" else fed.transpose(0, 2, 3, 1)
    samples = Samples("dataset", {"x": lambda numbers: fed[: len(numbers)]}, np.arange(320), applied={"x": {"layout": layout}})
    found = TrainingBatches(samples, 32, augment=True, seed=0).training(0).feeds["x"].numpy()
    np.testing.assert_allclose(found, fed, atol=1e-5)


def test_images_change_but_those_of_unknown_layout_do_not() -> None:
    pixels = np.random.default_rng(0).normal(size=(40, 3, 16, 16)).astype(np.float32)
    samples = Samples("dataset", {"x": lambda numbers: pixels[numbers]}, np.arange(40), applied={"x": {"layout": "NCHW"}})
    for known, changed in ((samples, True), (replace(samples, applied={}), False)):
        batches = TrainingBatches(known, 8, augment=True, seed=0)
        plain = TrainingBatches(known, 8, augment=False, seed=0)
        assert bool((batches.training(3).feeds["x"] != plain.training(3).feeds["x"]).any()) == changed


def test_images_with_labels_to_learn_from_are_not_blended() -> None:
    samples = numbered(50)
    blended, whole = (TrainingBatches(samples, 8, augment=True, seed=0, labelled=labelled) for labelled in (False, True))
    assert any(len(np.unique(image)) > 1 or float(image[0, 0, 0]) % 1 for image in blended.training(0).feeds["x"].numpy())
    assert (whole.training(0).labels == whole.training(0).feeds["x"][:, 0, 0, 0].round().long() % 7).all()


def test_samples_that_select_may_be_given_and_then_all_others_train() -> None:
    samples = numbered(50)
    given = samples.take(range(40, 50))
    batches = TrainingBatches(samples.take(range(40)), 8, augment=False, seed=0, selecting=given)
    order = [number for index in range(5) for number in seen(batches.training(index))]
    assert sorted(order) == list(range(40))
    assert batches.selecting.numbers.tolist() == list(range(40, 50))


def test_images_made_from_fractals_train_in_turn_with_new_fractals() -> None:
    samples = numbered(40, "fractals", labels=False)
    samples = replace(samples, endless=True, origins=lambda numbers: numbers)
    batches = TrainingBatches(samples, 6, augment=False, seed=0)
    order = [seen(batches.training(index)) for index in range(12)]
    made = [number for batch in order[::2] for number in batch]
    assert sorted(made) == sorted(set(range(40)) - set(batches.selecting.numbers.tolist()))
    assert min(number for batch in order[1::2] for number in batch) >= 40
