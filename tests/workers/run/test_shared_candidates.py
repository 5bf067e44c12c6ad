"""What other processes may do of a search and of a front, and that it changes nothing."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.ir.tiny import cnn, save
from workers.digest import file_sha256
from workers.engine.cache import JobCache
from workers.jobs.claims import candidate_name
from workers.jobs.job import JobTask, Kind
from workers.report import Report
from workers.run.clock import Clock
from workers.run.pipeline import assist, compress
from workers.run.search_strategy import AHEAD, bisect, may_follow

COMMON = {"calibration": {"count": 16, "inversion_steps": 0}, "benchmark": None}
PRUNING = {"method": "layerwise_pruning", "sparsity_level": 0.5}
RECIPES: dict[str, dict[str, Any]] = {
    "search": {"steps": [PRUNING | {"allocation": "uniform"}], "search": {"max_bytes": 1, "resolution": 0.2}},
    "front": {"steps": [PRUNING, {"method": "int8"}], "pareto": {"points": 2}},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(cnn(), tmp_path_factory.mktemp("model") / "model.onnx")


def task_in(folder: Path, model: Path, recipe: dict[str, Any], checkpoints: Path | None) -> JobTask:
    if checkpoints:
        checkpoints.mkdir(exist_ok=True)
    kept = str(checkpoints) if checkpoints else None
    return JobTask(Kind.COMPRESS, str(model), str(folder), recipe | COMMON, threads=1, checkpoints=kept)


def done(task: JobTask) -> tuple[dict[str, str], list[dict[str, Any]], Report]:
    """The digests of the models, all events, and the report."""
    events: list[dict[str, Any]] = []
    compress(task, Clock(events.append))
    files = sorted(Path(task.out).rglob("model.*"))
    report = Report.model_validate_json((Path(task.out) / "report.json").read_bytes())
    return {str(file.relative_to(task.out)): file_sha256(file) for file in files}, events, report


def told(events: list[dict[str, Any]]) -> list[int]:
    return [level for event in events if event["event"] == "parts" for level in event["levels"]]


@pytest.mark.parametrize("name", RECIPES)
def test_candidates_that_others_have_solved_come_out_the_same(tmp_path: Path, model: Path, name: str) -> None:
    recipe = RECIPES[name]
    alone, events, report = done(task_in(tmp_path / "one", model, recipe, tmp_path / "first"))
    assert report.exploration is not None
    wanted = told(events)
    assert 0 < len(wanted) == len(set(wanted))
    for level in wanted:
        assist(task_helping(tmp_path, model, recipe, level), Clock(lambda event: None))
    shared, events, again = done(task_in(tmp_path / "two", model, recipe, tmp_path / "second"))
    assert shared == alone
    assert again.reused_layers >= 3
    assert again.exploration is not None
    settings = [candidate.setting for candidate in report.exploration.candidates]
    assert [candidate.setting for candidate in again.exploration.candidates] == settings, "no candidate that nobody asked for"
    assert "sensitivity" not in {event.get("stage") for event in events if event.get("layer")}, "the profile is kept"
    cache = JobCache(tmp_path / "second")
    assert all(cache.closed(candidate_name(level)) for level in wanted), "made, or passed by"


def task_helping(folder: Path, model: Path, recipe: dict[str, Any], level: int) -> JobTask:
    task = task_in(folder / "unused", model, recipe, folder / "second")
    return JobTask(Kind.COMPRESS, task.model, task.out, task.recipe, threads=1, checkpoints=task.checkpoints, level=level)


def test_a_candidate_that_another_process_has_is_left_to_it(tmp_path: Path, model: Path) -> None:
    task = task_helping(tmp_path, model, RECIPES["search"], 1)
    other = JobCache(tmp_path / "second")
    with other.part(candidate_name(1)) as ours:
        assert ours
        assert JobCache(tmp_path / "second").taken(candidate_name(1))
        assist(task, Clock(lambda event: None))
    assert not list((tmp_path / "second").glob("*/*.npz"))
    assert not other.taken(candidate_name(1))


@given(st.integers(1, 200), st.data())
def test_what_bisection_asks_for_next_has_been_foretold(levels: int, data: st.DataObject) -> None:
    first, kept = data.draw(st.integers(0, levels - 1)), data.draw(st.integers(0, levels))
    tried: list[int] = []
    foretold: list[list[int]] = []

    def keeps(level: int) -> bool:
        tried.append(level)
        return level < kept

    def ahead(low: int, level: int, high: int) -> None:
        foretold.append(may_follow(low, level, high))

    bisect(levels, first, keeps, lambda: True, ahead)
    for number, levels_ahead in enumerate(foretold):
        assert len(set(levels_ahead)) == len(levels_ahead) <= AHEAD + 1
        for later in tried[number + 1 : number + 2]:
            assert later in levels_ahead[:2]
        for later in tried[number + 2 : number + 3]:
            assert later in levels_ahead[:6]
