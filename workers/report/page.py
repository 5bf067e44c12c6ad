"""The report as one HTML file that loads nothing: style, script and images are inside."""

import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from jinja2 import Environment, PackageLoader, StrictUndefined

from workers.report import charts, words
from workers.report.pictures import Picture
from workers.report.schema import LayerReport, Report

FORMATS = ("percent", "points", "significant", "size", "duration", "milliseconds", "factor")
INTERVALS = ("percent_interval", "points_interval", "plain_interval")
WORST_LAYERS = 3
SOURCES = {"dataset": "samples of the given dataset", "fractals": "fractal images", "synthetic": "synthetic samples"}


def render_html(report: Report, *, pictures: Sequence[Picture] = (), contact_sheet: bytes | None = None) -> str:
    """The page; `contact_sheet` is a PNG of calibration samples."""
    environment = _environment()
    return environment.get_template("report.html").render(
        report=report,
        headline=words.headline(report),
        policy=content_security_policy(),
        style=_text(environment, "style.css"),
        script=_text(environment, "script.js"),
        charts=charts,
        words=words,
        sources=SOURCES,
        pictures=pictures,
        contact_sheet=contact_sheet,
        worst=worst_layers(report.layers),
        profile={row.name: row for row in report.benchmark.profile} if report.benchmark else {},
        recipe=json.dumps(report.recipe.model_dump(mode="json", exclude_defaults=True), indent=2),
    )


def content_security_policy() -> str:
    """The policy under which the page works as it is meant to; it names its own style and script by their hashes."""
    environment = _environment()
    style, script = (_hash(_text(environment, name)) for name in ("style.css", "script.js"))
    return f"default-src 'none'; img-src data:; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"


def worst_layers(layers: Sequence[LayerReport]) -> tuple[LayerReport, ...]:
    """The layers that carry most of the error, if they are known to."""
    known = [layer for layer in layers if layer.error_share]
    return tuple(sorted(known, key=lambda layer: layer.error_share or 0, reverse=True)[:WORST_LAYERS])


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("workers.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {name: getattr(words, name) for name in (*FORMATS, *INTERVALS)}
    environment.filters["data_uri"] = lambda png: "data:image/png;base64," + b64encode(png).decode()
    return environment


def _text(environment: Environment, name: str) -> str:
    if environment.loader is None:
        raise RuntimeError("the templates are not packed with the program")
    return environment.loader.get_source(environment, name)[0]


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
