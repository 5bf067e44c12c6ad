"""Calibration images that a network recognises: fractals moved lightly by the gradient of its own answers (model inversion).

Plain fractals have the statistics of photographs, and the late layers of a network hardly fire at them. Here every fractal gets
a class as its target, the classes shared out evenly and each to a picture that already leans towards it, and moves by a few
steps of Adam on its Fourier coefficients. These are weighted by 1/f, as the spectrum of photographs falls, so that the picture
keeps the statistics it has. It is shifted and mirrored at random before every step, held near its start, and stays within what
pixels can be. Where the file still holds BatchNorm, the statistics of a batch are drawn to those that it holds (DeepInversion,
Yin 2020). A network that tells no classes apart is asked for large values of its last features instead, each in turn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any, Protocol

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F
from torch.optim.adam import adam

from workers.calibration import Samples
from workers.calibration.preprocessing import ImageInput
from workers.errors import NotTrainable
from workers.evaluation.model_outputs import activation_of
from workers.ir.graph.layers import find_layers, nodes_by_name
from workers.ir.reading.batch_norms import ChannelStatistics
from workers.ir.reading.batching import batched
from workers.ir.reading.importer import Imported
from workers.randomness import Stream, generator
from workers.statistics.decisions import OutputKind, Reading, read
from workers.training.losses import TINY, class_logits
from workers.training.network import Network, verify

RATE = 1.25e-3  # of Adam, on coefficients in units of the whole range of pixels
ADAM: Any = {"lr": RATE, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False, "maximize": False}
SHIFT = 28  # pictures move by up to this part of their sides
VARIATION, DISTANCE = 80.0, 4.0  # weights of the squared differences of neighbours and from the start, beside the answers
VALUES_AT_ONCE = 5 * 2**17  # input elements of a batch: what convolutions read stays within caches
MOST_AT_ONCE = 64
BLOCK = 1024  # pictures that share the classes out among them
MOST_OFF = 16.0  # of a channel's statistics, squared, in its deviations: a few channels are not to drown the others
NO_STATISTICS: Mapping[str, ChannelStatistics] = {}
FLAT = 1e-6  # standard deviation below which a feature counts as dead

Tell = Callable[[int, int], None]


class Shelf(Protocol):
    """Where finished pictures go, in their order."""

    @property
    def count(self) -> int:
        """How many are there already."""

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Keep some more, (n, height, width, channels)."""


