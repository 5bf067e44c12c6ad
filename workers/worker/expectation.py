"""What a worker expects of a job that it begins: the forecast that was shown before, by stage."""

from pydantic import ValidationError

from workers.errors import FractuneError
from workers.jobs.job import Kind, Stage
from workers.jobs.records import AssetKind, Job
from workers.jobs.store import Store
from workers.jobs.time_left import Expectation
from workers.recipe import Recipe
from workers.recipe.forecast import foresee


def expectation(store: Store, job: Job) -> Expectation:
    """Nothing where the model was not inspected yet, or where an older version has written what this one does not read."""
    if job.kind is not Kind.COMPRESS:
        return Expectation()
    try:
        inspection = store.assets.get(AssetKind.MODEL, job.model).inspection
        recipe = Recipe.model_validate(job.recipe)
        stages = foresee(inspection, recipe, data=job.dataset is not None).stages if inspection else None
    except (FractuneError, ValidationError, KeyError, TypeError):
        return Expectation()
    repeats = recipe.search is not None or recipe.pareto is not None
    return Expectation({Stage(stage): seconds for stage, seconds in (stages or {}).items()}, repeats)
