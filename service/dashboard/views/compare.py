"""Results beside each other, and all results of a model on the plane of size and fidelity."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from service.dashboard.equivalents import brief
from service.dashboard.pages import render
from service.dashboard.session_auth import StoreDep, Visitor
from service.dashboard.tradeoff import measured_by, plot, results
from workers.errors import NotFound
from workers.jobs.job import State
from workers.jobs.records import AssetKind, JsonObject
from workers.jobs.store import Store
from workers.jobs.store.listing import JobFilter, JobRow, Order
from workers.report.charts import Whiskers, point_tick, whiskers
from workers.report.formatting import drop, percent, significant, size, tick
from workers.statistics.intervals import Interval

router = APIRouter()
MOST_COMPARED = 8
BETTER = {
    "zip_bytes": -1,
    "compressed_bytes": -1,
    "agreement": 1,
    "drop": -1,
    "ratio": 1,
}  # what has an interval, or needs none
MOST_PLOTTED = 500
OPTIONAL = ("constraint", "search", "pareto")  # parts of a recipe
Ids = Annotated[list[str], Query(alias="job", max_length=MOST_COMPARED)]


@router.get("/compare")
def compare(request: Request, store: StoreDep, _: Visitor, ids: Ids = []) -> Response:  # noqa: B006
    """Results beside each other."""
    lines = store.listing.lines(ids)
    alike, one_model = _alike(lines), len({line.job.model for line in lines}) < 2
    return render(
        request,
        "compare.html",
        lines=lines,
        judged_alike=alike,
        judged=[_judges_of(store, line) if line.job.summary else "" for line in lines],
        recipes=_differing([brief(line.job.recipe) for line in lines]),
        best={key: _best(lines, key, sign) for key, sign in BETTER.items()} if alike and one_model else {},
        answers=(_intervals(lines, "drop", drop) or _intervals(lines, "agreement", percent)) if alike else None,
        dropped=any((line.job.summary or {}).get("drop") is not None for line in lines),
        sizes=size,
        percents=percent,
        drops=drop,
        plain=significant,
        speeds=_intervals(lines, "ratio", lambda ratio: f"{significant(ratio)}×"),
    )


@router.get("/pareto")
def pareto(
    request: Request,
    store: StoreDep,
    _: Visitor,
    model: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[float | None, Query(alias="max_drop", ge=0, le=100, description="In points.")] = None,
    judged: Annotated[str, Query(max_length=80, description="The samples that judged.")] = "",
) -> Response:
    """Every result of a model that was judged on the same samples: how small, how true, how fast."""
    models = _models(store)
    chosen = model or next(iter(models), "")
    every = store.listing.page(_succeeded(chosen), limit=MOST_PLOTTED).items if chosen else ()
    judges = _judges(store, every)
    judge = judged if judged in judges else next(iter(judges), "")
    lines = [line for line in every if _key(line) == judge]
    measure = measured_by(lines)
    found = results(lines, measure)
    drawn = plot(found, None if limit is None else limit / 100)
    return render(
        request,
        "pareto.html",
        models=models,
        chosen=chosen,
        measure=measure,
        plot=drawn,
        limit=limit,
        left_out=len(every) - len(found),
        judges=judges,
        judge=judge,
    )


def _alike(lines: list[JobRow]) -> bool:
    """Whether all that have a result were judged on the same samples."""
    return len({(*_judged_on(line), _number(line)) for line in lines if line.job.summary}) < 2


def _best(lines: list[JobRow], figure: str, sign: int) -> int | None:
    """The number of the result that is better than all others beyond the intervals; None where there is none."""
    told = {number: line.job.summary for number, line in enumerate(lines) if line.job.summary}
    if not told or any(each.get(figure) is None for each in told.values()):
        return None
    ends = {
        number: sorted(sign * (each.get(f"{figure}{end}") or each[figure]) for end in ("_low", "", "_high"))
        for number, each in told.items()
    }
    first = max(ends, key=lambda number: ends[number][0])
    return first if all(ends[first][0] > most for number, (*_, most) in ends.items() if number != first) else None


def _judged_on(line: JobRow) -> tuple[str | None, str | None]:
    """The samples that a job's fidelity was measured on, as far as they are known."""
    return line.job.evaluation or line.job.dataset, (line.job.summary or {}).get("fidelity_source")


def _number(line: JobRow) -> int | None:
    """How many samples judged, as far as that is known: a search keeps a part of them to select by."""
    return (line.job.summary or {}).get("judging_samples")


def _judges_of(store: Store, line: JobRow) -> str:
    """The samples that judged a result, and how many they were."""
    number = _number(line)
    return _called(store, *_judged_on(line)) + (f", {number:,} samples" if number else "")


def _key(line: JobRow) -> str:
    """The same for results that were judged on the same samples."""
    data, source = _judged_on(line)
    return f"{source or 'unknown'}:{(data or '')[:16]}" if source == "dataset" else f"{source or 'unknown'}"


def _judges(store: Store, lines: Sequence[JobRow]) -> dict[str, str]:
    """What to call the samples that judged, those with most results first."""
    count = Counter(map(_key, lines))
    named = {_key(line): _called(store, *_judged_on(line)) for line in lines}
    return {key: f"{named[key]} ({number} {'result' if number == 1 else 'results'})" for key, number in count.most_common()}


def _called(store: Store, data: str | None, source: str | None) -> str:
    if source != "dataset" or data is None:
        return "made-up samples"
    with suppress(NotFound):
        return store.assets.get(AssetKind.DATASET, data).name
    return data[:8]


def _succeeded(model: str | None) -> JobFilter:
    return JobFilter(frozenset({State.SUCCEEDED}), model=model, order=Order.CREATED)


def _models(store: Store) -> dict[str, str]:
    """Names of the models that have results lately, by hash."""
    lines = store.listing.page(_succeeded(None), limit=MOST_PLOTTED).items
    return {line.job.model: line.model_name or line.job.model[:8] for line in lines}


def _intervals(lines: list[JobRow], figure: str, text: Any) -> Whiskers | None:
    """The jobs that have that figure, on one axis."""
    rows = []
    for line in lines:
        figures = line.job.summary or {}
        if figures.get(figure) is not None:
            interval = Interval(figures[figure], figures.get(f"{figure}_low"), figures.get(f"{figure}_high"))
            rows.append((line.job.name or line.job.id[:8], text(interval.value), "compressed", interval))
    if not rows:
        return None
    if figure == "agreement":
        return whiskers(rows)
    return whiskers(rows, 1.0, tick) if figure == "ratio" else whiskers(rows, 0.0, point_tick)


def _differing(recipes: list[JsonObject]) -> dict[str, list[str]]:
    """The settings in which the recipes differ, by name, with the value in each."""
    flat = [_blocks(recipe) | dict(_flat(recipe)) for recipe in recipes]
    names = list(dict.fromkeys(name for settings in flat for name in settings))
    rows = {name: [settings.get(name, "") for settings in flat] for name in names}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def _blocks(recipe: JsonObject) -> dict[str, str]:
    """Whether a recipe has those parts that may be left out: one that is at its default in all has no settings to show."""
    return {name: "yes" if recipe.get(name) is not None else "no" for name in OPTIONAL}


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _flat(item, f"{name}.{key}" if name else key)]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [pair for index, item in enumerate(value) for pair in _flat(item, f"{name}[{index + 1}]")]
    return [(name, "none" if value is None else str(value))] if value != {} else []
