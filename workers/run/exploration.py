"""The candidates of a job: one by the recipe as it stands, or those of a search and of a Pareto front."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from workers.calibration.data_splits import Evidence
from workers.errors import Breakdown, BudgetOutOfReach
from workers.evaluation.fidelity import summarise
from workers.recipe import BenchmarkSettings, Recipe, Search
from workers.report.schema import CandidateReport, Exploration
from workers.run.candidates import Candidate, Workshop
from workers.run.search_strategy import Ladder, bisect, climb, last_kept, on_front

WORK = "candidates"  # folder under the task's, gone at the end
POINTS = "points"  # folder of the front's models


@dataclass(frozen=True, slots=True)
class Explored:
    """What was made, what of it is the job's result, and why the search ended."""

    chosen: Candidate
    tried: tuple[Candidate, ...] = ()  # in the order of their settings
    knob: str = ""
    front: frozenset[int] = frozenset()  # positions in `tried`
    failed: Mapping[str, str] = field(default_factory=dict)  # settings that broke down, and why
    ended: Literal["settled", "out of time"] = "settled"
    seconds: float = 0.0


class Explorer:
    """Makes every rung of a ladder at most once."""

    def __init__(self, workshop: Workshop, ladder: Ladder, out: Path, deadline: float) -> None:
        self.made: dict[int, Candidate] = {}
        self.failed: dict[int, str] = {}
        self._workshop, self._ladder, self._out, self._deadline = workshop, ladder, out, deadline

    def has_time(self) -> bool:
        """Whether a further candidate may start: the first one always may."""
        return not self.made or time.monotonic() < self._deadline

    def make(self, rung: int) -> Candidate | None:
        """The candidate at a rung with its estimated fidelity; None where it breaks down."""
        if rung not in self.made and rung not in self.failed:
            try:
                folder = self._out / WORK / str(rung)
                candidate = self._workshop.make(self._ladder.recipes[rung], folder, self._ladder.settings[rung])
                self._workshop.select(candidate, self._workshop.evidence.selecting)
                self.made[rung] = candidate
            except (Breakdown, BudgetOutOfReach) as error:
                self.failed[rung] = error.message
                if not self.made:
                    raise
        return self.made.get(rung)


def explore(workshop: Workshop, recipe: Recipe, out: Path) -> Explored:
    """Make the model or models that `recipe` asks for; the chosen one lies in `out`/1 afterwards."""
    if not recipe.search and not recipe.pareto:
        candidate = workshop.make(recipe, out)
        workshop.judge(candidate)
        return Explored(candidate)
    began = time.monotonic()
    search = recipe.search or Search(max_bytes=1)
    ladder = climb(recipe, search.resolution)
    explorer = Explorer(workshop, ladder, out, began + search.max_time)
    chosen = _search(explorer, ladder, workshop, recipe.search) if recipe.search else _as_given(explorer, ladder, workshop)
    ended: Literal["settled", "out of time"] = "settled" if explorer.has_time() else "out of time"
    for rung in ladder.spread(recipe.pareto.points) if recipe.pareto else ():
        if explorer.has_time():
            explorer.make(rung)
    tried = tuple(explorer.made[rung] for rung in sorted(explorer.made))
    front = frozenset(number for number, best in enumerate(on_front([_place(candidate) for candidate in tried])) if best)
    if recipe.pareto and recipe.benchmark:
        settings = _brief(recipe.benchmark, len(front))
        for number in front:
            workshop.time(tried[number], settings)
    _publish(chosen, [tried[number] for number in sorted(front)] if recipe.pareto else [], out)
    failed = {f"{ladder.settings[rung]:g}": reason for rung, reason in explorer.failed.items()}
    return Explored(chosen, tried, ladder.knob, front, failed, ended, time.monotonic() - began)


def describe(explored: Explored, requested: Recipe, evidence: Evidence) -> Exploration:
    """The exploration as the report tells it."""
    return Exploration(
        requested=requested,
        knob=explored.knob,
        ended=explored.ended,
        seconds=explored.seconds,
        selecting=evidence.selecting.count,
        judging=evidence.judging.count,
        candidates=tuple(
            _row(candidate, explored, number in explored.front, evidence.judging.count, bool(requested.pareto))
            for number, candidate in enumerate(explored.tried)
        ),
        failed=dict(explored.failed),
    )


