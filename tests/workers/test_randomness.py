"""No two uses of a seed draw the same numbers."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.randomness import Stream, generator

seeds = st.integers(0, 2**64)


def first(seed: int, stream: Stream, *numbers: int) -> int:
    return int(generator(seed, stream, *numbers).integers(2**63))


@given(seeds)
def test_streams_and_their_parts_differ(seed: int) -> None:
    """`default_rng([seed, 4])` and `default_rng([seed, 4, 0])` are the same; these are not, nor are an image's."""
    keys = [(stream, numbers) for stream in Stream for length in range(3) for numbers in product(range(3), repeat=length)]
    drawn = [first(seed, stream, *numbers) for stream, numbers in keys]
    drawn += [
        int(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(image,))).integers(2**63)) for image in range(30)
    ]
    assert len(set(drawn)) == len(drawn)


@given(seeds, st.sampled_from(Stream), st.lists(st.integers(0, 2**32), max_size=3))
def test_a_stream_repeats(seed: int, stream: Stream, numbers: list[int]) -> None:
    assert first(seed, stream, *numbers) == first(seed, stream, *numbers)
