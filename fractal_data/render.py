"""From the points of an attractor to the pixels it covers: random views and density histograms."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fractal_data.ifs import Array, Cloud, rotations, transform

Plane = NDArray[np.float32]

SLENDERNESS = 0.4  # thinner attractors are stretched until their deviations along the principal axes have this ratio
SAMPLE = 2048  # points that tell where an attractor lies
MARGIN = 2  # histogram cells around the window: one that collects the points outside, one for the smoothing
BLOCK = 4  # pixels over which gaps between points are filled


@dataclass(frozen=True, slots=True)
class Fractal:
    """A code with points of its attractor, and how they lie."""

    code: Array  # (maps, 2, 3)
    cloud: Cloud  # (2, n)
    centre: Array  # (2,)
    deviations: Array  # (2,) along the principal axes
    axes: Array  # (2, 2), in columns


def measured(code: Array, cloud: Cloud) -> Fractal:
    """The fractal of `code`, of which `cloud` (2, n) are points."""
    x, y = sparse(cloud, SAMPLE).astype(np.float64)
    centre = np.array([x.mean(), y.mean()])
    x -= centre[0]
    y -= centre[1]
    variances, axes = np.linalg.eigh([[np.mean(x * x), np.mean(x * y)], [np.mean(x * y), np.mean(y * y)]])
    return Fractal(code, cloud, centre, np.sqrt(np.maximum(variances, 1e-12)), axes)


def sparse(cloud: Cloud, count: float) -> Cloud:
    """About `count` points or more of `cloud` (2, n), evenly chosen."""
    return cloud[:, :: max(1, int(cloud.shape[1] / count))]


def sample_view(rng: np.random.Generator, fractal: Fractal, height: int, width: int, extent: float) -> Array:
    """A random view [A | t] (2, 3) of a fractal in pixels: rotated, mirrored, centred anywhere in the image.

    `extent` is its diameter (four root-mean-square radii) over the shorter side of the image.
    """
    wanted = np.maximum(fractal.deviations, SLENDERNESS * fractal.deviations.max())
    wanted *= extent * min(height, width) / 4 / np.sqrt(np.sum(wanted**2))
    mirror = (1, rng.integers(0, 2) * 2 - 1)
    linear = rotations(rng, 1)[0] * mirror @ ((wanted / fractal.deviations)[:, None] * fractal.axes.T)
    return np.column_stack([linear, rng.uniform(0.15, 0.85, 2) * (width, height) - linear @ fractal.centre])


def window(view: Array, cloud: Cloud, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the image that the view of `cloud` touches; at least one pixel."""
    x, y = sparse(cloud, SAMPLE)
    (a, b, e), (c, d, f) = view.astype(np.float32)
    return _span(c * x + d * y + f, height), _span(a * x + b * y + e, width)


def density(cloud: Cloud, maps: Array, height: int, width: int) -> Plane:
    """Smoothed number of points per pixel (height, width) of the images of `cloud` (2, n) under `maps` (m, 2, 3), in pixels."""
    rows, columns = height + 2 * MARGIN, width + 2 * MARGIN
    cells = np.empty((len(maps), cloud.shape[1]), np.int32)
    shifted = maps.astype(np.float32)
    shifted[:, :, 2] += MARGIN
    x, y = cloud
    across, down, scratch = np.empty((3, len(x)), np.float32)
    for cell, ((a, b, e), (c, d, f)) in zip(cells, shifted, strict=True):
        transform(a, b, e, x, y, across, scratch)
        transform(c, d, f, x, y, down, scratch)
        cell[:] = np.clip(down, 0, rows - 1, out=down)
        cell *= columns
        cell += np.clip(across, 0, columns - 1, out=across).astype(np.int32)
    counts = np.bincount(cells.reshape(-1), minlength=rows * columns).reshape(rows, columns)
    return smooth(counts[1:-1, 1:-1].astype(np.float32))


def smooth(plane: Plane) -> Plane:
    """Binomial 3 x 3 average (h - 2, w - 2) of a plane (h, w): what a lens does to a speck."""
    rows = plane[:-2] + plane[2:]
    rows += plane[1:-1]
    rows += plane[1:-1]
    cells = rows[:, :-2] + rows[:, 2:]
    cells += rows[:, 1:-1]
    cells += rows[:, 1:-1]
    cells *= np.float32(1 / 16)
    return cells


def neighbourhood(plane: Plane) -> Plane:
    """Smooth average (h, w) of a plane (h, w) over some BLOCK x BLOCK pixels."""
    coarse = Image.fromarray(plane).reduce(BLOCK)
    return np.asarray(coarse.resize(plane.shape[::-1], Image.Resampling.BILINEAR))


def _span(coordinates: Plane, length: int) -> slice:
    start = min(max(int(coordinates.min()), 0), length - 1)
    return slice(start, min(max(int(coordinates.max()) + 1, start + 1), length))
