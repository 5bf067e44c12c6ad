"""The model card: what a user of the compressed model must know, in Markdown (Mitchell et al., "Model cards", 2019)."""

import re

from jinja2 import Environment, PackageLoader, StrictUndefined

from workers.report import formatting
from workers.report.page import FORMATS, INTERVALS, SOURCES, worst_layers
from workers.report.schema import Report


def render_card(report: Report) -> str:
    """The card of a report."""
    environment = Environment(
        loader=PackageLoader("workers.report"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(formatting, name) for name in (*FORMATS, *INTERVALS)} | {
        "plain": escape_markdown,
        "code": code,
    }
    return environment.get_template("card.md").render(
        report=report,
        headline=formatting.headline(report),
        fidelity=report.fidelity,
        speed=report.benchmark,
        verdict=report.constraint,
        steps=[
            _step(step.model_dump(mode="json", exclude_defaults=True) | {"method": step.method}) for step in report.recipe.steps
        ],
        sources=SOURCES,
        worst=worst_layers(report.layers),
    )


def escape_markdown(text: object) -> str:
    """A name out of a model as it can stand in a line of Markdown: no markup, no line breaks, nothing that moves a cursor."""
    return re.sub(r"[`|<>\[\]*_\\]", lambda found: f"&#{ord(found[0])};", _printable(re.sub(r"\s+", " ", str(text))))


def code(text: object) -> str:
    """The same between backticks."""
    return _printable(re.sub(r"[\s`|]+", " ", str(text)))


def _printable(text: str) -> str:
    return "".join(filter(str.isprintable, text))


def _step(values: dict[str, object]) -> str:
    knobs = ", ".join(f"{name} {value}" for name, value in values.items() if name != "method")
    return f"{values['method']} ({knobs})" if knobs else str(values["method"])
