"""Every figure with a question mark is explained, and every explanation belongs to a figure."""

import re
from pathlib import Path

from workers.report.terms import TERMS

ROOT = Path(__file__).parents[2]
TEMPLATES = [*ROOT.glob("workers/report/templates/**/*.html"), *ROOT.glob("service/dashboard/templates/**/*.html")]


def test_templates_ask_for_what_is_explained() -> None:
    text = "".join(path.read_text() for path in TEMPLATES)
    asked = set(re.findall(r'means\("(\w+)"\)|row\("(\w+)", ', text))
    named = {first or second for first, second in asked}
    assert named <= set(TERMS)
    assert {name for name in TERMS if f'"{name}"' not in text} == set(), "explained, and nowhere to be asked for"


def test_one_plain_sentence_and_a_little_more() -> None:
    for term in TERMS.values():
        assert term.meaning.endswith(".")
        assert term.more.endswith(".")
        assert len(term.meaning) < 150, term.title
