"""fractune submit: the same as optimize, on a service."""

from pathlib import Path
from typing import Annotated

import typer

from service.client import Client
from service.commands.results import tell_end
from service.terminal import options, remote
from service.terminal.console import output
from service.terminal.packing import as_file
from service.terminal.recipes import read_recipe


def submit(
    model: options.Model,
    recipe: options.RecipeFile = None,
    prune: options.Prune = None,
    int8: options.Int8 = False,
    shape: options.Shapes = None,
    seed: options.Seed = None,
    data: options.Data = None,
    evaluation: options.Evaluation = None,
    task: options.TaskOption = None,
    decoder: options.Decoder = None,
    name: Annotated[str, typer.Option(help="Shown in listings; the name of the model file when absent.")] = "",
    runs_on: Annotated[
        str | None, typer.Option(metavar="LABEL=VALUE", help="Class of workers to do it on, such as isa=avx2; any when absent.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end and show the result; exit status as of optimize.")
    ] = False,
    quiet: options.Quiet = False,
    url: remote.Url = None,
    key: remote.Key = None,
) -> None:
    """Upload MODEL and queue a job; prints its id, or with --wait its result."""
    instructions = read_recipe(recipe, prune=prune, int8=int8, shapes=shape or (), seed=seed, task=task)
    with remote.connect(url, key) as client:
        with as_file(model) as file:
            model_id = client.upload_model(file)
        job = client.submit(
            model_id,
            instructions.model_dump(mode="json", by_alias=True) | {"decoder": _stored(client, decoder or instructions.decoder)},
            dataset=_upload(client, data),
            evaluation=_upload(client, evaluation),
            name=name or model.name,
            runs_on=runs_on,
        )
        if not wait:
            output.print(job["id"])
            return
        ended = remote.wait(client, job["id"], quiet)
        raise typer.Exit(tell_end(client, ended, quiet))


def _stored(client: Client, decoder: str | None) -> str | None:
    """A decoder as the service knows it: a file by its SHA-256, once it is there."""
    return client.upload_model(Path(decoder)) if decoder and Path(decoder).is_file() else decoder


def _upload(client: Client, path: Path | None) -> str | None:
    if path is None:
        return None
    with as_file(path) as file:
        return client.upload_dataset(file)
