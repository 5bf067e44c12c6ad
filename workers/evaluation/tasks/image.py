"""Images out of images (denoising, super-resolution, matting): SSIM and PSNR, against the wanted picture or the original's."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import ClassVar, NamedTuple

import numpy as np
from PIL import Image as Pictures

from workers.annotations import TargetKind
from workers.evaluation.tasks.task import Array, Outputs
from workers.statistics.measures import Measure, mean_measure

WINDOW = 7  # pixels, as scikit-image has it by default
MOST_DECIBELS = 100.0  # of equal pictures
RANGES = {(0.0, 1.0): 0.0, (-1.0, 1.0): -1.0, (0.0, 255.0): 32.0}  # black and white; the least that the brightest pixel has
BEYOND = 0.25  # of a range, that a network may overshoot it


class Likeness(NamedTuple):
    """What is kept of a sample: SSIM and PSNR of both models against the label, and of the compressed against the original."""

    labels: tuple[float, float, float, float] | None  # SSIM before and after, PSNR before and after
    ssim: float
    psnr: float


def value_range(values: Array) -> tuple[float, float]:
    """Black and white of an answer (...): the first of RANGES that holds its finite values, else their extremes."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    for (black, white), dimmest in RANGES.items():
        beyond = BEYOND * (white - black)
        if black - beyond <= low and dimmest <= high <= white + beyond:
            return black, white
    return (low, high) if high > low else (low, low + 1.0)


@dataclass(frozen=True, slots=True)
class Image:
    """A picture for every sample."""

    output: int  # its position
    channels_first: bool
    black: float  # the value of it
    white: float
    name: ClassVar[str] = "image"
    classes: ClassVar[int | None] = None
    answers: ClassVar[frozenset[TargetKind]] = frozenset({TargetKind.IMAGE})

    @property
    def notes(self) -> tuple[str, ...]:
        """The range of its values."""
        return (f"Pictures that the model returns are taken to lie in {self.black:.3g}..{self.white:.3g}.",)

    def compare(self, before: Outputs, after: Outputs, targets: Sequence[Array] | None) -> list[Likeness]:
        """How like the pictures are."""
        pairs = list(zip(*(self._pictures(outputs[self.output]) for outputs in (before, after)), strict=True))
        rows = []
        for index, (first, second) in enumerate(pairs):
            wanted = None if targets is None else _fitted(targets[index], first.shape)
            known = (
                None
                if wanted is None
                else (ssim(wanted, first), ssim(wanted, second), psnr(wanted, first), psnr(wanted, second))
            )
            rows.append(Likeness(known, ssim(first, second), psnr(first, second)))
        return rows

    def measures(self, rows: Sequence[Likeness]) -> tuple[Measure, ...]:
        """SSIM, then PSNR in dB: the means over the pictures."""
        labels = [row.labels for row in rows if row.labels is not None]
        known: tuple[Measure, ...] = ()
        if len(labels) == len(rows):
            columns = list(zip(*labels, strict=True))
            known = (
                mean_measure("ssim", columns[:2], "labels"),
                mean_measure("psnr", columns[2:], "labels", bounded=False),
            )
        alike = [[getattr(row, part) for row in rows] for part in ("ssim", "psnr")]
        return (
            *known,
            mean_measure("ssim", [np.ones(len(rows)), alike[0]], "original"),
            mean_measure("psnr", [np.full(len(rows), MOST_DECIBELS), alike[1]], "original", bounded=False),
        )

    def _pictures(self, values: Array) -> Array:
        """(n, height, width, channels), black being 0 and white 1; cut off there, where the range is one that pictures have."""
        channels_last = np.moveaxis(values, 1, -1) if self.channels_first else values
        scaled = (channels_last.astype(np.float64) - self.black) / (self.white - self.black)
        return np.clip(scaled, 0, 1) if (self.black, self.white) in RANGES else scaled


def ssim(first: Array, second: Array) -> float:
    """Structural similarity (Wang et al. 2004) of pictures (height, width, channels) in 0..1: uniform windows, mean over all.

    Variances are those of samples, and the rim that a window does not fill is left out, as scikit-image does.
    """
    scale = WINDOW**2 / (WINDOW**2 - 1)
    means = [_window_means(picture) for picture in (first, second)]
    variances = [scale * (_window_means(picture**2) - mean**2) for picture, mean in zip((first, second), means, strict=True)]
    together = scale * (_window_means(first * second) - means[0] * means[1])
    light, contrast = 0.01**2, 0.03**2
    likeness = (2 * means[0] * means[1] + light) * (2 * together + contrast)
    likeness /= (means[0] ** 2 + means[1] ** 2 + light) * (variances[0] + variances[1] + contrast)
    return float(likeness.mean())


def _window_means(picture: Array) -> Array:
    """The mean of every window that lies within a picture (h, w, c): (h - WINDOW + 1, w - WINDOW + 1, c)."""
    rows = np.cumsum(np.pad(picture, ((1, 0), (0, 0), (0, 0))), axis=0)
    columns = np.cumsum(np.pad(rows[WINDOW:] - rows[:-WINDOW], ((0, 0), (1, 0), (0, 0))), axis=1)
    means: Array = (columns[:, WINDOW:] - columns[:, :-WINDOW]) / WINDOW**2
    return means


def psnr(first: Array, second: Array) -> float:
    """Peak signal to noise in dB of pictures in 0..1; MOST_DECIBELS at the most."""
    error = float(np.mean((first - second) ** 2))
    return min(MOST_DECIBELS, -10 * log10(error)) if error > 0 else MOST_DECIBELS


def _fitted(target: Array, shape: tuple[int, ...]) -> Array:
    """A wanted picture uint8 (height, width, channels) in the size and the channels of the output, in 0..1."""
    picture = Pictures.fromarray(target[..., 0] if target.shape[-1] == 1 else target)
    picture = picture.convert("L" if shape[-1] == 1 else "RGB")
    if picture.size != (shape[1], shape[0]):
        picture = picture.resize((shape[1], shape[0]), Pictures.Resampling.BICUBIC)
    return np.asarray(picture, np.float64).reshape(shape) / 255
