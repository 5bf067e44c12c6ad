import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.calibration import Samples, split
from workers.calibration.samples import held


def samples(count: int) -> Samples:
    """Sample n is the number n, of class n mod 3."""
    numbers = np.arange(count)
    return Samples(source="dataset", feeds={"in": lambda chosen: chosen[:, None]}, numbers=numbers, labels=numbers % 3)


@given(count=st.integers(1, 60), start=st.integers(0, 60), length=st.integers(0, 60))
def test_batches_can_be_read_in_any_order_and_again(count: int, start: int, length: int) -> None:
    whole = samples(count)
    for _ in range(2):
        np.testing.assert_array_equal(whole.batch(start, start + length)["in"][:, 0], np.arange(count)[start : start + length])


def test_taken_samples_keep_their_labels() -> None:
    taken = samples(9).take([7, 2])
    assert taken.batch(0, 2)["in"][:, 0].tolist() == [7, 2]
    assert taken.labels is not None
    assert taken.labels.tolist() == [1, 2]


@given(count=st.integers(0, 80), parts=st.lists(st.floats(0.01, 0.33), min_size=1, max_size=3), seed=st.integers(0, 9))
def test_parts_of_a_split_are_disjoint_and_as_large_as_asked(count: int, parts: list[float], seed: int) -> None:
    found = split(samples(count), parts, np.random.default_rng(seed))
    numbers = np.concatenate([part.numbers for part in found])
    assert len(set(numbers.tolist())) == len(numbers)
    assert all(abs(part.count - count * wanted) <= 1 for part, wanted in zip(found, parts, strict=True))


def test_split_of_everything_leaves_nothing_out() -> None:
    found = split(samples(10), [0.5, 0.2, 0.3], np.random.default_rng(0))
    assert sorted(np.concatenate([part.numbers for part in found]).tolist()) == list(range(10))


@pytest.mark.parametrize("fractions", [[0.5, 0.6], [0.0, 0.5], [-0.1]])
def test_fractions_that_make_no_sense_are_refused(fractions: list[float]) -> None:
    with pytest.raises(ValueError, match="fractions"):
        split(samples(10), fractions, np.random.default_rng(0))


@pytest.mark.parametrize(("most", "calls"), [(10 * 4, 10), (10 * 4 - 1, 12)])
def test_rows_are_kept_only_where_they_fit(most: int, calls: int) -> None:
    made: list[int] = []

    def rows(numbers: np.ndarray) -> np.ndarray:
        made.extend(numbers.tolist())
        return np.repeat(numbers.astype(np.uint8)[:, None], 4, axis=1)

    kept = held(rows, np.arange(10), (4,), lambda done, total: None, most)
    if not made:
        kept(np.arange(10))
    np.testing.assert_array_equal(kept(np.array([3, 1]))[:, 0], [3, 1])
    assert len(made) == calls


def test_progress_of_making_reaches_the_end() -> None:
    told: list[tuple[int, int]] = []
    held(
        lambda numbers: np.zeros((len(numbers), 1), np.uint8),
        np.arange(150),
        (1,),
        lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (150, 150)
    assert len(told) > 10
