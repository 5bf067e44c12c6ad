"""What a model answers, in lines."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

BESIDE = ("classes.txt", "labels.txt", "synset.txt")


def class_names(file: Path | None, model: Path) -> list[str]:
    """The names of classes by index: the lines of `file`, or of one beside the model; none where there is no such file."""
    places = [file] if file else [folder / name for folder in model.resolve().parents[:2] for name in BESIDE]
    found = next((place for place in places if place.is_file()), None)
    return [line.strip() for line in found.read_text().splitlines() if line.strip()] if found else []


def answer_lines(found: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """The answers of predictions.json, a block a sample; figures of the outputs where the task has no words."""
    for answer in found["predictions"]:
        yield answer["sample"]
        lines = list(_told(answer, names))
        yield from (f"  {line}" for line in lines or _figures(answer["outputs"]))


def _told(answer: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    for entry in answer.get("classes", answer.get("labels", ())):
        yield f"{100 * entry['probability']:6.2f} %  {_name(entry['class'], names)}"
    for entry in answer.get("areas", ()):
        yield f"{100 * entry['share']:6.2f} % of the picture  {_name(entry['class'], names)}"
    for entry in answer.get("objects", ()):
        left, top, right, bottom = entry["box"]
        yield f"{100 * entry['score']:6.2f} %  {_name(entry['class'], names)}  from ({left}, {top}) to ({right}, {bottom})"
    if answer.get("objects") == []:
        yield "no object"
    if "line" in answer:
        yield _text(answer["line"], names)


def _text(line: Sequence[int], names: Sequence[str]) -> str:
    """The characters of a line; class 0 stands for none, so that the first name is that of class 1."""
    return "".join(names[code - 1] if code <= len(names) else f"<{code}>" for code in line) or "no character"


def _name(label: int, names: Sequence[str]) -> str:
    return f"{names[label]} ({label})" if label < len(names) else f"class {label}"


def _figures(outputs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for output in outputs:
        figures = ", ".join(f"{key} {_number(output[key])}" for key in ("min", "mean", "max", "std"))
        yield f"{output['name']} {output['shape']}: {figures}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
