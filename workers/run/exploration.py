"""The candidates of a job: one by the recipe as it stands, or those of a search and of a Pareto front."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from workers.calibration import Samples
from workers.calibration.data_splits import DataSplits
from workers.errors import BudgetOutOfReach, JobFailure
from workers.evaluation.fidelity import summarise
from workers.jobs.claims import candidate_name
from workers.jobs.job import Stage
from workers.randomness import Stream, generator
from workers.recipe import BenchmarkSettings, Recipe, Search
from workers.recipe.recipe import SEARCH_TIME
from workers.report.schema import CandidateReport, Exploration, OperationHarm
from workers.run.candidates import Candidate, CandidateFactory
from workers.run.candidates.factory import Compress
from workers.run.int8_search import operation_ladder, rank_operations, searches_operations, whole_ladder
from workers.run.search_strategy import Ladder, bisect, build_ladder, last_kept, may_follow, on_front
from workers.statistics.constraint import attainable

WORK = "candidates"  # folder under the task's, gone at the end
DOUBTFUL = 0.5  # of the limit: a bound above it, on the samples that select, may lie beyond the limit on those that judge
POINTS = "points"  # folder of the front's models
TWICE = 0.975  # confidence of each of two chances to be verified, which together leave 95 %


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
    order: tuple[OperationHarm, ...] = ()  # in which operations go back to floating point


class Explorer:
    """Makes every level of a ladder at most once."""

    def __init__(
        self, factory: CandidateFactory, ladder: Ladder, out: Path, deadline: float, compress: Compress | None = None
    ) -> None:
        self.made: dict[int, Candidate] = {}
        self.whole: Candidate | None = None  # of which the others are made, where int8 is searched
        self.failed: dict[int, str] = {}
        self.ladder = ladder
        self.planned = 0  # candidates, where their number is known
        self._factory, self._compress, self._out, self._deadline = factory, compress, out, deadline
        self._shares = compress is None and factory.cache.shared and factory.plan.solves
        self._told: set[int] = set()
        self._ahead: set[int] = set()  # of those, what bisection may ask for

    def has_time(self) -> bool:
        """Whether a further candidate may start: the first one always may."""
        return not self.made or time.monotonic() < self._deadline

    def make(self, level: int) -> Candidate | None:
        """The candidate at a level with its estimated fidelity; None where it breaks down."""
        if level not in self.made and level not in self.failed:
            clock = self._factory.clock
            clock.note = f"candidate {len(self.made) + 1}" + (f" of {self.planned}" if self.planned else "")
            try:
                with self._factory.cache.sole(candidate_name(level), self._say_waiting):
                    folder = self._out / WORK / str(level)
                    candidate = self._made(self.ladder.recipes[level], folder, self.ladder.settings[level])
                    self._factory.select(candidate, self._factory.splits.validation)
                self.made[level] = candidate
            except (JobFailure, BudgetOutOfReach) as error:
                self.failed[level] = error.message
                if not self.made:
                    raise
            clock.note = ""
        return self.made.get(level)

    def _made(self, recipe: Recipe, folder: Path, setting: float) -> Candidate:
        return self._factory.take_up(recipe, folder, setting) or self._factory.make(recipe, folder, setting, self._compress)

    def complete(self, candidate: Candidate) -> None:
        """Have a candidate know what compression came to."""
        self._factory.complete(candidate, self._compress)

    def make_all(self, levels: Sequence[int]) -> None:
        """The candidates at these levels, those first that no other worker is at."""
        left = [level for level in levels if level not in self.made]
        while left and self.has_time():
            free = (level for level in left if not self._factory.cache.taken(candidate_name(level)))
            level = next(free, left[0])
            self.make(level)
            left.remove(level)

    def share(self, levels: Sequence[int]) -> None:
        """Say which candidates will be wanted, for other workers to solve their layers."""
        fresh = [level for level in levels if level not in self._told and level not in self.made]
        if self._shares and fresh:
            self._told.update(fresh)
            self._factory.clock.tell({"event": "parts", "levels": fresh})

    def look_ahead(self, low: int, level: int, high: int) -> None:
        """Share what bisection may ask for after `level`, and end what it has passed by."""
        self.pass_by(low, high)
        following = [level for level in may_follow(low, level, high) if level not in self._told]
        self.share(following)
        self._ahead.update(following)

    def pass_by(self, low: int, high: int) -> None:
        """Bisection will only ask for levels between these."""
        for passed in [level for level in self._ahead if not low < level < high]:
            self._factory.cache.close(candidate_name(passed))
            self._ahead.remove(passed)

    def _say_waiting(self) -> None:
        with self._factory.clock.run(Stage.COMPRESS):
            self._factory.clock.progress(0, 0, message="another worker solves the layers of this candidate")


def explore(factory: CandidateFactory, recipe: Recipe, out: Path) -> Explored:
    """Make the model or models that `recipe` asks for; the chosen one lies in `out`/1 afterwards."""
    if not recipe.search and not recipe.pareto:
        candidate = factory.make(recipe, out)
        factory.judge(candidate)
        return Explored(candidate)
    if _has_two_chances(recipe, factory.splits.test):
        factory = replace(factory, confidence=TWICE)
    began = time.monotonic()
    deadline = began + (recipe.search.max_time if recipe.search else SEARCH_TIME)
    explorer, order = _explorer(factory, recipe, out, deadline)
    ladder = explorer.ladder
    points = ladder.spread(recipe.pareto.points) if recipe.pareto else []
    explorer.planned = 0 if recipe.search else len({ladder.first, *points})
    explorer.share([level for level in points if level != ladder.first])
    chosen = _search(explorer, ladder, factory, recipe.search) if recipe.search else _as_given(explorer, ladder, factory)
    ended: Literal["settled", "out of time"] = "settled" if explorer.has_time() else "out of time"
    explorer.make_all(points)
    tried = tuple(explorer.made[level] for level in sorted(explorer.made))
    front = frozenset(number for number, best in enumerate(on_front([_place(candidate) for candidate in tried])) if best)
    if recipe.pareto and recipe.benchmark:
        settings = _brief(recipe.benchmark, len(front))
        for number in front:
            factory.time(tried[number], settings)
    explorer.complete(chosen)
    if explorer.whole and not order and chosen.verdict and chosen.verdict.met is not True:
        order = rank_operations(factory, explorer.whole, recipe)  # to say which of them are to blame
    if chosen.compressed.quantised and chosen is not explorer.made.get(ladder.first):
        factory.measure_layers(chosen)
    _publish(chosen, [tried[number] for number in sorted(front)] if recipe.pareto else [], out)
    failed = {f"{ladder.settings[level]:g}": reason for level, reason in explorer.failed.items()}
    return Explored(chosen, tried, ladder.knob, front, failed, ended, time.monotonic() - began, order)


def _explorer(
    factory: CandidateFactory, recipe: Recipe, out: Path, deadline: float
) -> tuple[Explorer, tuple[OperationHarm, ...]]:
    """What makes the candidates, and for int8 the order in which operations go back to floating point."""
    if not searches_operations(recipe):
        factory.profile(recipe)  # before other workers are told of candidates: it serves all of them
        return Explorer(factory, _foreseen(build_ladder(recipe), factory), out, deadline), ()
    alone, folder = recipe.model_copy(update={"search": None, "pareto": None}), out / WORK / "whole"
    whole = factory.take_up(alone, folder) or factory.make(alone, folder)
    factory.complete(whole)
    enough = _is_enough(factory, whole) and recipe.pareto is None
    order = () if enough else rank_operations(factory, whole, recipe)
    ladder = whole_ladder(recipe) if enough else operation_ladder(recipe, order)
    explorer = Explorer(factory, ladder, out, deadline, partial(factory.take_back, whole))
    explorer.made[ladder.first] = explorer.whole = whole
    return explorer, order


def _foreseen(ladder: Ladder, factory: CandidateFactory) -> Ladder:
    """The ladder with what its levels are foreseen to harm, where the layers were profiled."""
    steps = (next(step for step in recipe.steps if hasattr(step, ladder.knob)) for recipe in ladder.recipes)
    harms = [factory.profiles.foreseen(step) for step in steps]
    curve = tuple((setting, harm) for setting, harm in zip(ladder.settings, harms, strict=True) if harm is not None)
    return replace(ladder, curve=curve) if len(curve) == len(harms) else ladder


def _has_two_chances(recipe: Recipe, judging: Samples) -> bool:
    """Whether a search tests int8 everywhere before anything is weighed, and only then, should it fail, what is milder."""
    if not recipe.search or recipe.search.max_bytes or recipe.pareto or not recipe.constraint or judging.source != "dataset":
        return False
    return searches_operations(recipe) and attainable(recipe.constraint, judging.count, TWICE)


def _is_enough(factory: CandidateFactory, whole: Candidate) -> bool:
    """Whether int8 everywhere keeps the constraint: by the samples that judge, or where it has no chance there, that select."""
    if factory.confidence == TWICE:
        factory.judge(whole)
        if whole.verdict and whole.verdict.met is True:
            return True
    factory.select(whole, factory.splits.validation)
    return whole.verdict is None and whole.expected is not None and not _in_doubt(whole, factory.splits.test.count)


def report_exploration(explored: Explored, requested: Recipe, splits: DataSplits) -> Exploration:
    """The exploration as the report tells it."""
    return Exploration(
        requested=requested,
        knob=explored.knob,
        ended=explored.ended,
        seconds=explored.seconds,
        selecting=splits.validation.count,
        judging=splits.test.count,
        candidates=tuple(
            _row(candidate, explored, number in explored.front, splits.test.count, bool(requested.pareto))
            for number, candidate in enumerate(explored.tried)
        ),
        failed=dict(explored.failed),
        order=explored.order,
    )


def _row(candidate: Candidate, explored: Explored, best: bool, judging: int, kept: bool) -> CandidateReport:
    seen = summarise(candidate.seen, generator(candidate.recipe.seed, Stream.ESTIMATE))
    speed = candidate.benchmark if candidate.benchmark and candidate.benchmark.ratio.low is not None else None
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
    headline = candidate.seen.headline
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
        _copy(candidate.exported.xml.parent, out / POINTS / f"{candidate.setting:g}" / "1")
    _copy(chosen.exported.xml.parent, out / "1")
    xml = out / "1" / chosen.exported.xml.name
    chosen.exported = replace(chosen.exported, xml=xml, bin=xml.with_suffix(".bin"))
    shutil.rmtree(out / WORK)


def _copy(source: Path, target: Path) -> None:
    """The files of a folder, without the modes and times that the sandbox lets nobody set."""
    target.mkdir(parents=True)
    for file in source.iterdir():
        shutil.copyfile(file, target / file.name)


def _as_given(explorer: Explorer, ladder: Ladder, factory: CandidateFactory) -> Candidate:
    candidate = explorer.make(ladder.first)
    assert candidate is not None  # a first candidate that breaks down ends the job
    factory.judge(candidate)
    return candidate


def _search(explorer: Explorer, ladder: Ladder, factory: CandidateFactory, search: Search) -> Candidate:
    """Bisect, then verify; what was made and verified is kept whatever ends the search."""
    largest = search.max_bytes
    n = factory.splits.test.count
    explorer.look_ahead(-1, ladder.first, len(ladder.settings))
    first = explorer.make(ladder.first)
    if first and first.verdict and first.verdict.met is True:
        return first
    if first and largest is None and first.expected is None:  # no other candidate can be told from it
        explorer.pass_by(0, 0)
        factory.judge(first)
        return first
    keeps = _promises(explorer, n) if largest is None else _is_larger(explorer, largest)
    low, _ = bisect(len(ladder.settings), ladder.first, keeps, explorer.has_time, explorer.look_ahead)
    explorer.pass_by(0, 0)
    made = [explorer.made[level] for level in sorted(explorer.made)]
    if largest is not None:
        fitting = [candidate for candidate in made if candidate.exported.size.bytes <= largest]
        chosen = fitting[0] if fitting else made[-1]
        factory.judge(chosen)
        return chosen
    _make_spare(explorer, low, n)
    promising = [explorer.made[level] for level in sorted(explorer.made) if level <= low] or made[:1]
    if factory.splits.test.source != "dataset":  # nothing can be verified: what promises most, as far as it goes
        promising = promising[-1:]

    def verified(candidate: Candidate) -> bool:
        factory.judge(candidate)
        return candidate.verdict is not None and candidate.verdict.met is True

    return last_kept(promising, verified)


def _make_spare(explorer: Explorer, level: int, n: int) -> None:
    """Milder candidates, for what passed selection by so little that judging may well fail it. Selection alone decides."""
    passed = explorer.made.get(level)
    if passed and _in_doubt(passed, n):
        for milder in explorer.ladder.spare:
            if milder < level and explorer.has_time():
                explorer.make(milder)


def _in_doubt(candidate: Candidate, n: int) -> bool:
    """Whether `n` samples that judge may well fail a candidate, by those that select."""
    constraint, expected = candidate.recipe.constraint, candidate.expected
    return bool(constraint and expected and expected.bound_at(n) > DOUBTFUL * constraint.max_drop)


def _promises(explorer: Explorer, n: int) -> Callable[[int], bool]:
    """Whether a level that was not judged yet, with the rates of the samples that select, would be verified on `n` samples."""

    def keeps(level: int) -> bool:
        candidate = explorer.make(level)
        if candidate is None or candidate.verdict or candidate.expected is None or candidate.recipe.constraint is None:
            return False
        return candidate.expected.bound_at(n) <= candidate.recipe.constraint.max_drop

    return keeps


def _is_larger(explorer: Explorer, largest: int) -> Callable[[int], bool]:
    def keeps(level: int) -> bool:
        candidate = explorer.make(level)
        return candidate is not None and candidate.exported.size.bytes > largest

    return keeps
