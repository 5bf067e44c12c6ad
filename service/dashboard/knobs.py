"""Forms out of JSON schemas, and recipes out of forms: the catalogue's schemas are all that is known of a knob."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Schema = Mapping[str, Any]
SCALARS = {"integer", "number", "string"}
LISTS = {"number": "numbers", "integer": "numbers", "string": "names"}


class FormField(StrEnum):
    """How a knob is set."""

    NUMBER = "number"
    TEXT = "text"
    CHOICE = "choice"
    NUMBERS = "numbers"  # a list, separated by commas
    NAMES = "names"  # one on each line
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Knob:
    """A knob as a form shows it."""

    name: str  # steps.0.sparsity_level
    label: str
    input: FormField
    doc: str
    value: str  # as typed; blank leaves the default
    default: str  # blank when there is none
    required: bool
    choices: tuple[str, ...] = ()
    bounds: str = ""
    low: float | None = None
    high: float | None = None
    whole: bool = False
    fault: str = ""


def knobs(schema: Schema, prefix: str, values: Mapping[str, str], faults: Mapping[str, str]) -> tuple[Knob, ...]:
    """The knobs of an object, named under `prefix`; `method` tells steps apart and is none."""
    return tuple(
        _knob(schema, name, f"{prefix}.{name}" if prefix else name, values, faults)
        for name in schema["properties"]
        if name != "method"
    )


def _knob(schema: Schema, name: str, full: str, values: Mapping[str, str], faults: Mapping[str, str]) -> Knob:
    declared = schema["properties"][name]
    kind, choices = _input(declared, schema)
    plain = _plain(declared, schema)
    low, high = (_bound(plain, *keys) for keys in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")))
    return Knob(
        full,
        name.replace("_", " ").capitalize(),
        kind,
        declared.get("description", ""),
        values.get(full, ""),
        spell_value(declared["default"]) if declared.get("default") is not None else "",
        name in schema.get("required", ()),
        choices,
        _bounds(plain),
        low,
        high,
        plain.get("type") == "integer",
        faults.get(full, ""),
    )


def _plain(declared: Schema, schema: Schema) -> Schema:
    """Without the choice of null, and with what it refers to looked up."""
    if "$ref" in declared:
        found: Schema = schema.get("$defs", {})[declared["$ref"].rpartition("/")[2]]
        return found
    choices = [choice for choice in declared.get("anyOf", ()) if choice.get("type") != "null"]
    return _plain(choices[0], schema) if len(choices) == 1 else declared


def _input(declared: Schema, schema: Schema) -> tuple[FormField, tuple[str, ...]]:
    plain = _plain(declared, schema)
    kind = plain.get("type")
    if "enum" in plain:
        return FormField.CHOICE, tuple(map(str, plain["enum"]))
    if "const" in plain:
        return FormField.CHOICE, (str(plain["const"]),)
    if kind == "boolean":
        return FormField.CHOICE, ("true", "false")
    if kind == "array" and plain.get("items", {}).get("type") in SCALARS:
        return FormField(LISTS[plain["items"]["type"]]), ()
    return {"integer": FormField.NUMBER, "number": FormField.NUMBER, "string": FormField.TEXT}.get(
        str(kind), FormField.JSON
    ), ()


def _bound(plain: Schema, *keys: str) -> float | None:
    return next((plain[key] for key in keys if key in plain), None)


def _bounds(plain: Schema) -> str:
    signs = {"exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most"}
    return ", ".join(f"{word} {plain[key]:g}" for key, word in signs.items() if key in plain)


def document(schema: Schema, prefix: str, values: Mapping[str, str]) -> dict[str, Any]:
    """The object that was typed; what was left blank is left out. What does not fit is kept, for the validation to tell of."""
    typed = {name: values.get(f"{prefix}.{name}" if prefix else name, "").strip() for name in schema["properties"]}
    return {name: _parse(text, *_input(schema["properties"][name], schema)) for name, text in typed.items() if text}


def _parse(text: str, kind: FormField, choices: tuple[str, ...]) -> Any:
    if kind is FormField.NAMES:
        return [line.strip() for line in text.splitlines() if line.strip()]
    if kind is FormField.NUMBERS:
        return [_number(part.strip()) for part in text.strip("[]").split(",")]
    if kind is FormField.NUMBER:
        return _number(text)
    if kind is FormField.JSON or choices == ("true", "false"):
        with suppress(ValueError):
            return json.loads(text)
    return int(text) if choices and text.lstrip("-").isdecimal() else text


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def typed(value: Any, prefix: str) -> dict[str, str]:
    """What somebody would have typed for an object, by full name; nothing for null."""
    return {f"{prefix}.{name}" if prefix else name: spell_value(item) for name, item in value.items() if item is not None}


def spell_value(value: Any) -> str:
    """A value as one types it."""
    if isinstance(value, list | tuple) and all(isinstance(item, int | float) for item in value):
        return ", ".join(map(str, value))
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return value if isinstance(value, str) else json.dumps(value)
