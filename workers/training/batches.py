"""What a model is trained on: shuffled rounds through the samples, or fractals that never come twice."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from workers.calibration import Samples
from workers.randomness import Stream, generator
from workers.training.augmentation import blended, cropped

MOST_SELECTING = 512


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Model inputs by name, and labels (n,) where there are some."""

    feeds: Mapping[str, Tensor]
    labels: Tensor | None


class TrainingBatches:
    """Batches by number: the same number gives the same batch.

    `selecting` are samples that choose among states of the training; without them a tenth of a dataset is kept for that.
    """

    def __init__(
        self, samples: Samples, size: int, *, augment: bool, seed: int, selecting: Samples | None = None, labelled: bool = False
    ) -> None:
        """`labelled` where labels are learnt from: images stay whole then, for two in one have no label."""
        self.size, self.augment, self.seed, self.labelled = size, augment, seed, labelled
        if selecting is None:
            samples, selecting = _held_back(samples, seed)
        self.selecting, self._samples = selecting, samples
        self._fresh = int(max(samples.numbers.max(), selecting.numbers.max())) + 1  # first number that nothing else has

    def training(self, number: int) -> TrainingBatch:
        """Batch `number`, augmented."""
        batch = _tensors(self._part(number))
        if not self.augment:
            return batch
        rng = generator(self.seed, Stream.AUGMENTATION, number)
        return TrainingBatch({name: self._augmented(name, value, rng) for name, value in batch.feeds.items()}, batch.labels)

    def _part(self, number: int) -> Samples:
        """The samples; where they were made from fractals, in turn with new ones; new ones alone where they are fractals."""
        if not self._samples.endless:
            return self._samples.take(self._shuffled(number * self.size))
        if self._samples.origins is not None and number % 2 == 0:
            return self._samples.take(self._shuffled(number // 2 * self.size))
        fresh = self._fresh + number * self.size + np.arange(self.size)
        return replace(self._samples, numbers=fresh, labels=None)

    def selection(self) -> list[TrainingBatch]:
        """Whole batches of the samples to select by; the last is filled up from the first."""
        wanted = max(1, -(-self.selecting.count // self.size))
        order = np.arange(wanted * self.size) % self.selecting.count
        return [_tensors(self.selecting.take(part)) for part in np.split(order, wanted)]

    def _shuffled(self, start: int) -> list[int]:
        """Positions of the samples from `start` on, in rounds each shuffled by itself."""
        count = self._samples.count
        rounds = range(start // count, (start + self.size - 1) // count + 1)
        orders = np.concatenate([generator(self.seed, Stream.TRAINING_ORDER, turn).permutation(count) for turn in rounds])
        first = start - rounds[0] * count
        return [int(position) for position in orders[first : first + self.size]]

    def _augmented(self, name: str, value: Tensor, rng: np.random.Generator) -> Tensor:
        layout = self._samples.applied.get(name, {}).get("layout")
        if layout is None or value.dim() != 4 or not value.is_floating_point():
            return value
        first = value if layout == "NCHW" else value.permute(0, 3, 1, 2)
        changed = cropped(first, rng) if self.labelled else blended(cropped(first, rng), rng)
        return changed if layout == "NCHW" else changed.permute(0, 2, 3, 1)


def _held_back(samples: Samples, seed: int) -> tuple[Samples, Samples]:
    """Samples to train on, and a tenth to select by: new ones, where there is no end of them."""
    held = min(max(samples.count // 10, 1), MOST_SELECTING)
    if samples.endless and samples.origins is None:
        return samples, replace(samples, numbers=samples.numbers.max() + 1 + np.arange(held), labels=None)
    order = generator(seed, Stream.TRAINING_SPLIT).permutation(samples.count)
    selecting = samples.take(np.sort(order[:held]))
    return (samples.take(np.sort(order[held:])) if held < samples.count else samples), selecting


def _tensors(samples: Samples) -> TrainingBatch:
    feeds = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in samples.batch(0, samples.count).items()}
    return TrainingBatch(feeds, None if samples.labels is None else torch.from_numpy(samples.labels))
