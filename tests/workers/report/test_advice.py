"""What a report suggests to try next."""

from workers.recipe.recipe import parse_recipe
from workers.report import Fidelity, Report
from workers.report.advice import MOST, what_next
from workers.statistics.intervals import Interval


def of_goal(report: Report, name: str, **changes: object) -> str:
    return "\n".join(what_next(report.model_copy(update={"recipe": parse_recipe({"goal": name}), **changes})))


def test_a_result_that_nothing_real_has_judged_asks_for_data(report: Report) -> None:
    made_up = report.calibration.model_copy(update={"source": "fractals"})
    told = of_goal(report, "speed", fidelity=None, calibration=made_up)
    assert "--eval" in told
    assert "--data" in told
    assert "--data" not in of_goal(report, "data_free", fidelity=None, calibration=made_up)


def test_a_loss_leads_to_a_limit(report: Report, fidelity: Fidelity) -> None:
    lost = fidelity.model_copy(update={"drop": Interval(0.05, 0.03, 0.07)})
    assert "--goal limit" in of_goal(report, "speed", fidelity=lost, constraint=None)
    chance = fidelity.model_copy(update={"drop": Interval(0.05, -0.03, 0.13)})
    assert "--goal limit" not in of_goal(report, "speed", fidelity=chance, constraint=None)


def test_suggestions_are_few(report: Report) -> None:
    assert 0 < len(what_next(report.model_copy(update={"recipe": parse_recipe({"goal": "size"})}))) <= MOST
