"""The report as files: JSON, the page and the model card, from the report and the pictures beside it."""

from collections.abc import Callable
from pathlib import Path

from workers.report.card import render_card
from workers.report.page import render_html
from workers.report.sample_gallery import read_pictures
from workers.report.schema import Report

CONTACT_SHEET = "calibration.png"


def write_pages(report: Report, out: Path) -> None:
    """Write report.json, report.html and model_card.md; samples/ and the contact sheet are there, if there are to be any."""
    sheet = out / CONTACT_SHEET
    page = render_html(
        report, pictures=read_pictures(out / "samples"), contact_sheet=sheet.read_bytes() if sheet.exists() else None
    )
    (out / "report.html").write_text(page)
    (out / "model_card.md").write_text(render_card(report))
    (out / "report.json").write_text(report.model_dump_json(indent=1))


def rewrite_report(out: Path, change: Callable[[Report], Report]) -> None:
    """Change a report that is written."""
    write_pages(change(Report.model_validate_json((out / "report.json").read_bytes())), out)
