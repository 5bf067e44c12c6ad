"""What is added to H, the second moments of a layer's inputs, as far as its samples do not tell it.

How pixels beside one another go together is known from any picture. How channels go together is known less, and the more
chance or invention there is in the samples the less. But the weights know it, too: training has made their rows of the inputs
that it saw, so that WᵀW varies in the directions in which these did, where a layer has rows enough to show.
"""

from dataclasses import dataclass

import numpy as np

from workers.methods.problem import Array, Work
from workers.threads import ALONE, Threads, parts_of_rows

DAMPING = 1e-3  # of the mean diagonal of H, at least
LARGEST_DAMPING = 1.0  # whatever chance there is in H
SYNTHETIC_LAST_DAMPING = 0.8  # of the last layers, where samples are made up: the deeper, the less they tell of real ones
RISE = 0.5  # depth at which the least damping has risen to that of the last layers


@dataclass(frozen=True, slots=True)
class Prior:
    """A ridge, and a covariance that is one of channels times one of the taps of a channel."""

    ridge: Array  # (g,)
    taps: Array  # (g, t, t)
    channels: Work | None  # (g, n, n); None where nothing is known of how they go together

    def added_to(self, covariance: Work, threads: Threads = ALONE) -> Work:
        """H (g, c, c) with all of it."""
        groups, cols, _ = covariance.shape
        taps = self.taps.shape[1]
        hessian = np.empty_like(covariance)
        before, by_tap = (matrix.reshape(groups, cols // taps, taps, cols // taps, taps) for matrix in (covariance, hessian))
        kernel = self.taps.astype(hessian.dtype)

        def add(part: slice) -> None:
            by_tap[:, part] = before[:, part]
            if self.channels is not None:
                by_tap[:, part] += self.channels[:, part, None, :, None] * kernel[:, None, :, None]
            else:
                for channel in range(cols // taps)[part]:
                    by_tap[:, channel, :, channel] += kernel

        threads.each(add, parts_of_rows(hessian.reshape(groups, cols // taps, taps * cols)))
        hessian.reshape(groups, cols**2)[:, :: cols + 1] += self.ridge[:, None]
        return hessian

    def pull(self, weight: Array, threads: Threads = ALONE) -> Array:
        """The product (g, r, c) of weights (g, r, c) with what is added; channels in the precision of products with H."""
        groups, rows, _ = weight.shape
        taps = self.taps.shape[1]
        found = np.einsum("grit,gtu->grui", weight.reshape(groups, rows, -1, taps), self.taps)
        if self.channels is not None:
            flat = found.reshape(groups, rows * taps, -1).astype(self.channels.dtype, copy=False)
            found = threads.product(flat, self.channels).reshape(found.shape)
        return np.asarray(found.swapaxes(2, 3).reshape(weight.shape) + self.ridge[:, None, None] * weight)


def damping_of(noise: float, depth: float, last: float) -> float:
    """The damping, as a share of H's mean diagonal: as much as H is chance, `noise`, and at least what `depth` asks for.

    The least rises geometrically from DAMPING, at a depth of 0, to `last` at RISE.
    """
    least = DAMPING * (last / DAMPING) ** min(depth / RISE, 1.0)
    return float(max(least, min(noise / max(1 - noise, 1e-9), LARGEST_DAMPING)))


def prior(covariance: Work, damping: float, weight: Array, taps: int) -> Prior:
    """What is added to H (g, c, c) of a layer with weights (g, r, c), by `damping`.

    The mean covariance of the taps of a channel, times channels that go together as WᵀW says, as far as H agrees, and else not
    at all (shrinkage to a structure, Ledoit and Wolf 2003). DAMPING of the mean diagonal keeps H definite; an identity
    where it is zero.
    """
    groups, cols, _ = covariance.shape
    by_tap = covariance.reshape(groups, cols // taps, taps, cols // taps, taps)
    level = DAMPING * np.einsum("gcc->g", covariance, dtype=np.float64) / cols
    ridge = np.where(level > 0, level, 1.0)
    share = max(damping - DAMPING, 0.0)
    kernel = share * np.einsum("gitiu->gtu", by_tap).astype(np.float64) / (cols // taps)
    return Prior(ridge, kernel, _channels(np.einsum("gitjt->gij", by_tap), weight, taps) if share else None)


def _channels(covariance: Work, weight: Array, taps: int) -> Work | None:
    """a I + b WᵀW (g, n, n), a mean diagonal of one, nearest to the channels' `covariance` (g, n, n) among all b from 0 to 1.

    None where no b helps.
    """
    groups, size, _ = covariance.shape
    rows = weight.reshape(groups, -1, size, taps).swapaxes(2, 3).reshape(groups, -1, size).astype(covariance.dtype, copy=False)
    known = rows.swapaxes(1, 2) @ rows
    level, seen = (_level(gram) for gram in (known, covariance))
    likeness, apart = (  # of the parts off the identity
        np.einsum("gij,gij->g", known, other, dtype=np.float64) / (level * scale) - size
        for other, scale in ((covariance, seen), (known, level))
    )
    part = np.clip(likeness / np.where(apart > 0, apart, np.inf), 0, 1)
    if not part.any():
        return None
    known *= (part / level)[:, None, None]
    known.reshape(groups, -1)[:, :: size + 1] += (1 - part)[:, None]
    return np.asarray(known)


def _level(gram: Work) -> Array:
    """The mean diagonal (g,) of Gram matrices (g, n, n); infinite for one of zeros, which then counts for nothing."""
    level = np.einsum("gii->g", gram, dtype=np.float64) / gram.shape[1]
    return np.where(level > 0, level, np.inf)
