"""Accumulated portions: how much of a layer is frozen after each step of an incremental method."""

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator


def _rise_to_one(portions: tuple[float, ...]) -> tuple[float, ...]:
    steps = (0.0, *portions)
    if steps[-1] != 1 or not all(before < after for before, after in pairwise(steps)):
        raise ValueError("portions must rise strictly to 1, for example [0.5, 0.75, 0.875, 1]")
    return portions


Portions = Annotated[tuple[float, ...], AfterValidator(_rise_to_one)]
