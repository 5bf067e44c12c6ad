"""A constraint is met only if the samples can show it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.recipe import Constraint
from workers.statistics.constraint import Outcomes, Verdict, attainable, verify_constraint
from workers.statistics.intervals import Paired, paired_difference

LIMIT = Constraint(max_drop=0.02)


def outcomes(both: int, lost: int, gained: int, neither: int, synthetic: bool = False) -> Outcomes:
    cells = (both, lost, gained, neither)
    before, after = np.repeat([True, True, False, False], cells), np.repeat([True, False, True, False], cells)
    return Outcomes(synthetic, right_before=before, right_after=after)


def test_a_harmless_change_on_many_samples_is_met() -> None:
    verdict = verify_constraint(LIMIT, outcomes(both=900, lost=20, gained=18, neither=79))
    assert verdict.met is True
    assert verdict.bound is not None
    assert verdict.bound < 0.02


def test_a_harmful_change_is_not_met() -> None:
    verdict = verify_constraint(LIMIT, outcomes(both=800, lost=120, gained=18, neither=79))
    assert verdict.met is False
    assert verdict.achieved == pytest.approx(102 / 1017)


def test_a_small_drop_on_few_samples_is_unverified() -> None:
    verdict = verify_constraint(LIMIT, outcomes(both=90, lost=2, gained=1, neither=7))
    assert verdict.met == "unverified"
    assert verdict.samples_needed is not None
    assert f"{verdict.samples_needed:,} such samples" in verdict.reason


def test_the_samples_said_to_be_needed_are_enough() -> None:
    needed = verify_constraint(LIMIT, outcomes(both=90, lost=2, gained=1, neither=7)).samples_needed
    assert needed is not None
    again = paired_difference(Paired(90, 2, 1, 7).scaled(needed), 0.9)
    fewer = paired_difference(Paired(90, 2, 1, 7).scaled(needed * 0.99), 0.9)
    assert again.high is not None
    assert fewer.high is not None
    assert again.high <= 0.02 < fewer.high


def test_the_bound_on_1017_samples_is_about_as_wide_as_expected() -> None:
    verdict = verify_constraint(LIMIT, outcomes(both=897, lost=35, gained=25, neither=60))
    assert verdict.bound is not None
    assert verdict.achieved is not None
    assert verdict.bound - verdict.achieved == pytest.approx(0.013, abs=0.001)


@pytest.mark.parametrize("lost", [0, 200])
def test_synthetic_samples_verify_nothing(lost: int) -> None:
    assert verify_constraint(LIMIT, outcomes(both=800, lost=lost, gained=0, neither=0, synthetic=True)).met == "unverified"


def test_a_relative_drop_is_a_share_of_the_original_accuracy() -> None:
    verdict = verify_constraint(
        Constraint(max_drop=0.5, drop_type="relative"), outcomes(both=300, lost=100, gained=0, neither=600)
    )
    assert verdict.achieved == pytest.approx(0.25)
    assert verdict.met is True


def test_lost_agreement_is_the_drop_of_agreement() -> None:
    agreement = np.repeat([1.0, 0.0], [990, 10])
    verdict = verify_constraint(Constraint(metric="agreement", max_drop=0.02), Outcomes(False, agreement=agreement))
    assert verdict.achieved == pytest.approx(0.01)
    assert verdict.met is True


@pytest.mark.parametrize("metric", ["accuracy", "agreement"])
def test_what_is_not_defined_is_unverified(metric: str) -> None:
    verdict = verify_constraint(Constraint.model_validate({"metric": metric, "max_drop": 0.5}), Outcomes(False))
    assert (verdict.met, verdict.n, verdict.achieved) == ("unverified", 0, None)


def test_no_sample_right_before_leaves_a_relative_drop_undefined() -> None:
    verdict = verify_constraint(Constraint(max_drop=0.5, drop_type="relative"), outcomes(both=0, lost=0, gained=0, neither=50))
    assert verdict.met == "unverified"


@given(*[st.integers(1, 400)] * 4, st.floats(0.001, 1), st.sampled_from(["absolute", "relative"]))
def test_met_means_the_bound_clears_the_limit(a: int, b: int, c: int, d: int, limit: float, drop_type: str) -> None:
    constraint = Constraint.model_validate({"max_drop": limit, "drop_type": drop_type})
    verdict = verify_constraint(constraint, outcomes(a, b, c, d))
    assert verdict.bound is not None
    assert (verdict.met is True) == (verdict.bound <= limit)


def test_json_says_true_false_or_unverified() -> None:
    verdict = verify_constraint(LIMIT, outcomes(both=90, lost=2, gained=1, neither=7))
    assert '"met":"unverified"' in verdict.model_dump_json()
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_a_divergence_is_judged_by_its_upper_bound() -> None:
    values = np.random.default_rng(0).exponential(0.01, size=500)
    outcomes = Outcomes(False, divergence=values)
    near, far = (verify_constraint(Constraint(metric="kl_divergence", max_drop=limit), outcomes) for limit in (0.0112, 0.02))
    assert far.met is True
    assert far.achieved == pytest.approx(values.mean())
    assert far.bound > far.achieved
    assert near.met == "unverified"
    assert near.samples_needed > 500
    assert "nats" in near.reason
    assert verify_constraint(Constraint(metric="kl_divergence", max_drop=0.005), outcomes).met is False


def test_a_relative_divergence_is_refused() -> None:
    with pytest.raises(ValueError, match="absolute"):
        Constraint(metric="kl_divergence", max_drop=0.1, drop_type="relative")


def test_a_surer_verdict_has_a_wider_bound_and_says_how_sure_it_is() -> None:
    constraint, seen = Constraint(max_drop=0.01), outcomes(600, 4, 3, 43)
    usual, surer = verify_constraint(constraint, seen), verify_constraint(constraint, seen, 0.975)
    assert usual.bound is not None
    assert surer.bound is not None
    assert usual.bound < surer.bound
    assert (usual.confidence, surer.confidence) == (0.95, 0.975)
    assert surer.bound == pytest.approx(paired_difference(Paired(600, 4, 3, 43)).high)  # a two-sided 95 % interval ends there
    assert "with 97.5 % confidence" in verify_constraint(Constraint(max_drop=0.1), seen, 0.975).reason


@pytest.mark.parametrize(
    ("metric", "n", "confidence", "possible"),
    [
        ("accuracy", 300, 0.95, True),
        ("accuracy", 300, 0.975, False),
        ("agreement", 650, 0.975, True),
        ("mAP", 64, 0.95, False),
        ("kl_divergence", 30, 0.975, True),
    ],
)
def test_a_constraint_is_attainable_where_samples_without_a_loss_would_verify_it(
    metric: str, n: int, confidence: float, possible: bool
) -> None:
    assert attainable(Constraint(metric=metric, max_drop=0.01), n, confidence) is possible
