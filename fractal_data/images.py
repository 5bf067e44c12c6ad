"""Numbered images: the n-th of a seed is the same whatever came before it, in any batch and any process."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fractal_data.recipe import FractalRecipe
from fractal_data.scene import sample_scene

Pixels = NDArray[np.uint8]
Size = int | tuple[int, int]

SMALLEST, LARGEST = 8, 1024
DEFAULT = FractalRecipe()


def fractal_image(index: int, size: Size, seed: int, channels: int = 3, recipe: FractalRecipe = DEFAULT) -> Pixels:
    """Image number `index` of `seed`, uint8 (height, width, channels); `size` is a side or (height, width).

    Raises ValueError for sides outside 8..1024, fewer than one channel, or a negative index or seed.
    """
    height, width = _sides(size)
    if channels < 1 or index < 0 or seed < 0:
        raise ValueError(f"channels must be positive, index and seed not negative; got {channels}, {index} and {seed}")
    rng = np.random.default_rng(np.random.SeedSequence((seed, index)))
    return np.ascontiguousarray(sample_scene(rng, channels, height, width, recipe).transpose(1, 2, 0))


def fractal_images(
    count: int,
    size: Size,
    seed: int,
    *,
    channels: int = 3,
    recipe: FractalRecipe = DEFAULT,
    start: int = 0,
    batch: int = 32,
) -> Iterator[Pixels]:
    """Images `start` to `start + count` in batches, uint8 (n, height, width, channels); one batch is in memory at a time.

    Raises ValueError for a negative count or start, a batch below one, and what `fractal_image` raises.
    """
    if count < 0 or start < 0 or batch < 1:
        raise ValueError(f"count and start must not be negative, batch must be positive; got {count}, {start} and {batch}")
    for first in range(start, start + count, batch):
        numbers = range(first, min(first + batch, start + count))
        yield np.stack([fractal_image(number, size, seed, channels, recipe) for number in numbers])


def _sides(size: Size) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if not (SMALLEST <= height <= LARGEST and SMALLEST <= width <= LARGEST):
        raise ValueError(f"an image has sides of {SMALLEST} to {LARGEST} pixels, not {height}x{width}")
    return height, width
