"""Layers that three values would ruin: the first, the last, and depthwise ones, with 9 or 25 weights a filter.

EC2T's networks leave them out too (Marban et al. 2020, section 4.2): the first layer reads the picture, the last one's errors
are the answer's, and a depthwise filter has no other weights that could make up for one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np

from workers.methods.problem import Array, Family, LayerProblem, LayerSolution, Method
from workers.methods.solvers.grids import uniform_grid


class SensitiveLayer(Method):
    """A layer that a method solves on a uniform grid, under the method's name."""

    family: ClassVar[Family | None] = "grid"

    method: str
    bits: int

    @property
    def expected_bits(self) -> float:
        """The bits of a code."""
        return float(self.bits)

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Integers times a step for every channel."""
        return LayerSolution(*uniform_grid(problem, self.bits))


def on_fine_grid(
    method: str, bits: int | None, sizes: Mapping[str, int], read: Callable[[str], Array]
) -> Mapping[str, SensitiveLayer]:
    """The sensitive layers of a step, by name, at `bits`; none without."""
    if bits is None:
        return {}
    return {name: SensitiveLayer(method=method, bits=bits) for name in _sensitive(list(sizes), read)}


def _sensitive(names: Sequence[str], read: Callable[[str], Array]) -> Iterator[str]:
    """The first and the last layer, and those with one output channel in each of several groups."""
    for name in names:
        groups, rows, _ = read(name).shape
        if name in (names[0], names[-1]) or (groups > 1 and rows == 1):
            yield name
