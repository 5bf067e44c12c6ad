"""The page is whole, safe, and needs nothing but itself."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from workers.report import Fidelity, Picture, Report, content_security_policy, render_html
from workers.report.sample_gallery import encode_png

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Elements with their attributes, and the text; fails on elements that are closed in the wrong order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


def picture(original: int, compressed: int) -> Picture:
    return Picture(encode_png(np.zeros((8, 8, 3), np.uint8)), original, compressed, 0.9, 0.8, label=original)


def test_elements_are_closed_and_figures_are_there(report: Report) -> None:
    page = Page(render_html(report, pictures=[picture(3, 5)], contact_sheet=encode_png(np.zeros((4, 4, 1), np.uint8))))
    text = page.text.replace("\u00a0", " ").replace("\u2212", "-")
    for figure in (
        "91.60 %",
        "91.00 %",
        "0.70 points",
        "-0.40 to 1.90 points",
        "35.0 %",
        "conv2",
        "0.0200",
        "ab" * 32,
        "Its weights are not constant.",
        "2.50 kB",
    ):
        assert figure in text
    assert "ImageNet values were assumed" in text


def test_nothing_is_loaded(report: Report) -> None:
    html = render_html(report, pictures=[picture(1, 1)])
    addresses = [value for _, attributes in Page(html).elements for key, value in attributes.items() if key in ("src", "href")]
    assert all(value and value.startswith("data:image/png;base64,") for value in addresses)
    assert not re.search(r"https?://|@import|url\(", html)


def test_the_policy_allows_what_is_inside_and_nothing_else(report: Report) -> None:
    html = render_html(report)
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert content
        digest = b64encode(sha256(content[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in content_security_policy()
    inline = [key for _, attributes in Page(html).elements for key in attributes if key == "style" or key.startswith("on")]
    assert inline == []


def test_names_from_a_model_are_only_text(report: Report) -> None:
    hostile = "</title><script>alert(1)</script>"
    layers = (report.layers[0].model_copy(update={"name": hostile}), report.layers[1])
    model = report.model.model_copy(update={"name": hostile})
    html = render_html(report.model_copy(update={"layers": layers, "model": model}))
    assert [tag for tag, _ in Page(html).elements].count("script") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"fidelity": None},
        {"benchmark": None},
        {"constraint": None},
        {"layers": (), "skipped": ()},
        {"time": {}},
        {"fidelity": None, "benchmark": None, "constraint": None, "layers": ()},
    ],
)
def test_parts_may_be_missing(report: Report, changes: dict[str, Any]) -> None:
    assert "Before and after" in Page(render_html(report.model_copy(update=changes))).text


@pytest.mark.parametrize("measured", [True, False])
def test_speed_is_explained_where_it_was_measured(report: Report, measured: bool) -> None:
    shown = report if measured else report.model_copy(update={"benchmark": None})
    assert ("The factor of speed" in Page(render_html(shown)).text) is measured


def test_an_output_that_decides_nothing_is_shown(report: Report, fidelity: Fidelity) -> None:
    nothing = {"agreement": None, "kl_divergence": None, "foreground_agreement": None, "sqnr_db": None}
    output = fidelity.outputs[0].model_copy(update=nothing)
    no_accuracy = {"agreement": None, "accuracy_original": None, "accuracy_compressed": None, "drop": None}
    regression = fidelity.model_copy(update={**no_accuracy, "outputs": (output,)})
    text = Page(render_html(report.model_copy(update={"fidelity": regression}))).text
    assert "no decision" in text
    assert "cosine of 0.983" in text


@pytest.mark.parametrize(
    ("met", "sentence"),
    [(True, "Constraint met"), (False, "Constraint not met"), ("unverified", "Constraint unverified")],
)
def test_the_verdict_is_said(report: Report, met: bool | str, sentence: str) -> None:
    assert report.constraint
    verdict = report.constraint.model_copy(update={"met": met})
    text = Page(render_html(report.model_copy(update={"constraint": verdict}))).text
    assert sentence in text
    assert verdict.reason in text


def test_synthetic_samples_are_called_so(report: Report, fidelity: Fidelity) -> None:
    fractals = report.model_copy(update={"constraint": None, "fidelity": fidelity.model_copy(update={"source": "fractals"})})
    assert "not on real data" in Page(render_html(fractals)).text


def test_changed_pictures_are_marked(report: Report) -> None:
    page = Page(render_html(report, pictures=[picture(3, 5), picture(3, 3)]))
    assert [a["class"] for tag, a in page.elements if tag == "li" and "class" in a] == ["changed", "same"]
