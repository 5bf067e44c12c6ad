"""The page on forecasts shows what was recorded."""

import importlib.util

import pytest

from tests.contracts.test_documentation import ROOT

SPEC = importlib.util.spec_from_file_location("zoo", ROOT / "benchmarks" / "zoo.py")
assert SPEC is not None
assert SPEC.loader is not None
zoo = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(zoo)


def test_the_page_shows_the_forecasts_that_were_recorded() -> None:
    table = "\n".join(zoo.foreseen(zoo.read(ROOT / "benchmarks" / "results" / "forecasts.jsonl")))
    assert table in (ROOT / "docs" / "forecasts.md").read_text()


def test_a_forecast_is_off_by_the_same_factor_either_way() -> None:
    assert zoo.factor(2, 3) == zoo.factor(3, 2) == pytest.approx(1.5)
    assert zoo.compared(2e6, 3e6, 1e6, "MB") == "2 / 3 MB, 0.67"
