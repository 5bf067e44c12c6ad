import numpy as np
import pytest

from tests.workers.methods.problems import KINDS, problem
from workers.methods.solvers.clusters import alternate, k_means, refit, ternary_levels
from workers.methods.solvers.column_pass import apply, nearest

LEVELS = np.array([-1.0, 0.0, 0.5, 1.5])


def lloyd(values, start, iterations):
    levels = np.array(start)
    for _ in range(iterations):
        member = np.abs(values[:, None] - levels).argmin(axis=1)
        for k in np.flatnonzero(levels):
            if (member == k).any():
                levels[k] = values[member == k].mean()
    return levels


def test_k_means_is_lloyds_algorithm_with_the_zero_held():
    values = np.random.default_rng(0).normal(size=500)
    found = k_means(values, LEVELS, 7)
    np.testing.assert_allclose(found, lloyd(values, LEVELS, 7), rtol=1e-6)
    assert found[1] == 0


def test_k_means_holds_what_is_frozen_and_empty_clusters():
    values = np.random.default_rng(0).normal(size=500)
    found = k_means(values, np.array([-1.0, 0.0, 0.5, 90.0]), 5, held=np.array([True, False, False, False]))
    assert (found[0], found[1], found[3]) == (-1, 0, 90)
    assert found[2] != 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_refit_is_the_least_squares_solution(kind):
    posed = problem(kind, (2, 5, 12))
    weight = apply(nearest(LEVELS), posed.original)
    fitted, levels = refit(posed, weight)
    used = [level for level in np.unique(weight) if level]
    basis = np.stack([(weight == level).astype(float) for level in used]) if used else np.zeros((0, *weight.shape))
    images = basis @ posed.hessian
    normal = np.einsum("kgrc,lgrc->kl", images, basis)
    values = np.linalg.lstsq(normal, np.einsum("kgrc,grc->k", images, posed.target), rcond=None)[0]
    best = np.tensordot(values, basis, 1) if used else weight
    assert posed.error(fitted) <= posed.error(best) * (1 + 1e-6) + 1e-9
    assert set(np.unique(fitted)) <= set(levels)
    assert not fitted[weight == 0].any()


def test_alternating_improves_on_clusters_of_the_weights():
    posed = problem(shape=(1, 16, 48))
    levels = k_means(posed.original, ternary_levels(posed.original), 50)
    shared = apply(nearest(levels), posed.original)
    assert posed.error(alternate(posed, levels, 12)) < 0.6 * posed.error(shared)
