"""Running a task on this machine, in the same sandboxed child as a worker does."""

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from service.terminal import interrupted
from workers.errors import InvalidRecipe, UnreadableData
from workers.folders import remove
from workers.jobs.job import Failure, JobTask, Kind
from workers.jobs.model_cache import model_cache, trim
from workers.recipe import Recipe
from workers.recipe.recipe import HEADS
from workers.settings import Settings
from workers.worker import sandbox

DATASETS = {".npz", ".zip"}
OnEvent = Callable[[dict[str, Any]], None]
OWN = "own"  # in the place of a project: what is kept is the user's


def compression(
    model: Path, recipe: Recipe, out: Path, *, data: Path | None, evaluation: Path | None, threads: int | None
) -> JobTask:
    """The task of compressing `model` into the folder `out`. Raises InvalidRecipe where samples are missing, or too many."""
    recipe.check_data(data=data is not None, evaluation=evaluation is not None)
    return JobTask(
        Kind.COMPRESS,
        model=str(model.resolve()),
        out=str(out.resolve()),
        recipe=recipe.model_dump(mode="json", by_alias=True),
        data=str(data.resolve()) if data else None,
        evaluation=str(evaluation.resolve()) if evaluation else None,
        threads=threads,
    )


def with_decoder(task: JobTask, decoder: str | None) -> JobTask:
    """The task with a decoder: the file of a model, or the name of a head, in its recipe. Raises InvalidRecipe for neither."""
    if decoder is None:
        return task
    file = Path(decoder)
    if decoder in HEADS:
        return replace(task, recipe=(task.recipe or {}) | {"decoder": decoder})
    if not file.is_file():
        raise InvalidRecipe(
            f"decoder: {decoder!r} is neither a head nor a file.",
            hint=f"There are {', '.join(HEADS)}; or name the file of a model.",
        )
    with file.open("rb") as opened:
        digest = file_digest(opened, "sha256").hexdigest()
    return replace(task, decoder=str(file.resolve()), recipe=(task.recipe or {}) | {"decoder": digest})


def with_metric(task: JobTask, metric: str | None) -> JobTask:
    """The task with a metric in its constraint: a name, or MODULE:FUNCTION of the user's own.

    Raises InvalidRecipe where there is no constraint, or no such module.
    """
    if metric is None:
        return task
    recipe = task.recipe or {}
    if not recipe.get("constraint"):
        raise InvalidRecipe("--metric tells what the constraint is about, and the recipe has none.")
    module, colon, function = metric.rpartition(":")
    constraint = recipe["constraint"] | {"metric": "custom" if colon else metric}
    task = replace(task, recipe=recipe | {"constraint": constraint})
    return replace(task, metric=f"{_file_of(module)}:{function}") if colon else task


def _file_of(module: str) -> Path:
    """The file that is named, or that of a module: in the folder where one is, or on the path."""
    beside = Path(module) if module.endswith(".py") else Path(*module.split(".")[:-1], f"{module.rpartition('.')[2]}.py")
    if beside.is_file():
        return beside.resolve()
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise InvalidRecipe(f"--metric: there is no module {module!r}.", hint="Write it as MODULE:FUNCTION.")
    return Path(spec.origin)


def gathered(samples: Sequence[Path], folder: Path) -> Path:
    """One place of samples for a task: what was named, or `folder` with copies of the pictures that were named.

    Raises UnreadableData for several files that are not all pictures.
    """
    if len(samples) == 1 and (samples[0].is_dir() or samples[0].suffix.lower() in DATASETS):
        return samples[0].resolve()
    for place, path in enumerate(samples):
        if path.is_dir() or path.suffix.lower() in DATASETS:
            raise UnreadableData(f"{path} is a dataset.", hint="Name pictures, or one dataset alone.")
        shutil.copyfile(path, folder / (path.name if not (folder / path.name).exists() else f"{place} {path.name}"))
    return folder


def run_locally(task: JobTask, settings: Settings, on_event: OnEvent) -> Failure | None:
    """Do `task`; its results appear in the folder task.out, all together, and only when it succeeds.

    The log of the child stays there as log.txt, unless the input was refused. A compression that is interrupted leaves what it
    has solved to the next one that is asked for the same. Raises OSError where the folder cannot be used.
    """
    out = Path(task.out)
    existed = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=".fractune-", dir=out) as name:
            workdir = Path(name)
            results = workdir / "out"
            results.mkdir()
            private = replace(task, out=str(results))
            outcome = (_compress if task.kind is Kind.COMPRESS else _run)(private, workdir, settings, on_event)
            if outcome.ok:
                for result in results.iterdir():
                    _replace(result, out / result.name)
            if outcome.exit_code != 2:
                _replace(workdir / "log.txt", out / "log.txt")
    finally:
        if not existed and not any(out.iterdir()):
            out.rmdir()
    return outcome.failure


def _compress(task: JobTask, workdir: Path, settings: Settings, on_event: OnEvent) -> sandbox.Outcome:
    """With what earlier runs on the model have left, and what this one leaves if it is interrupted."""
    kept = settings.data_dir / "checkpoints"
    interrupted.forget(kept)
    with interrupted.checkpoints(kept, task) as folder:
        cache = model_cache(settings.data_dir / "cache", OWN, task.model)
        prepared = replace(task, cache=cache, checkpoints=str(folder) if folder else None)
        outcome = _run(prepared, workdir, settings, on_event)
        trim(settings.data_dir / "cache")
        if folder and (outcome.ok or outcome.exit_code == 2):
            remove(folder)
    return outcome


def _run(task: JobTask, workdir: Path, settings: Settings, on_event: OnEvent) -> sandbox.Outcome:
    return sandbox.run_sandboxed(task, workdir, settings.limits, on_event, command=settings.child_command)


def _replace(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)
