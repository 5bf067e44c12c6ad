"""fractune bench and fractune predict: a quick look at a model as it is, before compression or after it."""

import json
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import typer

from service.terminal import exit_codes, options
from service.terminal.answers import answer_lines, class_names
from service.terminal.console import complain, messages, output, print_json
from service.terminal.local import gathered, run_locally, with_decoder
from service.terminal.progress import StageProgress
from service.terminal.recipes import read_recipe, recipe_beside
from service.terminal.summary import speed_table
from workers.jobs.job import JobTask, Kind
from workers.recipe.recipe import parse_recipe
from workers.settings import read_settings


def bench(
    model: options.Model,
    other: Annotated[
        Path | None, typer.Argument(exists=True, help="A model with the same inputs, timed in turn with the first.")
    ] = None,
    hint: Annotated[Literal["latency", "throughput"], typer.Option(help="What OpenVINO is to go for.")] = "latency",
    batch: Annotated[int, typer.Option(min=1, help="Samples of one inference.")] = 1,
    nstreams: Annotated[int | None, typer.Option(min=1, help="Inferences at once, with --hint throughput.")] = None,
    nireq: Annotated[int | None, typer.Option(min=1, help="Requests under way, with --hint throughput.")] = None,
    nthreads: Annotated[int, typer.Option(min=1, help="Processor threads.")] = 1,
    niter: Annotated[int, typer.Option(min=10, help="Rounds, spread over 20 compilations.")] = 100,
    time: Annotated[float, typer.Option(help="Seconds after which no further round starts.")] = 20.0,
    infer_precision: Annotated[
        str | None, typer.Option(metavar="f32|bf16|f16", help="The precision that OpenVINO picks when absent.")
    ] = None,
    shape: options.Shapes = None,
    data: options.Data = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Time MODEL on this machine, or MODEL and another one interleaved, with intervals.

    The same benchmark as that of a job. With two models, what counts is the ratio of their times, round by round: above 1 the
    second is faster. Inputs are the first samples of --data, or fractal images.
    """
    document = read_recipe(recipe_beside(model), shapes=shape).model_dump(mode="json", by_alias=True)
    document["benchmark"] = {"hint": hint, "batch": batch, "nstreams": nstreams, "nireq": nireq, "nthreads": nthreads}
    document["benchmark"] |= {"niter": niter, "time": time, "infer_precision": infer_precision, "pc": False}
    task = JobTask(
        Kind.BENCHMARK,
        model=str(model.resolve()),
        out="",
        recipe=parse_recipe(document).model_dump(mode="json", by_alias=True),
        data=str(data.resolve()) if data else None,
        other=str(other.resolve()) if other else None,
    )
    found = _found(task, "benchmark.json", quiet or as_json)
    if as_json:
        print_json(found)
        return
    names = told_apart(model, other or model)
    output.print(speed_table(found, names))
    for line in (*([found["verdict"]] if other else []), *found["notes"]):
        messages.print(_by_name(line, *names) if other else line, markup=False, highlight=False)


def told_apart(one: Path, other: Path) -> tuple[str, str]:
    """The names of two files, with as many of their folders as tell them apart."""
    ways = [list(reversed(path.resolve().parts)) for path in (one, other)]
    deep = next((n for n in range(1, min(map(len, ways))) if ways[0][:n] != ways[1][:n]), 1)
    first, second = ("/".join(reversed(way[:deep])) for way in ways)
    return first, second


def _by_name(line: str, first: str, second: str) -> str:
    """What is said of a job's two models, said of any two."""
    named = re.sub(r"\b[Tt]he compressed model\b", lambda _: second, line)
    return re.sub(r"\b[Tt]he original\b", lambda _: first, named)


def predict(
    model: options.Model,
    samples: Annotated[
        list[Path], typer.Argument(exists=True, metavar="PICTURE ...", help="Pictures; or one .npz, folder or zip.")
    ],
    recipe: options.RecipeFile = None,
    knobs: options.Knobs = None,
    shape: options.Shapes = None,
    task: options.TaskOption = None,
    decoder: options.Decoder = None,
    names: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Names of the classes, a line each; classes.txt beside MODEL if there."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show what MODEL answers to pictures, or to the samples of an .npz.

    Pictures are prepared as the recipe says, which is that of the report.json beside MODEL when none is given. Shown are the
    five likeliest classes, objects with their boxes, the classes of a map, or the figures of the outputs.
    """
    source = recipe or recipe_beside(model)
    instructions = read_recipe(source, shapes=shape, knobs=knobs, task=task)
    with TemporaryDirectory(prefix="fractune-") as folder:
        wanted = JobTask(
            Kind.PREDICT,
            model=str(model.resolve()),
            out="",
            recipe=instructions.model_dump(mode="json", by_alias=True),
            data=str(gathered(samples, Path(folder))),
        )
        found = _found(with_decoder(wanted, decoder or instructions.decoder), "predictions.json", quiet=True)
    if as_json:
        print_json(found)
        return
    if source and not recipe:
        messages.print(f"Prepared as {source} says.", markup=False, highlight=False)
    for line in answer_lines(found, class_names(names, model)):
        output.print(line, markup=False, highlight=False)
    if found["assumed"]:
        messages.print(found["assumed"], style="yellow", markup=False)


def _found(task: JobTask, name: str, quiet: bool) -> dict[str, Any]:
    """The file that the sandboxed child writes; exits where it refuses."""
    with TemporaryDirectory(prefix="fractune-") as folder:
        try:
            with StageProgress(quiet) as progress:
                failure = run_locally(replace(task, out=folder), read_settings(), progress.show)
        except KeyboardInterrupt:
            messages.print("Stopped. Nothing was written, and nothing goes on.")
            raise typer.Exit(exit_codes.ExitCode.INTERRUPTED) from None
        if failure:
            complain(failure)
            raise typer.Exit(exit_codes.of_failure(failure.code))
        found: dict[str, Any] = json.loads((Path(folder) / name).read_text())
        return found
