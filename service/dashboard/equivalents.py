"""The same request for a terminal: as curl and as the command line, to copy."""

import json
import shlex
from dataclasses import dataclass

from fastapi import Request
from pydantic import ValidationError

from service.dashboard.pages import known
from workers.jobs.records import Job, JsonObject
from workers.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Equivalents:
    """What does the same."""

    curl: str
    command: str
    recipe: str


def equivalents(request: Request, job: Job, model_name: str) -> Equivalents:
    """Of a job that was submitted."""
    chosen = {"model": job.model, "dataset": job.dataset, "evaluation": job.evaluation, "name": job.name}
    return spell_request(request, model_name, {**chosen, "recipe": brief(job.recipe)})


def brief(recipe: JsonObject | None) -> JsonObject:
    """A stored recipe without what is left at its default; as it is, if this version does not read it any more."""
    try:
        return Recipe.model_validate(recipe).brief()
    except ValidationError:
        return recipe or {}


def spell_request(request: Request, model_name: str, body: JsonObject) -> Equivalents:
    """Of the body of a request to be made; what is empty in it is left out."""
    told = json.dumps({key: value for key, value in body.items() if value})
    key = '-H "Authorization: Bearer $FRACTUNE_API_KEY"'
    curl = f"curl {key} \\\n  --json {shlex.quote(told)} \\\n  {known(request)['origin']}/v1/jobs"
    words = ["fractune", "submit", model_name or "model.onnx", "--recipe", "recipe.json"]
    words += ["--data", "calibration.npz"] if body.get("dataset") else []
    words += ["--eval", "evaluation.npz"] if body.get("evaluation") else []
    return Equivalents(curl, f"{shlex.join(words)} --wait", json.dumps(body["recipe"], indent=2))
