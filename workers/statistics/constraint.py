"""Whether a constraint is met: decided by the one-sided bound of the drop, 95 % by default, never by the drop alone."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from workers.recipe import Constraint
from workers.recipe.recipe import UNBOUNDED
from workers.statistics.intervals import (
    Interval,
    Paired,
    Values,
    effective_samples,
    paired_difference,
    paired_relative_drop,
    upper_mean,
    wilson,
)
from workers.statistics.measures import Resampled, least_bound

CONFIDENCE = 0.95  # of a one-sided bound
MOST_SAMPLES = 10**9
FEWEST_VALUES = 30  # below, a mean of skewed values has no bound worth the name
NO_VERDICT = {
    "accuracy": "There is no accuracy to compare: no labels were given, or no output of the model answers them.",
    "agreement": "There is no agreement to measure: the original decides nothing on these samples.",
    "kl_divergence": "There is no divergence to measure: no output of the model is a probability over classes for each sample.",
}
AGAINST = {"labels": "against the labels", "original": "against the original's own answers"}

Met = Literal[True, False, "unverified"]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What happened to every held-out sample; None where the model or the data do not define it."""

    synthetic: bool
    agreement: Values | None = None  # (n,) share of the sample's decisions that stayed the same
    divergence: Values | None = None  # (n,) nats from the original's probabilities
    right_before: NDArray[np.bool_] | None = None  # (n,) the original's answer is the label
    right_after: NDArray[np.bool_] | None = None  # (n,) the compressed model's answer is the label
    measures: tuple[Resampled, ...] = ()  # of the task, those against the labels first

    def measure(self, metric: str) -> Resampled | None:
        """The measure that a constraint means: by its name, or the task's first against the labels or the original."""
        reference = {"accuracy": "labels", "agreement": "original"}.get(metric)
        defined = [found for found in self.measures if found.defined]
        if reference:
            return next((found for found in defined if found.measure.reference == reference), None)
        return next((found for found in defined if found.measure.name == metric), None)


class Verdict(BaseModel):
    """The answer: `met` is true only if the bound clears the limit, and "unverified" if the samples cannot tell."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    headline: str = Field(default="", description="Ship, do not ship, or how many more samples would tell.")
    metric: str
    max_drop: float
    drop_type: Literal["absolute", "relative"]
    met: Met
    achieved: float | None = Field(description="Observed drop, in the unit of max_drop.")
    bound: float | None = Field(description="One-sided upper bound of the drop.")
    confidence: float = Field(default=CONFIDENCE, description="That the bound holds.")
    n: int = Field(description="Samples that decided.")
    samples_needed: int | None = Field(description="Samples that would decide, should the further ones be like these.")
    reason: str


@dataclass(frozen=True, slots=True)
class Drop:
    """A drop, and its one-sided bound had the same rates been seen on another number of samples."""

    n: int
    achieved: float
    bound_at: Callable[[float], float]
    what: str = "drop of"  # as sentences call it
    unit: Callable[[float], str] = lambda share: _points(share)

    @property
    def bound(self) -> float:
        return self.bound_at(self.n)

    def samples_needed(self, limit: float) -> int | None:
        """The fewest samples, to 0.1 %, whose bound would keep within `limit`; None if no number would do."""
        if self.achieved >= limit:
            return None
        low = high = self.n
        while self.bound_at(high) > limit:
            low, high = high, 2 * high
            if high > MOST_SAMPLES:
                return None
        while high - low > max(1, low // 1000):
            middle = (low + high) // 2
            low, high = (middle, high) if self.bound_at(middle) > limit else (low, middle)
        return high


def attainable(constraint: Constraint, n: int, confidence: float = CONFIDENCE) -> bool:
    """Whether `n` samples without any loss could verify a constraint; of metrics without a bound they always could."""
    return constraint.metric in UNBOUNDED or least_bound(n, 2 * confidence - 1) <= constraint.max_drop


def verify_constraint(constraint: Constraint, outcomes: Outcomes, confidence: float = CONFIDENCE) -> Verdict:
    """Judge the drop of `constraint.metric` on held-out samples by its one-sided bound with `confidence`."""
    drop = measured_drop(constraint, outcomes, confidence)
    met: Met = "unverified"
    reason = _undefined(constraint, outcomes)
    if drop:
        met, reason = _judge(drop, constraint.max_drop, outcomes.synthetic, f"{100 * confidence:g} %")
    needed = drop.samples_needed(constraint.max_drop) if drop and met == "unverified" else None
    return Verdict(
        headline=_headline(met, needed - drop.n if drop and needed else None, outcomes.synthetic),
        metric=constraint.metric,
        max_drop=constraint.max_drop,
        drop_type=constraint.drop_type,
        met=met,
        achieved=drop.achieved if drop else None,
        bound=drop.bound if drop and isfinite(drop.bound) else None,
        confidence=confidence,
        n=drop.n if drop else 0,
        samples_needed=needed,
        reason=reason,
    )


def measured_drop(constraint: Constraint, outcomes: Outcomes, confidence: float = CONFIDENCE) -> Drop | None:
    """The drop in the constraint's metric and unit, its bound one-sided; None where the outcomes do not define it."""
    relative, level = constraint.drop_type == "relative", 2 * confidence - 1  # of the two-sided interval with the same end
    if constraint.metric == "kl_divergence":
        return _divergence(outcomes.divergence, level)
    if constraint.metric == "agreement" and outcomes.agreement is not None:
        return _lost_agreement(outcomes.agreement, level)
    if constraint.metric == "accuracy" and outcomes.right_before is not None and outcomes.right_after is not None:
        return _lost_accuracy(Paired.count(outcomes.right_before, outcomes.right_after), relative, level)
    found = outcomes.measure(constraint.metric)
    return _lost_measure(found, relative, level) if found else None


