"""Mid-point-displacement noise: random surfaces with a power spectrum 1 / f ** exponent, the backgrounds of the images."""

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

COARSEST = 3  # points along the longer side of the first octave


def midpoint_noise(rng: np.random.Generator, count: int, height: int, width: int, exponent: float) -> Field:
    """`count` independent fields (count, height, width) with mean 0, variance 1 and power 1 / f ** exponent.

    Successive random additions (Voss), which have none of diamond-square's creases: every octave doubles the resolution by
    corner cutting and adds noise to all points. Exponent 2 gives all octaves the same amplitude, as photographs have it;
    0 is white noise, 3 and more are clouds.
    """
    (rows, columns), *finer = _octaves(height, width)
    field, amplitude = _uniform(rng, count, rows, columns), 1.0
    for rows, columns in finer:
        amplitude *= 2.0 ** (1 - exponent / 2)
        field = double(double(field, rows, 1), columns, 2)
        field += _uniform(rng, count, rows, columns) * np.float32(amplitude)
    field -= field.mean(axis=(1, 2), keepdims=True)
    field /= np.maximum(field.std(axis=(1, 2), keepdims=True), np.float32(1e-6))
    return field


def _octaves(height: int, width: int) -> list[tuple[int, int]]:
    """Grid shapes from coarse to fine; each is what corner cutting needs to reach the next."""
    shapes = [(height, width)]
    while max(shapes[-1]) > COARSEST:
        rows, columns = shapes[-1]
        shapes.append(((rows + 1) // 2 + 1, (columns + 1) // 2 + 1))
    return shapes[::-1]


def _uniform(rng: np.random.Generator, *shape: int) -> Field:
    return rng.random(shape, np.float32) - np.float32(0.5)


def double(field: Field, length: int, axis: int) -> Field:
    """Twice the resolution along `axis`, cut to `length`: between neighbours a and b come (3a + b) / 4 and (a + 3b) / 4."""
    before = (slice(None),) * axis
    a, b = field[(*before, slice(None, -1))], field[(*before, slice(1, None))]
    quarter = (b - a) * np.float32(0.25)
    doubled = np.empty((*a.shape[:axis], 2 * a.shape[axis], *a.shape[axis + 1 :]), np.float32)
    np.add(a, quarter, out=doubled[(*before, slice(0, None, 2))])
    np.subtract(b, quarter, out=doubled[(*before, slice(1, None, 2))])
    return doubled[(*before, slice(length))]
