"""Reports side by side, the words of the model card, and titles of recipes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.recipe.recipe import parse_recipe
from workers.recipe.title import recipe_title
from workers.report import Report
from workers.report.card import code, escape_markdown, render_card
from workers.report.comparison import Column, render_comparison, rows_of

INTERVAL = {"value": 0.9, "low": 0.88, "high": 0.92}


def report(**changes: Any) -> dict[str, Any]:
    plain = {
        "model": {"name": "net"},
        "recipe": {"steps": [{"method": "inq"}]},
        "size": {"compressed_bytes": 1000.0, "zip_bytes": 900.0},
        "sparsity": 0.0,
        "fidelity": {
            "accuracy_compressed": INTERVAL,
            "agreement": INTERVAL,
            "kl_divergence": {"value": 0.1, "low": 0.08, "high": 0.12},
        },
        "benchmark": {"ratio": {"value": 2.0, "low": 1.9, "high": 2.1}},
        "constraint": None,
    }
    return plain | changes


def best(row: str, *reports: dict[str, Any]) -> list[bool]:
    columns = [Column(str(number), each) for number, each in enumerate(reports)]
    (found,) = (each for each in rows_of(columns) if each.name == row)
    return [mark for _, mark in found.cells]


def fidelity(name: str, value: float, low: float | None, high: float | None) -> dict[str, Any]:
    plain = report()["fidelity"]
    return report(fidelity=plain | {name: {"value": value, "low": low, "high": high}})


def sized(count: float) -> dict[str, Any]:
    return report(size={"compressed_bytes": count, "zip_bytes": count})


def test_the_smallest_is_marked_unless_there_are_two() -> None:
    assert best("size", sized(3), sized(1), sized(2)) == [False, True, False]
    assert best("size", sized(1), sized(1)) == [False, False]
    assert best("size", sized(1)) == [False]


def test_the_best_lies_outside_all_other_intervals() -> None:
    def accuracy(value: float, low: float | None, high: float | None) -> dict[str, Any]:
        return fidelity("accuracy_compressed", value, low, high)

    assert best("accuracy", accuracy(0.9, 0.88, 0.92), accuracy(0.8, 0.78, 0.82)) == [True, False]
    assert best("accuracy", accuracy(0.9, 0.81, 0.95), accuracy(0.8, 0.78, 0.82)) == [False, False]
    assert best("accuracy", accuracy(0.9, None, None), accuracy(0.8, 0.78, 0.82)) == [False, False]
    assert best("accuracy", accuracy(0.9, 0.88, 0.92), report(fidelity=None)) == [False, False]
    assert best("accuracy", accuracy(0.9, 0.88, 0.92)) == [False]


def test_a_divergence_is_best_where_it_is_least() -> None:
    low, high = fidelity("kl_divergence", 0.1, 0.08, 0.12), fidelity("kl_divergence", 0.5, 0.4, 0.6)
    assert best("KL divergence", low, high) == [True, False]


def test_rows_that_no_report_has_are_left_out() -> None:
    names = {
        row.name
        for row in rows_of(
            [Column("a", report(benchmark=None, fidelity=None)), Column("b", report(benchmark=None, fidelity=None))]
        )
    }
    assert names == {"model", "steps", "size", "size, zipped", "zero weights"}


@pytest.mark.parametrize(("met", "words"), [(True, "met"), (False, "NOT MET"), ("unverified", "unverified")])
def test_verdicts_are_told(met: Any, words: str) -> None:
    (row,) = (
        row
        for row in rows_of(
            [Column("a", report(constraint={"met": met, "metric": "top1", "max_drop": 0.01, "drop_type": "absolute"}))]
        )
        if row.name == "constraint"
    )
    assert row.cells == ((f"{words} (Top-1 accuracy, at most 1.00\u00a0points)", False),)


def test_steps_are_told_with_their_sparsity() -> None:
    steps = [{"method": "layerwise_pruning", "sparsity_level": 0.5}, {"method": "int8"}]
    (row,) = (row for row in rows_of([Column("a", report(recipe={"steps": steps}))]) if row.name == "steps")
    assert row.cells[0][0] == "layerwise_pruning 0.5 + int8"


def test_the_page_shows_names_as_text() -> None:
    page = render_comparison([Column("<b>first</b>", report()), Column("second", report(model={"name": "<script>"}))])
    assert "&lt;b&gt;first" in page
    assert "<script" not in page
    assert "2.00" in page


# the model card


@settings(max_examples=30)
@given(st.text())
def test_no_name_is_markup_in_a_card(text: str) -> None:
    for escaped in (escape_markdown(text), code(text)):
        assert escaped.isprintable()
        assert "\n" not in escaped
        assert "`" not in escaped
        assert "|" not in escaped
    assert not set("<>[]*_\\") & set(escape_markdown(text))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain name", "plain name"),
        ("a_b", "a&#95;b"),
        ("[x](y)", "&#91;x&#93;(y)"),
        ("a\n\n# b", "a # b"),
        ("x\u202ey\x1b[2J", "xy&#91;2J"),
    ],
)
def test_marks_become_entities(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped


def test_a_card_names_the_model_and_its_steps(report: Report) -> None:
    hostile = report.model_copy(update={"model": report.model.model_copy(update={"name": "net|`x`\n# owned"})})
    card = render_card(hostile)
    assert "\n# owned" not in card
    for step in report.recipe.steps:
        assert escape_markdown(step.method) in card


# titles


@pytest.mark.parametrize(
    ("document", "title"),
    [
        ({"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.7}, {"method": "int8"}]}, "prune 70 %, then int8"),
        ({"steps": [{"method": "inq", "bits": 5}]}, "inq 5 bits"),
        ({"steps": [{"method": "inq", "bits": 5}], "constraint": {"max_drop": 0.01}}, "inq 5 bits"),
        (
            {"steps": [{"method": "inq", "bits": 5}], "constraint": {"max_drop": 0.01}, "search": {}},
            "inq 5 bits, within 1 point",
        ),
        (
            {"steps": [{"method": "inq", "bits": 5}], "constraint": {"max_drop": 0.025}, "search": {}},
            "inq 5 bits, within 2.5 points",
        ),
        (
            {"steps": [{"method": "inq", "bits": 5}], "constraint": {"max_drop": 0.05, "drop_type": "relative"}, "search": {}},
            "inq 5 bits, within 5 %",
        ),
    ],
)
def test_a_recipe_in_a_few_words(document: dict[str, Any], title: str) -> None:
    assert recipe_title(parse_recipe(document)) == title
