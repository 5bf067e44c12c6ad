import numpy as np
import numpy.typing as npt
import pytest

from workers.engine.gram import Gram

SHAPES = pytest.mark.parametrize(("groups", "cols"), [(1, 8), (3, 8), (1, 700)], ids=["few", "groups", "many"])


def summed(rows: list[npt.NDArray[np.float32]]) -> Gram:
    gram = Gram(rows[0].shape[0], rows[0].shape[2])
    for part in rows:
        gram.add(part)
    return gram


@SHAPES
def test_a_sum_of_products_is_that_of_all_rows_and_symmetric(groups: int, cols: int) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(groups, count, cols)).astype(np.float32) for count in (50, 120, 7)]
    rows = np.concatenate(parts, axis=1).astype(np.float64)
    gram = summed(parts)
    np.testing.assert_allclose(gram.whole(), rows.swapaxes(1, 2) @ rows, atol=1e-3)
    np.testing.assert_array_equal(gram.whole(), gram.whole().swapaxes(1, 2))
    np.testing.assert_allclose(gram.diagonal, np.square(rows).sum(axis=1), rtol=1e-5)


@SHAPES
def test_two_sums_add_up_and_have_an_inner_product(groups: int, cols: int) -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.normal(1, 1, size=(groups, 40, cols)).astype(np.float32) for _ in range(2))
    one, other, both = summed([first]), summed([second]), summed([first, second])
    np.testing.assert_allclose(one.whole(other), both.whole(), rtol=1e-4, atol=1e-3)
    expected = (one.whole().astype(np.float64) * other.whole()).sum(axis=(1, 2))
    np.testing.assert_allclose(one.inner(other), expected, rtol=1e-6)
    np.testing.assert_array_equal(one.whole(), summed([first]).whole())  # not touched
