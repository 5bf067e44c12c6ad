"""fractune methods: the catalogue, as the recipe understands it."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from service.terminal import options
from service.terminal.console import output, print_json
from workers.methods import METHODS
from workers.methods.problem import Step
from workers.recipe.faults import did_you_mean


def methods(
    name: Annotated[str | None, typer.Argument(help="Show the knobs of this method.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the methods that a recipe can name, or the knobs of one."""
    catalogue = {_name(method): method for method in METHODS}
    if name is not None and name not in catalogue:
        raise typer.BadParameter(
            f"there is no method {name!r}. {did_you_mean(name, catalogue)}There are {', '.join(catalogue)}."
        )
    if as_json:
        schemas = {key: method.model_json_schema() for key, method in catalogue.items()}
        print_json(schemas[name] if name else schemas)
    else:
        output.print(_knobs(catalogue[name]) if name else _catalogue(catalogue))


def _name(method: type[Step]) -> str:
    return str(method.model_fields["method"].default)


def _catalogue(catalogue: dict[str, type[Step]]) -> Table:
    table = Table("method", "what it does", box=None, pad_edge=False)
    for name, method in catalogue.items():
        table.add_row(name, (method.__doc__ or "").split("\n\n")[0])
    return table


def _knobs(method: type[Step]) -> Table:
    table = Table("knob", "values", "default", "meaning", title=method.__doc__, title_justify="left", box=None, pad_edge=False)
    schema = method.model_json_schema()
    for name, knob in schema["properties"].items():
        if name != "method":
            default = "required" if name in schema.get("required", ()) else json.dumps(knob.get("default"))
            table.add_row(name, _values(knob), default, knob.get("description", ""))
    return table


def _values(knob: dict[str, Any]) -> str:
    """The allowed values of a knob, from its JSON schema."""
    if "anyOf" in knob:
        return " | ".join(_values(choice) for choice in knob["anyOf"])
    if "const" in knob:
        return str(knob["const"])
    if "enum" in knob:
        return " | ".join(map(str, knob["enum"]))
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {knob[key]:g}" for key, sign in signs.items() if key in knob]
    return " ".join([str(knob.get("type", "object")), *bounds])
