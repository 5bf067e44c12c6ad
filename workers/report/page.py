"""The report as one HTML file that loads nothing: style, script and images are inside."""

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined

from workers.recipe.goals import GOALS
from workers.report import charts, formatting
from workers.report.pareto_chart import plane
from workers.report.sample_gallery import Picture
from workers.report.schema import LayerReport, Report
from workers.report.terms import TERMS
from workers.report.training_chart import learning

FORMATS = ("metric", "percent", "drop", "loss", "limit", "significant", "size", "duration", "milliseconds", "factor")
INTERVALS = ("percent_interval", "drop_interval", "plain_interval")
WORST_LAYERS = 3
SOURCES = {"dataset": "samples of the given dataset", "fractals": "fractal images", "synthetic": "synthetic samples"}


def render_html(report: Report, *, pictures: Sequence[Picture] = (), contact_sheet: bytes | None = None) -> str:
    """The page; `contact_sheet` is a PNG of calibration samples."""
    templates = report_environment()
    return templates.get_template("report.html").render(
        **context(report),
        policy=content_security_policy(),
        style=_text(templates, "style.css"),
        script=_text(templates, "script.js"),
        pictures=pictures,
        contact_sheet=contact_sheet,
    )


def context(report: Report) -> dict[str, Any]:
    """What the sections of the page know."""
    return {
        "report": report,
        "fidelity": report.fidelity,
        "speed": report.benchmark,
        "class_names": _class_names(report),
        "verdict": report.constraint,
        "goal": GOALS[report.recipe.goal] if report.recipe.goal else None,
        "headline": formatting.headline(report),
        "charts": charts,
        "words": formatting,
        "plane": plane,
        "learning": learning,
        "sources": SOURCES,
        "worst": worst_layers(report.layers),
        "profile": {row.name: row for row in report.benchmark.profile} if report.benchmark else {},
        "recipe": json.dumps(report.recipe.brief(), indent=2),
    }


def _class_names(report: Report) -> dict[int, str]:
    classes = report.fidelity.classes if report.fidelity else ()
    return {row.label: row.name for row in classes if row.name}


def data_uri(png: bytes) -> str:
    """An image inside the page."""
    return "data:image/png;base64," + b64encode(png).decode()


def render_alone(name: str, **known: Any) -> str:
    """Another page in the style of the report, without a script."""
    templates = report_environment()
    style = _text(templates, "style.css")
    policy = f"default-src 'none'; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    return templates.get_template(name).render(style=style, policy=policy, **known)


def content_security_policy() -> str:
    """The policy under which the page works as it is meant to; it names its own style and script by their hashes."""
    templates = report_environment()
    style, script = (_hash(_text(templates, name)) for name in ("style.css", "script.js"))
    return f"default-src 'none'; img-src data:; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"


def worst_layers(layers: Sequence[LayerReport]) -> tuple[LayerReport, ...]:
    """The layers that carry most of the error, if they are known to."""
    known = [layer for layer in layers if layer.error_share]
    return tuple(sorted(known, key=lambda layer: layer.error_share or 0, reverse=True)[:WORST_LAYERS])


def report_environment(*loaders: BaseLoader, source: Callable[[Any], str] | None = None) -> Environment:
    """The templates of the report after those of other `loaders`; `source` gives the address of an image."""
    made = Environment(
        loader=ChoiceLoader([*loaders, PackageLoader("workers.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {name: getattr(formatting, name) for name in (*FORMATS, *INTERVALS)}
    made.filters["source"] = source or data_uri
    made.globals["terms"] = TERMS
    return made


def _text(templates: Environment, name: str) -> str:
    if templates.loader is None:
        raise RuntimeError("the templates are not packed with the program")
    return templates.loader.get_source(templates, name)[0]


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
