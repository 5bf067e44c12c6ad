"""Which levels of taking operations back are kept in reserve."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.report.schema import OperationHarm
from workers.run.int8_search import SPARE, operation_curve, spare_levels


@pytest.mark.parametrize(
    ("harms", "levels"),
    [
        ([8.0, 4.0, 2.0, 1.0, 1.0], (1, 3)),  # levels leave 1, 2, 4, 8 and 16
        ([100.0, 1.0, 1.0], (1,)),
        ([1.0, 1.0], (0,)),
        ([1.0], ()),
        ([0.0, 0.0], ()),
    ],
)
def test_spare_levels_leave_an_eighth_and_half_of_the_harm(harms: list[float], levels: tuple[int, ...]) -> None:
    assert spare_levels(harms) == levels


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_spare_levels_are_milder_than_int8_everywhere(harms: list[float]) -> None:
    found = spare_levels(harms)
    assert list(found) == sorted(set(found))
    for level in found:
        assert 0 <= level < len(harms) - 1
        assert sum(harms[len(harms) - 1 - level :]) <= SPARE[-1] * float(np.sum(harms)) * (1 + 1e-9)


def test_a_level_saves_and_harms_what_the_operations_it_leaves_do() -> None:
    order = tuple(
        OperationHarm(name=name, harm=harm, gain=gain) for name, harm, gain in [("a", 4, 1), ("b", 2, -1), ("c", 1, 3)]
    )
    assert operation_curve(order) == ((3, 1), (3, 3), (4, 7)), "c alone, then with b, whose loss of time is none, then with a"
