"""Figures in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.recipe.recipe import parse_recipe
from workers.report import Fidelity, Ratio, Report, formatting
from workers.statistics.intervals import Interval


def plain(text: str) -> str:
    """With ordinary spaces and minus signs."""
    return text.replace(formatting.SPACE, " ").replace(formatting.MINUS, "-")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formatting.percent(0.91642), "91.6 %"),
        (formatting.percent(-0.287), "-28.7 %"),
        (formatting.percent(0.9998), "99.98 %"),
        (formatting.percent(0.99999), "99.99 %"),
        (formatting.percent(1.0), "100.0 %"),
        (formatting.percent(-0.0001), "0.0 %"),
        (formatting.drop(0.0133), "1.33 points"),
        (formatting.drop(-0.007), "-0.70 points"),
        (formatting.significant(1234.5), "1,234"),
        (formatting.significant(0.012345), "0.0123"),
        (formatting.significant(0), "0"),
        (formatting.significant(1.234e-5), "1.23e-05"),
        (formatting.tick(0.1 + 0.2), "0.3"),
        (formatting.size(999), "999 B"),
        (formatting.size(999_600), "1.00 MB"),
        (formatting.size(1_094_000), "1.09 MB"),
        (formatting.size(-550), "-550 B"),
        (formatting.tick_size(50_000), "50 kB"),
        (formatting.tick_size(0), "0 B"),
        (formatting.duration(0.31), "0.310 s"),
        (formatting.duration(0.0741), "74 ms"),
        (formatting.duration(0.0002), "1 ms"),
        (formatting.duration(0), "0 s"),
        (formatting.duration(75), "1 min 15 s"),
        (formatting.duration(2_114), "35 min"),
        (formatting.duration(7_500), "2 h 5 min"),
        (formatting.percent_interval(Interval(0.91, 0.89, 0.93)), "89.0 to 93.0 %"),
        (formatting.percent_interval(Interval(0.9998, 0.9994, 0.9999)), "99.9 to 99.99 %"),
        (formatting.percent_interval(Interval(0.9999, 0.9996, 1.0), 2), "99.96 to 100.00 %"),
        (formatting.drop_interval(Interval(0.003, -0.01, 0.02)), "-1.00 to 2.00 points"),
        (formatting.loss(0.5, "psnr"), "0.500"),
        (formatting.loss(0.01, "mAP", "relative"), "1.00 % of its value"),
        (formatting.plain_interval(Interval(3.5, None, None)), "unknown"),
    ],
)
def test_figures(text: str, expected: str) -> None:
    assert plain(text) == expected


@given(st.floats(0, 1e15))
def test_a_size_has_three_digits_at_most(count: float) -> None:
    number = plain(formatting.size(count)).split()[0]
    assert len(number.replace(".", "").replace(",", "").lstrip("0")) <= 4


def test_headline_with_accuracy(report: Report) -> None:
    assert (
        plain(formatting.headline(report))
        == "35 % of the weights are zero, the file is 1.4 times smaller, zipped 1.4 times, accuracy 91.6 → 91.0 %"
    )


def test_headline_of_a_map_tells_of_its_foreground(report: Report, fidelity: Fidelity) -> None:
    output = fidelity.outputs[0].model_copy(update={"foreground_agreement": Interval(0.871, 0.842, 0.893)})
    seen = fidelity.model_copy(update={"accuracy_original": None, "accuracy_compressed": None, "outputs": (output,)})
    text = plain(formatting.headline(report.model_copy(update={"fidelity": seen})))
    assert text.endswith("96.3 % of its decisions are unchanged, 87.1 % in the foreground")


def test_headline_begins_with_what_the_recipe_is_for(report: Report, fidelity: Fidelity) -> None:
    quantised = report.model_copy(update={"recipe": parse_recipe({"goal": "speed"})})
    assert report.benchmark is not None
    assert plain(formatting.headline(quantised)).startswith("No faster on this machine, the file is 1.4 times smaller")
    ratio = Ratio(value=1.5, low=1.4, high=1.6, significant=True)
    faster = quantised.model_copy(update={"benchmark": report.benchmark.model_copy(update={"ratio": ratio})})
    assert plain(formatting.headline(faster)).startswith("1.50 times as fast, the file is 1.4 times smaller")
    detector = fidelity.model_copy(update={"task": "detection"})
    assert plain(formatting.headline(report.model_copy(update={"fidelity": detector}))).startswith("Accuracy 91.6")


def test_headline_without_samples(report: Report) -> None:
    text = plain(formatting.headline(report.model_copy(update={"fidelity": None, "sparsity": 0.0})))
    assert text == "The file is 1.4 times smaller, zipped 1.4 times, and nothing is known about its answers"


def test_a_file_that_has_grown_is_not_called_smaller(report: Report) -> None:
    size = report.size.model_copy(update={"compressed_bytes": 2 * report.size.original_bytes})
    text = plain(formatting.headline(report.model_copy(update={"fidelity": None, "sparsity": 0.0, "size": size})))
    assert text.startswith("The file is no smaller, zipped 1.4 times smaller")
