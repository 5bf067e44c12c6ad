"""Compression in one call: in a sandboxed child of the calling process, as `fractune optimize` does it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from numpy.typing import NDArray

from service.extras import require
from service.terminal.summary import read_report
from workers.archives import pack_arrays
from workers.errors import JobFailure, by_code
from workers.recipe import Recipe
from workers.recipe.goals import DEFAULT_GOAL
from workers.recipe.recipe import parse_recipe
from workers.settings import read_settings

if TYPE_CHECKING:
    import openvino as ov

File = str | PathLike[str]
Samples = File | NDArray[Any] | Mapping[str, NDArray[Any]]
Event = dict[str, Any]
Model = TypeVar("Model")


@dataclass(frozen=True, slots=True)
class Optimized(Generic[Model]):
    """What became of a model."""

    model: Model  # the path of 1/model.xml for a path, an ov.Model for an ov.Model
    report: dict[str, Any]  # report.json: size, sparsity, fidelity and latency before and after, layer by layer


@overload
def optimize(
    model: File,
    recipe: Mapping[str, Any] | Recipe | None = None,
    data: Samples | None = None,
    eval: Samples | None = None,
    *,
    out: File | None = None,
    metric: str | None = None,
    threads: int | None = None,
    on_event: Callable[[Event], None] = ...,
) -> Optimized[Path]: ...


@overload
def optimize(
    model: "ov.Model",
    recipe: Mapping[str, Any] | Recipe | None = None,
    data: Samples | None = None,
    eval: Samples | None = None,
    *,
    out: File | None = None,
    metric: str | None = None,
    threads: int | None = None,
    on_event: Callable[[Event], None] = ...,
) -> "Optimized[ov.Model]": ...


def optimize(
    model: "File | ov.Model",
    recipe: Mapping[str, Any] | Recipe | None = None,
    data: Samples | None = None,
    eval: Samples | None = None,
    *,
    out: File | None = None,
    metric: str | None = None,
    threads: int | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Optimized[Any]:
    """Compress `model` as `recipe` says; `{"goal": "size"}` is one, and `speed` the goal where there is none.

    `model` is the path of an ONNX file, an OpenVINO IR, a TFLite file, a SavedModel, a PaddlePaddle program, or an ov.Model.
    `data` calibrates, `eval` measures: a path (.npz, or a folder or zip of images), images uint8 [N,H,W,C], or a mapping from
    the names of the model's inputs to arrays of one row per sample, with labels `y` if there are any. Without `data`, fractal
    images calibrate. `out` is the folder for all results; a path gives MODEL-fractune beside you when it is absent, an ov.Model
    none. `metric` is what the constraint is about: a name, or MODULE:FUNCTION of your own, called with the outputs of one
    sample by name and its label. The recipe's `decoder` may be the path of a model here. `threads` is what the machine allows
    when absent. `on_event` gets each event of progress, a mapping.

    A constraint that is not met raises nothing: the report says so. Raises FractuneError with the code of what went wrong,
    MissingExtra without `fractune[worker]`, FileNotFoundError for a path that does not exist.
    """
    require("worker")
    wanted = recipe if isinstance(recipe, Recipe) else parse_recipe({"goal": DEFAULT_GOAL} if recipe is None else recipe)
    with TemporaryDirectory(prefix="fractune-") as name:
        folder = Path(name)
        compress = partial(
            _compress,
            recipe=wanted,
            data=_as_file(data, folder / "data.npz"),
            evaluation=_as_file(eval, folder / "evaluation.npz"),
            metric=metric,
            threads=threads,
            on_event=on_event,
        )
        if isinstance(model, (str, PathLike)):
            source = Path(model).resolve(strict=True)
            return Optimized(*compress(source, Path(out or f"{source.stem}-fractune")))

        from fractune import ov_models  # whoever has an ov.Model has imported OpenVINO

        xml, report = compress(ov_models.save(model, folder / "model.xml"), Path(out or folder / "out"))
        return Optimized(ov_models.read(xml), report)


def _compress(
    source: Path,
    out: Path,
    *,
    recipe: Recipe,
    data: Path | None,
    evaluation: Path | None,
    metric: str | None,
    threads: int | None,
    on_event: Callable[[Event], None],
) -> tuple[Path, dict[str, Any]]:
    """The compressed model and the report of it. Raises FractuneError."""
    from service.terminal.local import (
        compression,
        run_locally,
        with_decoder,
        with_metric,
    )  # the sandbox, which Windows cannot import

    task = compression(source, recipe, out, data=data, evaluation=evaluation, threads=threads)
    task = with_metric(with_decoder(task, recipe.decoder), metric)
    failure = run_locally(task, read_settings(), on_event)
    if failure:
        raise by_code().get(failure.code, JobFailure)(
            failure.message, hint=failure.hint, stage=failure.stage, layer=failure.layer
        )
    return Path(task.out) / "1" / "model.xml", read_report(Path(task.out) / "report.json")


def _as_file(samples: Samples | None, file: Path) -> Path | None:
    """The path of the samples, saved in `file` where they are arrays."""
    if samples is None:
        return None
    if isinstance(samples, (str, PathLike)):
        return Path(samples).resolve(strict=True)
    pack_arrays(file, samples if isinstance(samples, Mapping) else {"x": samples})
    return file
