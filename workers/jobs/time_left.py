"""How long a running job will still take: what its forecast says of the stages ahead, at the pace of those that have ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from workers.jobs.job import Progress, Stage

PRIOR = 0.1  # share of the whole forecast that stands for it where little has been measured yet
TRUSTED = 0.1  # share of a stage, by items and by the forecast, after which its own pace weighs as much as the forecast
REPEATED = (Stage.COMPRESS, Stage.EXPORT, Stage.VERIFY)  # for every model that a search makes


@dataclass(frozen=True, slots=True)
class Expectation:
    """Seconds by stage, as foreseen; none where nothing was."""

    stages: Mapping[Stage, float] = field(default_factory=dict)
    repeats: bool = False  # a search, or a front


def time_left(progress: Progress, spent: Mapping[Stage, float], expected: Expectation) -> float | None:
    """Seconds until the job ends; without a forecast until the stage ends, if it goes on as it went so far."""
    here = spent.get(progress.stage, 0.0)
    share = progress.done / progress.total if progress.total else 0.0
    if not expected.stages:
        return here / share * (1 - share) if 0 < share < 1 else None
    pace = _pace(progress.stage, spent, expected)
    ahead = [stage for stage in expected.stages if _ahead(stage, progress.stage, expected.repeats)]
    left = sum(max(0.0, pace * expected.stages[stage] - spent.get(stage, 0.0)) for stage in ahead)
    foreseen = pace * expected.stages.get(progress.stage, 0.0)
    if share == 0 or (expected.repeats and progress.stage in REPEATED):
        return left + max(0.0, foreseen - here)
    passed = min(share, here / foreseen) if foreseen else share  # items differ: many small layers may come before a large one
    trust = passed / (passed + TRUSTED)
    return left + (1 - share) * (trust * here / share + (1 - trust) * foreseen)


def _pace(now: Stage, spent: Mapping[Stage, float], expected: Expectation) -> float:
    """How many times as long as foreseen the ended stages took."""
    ended = [stage for stage in spent if stage != now and not (expected.repeats and stage in REPEATED)]
    prior = PRIOR * sum(expected.stages.values())
    foreseen = sum(expected.stages.get(stage, 0.0) for stage in ended) + prior
    return (sum(spent[stage] for stage in ended) + prior) / foreseen if foreseen else 1.0


def _ahead(stage: Stage, now: Stage, repeats: bool) -> bool:
    order = list(Stage)
    again = repeats and stage in REPEATED and now in REPEATED
    return stage != now and (again or order.index(stage) > order.index(now))