def _row(candidate: Candidate, explored: Explored, best: bool, judging: int, kept: bool) -> CandidateReport:
    assert candidate.estimate is not None  # made by an Explorer
    seen = summarise(candidate.estimate, np.random.default_rng([candidate.recipe.seed, 6]))
    speed = candidate.benchmark
    return CandidateReport(
        setting=candidate.setting,
        sparsity=candidate.sparsity,
        compressed_bytes=candidate.exported.size.bytes,
        zip_bytes=candidate.exported.size.zip_bytes,
        seconds=candidate.seconds,
        n=seen.n,
        agreement=seen.agreement,
        accuracy=seen.accuracy_compressed,
        relative_error=seen.relative_error,
        expected_drop=candidate.expected.achieved if candidate.expected else None,
        expected_bound=candidate.expected.bound_at(judging) if candidate.expected else None,
        verdict=candidate.verdict,
        ratio=speed.ratio if speed else None,
        latency_ms=speed.compressed.latency_median_ms if speed else None,
        chosen=candidate is explored.chosen,
        on_front=best,
        folder=f"{POINTS}/{candidate.setting:g}" if best and kept else None,
    )


def _place(candidate: Candidate) -> tuple[float, float]:
    """Size, and distance from the original on the samples that select."""
    assert candidate.estimate is not None
    headline = candidate.estimate.headline
    if headline is None:
        return candidate.exported.size.zip_bytes, 0.0
    rows = headline.rows
    agreement = rows["agreement"]
    error = float(rows["error"].sum() / max(rows["energy"].sum(), np.finfo(float).tiny))
    return candidate.exported.size.zip_bytes, error if np.isnan(agreement).any() else 1 - float(agreement.mean())


def _brief(settings: BenchmarkSettings, points: int) -> BenchmarkSettings:
    """The benchmark for one of several points: all of them together take about as long as one."""
    return settings.model_copy(update={"niter": max(10, settings.niter // points), "time": settings.time / points, "pc": False})


def _publish(chosen: Candidate, front: Sequence[Candidate], out: Path) -> None:
    """Lay the chosen model and those of the front where the results are, and drop the others."""
    for candidate in front:
        shutil.copytree(candidate.exported.xml.parent, out / POINTS / f"{candidate.setting:g}" / "1")
    shutil.copytree(chosen.exported.xml.parent, out / "1")
    xml = out / "1" / chosen.exported.xml.name
    chosen.exported = replace(chosen.exported, xml=xml, bin=xml.with_suffix(".bin"))
    shutil.rmtree(out / WORK)


def _as_given(explorer: Explorer, ladder: Ladder, workshop: Workshop) -> Candidate:
    candidate = explorer.make(ladder.first)
    assert candidate is not None  # a first candidate that breaks down ends the job
    workshop.judge(candidate)
    return candidate


def _search(explorer: Explorer, ladder: Ladder, workshop: Workshop, search: Search) -> Candidate:
    """Bisect, then verify; what was made and verified is kept whatever ends the search."""
    largest = search.max_bytes
    n = workshop.evidence.judging.count
    first = explorer.make(ladder.first)
    if first and largest is None and first.expected is None:  # no other candidate can be told from it
        workshop.judge(first)
        return first
    keeps = _promises(explorer, n) if largest is None else _is_larger(explorer, largest)
    low, _ = bisect(len(ladder.settings), ladder.first, keeps, explorer.has_time)
    made = [explorer.made[rung] for rung in sorted(explorer.made)]
    if largest is not None:
        fitting = [candidate for candidate in made if candidate.exported.size.bytes <= largest]
        chosen = fitting[0] if fitting else made[-1]
        workshop.judge(chosen)
        return chosen
    promising = [explorer.made[rung] for rung in sorted(explorer.made) if rung <= low] or made[:1]
    if workshop.evidence.judging.source != "dataset":  # nothing can be verified: what promises most, as far as it goes
        promising = promising[-1:]

    def verified(candidate: Candidate) -> bool:
        workshop.judge(candidate)
        return candidate.verdict is not None and candidate.verdict.met is True

    return last_kept(promising, verified)


def _promises(explorer: Explorer, n: int) -> Callable[[int], bool]:
    """Whether a rung, with the rates of the samples that select, would be verified on `n` samples."""

    def keeps(rung: int) -> bool:
        candidate = explorer.make(rung)
        if candidate is None or candidate.expected is None or candidate.recipe.constraint is None:
            return False
        return candidate.expected.bound_at(n) <= candidate.recipe.constraint.max_drop

    return keeps


def _is_larger(explorer: Explorer, largest: int) -> Callable[[int], bool]:
    def keeps(rung: int) -> bool:
        candidate = explorer.make(rung)
        return candidate is not None and candidate.exported.size.bytes > largest

    return keeps
