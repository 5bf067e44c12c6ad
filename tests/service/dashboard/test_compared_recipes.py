"""What two jobs to be compared differ in."""

from service.dashboard.views.compare import _differing


def test_parts_of_a_recipe_that_are_left_at_their_defaults_are_told() -> None:
    steps = [{"method": "inq"}]
    found = _differing([{"steps": steps, "pareto": {}}, {"steps": steps}, {"steps": steps, "constraint": {"max_drop": 0.1}}])
    assert found == {
        "constraint": ["no", "no", "yes"],
        "pareto": ["yes", "no", "no"],
        "constraint.max_drop": ["", "", "0.1"],
    }


def test_settings_that_are_alike_are_not() -> None:
    steps = [{"method": "inq", "bits": 4}, {"method": "int8"}]
    assert _differing([{"steps": steps, "seed": 1}, {"steps": steps, "seed": 1}]) == {}
    assert _differing([{"steps": steps, "benchmark": None}, {"steps": steps}]) == {"benchmark": ["none", ""]}
