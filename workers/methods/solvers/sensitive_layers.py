"""Layers that three values would ruin: the first, the last, small ones, and depthwise ones, with 9 or 25 weights a filter.

EC2T's networks leave them out too (Marban et al. 2020, section 4.2): the first layer reads the picture, the last one's errors
are the answer's, and a depthwise filter has no other weights that could make up for one.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from workers.methods.problem import Array, Family, LayerProblem, LayerSolution, Method
from workers.methods.solvers.bit_allocation import bits_by_size
from workers.methods.solvers.grids import uniform_grid

LEAST_BITS, MOST_BITS = 2, 8


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
    method: str, bits: int | None, share: float, sizes: Mapping[str, int], read: Callable[[str], Array]
) -> Mapping[str, SensitiveLayer]:
    """The sensitive layers of a step, by name, at `bits` in the mean, small ones at more; none without.

    The smallest other layers, up to a `share` of all weights, count as sensitive too.
    """
    if bits is None:
        return {}
    names = _sensitive(sizes, share, read)
    spent = bits_by_size([sizes[name] for name in names], bits, LEAST_BITS, MOST_BITS)
    return {name: SensitiveLayer(method=method, bits=each) for name, each in zip(names, spent, strict=True)}


def _sensitive(sizes: Mapping[str, int], share: float, read: Callable[[str], Array]) -> list[str]:
    """The first and the last layer, those with one output channel in each of several groups, and the smallest others."""
    ends = {*list(sizes)[:1], *list(sizes)[-1:]}
    found = [name for name in sizes if name in ends or _is_depthwise(read(name))]
    left = share * sum(sizes.values())
    for name in sorted(sizes.keys() - set(found), key=lambda name: (sizes[name], name)):
        left -= sizes[name]
        if left < 0:
            break
        found.append(name)
    return found


def _is_depthwise(weight: Array) -> bool:
    groups, rows, _ = weight.shape
    return bool(groups > 1 and rows == 1)
