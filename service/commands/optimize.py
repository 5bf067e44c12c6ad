"""fractune optimize: the whole pipeline on this machine, without a server."""

from pathlib import Path
from typing import Annotated

import typer

from service.terminal import exit_codes, options
from service.terminal.console import complain, messages, output
from service.terminal.local import compression, run_locally, with_decoder, with_metric
from service.terminal.progress import StageProgress
from service.terminal.recipes import read_recipe
from service.terminal.summary import read_report, summary
from workers.settings import read_settings


def optimize(
    model: options.Model,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for the results; MODEL-fractune beside you when absent.")
    ] = None,
    recipe: options.RecipeFile = None,
    prune: options.Prune = None,
    int8: options.Int8 = False,
    shape: options.Shapes = None,
    seed: options.Seed = None,
    data: options.Data = None,
    evaluation: options.Evaluation = None,
    task: options.TaskOption = None,
    decoder: options.Decoder = None,
    metric: options.MetricOption = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads; what the machine allows when absent.")] = None,
    quiet: options.Quiet = False,
) -> None:
    """Compress MODEL on this machine; no server is needed.

    Writes 1/model.xml, 1/model.bin, report.html, report.json and provenance.json. Exit status: 0 done, 2 the input was refused,
    3 the constraint is not met, 4 nothing could verify the constraint, 1 anything else.
    """
    instructions = read_recipe(recipe, prune=prune, int8=int8, shapes=shape or (), seed=seed, task=task)
    folder = (out or Path(f"{model.stem}-fractune")).resolve()
    job = compression(model, instructions, folder, data=data, evaluation=evaluation, threads=threads)
    job = with_metric(with_decoder(job, decoder or instructions.decoder), metric)
    with StageProgress(quiet) as progress:
        failure = run_locally(job, read_settings(), progress.show)
    if failure:
        complain(failure)
        raise typer.Exit(exit_codes.of_failure(failure.code))
    report = read_report(folder / "report.json")
    if not quiet:
        output.print(summary(report))
        for warning in report["warnings"]:
            messages.print(warning, style="yellow", markup=False)
        messages.print(f"Model   {folder / '1' / 'model.xml'}\nReport  {folder / 'report.html'}", highlight=False)
    raise typer.Exit(exit_codes.of_constraint(report.get("constraint")))
