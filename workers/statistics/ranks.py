"""Places in an order, ties told: all that rank statistics need, without what a package of statistics takes to import."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.intp]


def rank_bounds(values: NDArray[Any]) -> tuple[Places, Places]:
    """For each of `values` (n,), how many are smaller, and how many are not larger: the difference counts its ties."""
    ordered = np.sort(values)
    return np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
