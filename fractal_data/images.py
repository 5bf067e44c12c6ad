"""Numbered images: the n-th of a seed is the same whatever came before it, in any batch and any process."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context

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
    height, width = sides(size)
    _check(index=(index, 0), seed=(seed, 0), channels=(channels, 1))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
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
    processes: int = 1,
) -> Iterator[Pixels]:
    """Images `start` to `start + count` in batches, uint8 (n, height, width, channels).

    One batch is in memory at a time, or two per process. More than one process starts new interpreters, so that the caller's
    main module must be importable, and pays from some hundred images on.

    Raises ValueError for a negative count or start, a batch or number of processes below one, and what `fractal_image` raises.
    """
    sides(size)
    _check(
        count=(count, 0), start=(start, 0), batch=(batch, 1), processes=(processes, 1), seed=(seed, 0), channels=(channels, 1)
    )
    draw = partial(_draw, size=size, seed=seed, channels=channels, recipe=recipe)
    stop = start + count
    batches = (range(first, min(first + batch, stop)) for first in range(start, stop, batch))
    return map(draw, batches) if processes == 1 else _draw_ahead(draw, batches, processes)


def sides(size: Size) -> tuple[int, int]:
    """Height and width; ValueError where they are outside 8..1024."""
    height, width = (size, size) if isinstance(size, int) else size
    if not (SMALLEST <= height <= LARGEST and SMALLEST <= width <= LARGEST):
        raise ValueError(f"an image must have sides of {SMALLEST} to {LARGEST} pixels, not {height}x{width}")
    return height, width


def _draw(numbers: range, *, size: Size, seed: int, channels: int, recipe: FractalRecipe) -> Pixels:
    return np.stack([fractal_image(number, size, seed, channels, recipe) for number in numbers])


def _draw_ahead(draw: Callable[[range], Pixels], batches: Iterator[range], processes: int) -> Iterator[Pixels]:
    """The batches in order, two per process under way at a time."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        waiting = deque(pool.submit(draw, numbers) for numbers in islice(batches, 2 * processes))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(draw, numbers) for numbers in islice(batches, 1))


def _check(**least: tuple[int, int]) -> None:
    for name, (value, low) in least.items():
        if value < low:
            raise ValueError(f"{name} must be at least {low}, not {value}")
