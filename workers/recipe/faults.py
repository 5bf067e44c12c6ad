"""What is wrong with a recipe, in words, and what may be meant instead."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

Fault = Mapping[str, Any]  # as pydantic tells it


def deepest_faults(faults: Sequence[Fault]) -> list[Fault]:
    """Without those of a list or an object in which another fault is: a list whose only item is wrong is too short, too."""
    places = [fault["loc"] for fault in faults]
    return [
        fault
        for fault in faults
        if not any(len(other) > len(fault["loc"]) and other[: len(fault["loc"])] == fault["loc"] for other in places)
    ]


def in_words(fault: Fault, schema: Mapping[str, Any]) -> str:
    """A fault that pydantic found, after the place where it is; `schema` is the JSON schema of the recipe."""
    where = [str(part) for part in fault["loc"]] or ["recipe"]
    return f"{'.'.join(where)}: {without_place(fault, schema)}"


def without_place(fault: Fault, schema: Mapping[str, Any]) -> str:
    """The same without the place, with what may be meant."""
    *_, last = where = [str(part) for part in fault["loc"]] or ["recipe"]
    said = str(fault["msg"])
    if fault["type"] == "extra_forbidden":
        said = f"there is no such knob. {did_you_mean(last, knobs_of(schema, where))}".rstrip(" .")
    if fault["type"] == "union_tag_invalid":
        tags = fault["ctx"]["expected_tags"].replace("'", "")
        said = (
            f"there is no method {fault['ctx']['tag']!r}. {did_you_mean(fault['ctx']['tag'], tags.split(', '))}There are {tags}"
        )
    if fault["type"] in ("tuple_type", "list_type"):
        given = fault.get("input")
        said = f"give a list, such as [{given}]" if isinstance(given, int | float) else "give a list"
    return said.rstrip()


def knobs_of(schema: Mapping[str, Any], where: Sequence[str] = ()) -> set[str]:
    """The names of all that a recipe and its parts can hold; of a method alone, where `where` leads through it."""
    parts = [schema, *schema.get("$defs", {}).values()]
    own = [part for part in parts if part.get("properties", {}).get("method", {}).get("const") in where]
    parts = own or parts
    return {name for part in parts for name in part.get("properties", {})}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question after what is close to `word`; empty where nothing is."""
    close = get_close_matches(word, list(known), 1, 0.6)
    return f"Did you mean `{close[0]}`? " if close else ""
