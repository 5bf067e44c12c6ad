"""What a change of an output costs: its error, and what is lost of the classes that it tells apart."""

import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr, softmax

from workers.allocation.output_harm import IN_DOUBT, WARMER, compare_output, doubting, lost_decisions


def logits(seed: int, sure: float = 1.0) -> np.ndarray:
    return sure * np.random.default_rng(seed).normal(size=(50, 10))


def test_what_is_lost_is_the_divergence_in_units_of_that_of_the_mean_answer() -> None:
    before, after = logits(0, 0.1), logits(1, 0.1)  # in doubt as they are
    p, q = softmax(before, axis=1), softmax(after, axis=1)
    expected = rel_entr(p, q).sum() / rel_entr(p, p.mean(axis=0)).sum()
    assert lost_decisions(before, after) == pytest.approx(expected)
    mean = np.log(np.broadcast_to(p.mean(axis=0), p.shape))
    assert lost_decisions(before, mean) == pytest.approx(1)


def test_a_shift_of_all_scores_loses_nothing_however_large_its_error() -> None:
    before = logits(0).astype(np.float32)
    loss = compare_output("logits", None, [before], [before + 3])
    assert loss.error > 1
    assert loss.harm == pytest.approx(0, abs=1e-6)


def test_who_is_sure_is_brought_to_doubt_so_that_small_changes_show() -> None:
    before = logits(0, 100.0)
    most = 0.1 + IN_DOUBT * 0.9
    temperature = doubting(before)
    assert softmax(before / temperature, axis=1).max(axis=1).mean() <= most
    assert softmax(before / temperature * WARMER, axis=1).max(axis=1).mean() > most
    small, large = (lost_decisions(before, before + scale * logits(1)) for scale in (1.0, 5.0))
    assert 0 < small < large / 10


def test_probabilities_lose_what_their_logits_do() -> None:
    before, after = logits(0), logits(1)
    given = [[softmax(each, axis=1)] for each in (before, after)]
    assert compare_output("p", "softmax", *given).harm == pytest.approx(lost_decisions(before, after))
    assert lost_decisions(log_softmax(before, axis=1), after) == pytest.approx(lost_decisions(before, after))


@pytest.mark.parametrize("name", ["boxes", "embedding"])
def test_values_that_decide_nothing_lose_their_error(name: str) -> None:
    before, after = logits(0), logits(1)
    loss = compare_output(name, None, [before[:20], before[20:]], [after[:20], after[20:]])
    assert loss.harm == loss.error == pytest.approx(np.square(after - before).sum() / np.square(before).sum())


def test_an_output_of_zeros_is_lost_once_it_is_anything_else() -> None:
    zeros = np.zeros((4, 3, 2, 2), np.float32)
    assert compare_output("map", None, [zeros], [zeros]).error == 0
    assert compare_output("map", None, [zeros], [zeros + 1]).error == 1


@pytest.mark.parametrize("shapes", [[(), ()], [(4,), (4,)], [(1, 5), (1, 7)], [(1, 3, 4), (1, 2, 4)]])
def test_outputs_of_any_size_are_compared_batch_by_batch(shapes: list[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(0)
    before = [np.asarray(rng.normal(size=shape), np.float32) for shape in shapes]
    loss = compare_output("output", None, before, [2 * values for values in before])
    assert loss.harm == loss.error == pytest.approx(1)


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int64, np.float16])
def test_the_error_of_an_output_is_that_of_its_numbers_whatever_their_type(kind: type[np.generic]) -> None:
    before, after = np.array([[1, 0, 1, 1]], kind), np.array([[0, 1, 1, 1]], kind)
    assert compare_output("flags", None, [before], [after]).error == pytest.approx(2 / 3)
