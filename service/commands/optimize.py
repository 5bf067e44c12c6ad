"""fractune optimize: the whole pipeline on this machine, without a server."""

from pathlib import Path
from typing import Annotated

import typer

from service.terminal import exit_codes, options
from service.terminal.console import complain, messages, print_json
from service.terminal.local import compression, run_locally, with_decoder, with_metric
from service.terminal.progress import StageProgress
from service.terminal.recipes import read_recipe, short_steps
from service.terminal.summary import read_report, show_result, tell_goal
from workers.jobs.job import Failure, JobTask
from workers.settings import read_settings

RESULTS = ("1", "points", "samples", "report.json", "report.html", "provenance.json", "model_card.md", "calibration.png")


def optimize(
    model: options.Model,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for the results; MODEL-fractune beside you when absent.")
    ] = None,
    goal: options.Goal = None,
    recipe: options.RecipeFile = None,
    max_drop: options.MaxDrop = None,
    prune: options.Prune = None,
    int8: options.Int8 = False,
    knobs: options.Knobs = None,
    shape: options.Shapes = None,
    seed: options.Seed = None,
    data: options.Data = None,
    evaluation: options.Evaluation = None,
    task: options.TaskOption = None,
    decoder: options.Decoder = None,
    metric: options.MetricOption = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads; what the machine allows when absent.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what lies in the folder, even if it is no result.")] = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Compress MODEL on this machine; no server is needed.

    Writes 1/model.xml, 1/model.bin, report.html, report.json and provenance.json, in the place of an earlier result but of no
    other files. Exit status: 0 done, 2 the input was refused,
    3 the constraint is not met, 4 nothing could verify the constraint, 1 anything else.
    """
    steps = short_steps(prune, int8)
    instructions = read_recipe(
        recipe, goal=goal, steps=steps, max_drop=max_drop, shapes=shape, knobs=knobs, seed=seed, task=task
    )
    folder = (out or Path(f"{model.stem}-fractune")).resolve()
    _check_folder(folder, force, quiet or as_json)
    job = compression(model, instructions, folder, data=data, evaluation=evaluation, threads=threads)
    job = with_metric(with_decoder(job, decoder or instructions.decoder), metric)
    if not (quiet or as_json):
        tell_goal(instructions)
    failure = _run(job, quiet or as_json)
    if failure:
        complain(failure)
        raise typer.Exit(exit_codes.of_failure(failure.code))
    raise typer.Exit(_tell(folder, quiet, as_json))


def _check_folder(folder: Path, force: bool, quiet: bool) -> None:
    """Say that an earlier result will be replaced. Raises BadParameter where files of other origin would be."""
    taken = [name for name in RESULTS if (folder / name).exists()]
    if not taken:
        return
    try:
        earlier = "schema_version" in read_report(folder / "report.json")
    except (OSError, ValueError, TypeError):
        earlier = False
    if not (earlier or force):
        raise typer.BadParameter(
            f"{folder} holds {', '.join(taken)}, and no result of Fractune. Name another folder with --out, or replace what is "
            "there with --force."
        )
    if earlier and not quiet:
        messages.print(f"The earlier result in {folder} will be replaced.", highlight=False, markup=False)


def _tell(folder: Path, quiet: bool, as_json: bool) -> exit_codes.ExitCode:
    """Show the result; the exit status that says the same."""
    report = read_report(folder / "report.json")
    if as_json:
        print_json(report)
    elif not quiet:
        show_result(report)
        messages.print(f"Model   {folder / '1' / 'model.xml'}\nReport  {folder / 'report.html'}", highlight=False)
    return exit_codes.of_constraint(report.get("constraint"))


def _run(job: JobTask, quiet: bool) -> Failure | None:
    try:
        with StageProgress(quiet) as progress:
            return run_locally(job, read_settings(), progress.show)
    except KeyboardInterrupt:
        messages.print("Stopped. Nothing was written, and nothing goes on.")
        raise typer.Exit(exit_codes.ExitCode.INTERRUPTED) from None
