"""Parts of the page that do not need the whole of it."""

import html
import re
from base64 import b64decode, b64encode
from hashlib import sha256

import pytest

from workers.report import LayerReport, Report
from workers.report.page import (
    content_security_policy,
    context,
    data_uri,
    render_alone,
    render_html,
    report_environment,
    worst_layers,
)


def test_an_image_is_inside_the_page() -> None:
    head, _, content = data_uri(b"\x89PNG\xff").partition(",")
    assert (head, b64decode(content)) == ("data:image/png;base64", b"\x89PNG\xff")


def hashes(page: str, tag: str) -> set[str]:
    """Of what stands between the tags, as a browser computes them."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return {b64encode(sha256(text.encode()).digest()).decode() for text in found}


def test_the_policy_names_the_style_and_the_script_that_are_there(report: Report) -> None:
    page, policy = render_html(report), content_security_policy()
    for tag in ("style", "script"):
        found = hashes(page, tag)
        assert len(found) == 1
        assert all(f"'sha256-{each}'" in policy for each in found)
    assert "unsafe" not in policy
    assert "http:" not in policy


def layer(report: Report, name: str, share: float | None) -> LayerReport:
    return report.layers[0].model_copy(update={"name": name, "error_share": share})


@pytest.mark.parametrize(
    ("shares", "worst"),
    [
        ([], []),
        ([None, None], []),
        ([0.0, None], []),
        ([0.1, 0.5, None, 0.2, 0.15], ["1", "3", "4"]),
        ([0.2, 0.2], ["0", "1"]),
    ],
)
def test_the_worst_layers_come_first(report: Report, shares: list[float | None], worst: list[str]) -> None:
    layers = [layer(report, str(number), share) for number, share in enumerate(shares)]
    assert [found.name for found in worst_layers(layers)] == worst


def test_the_recipe_is_told_as_it_was_meant(report: Report) -> None:
    told = context(report)["recipe"]
    assert type(report.recipe).model_validate_json(told) == report.recipe


def test_templates_fail_aloud_and_escape_what_is_no_markup() -> None:
    templates = report_environment()
    assert templates.from_string("{{ x }}").render(x="<script>") == "&lt;script&gt;"
    with pytest.raises(Exception, match="'nothing' is undefined"):
        templates.from_string("{{ nothing }}").render()


def test_another_page_in_the_same_style_has_no_script() -> None:
    page = render_alone("comparison.html", columns=[], rows=[])
    (style,) = hashes(page, "style")
    assert f"sha256-{style}" in html.unescape(page)
    assert "<script" not in page
