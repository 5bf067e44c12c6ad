"""fractune submit: the same as optimize, on a service."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from service.client import Client
from service.commands.results import tell_end
from service.terminal import exit_codes, options, remote
from service.terminal.console import output, print_json
from service.terminal.packing import as_file
from service.terminal.recipes import read_recipe, short_steps
from service.terminal.summary import tell_goal
from workers.errors import Conflict
from workers.ir.files.formats import recognise
from workers.jobs.job import Priority
from workers.recipe import Recipe


def submit(
    model: options.Model,
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
    name: Annotated[str, typer.Option(help="Shown in listings; the model and what is done to it when absent.")] = "",
    runs_on: Annotated[
        str | None, typer.Option(metavar="LABEL=VALUE", help="Class of workers to do it on, such as isa=avx2; any when absent.")
    ] = None,
    priority: Annotated[
        Priority, typer.Option(case_sensitive=False, help="Goes before or after other waiting jobs.")
    ] = Priority.NORMAL,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end and show the result; exit status as of optimize.")
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    url: remote.Url = None,
    key: remote.Key = None,
) -> None:
    """Upload MODEL and queue a job; prints its id, or with --wait its result."""
    steps = short_steps(prune, int8)
    instructions = read_recipe(
        recipe, goal=goal, steps=steps, max_drop=max_drop, shapes=shape, knobs=knobs, seed=seed, task=task
    )
    _check(model, instructions, data, evaluation)
    if not (quiet or as_json):
        tell_goal(instructions)
    with remote.connect(url, key) as client:
        files = {"model": model, "dataset": data, "evaluation": evaluation}
        stored: dict[str, Any] = {role: _upload(client, path, role) for role, path in files.items() if path}
        document = instructions.model_dump(mode="json", by_alias=True)
        document["decoder"] = _stored(client, decoder or instructions.decoder)
        job = client.submit(**stored, recipe=document, name=name, runs_on=runs_on)
        _prioritize(client, job["id"], priority)
        raise typer.Exit(_follow(client, job, url, wait=wait, quiet=quiet, as_json=as_json))


def _check(model: Path, recipe: Recipe, data: Path | None, evaluation: Path | None) -> None:
    """Raises what a worker would raise at the first look, before anything travels."""
    recipe.check_data(data=data is not None, evaluation=evaluation is not None)
    if model.is_file():
        recognise(model)


def _follow(
    client: Client, job: dict[str, Any], url: str | None, *, wait: bool, quiet: bool, as_json: bool
) -> exit_codes.ExitCode:
    """Tell which job it is, or wait for its end and tell that."""
    if not (quiet or as_json):
        remote.tell_queued(job["id"], url)
    if wait:
        return tell_end(client, remote.wait(client, job["id"], quiet or as_json), quiet or as_json, as_json)
    if as_json:
        print_json(job)
    else:
        output.print(job["id"])
    return exit_codes.ExitCode.DONE


def _prioritize(client: Client, job_id: str, priority: Priority) -> None:
    if priority != Priority.NORMAL:
        with suppress(Conflict):  # a worker was quicker
            client.prioritize(job_id, priority.value)


def _stored(client: Client, decoder: str | None) -> str | None:
    """A decoder as the service knows it: a file by its SHA-256, once it is there."""
    return client.upload_model(Path(decoder)) if decoder and Path(decoder).is_file() else decoder


def _upload(client: Client, path: Path, role: str) -> str:
    with as_file(path) as file:
        return client.upload_model(file) if role == "model" else client.upload_dataset(file)
