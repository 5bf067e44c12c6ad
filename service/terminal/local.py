"""Running a task on this machine, in the same sandboxed child as a worker does."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workers.jobs.job import Failure, JobTask, Kind
from workers.jobs.model_cache import model_cache, trim
from workers.recipe import Recipe
from workers.settings import Settings
from workers.worker import sandbox


def compression(
    model: Path, recipe: Recipe, out: Path, *, data: Path | None, evaluation: Path | None, threads: int | None
) -> JobTask:
    """The task of compressing `model` into the folder `out`."""
    return JobTask(
        Kind.COMPRESS,
        model=str(model.resolve()),
        out=str(out.resolve()),
        recipe=recipe.model_dump(mode="json", by_alias=True),
        data=str(data.resolve()) if data else None,
        evaluation=str(evaluation.resolve()) if evaluation else None,
        threads=threads,
    )


def run_locally(task: JobTask, settings: Settings, on_event: Callable[[dict[str, Any]], None]) -> Failure | None:
    """Do `task`; its results appear in the folder task.out, all together, and only when it succeeds.

    The log of the child stays there as log.txt, unless the input was refused. Raises OSError where the folder cannot be used.
    """
    out = Path(task.out)
    existed = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=".fractune-", dir=out) as name:
            workdir = Path(name)
            results = workdir / "out"
            results.mkdir()
            cache = model_cache(settings.data_dir / "cache", task.model) if task.kind is Kind.COMPRESS else None
            private = replace(task, out=str(results), cache=cache)
            outcome = sandbox.run_sandboxed(private, workdir, settings.limits, on_event, command=settings.child_command)
            trim(settings.data_dir / "cache")
            if outcome.ok:
                for result in results.iterdir():
                    _replace(result, out / result.name)
            if outcome.exit_code != 2:
                _replace(workdir / "log.txt", out / "log.txt")
    finally:
        if not existed and not any(out.iterdir()):
            out.rmdir()
    return outcome.failure


def _replace(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)