def _lost_accuracy(paired: Paired, relative: bool, level: float) -> Drop | None:
    if not paired.n or (relative and not paired.both + paired.lost):
        return None
    interval_of = paired_relative_drop if relative else paired_difference
    unit = _percent if relative else _points
    return Drop(int(paired.n), interval_of(paired).value, lambda n: _high(interval_of(paired.scaled(n), level)), unit=unit)


def _lost_measure(found: Resampled, relative: bool, level: float) -> Drop | None:
    """The drop of a task's metric, by the bootstrap."""
    achieved, measure = float(found.losses(relative=relative)[0]), found.measure
    if not isfinite(achieved):
        return None
    change = "drop" if measure.higher_is_better else "rise"
    what = f"{change} of {measure.name} {AGAINST[measure.reference]} of"
    unit = _percent if relative else _points if measure.bounded else _plain
    return Drop(measure.n, achieved, lambda n: found.bound(n, relative=relative, level=level), what, unit)


def _lost_agreement(agreement: Values | None, level: float) -> Drop | None:
    """The original agrees with itself, so the relative drop of agreement is the absolute one."""
    if agreement is None or not len(agreement):
        return None
    n, lost, worth = len(agreement), 1 - float(np.mean(agreement)), effective_samples(agreement)
    return Drop(n, lost, lambda other: _high(wilson(lost, worth * other / n, level)))


def _divergence(values: Values | None, level: float) -> Drop | None:
    """The mean of non-negative values with a long tail."""
    if values is None or len(values) < FEWEST_VALUES or np.isnan(values).any():
        return None
    mean, moments = float(values.mean()), (float(values.std(ddof=1)), float(np.mean((values - values.mean()) ** 3)))
    return Drop(len(values), mean, lambda n: upper_mean(mean, *moments, n, level), "divergence of", _nats)


def _judge(drop: Drop, limit: float, synthetic: bool, sure: str) -> tuple[Met, str]:
    show = drop.unit
    seen = f"{drop.what} {show(drop.achieved)} on {drop.n:,} samples"
    if synthetic:
        return "unverified", f"A {seen}, all of them synthetic: they cannot show what happens on real data."
    if drop.achieved > limit:
        return False, f"A {seen} exceeds the limit of {show(limit)}."
    if drop.bound <= limit:
        return True, f"A {seen}: with {sure} confidence it is at most {show(drop.bound)}, and the limit is {show(limit)}."
    needed = drop.samples_needed(limit)
    remedy = f"about {needed:,} such samples would tell." if needed else "no number of such samples would tell."
    if not isfinite(drop.bound):
        return "unverified", f"A {seen}: they are too few to tell anything; {remedy}"
    return "unverified", f"A {seen} may in truth be {show(drop.bound)}, more than the limit of {show(limit)}; {remedy}"


def _undefined(constraint: Constraint, outcomes: Outcomes) -> str:
    """Why there is no figure."""
    if constraint.metric in NO_VERDICT:
        return NO_VERDICT[constraint.metric]
    names = ", ".join(dict.fromkeys(found.measure.name for found in outcomes.measures if found.defined)) or "none"
    return f"There is no {constraint.metric} to measure on these samples. Metrics of this task that they define: {names}."


def _headline(met: Met, missing: int | None, synthetic: bool) -> str:
    if met is True:
        return "Ship"
    if met is False:
        return "Do not ship"
    if synthetic:
        return "No verdict: real samples are needed"
    return f"Needs about {missing:,} more samples" if missing else "No verdict"


def _high(interval: Interval) -> float:
    return 1.0 if interval.high is None else interval.high


def _percent(share: float) -> str:
    return f"{100 * share:.2f}\u00a0%".replace("-", "\u2212")


def _points(share: float) -> str:
    """A difference of shares."""
    return f"{100 * share:.2f}\u00a0points".replace("-", "\u2212")


def _plain(value: float) -> str:
    return f"{value:.4g}".replace("-", "\u2212")


def _nats(value: float) -> str:
    return f"{value:.4f}\u00a0nats"