class Answers:
    """A network's answers as scores (n, K): of classes where it tells any apart, else of its last features.

    `statistics` are those that BatchNorm held, by a name of the tensor.
    """

    def __init__(
        self,
        model: ov.Model,
        network: Network,
        feeds: Mapping[str, Tensor],
        size: int,
        statistics: Mapping[str, ChannelStatistics] = NO_STATISTICS,
    ) -> None:
        self.network, self.size = network, size
        self._normalised = _by_operation(model, statistics)
        with torch.no_grad():
            outputs, _ = network.run(feeds, {})
        activations = [activation_of(result.input_value(0)) for result in model.get_results()]
        names = [min(port.get_names(), default="") for port in model.outputs]
        readings = [
            read(name, _by_sample(value, size).numpy(), activation)
            for name, value, activation in zip(names, outputs, activations, strict=True)
        ]
        self.deciding = _deciding(readings, [_by_sample(value, size).shape for value in outputs])
        self.features = "" if self.deciding else _last_features(model)
        self._mean, self._deviation = torch.zeros(()), torch.ones(())
        self._alive: Tensor | None = None

    def scores(self, feeds: Mapping[str, Tensor]) -> Tensor:
        """Logarithms of probabilities (n, K), of each class in a mean over all places; deviations of features."""
        return self._scores(*self.network.run(feeds, {}, [self.features] if self.features else []))

    def scores_and_distance(self, feeds: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The scores, and how far the statistics of the batch are from those that BatchNorm held: 0 where it held none."""
        wanted = {*self._normalised, *([self.features] if self.features else [])}
        outputs, kept = self.network.run(feeds, {}, wanted)
        apart = [_apart(kept[name], *held) for name, held in self._normalised.items()]
        return self._scores(outputs, kept), torch.stack(apart).mean() if apart else torch.zeros(())

    def _scores(self, outputs: Sequence[Tensor], kept: Mapping[str, Tensor]) -> Tensor:
        if self.features:
            found = _pooled(kept[self.features], self.size)
            alive = found if self._alive is None else found[:, self._alive]
            return (alive - self._mean) / self._deviation
        shares = [self._shares(reading, outputs[number]) for number, reading in self.deciding]
        return torch.stack(shares).logsumexp(0)

    def standardise(self, scores: Tensor) -> Tensor:
        """Learn the mean and deviation of every feature from the scores of many pictures; classes stay as they are."""
        if not self.features:
            return scores
        deviation = scores.std(0)
        self._alive = torch.nonzero(deviation > FLAT * deviation.max()).reshape(-1)
        if not len(self._alive):
            raise NotTrainable("No feature of the network answers to what it sees.")
        self._mean, self._deviation = scores.mean(0)[self._alive], deviation[self._alive]
        return (scores[:, self._alive] - self._mean) / self._deviation

    def reset(self) -> None:
        """Forget what `standardise` has learnt."""
        self._mean, self._deviation, self._alive = torch.zeros(()), torch.ones(()), None

    def _shares(self, reading: Reading, value: Tensor) -> Tensor:
        """Logarithms of the mean probability of each class over all places (n, K)."""
        if reading.kind not in (OutputKind.PROBABILITY, OutputKind.PROBABILITY_MAP):
            told = class_logits(reading, self.size, value).log_softmax(-1)
        else:
            found = _by_sample(value, self.size)
            yes = found.movedim(1, -1) if found.dim() == 4 else found.reshape(self.size, -1, found.shape[-1])
            both = torch.cat([1 - yes, yes], -1) if reading.kind is OutputKind.PROBABILITY else yes
            told = both.clamp(min=TINY).log()
        places = told.reshape(self.size, -1, told.shape[-1])
        return places.logsumexp(1) - log(places.shape[1])


def _by_operation(model: ov.Model, statistics: Mapping[str, ChannelStatistics]) -> dict[str, tuple[Tensor, Tensor]]:
    """Means and deviations by the operation whose output they are of; what another form of the model has lost is left out."""
    found = {}
    for node in model.get_ordered_ops():
        names = node.output(0).get_names() & statistics.keys() if node.get_output_size() == 1 else ()
        if names and node.get_type_name() not in ("Parameter", "Constant", "Result"):
            held = statistics[min(names)]
            shape = node.output(0).get_partial_shape()
            if shape.rank.get_length() > 1 and shape[1] == len(held.mean):
                found[str(node.friendly_name)] = (torch.from_numpy(held.mean), torch.from_numpy(held.deviation))
    return found


def _apart(value: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """How far the means and deviations of channels are from those wanted, in units of these deviations, squared."""
    axes = [0, *range(2, value.dim())]
    unit = deviation.clamp(min=FLAT)
    off = ((value.mean(axes) - mean) / unit).square() + ((value.std(axes) - deviation) / unit).square()
    return off.clamp(max=MOST_OFF).mean()


def _by_sample(value: Tensor, size: int) -> Tensor:
    """An output (size, ...), whether or not the model takes batches."""
    return value.reshape(size, -1, *value.shape[1:]).squeeze(1)


def _deciding(readings: Sequence[Reading], shapes: Sequence[Sequence[int]]) -> list[tuple[int, Reading]]:
    """The outputs that tell the same classes apart as the most telling one does, with their numbers."""
    kinds = [kind for kind in OutputKind if kind not in (OutputKind.CODES, OutputKind.VALUES)]
    told = [(kinds.index(reading.kind), number) for number, reading in enumerate(readings) if reading.kind in kinds]
    if not told:
        return []
    first = min(told)[1]

    def classes(number: int) -> tuple[OutputKind, int]:
        shape, reading = shapes[number], readings[number]
        if reading.kind in (OutputKind.PROBABILITY, OutputKind.PROBABILITY_MAP):
            return reading.kind, shape[1] if len(shape) == 4 else shape[-1]
        return reading.kind, shape[reading.class_axis + 1]

    return [(number, readings[number]) for _, number in sorted(told) if classes(number) == classes(first)]


def _last_features(model: ov.Model) -> str:
    """The operation that the last layer reads."""
    nodes = nodes_by_name(model)
    for layer in reversed(find_layers(model)[0]):
        source = nodes[layer.nodes[0]].input_value(0)
        if source.get_node().get_type_name() not in ("Parameter", "Constant") and source.get_index() == 0:
            return str(source.get_node().friendly_name)
    raise NotTrainable("The network has no features that a picture could be moved towards.")


def _pooled(value: Tensor, size: int) -> Tensor:
    """Features (size, K): means over all positions."""
    if value.dim() == 4 and len(value) == size:
        return value.mean((2, 3))
    return value.reshape(size, -1, value.shape[-1]).mean(1)


@dataclass(frozen=True, slots=True)
class Inversion:
    """How pictures become what a network recognises. Raises NotTrainable for networks that torch cannot follow."""

    answers: Answers
    samples: Samples
    image: ImageInput
    steps: int
    seed: int

    @classmethod
    def of(cls, imported: Imported, samples: Samples, image: ImageInput, steps: int, seed: int, threads: int) -> "Inversion":
        """For a model and fractals that it is fed with; its operations are compared with OpenVINO's first."""
        torch.set_num_threads(threads)
        values = sum(rows(samples.numbers[:1]).size for rows in samples.feeds.values())
        size = max(1, min(MOST_AT_ONCE, VALUES_AT_ONCE // values)) if samples.stacked else 1
        model = batched(imported.model, size)
        network = Network(model)
        numbers = np.resize(samples.numbers, size)
        feeds = replace(samples, numbers=numbers, labels=None).batch(0, size)
        verify(model, network, feeds, threads)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in feeds.items()}
        return cls(Answers(model, network, tensors, size, imported.statistics), samples, image, steps, seed)

    def run(self, shelf: Shelf, tell: Tell) -> None:
        """Bring the pictures of all samples onto the shelf, from where an earlier attempt was interrupted."""
        total, size = self.samples.count, self.answers.size
        while shelf.count < total:
            block = shelf.count // BLOCK * BLOCK
            end = min(block + BLOCK, total)
            starts = range(block, end, size)
            targets = self._targets(starts, end, tell)
            for start in starts:
                if start < shelf.count:
                    continue
                stop = min(start + size, end)
                moved = self._moved(start, stop, targets[start - block : stop - block])
                shelf.append(moved)
                tell(stop, total)

    def _targets(self, starts: range, end: int, tell: Tell) -> NDArray[np.int64]:
        """What each picture of a block is moved towards."""
        self.answers.reset()
        found = []
        with torch.no_grad():
            for start in starts:
                numbers = self._numbers(start, min(start + self.answers.size, end))
                found.append(self.answers.scores(self._feeds(_picture(self._pixels(numbers)), numbers)))
                tell(starts[0], self.samples.count)
            scores = self.answers.standardise(torch.cat(found)[: end - starts[0]])
        return share_out(scores.double().log_softmax(1).numpy())

    def _moved(self, start: int, stop: int, targets: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pictures of the samples from `start` to `stop`, moved towards their targets."""
        numbers = self._numbers(start, stop)
        rng = generator(self.seed, Stream.INVERSION, start)
        first = _picture(self._pixels(numbers))
        wanted = torch.from_numpy(np.resize(targets, self.answers.size))
        weights = _pink(*first.shape[2:])
        spectrum = torch.zeros(*first.shape[:2], *weights.shape, 2, requires_grad=True)
        descend = _adam(spectrum)
        for _ in range(self.steps):
            picture = _drawn(first, spectrum, weights)
            scores, apart = self.answers.scores_and_distance(self._feeds(_shaken(picture, rng), numbers))
            descend(doubt(scores, wanted) + _roughness(picture, first) + len(picture) * apart)
        with torch.no_grad():
            final = _drawn(first, spectrum, weights)[: stop - start]
        pixels: NDArray[np.uint8] = (255 * final).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return np.ascontiguousarray(pixels)

    def _numbers(self, start: int, stop: int) -> NDArray[np.int64]:
        """Those of a whole batch; the last is filled up by repetition."""
        return np.resize(self.samples.numbers[start:stop], self.answers.size)

    def _pixels(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        assert self.samples.pixels is not None  # of the one image input
        return self.samples.pixels(numbers)

    def _feeds(self, picture: Tensor, numbers: NDArray[np.int64]) -> dict[str, Tensor]:
        feeds = {
            name: torch.from_numpy(np.ascontiguousarray(rows(numbers) if self.samples.stacked else rows(numbers)[0]))
            for name, rows in self.samples.feeds.items()
            if name != self.image.name
        }
        return {self.image.name: _prepared(self.image, picture, self.samples.stacked), **feeds}


def _adam(spectrum: Tensor) -> Callable[[Tensor], None]:
    """A step of Adam for a loss; the function, for the class of torch imports its compiler, for a second."""
    step, mean, square = torch.zeros(()), torch.zeros_like(spectrum), torch.zeros_like(spectrum)

    def descend(loss: Tensor) -> None:
        (gradient,) = torch.autograd.grad(loss, [spectrum])
        with torch.no_grad():
            adam([spectrum], [gradient], [mean], [square], [], [step], **ADAM)

    return descend


def doubt(scores: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy with the targets, summed; of a single class, with its being there."""
    if scores.shape[1] == 1:
        return -scores.sum()
    return F.cross_entropy(scores, targets, reduction="sum")


def share_out(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """A class for each picture (n,), all classes equally often, by the logarithms of probabilities (n, K).

    Each picture gets one that it leans towards more than others do: the sum over all pictures is as large as it can be.
    """
    count, classes = scores.shape
    leaning = scores - scores.mean(0)
    places = -(-count // classes)
    _, chosen = linear_sum_assignment(np.tile(leaning, places), maximize=True)
    return np.asarray(chosen % classes, np.int64)


def _picture(pixels: NDArray[np.uint8]) -> Tensor:
    """Pixels (n, h, w, c) as (n, c, h, w) from 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 255


def _prepared(image: ImageInput, picture: Tensor, stacked: bool) -> Tensor:
    """The model's input for a picture, as `ImageInput.prepare` has it, without rounding."""
    colours = picture.flip(1) if image.color_order == "BGR" and image.channels == 3 else picture
    mean, scale = (torch.tensor(values).reshape(1, -1, 1, 1) for values in (image.mean_values, image.scale_values))
    values = (255 * colours - mean) / scale
    ordered = values if image.layout == "NCHW" else values.permute(0, 2, 3, 1)
    return ordered.reshape(len(picture), *image.item) if stacked else ordered.reshape(image.item)


def _pink(height: int, width: int) -> Tensor:
    """1/f for the coefficients (h, w // 2 + 1) of a picture; the mean as its slowest wave."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    return torch.from_numpy((1 / np.maximum(np.hypot(fy, fx), 1 / max(height, width))).astype(np.float32))


def _drawn(first: Tensor, spectrum: Tensor, weights: Tensor) -> Tensor:
    change = torch.fft.irfft2(torch.view_as_complex(spectrum) * weights, s=first.shape[2:], norm="ortho")
    drawn: Tensor = (first + change).clamp(0, 1)
    return drawn


def _shaken(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifted, and mirrored half of the time."""
    reach = [max(side // SHIFT, 1) for side in picture.shape[2:]]
    shifts = [int(rng.integers(-side, side + 1)) for side in reach]
    moved = torch.roll(picture, shifts, (2, 3))
    return moved.flip(3) if rng.random() < 0.5 else moved


def _roughness(picture: Tensor, first: Tensor) -> Tensor:
    """The total variation and the distance from the start, weighted, summed over the pictures."""
    down = (picture[:, :, 1:] - picture[:, :, :-1]).square().mean((1, 2, 3))
    right = (picture[:, :, :, 1:] - picture[:, :, :, :-1]).square().mean((1, 2, 3))
    return (VARIATION * (down + right) + DISTANCE * (picture - first).square().mean((1, 2, 3))).sum()
