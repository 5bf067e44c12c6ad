"""A draw that takes of every class its share."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.calibration.draw import draw_strata


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=8), share=st.floats(0.05, 1), seed=st.integers(0, 2**32 - 1))
def test_every_class_gets_its_share(sizes: list[int], share: float, seed: int) -> None:
    strata = np.repeat(np.arange(len(sizes)), sizes).tolist()
    count = max(1, int(share * len(strata)))
    taken = draw_strata(strata, count, np.random.default_rng(seed))
    assert len(taken) == count == len(set(taken.tolist()))
    assert (np.diff(taken) > 0).all()
    found = Counter(strata[index] for index in taken.tolist())
    for label, size in enumerate(sizes):
        assert abs(found[label] - size * count / len(strata)) < 1


def test_a_seed_is_a_draw() -> None:
    strata = [0] * 50 + [1] * 50
    first, again, other = (draw_strata(strata, 10, np.random.default_rng(seed)).tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other
