"""The catalogue: every step that a recipe can name."""

import inspect

from fastapi import APIRouter

from service.access.authentication import Viewer
from service.http.schemas import MethodView
from workers.methods import METHODS
from workers.recipe import Recipe

router = APIRouter(prefix="/v1/methods", tags=["methods"])


@router.get("")
def methods(_: Viewer) -> list[MethodView]:
    """Every method with the JSON schema of its knobs."""
    return [
        MethodView(
            name=str(step.model_fields["method"].default),
            description=inspect.getdoc(step) or "",
            parameters=step.model_json_schema(),
        )
        for step in METHODS
    ]


@router.get("/recipe.schema.json")
def recipe_schema(_: Viewer) -> dict[str, object]:
    """The JSON schema of a whole recipe."""
    return Recipe.model_json_schema()
