"""Candidates on the page, results side by side, and the model card."""

import json

import pytest

from workers.report import Report, render_card, render_html
from workers.report.card import escape_markdown
from workers.report.comparison import Column, render_comparison, rows_of
from workers.report.pareto_chart import HEIGHT, plane
from workers.report.schema import CandidateReport, Exploration
from workers.statistics.constraint import Verdict
from workers.statistics.intervals import Interval


def candidate(
    setting: float, zipped: int, agreement: float, *, chosen: bool = False, best: bool = True, met: bool | None = None
) -> CandidateReport:
    verdict = Verdict(
        metric="accuracy",
        max_drop=0.02,
        drop_type="absolute",
        met=met or "unverified",
        achieved=0.001,
        bound=0.01,
        n=500,
        samples_needed=None,
        reason="",
    )
    return CandidateReport(
        setting=setting,
        sparsity=setting,
        compressed_bytes=2 * zipped,
        zip_bytes=zipped,
        seconds=1.0,
        n=400,
        agreement=Interval(agreement, agreement - 0.01, min(agreement + 0.01, 1.0)),
        accuracy=None,
        relative_error=None,
        expected_drop=1 - agreement,
        expected_bound=1.01 - agreement,
        verdict=verdict if met is not None else None,
        chosen=chosen,
        on_front=best,
    )


@pytest.fixture
def explored(report: Report) -> Report:
    candidates = (
        candidate(0.5, 900, 0.99, met=True),
        candidate(0.7, 600, 0.98, chosen=True, met=True),
        candidate(0.75, 650, 0.95, best=False),
        candidate(0.9, 300, 0.6),
    )
    exploration = Exploration(
        requested=report.recipe,
        knob="sparsity_level",
        ended="out of time",
        seconds=60.0,
        selecting=400,
        judging=500,
        candidates=candidates,
        failed={"0.95": "it broke"},
    )
    return report.model_copy(update={"exploration": exploration})


def test_the_plane_puts_smaller_left_and_truer_up(explored: Report) -> None:
    assert explored.exploration is not None
    drawn = plane(explored.exploration)
    spots = drawn.spots
    assert spots[3].x < spots[1].x < spots[0].x
    assert spots[0].y < spots[1].y < spots[3].y <= HEIGHT
    assert [spot.role for spot in spots] == ["compressed", "chosen", "original", "compressed"]
    assert all(spot.low <= spot.y <= spot.high for spot in spots)
    assert [(one.x, other.x) for one, other in drawn.edges] == [(spots[3].x, spots[1].x), (spots[1].x, spots[0].x)]


def test_the_page_tells_every_candidate(explored: Report) -> None:
    page = render_html(explored)
    assert "4 candidates" in page
    assert "400 samples selected" in page
    assert "The time was up" in page
    assert "0.95 broke down: it broke" in page


def test_a_comparison_marks_only_what_is_better_beyond_doubt(report: Report) -> None:
    one = json.loads(report.model_dump_json())
    other = json.loads(report.model_dump_json())
    other["size"]["zip_bytes"] //= 2
    other["fidelity"]["agreement"] = {"value": 0.5, "low": 0.45, "high": 0.55}
    rows = {row.name: [best for _, best in row.cells] for row in rows_of([Column("a", one), Column("b", other)])}
    assert rows["size, zipped"] == [False, True]
    assert rows["same answers"] == [True, False]
    assert rows["accuracy"] == [False, False], "the same intervals"
    assert "<script" not in render_comparison([Column("<script>", one), Column("b", other)])


def test_the_card_states_the_verdict_and_escapes_names(report: Report) -> None:
    model = report.model.model_copy(update={"name": "evil|\x1b[31m\u202ename`\n# heading"})
    card = render_card(report.model_copy(update={"model": model}))
    assert card.startswith("# evil&#124;&#91;31mname&#96; # heading, compressed")
    assert "\n# heading" not in card
    assert report.constraint is None or escape_markdown(report.constraint.reason) in card
    for digest in report.provenance.outputs.values():
        assert digest in card
