"""What a report suggests to try next."""

from typing import Any

from workers.recipe import Recipe
from workers.recipe.recipe import parse_recipe
from workers.report import Fidelity, Ratio, Report
from workers.report.advice import MOST, what_next
from workers.report.schema import NextRun
from workers.statistics.intervals import Interval


def suggested(report: Report, recipe: dict[str, Any], **changes: Any) -> dict[str, Any]:
    found = what_next(report.model_copy(update={"recipe": parse_recipe(recipe), **changes}))
    return {advice.goal or advice.action: advice.recipe for advice in found}


def test_a_result_that_nothing_real_has_judged_asks_for_data(report: Report) -> None:
    made_up = report.calibration.model_copy(update={"source": "fractals"})
    assert {"evaluate", "calibrate"} <= suggested(report, {"goal": "speed"}, fidelity=None, calibration=made_up).keys()
    assert "calibrate" not in suggested(report, {"goal": "data_free"}, fidelity=None, calibration=made_up)


def test_a_loss_leads_to_a_limit(report: Report, fidelity: Fidelity) -> None:
    lost = fidelity.model_copy(update={"drop": Interval(0.05, 0.03, 0.07)})
    assert "limit" in suggested(report, {"goal": "speed"}, fidelity=lost, constraint=None)
    chance = fidelity.model_copy(update={"drop": Interval(0.05, -0.03, 0.13)})
    assert "limit" not in suggested(report, {"goal": "speed"}, fidelity=chance, constraint=None)


def test_zeros_that_made_nothing_faster_lead_to_int8_after_them(report: Report) -> None:
    pruning = {"method": "layerwise_pruning", "sparsity_level": 0.7}
    told = suggested(report, {"steps": [pruning], "seed": 3})["int8"]
    assert told == {"steps": [pruning, {"method": "int8"}], "seed": 3}
    channels = {"steps": [pruning | {"pattern": "channel"}]}
    assert "int8" not in suggested(report, channels)
    assert "int8" not in suggested(report, {"steps": [pruning, {"method": "int8"}]})
    faster = report.benchmark.model_copy(update={"ratio": Ratio(value=2, low=1.9, high=2.1, significant=True)})
    assert "int8" not in suggested(report, {"steps": [pruning]}, benchmark=faster)


def test_slower_is_not_called_faster(report: Report) -> None:
    slower = report.benchmark.model_copy(update={"ratio": Ratio(value=0.7, low=0.6, high=0.8, significant=True)})
    found = what_next(report.model_copy(update={"recipe": parse_recipe({"goal": "speed"}), "benchmark": slower}))
    assert any("no faster" in advice.sentence for advice in found)


def test_a_suggested_recipe_keeps_what_belongs_to_the_model_and_joins_scopes(report: Report, fidelity: Fidelity) -> None:
    lost = {"fidelity": fidelity.model_copy(update={"drop": Interval(0.05, 0.03, 0.07)}), "constraint": None}
    given = {"preprocessing": {"scale_values": [255]}, "ignored_scope": {"names": ["first"]}}
    leave = NextRun(ignored_scope={"names": ("second",)}, error_share=0.8, bytes_given_up=1)
    found = suggested(report, {"steps": [{"method": "inq"}], **given}, **lost, next_run=leave)
    assert found["limit"] == {
        "goal": "limit",
        "preprocessing": {"scale_values": [255.0]},
        "ignored_scope": {"names": ["first"]},
    }
    assert found["ignore"]["ignored_scope"] == {"names": ["first", "second"]}


def test_every_suggested_recipe_is_valid_and_few_are_made(report: Report, fidelity: Fidelity) -> None:
    lost = fidelity.model_copy(update={"drop": Interval(0.05, 0.03, 0.07)})
    for recipe in ({"goal": "size"}, {"goal": "speed"}, {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.5}]}):
        found = what_next(report.model_copy(update={"recipe": parse_recipe(recipe), "fidelity": lost, "constraint": None}))
        assert 0 < len(found) <= MOST
        for advice in found:
            assert advice.recipe is None or Recipe.model_validate(advice.recipe)


def test_reports_with_bare_sentences_are_still_read(report: Report) -> None:
    document = report.model_dump(mode="json") | {"advice": ["Take 4 bits (--goal size)."]}
    assert Report.model_validate(document).advice == ()
