"""The same request for a terminal: as curl and as the command line, to copy."""

import json
import shlex
from contextlib import suppress
from dataclasses import dataclass

from fastapi import Request
from pydantic import ValidationError

from service.dashboard.pages import known
from workers.errors import NotFound
from workers.jobs.records import AssetKind, Job, JsonObject
from workers.jobs.store import Store
from workers.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Equivalents:
    """What does the same."""

    curl: str
    command: str
    recipe: str


def equivalents(request: Request, store: Store, job: Job) -> Equivalents:
    """Of a job that was submitted."""
    chosen = {"model": job.model, "dataset": job.dataset, "evaluation": job.evaluation, "name": job.name}
    return spell_request(request, store, {**chosen, "recipe": brief(job.recipe)})


def brief(recipe: JsonObject | None) -> JsonObject:
    """A stored recipe without what is left at its default; as it is, if this version does not read it any more."""
    try:
        return Recipe.model_validate(recipe).brief()
    except ValidationError:
        return recipe or {}


def spell_request(request: Request, store: Store, body: JsonObject) -> Equivalents:
    """Of the body of a request to be made; what is empty in it is left out. On the command line, files go by their names."""
    told = json.dumps({key: value for key, value in body.items() if value}, ensure_ascii=False)
    key = '-H "Authorization: Bearer $FRACTUNE_API_KEY"'
    curl = f"curl {key} \\\n  --json {shlex.quote(told)} \\\n  {known(request)['origin']}/v1/jobs"
    words = ["fractune", "submit", _name(store, AssetKind.MODEL, body["model"]), "--recipe", "recipe.json"]
    for option, role in ("--data", "dataset"), ("--eval", "evaluation"):
        words += [option, _name(store, AssetKind.DATASET, body[role])] if body.get(role) else []
    return Equivalents(curl, f"{shlex.join(words)} --wait", json.dumps(body["recipe"], indent=2, ensure_ascii=False))


def _name(store: Store, kind: AssetKind, sha256: str) -> str:
    """Of a file, as it was uploaded; a common one where it is gone, or not chosen yet."""
    with suppress(NotFound):
        return store.assets.get(kind, sha256).name
    return "model.onnx" if kind == AssetKind.MODEL else "samples.npz"
