"""Layers that three values would ruin, which a ternary method solves on a finer grid.

By a rule these are the first, the last, small ones, and depthwise ones, with 9 or 25 weights a filter. EC2T's networks leave
them out too (Marban et al. 2020, section 4.2): the first layer reads the picture, the last one's errors are the answer's, and a
depthwise filter has no other weights that could make up for one. How many weights and bits the rule spends is one thing; where
they help most is another, and is measured.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, SerializeAsAny

from workers.methods.problem import Array, BitBudget, Family, LayerProblem, LayerSolution, Method
from workers.methods.solvers.bit_allocation import bits_by_size, quartering
from workers.methods.solvers.grids import uniform_grid

LEAST_BITS, MOST_BITS = 2, 8
TERNARY_BITS = 2

SensitiveBits = Annotated[
    int | None,
    Field(
        ge=LEAST_BITS,
        le=MOST_BITS,
        description="Mean bits of the layers that three values would ruin, on a finer grid; null: all are ternary.",
    ),
]
SensitiveShare = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Share of all weights that may be on a finer grid, besides that of the first, the last and depthwise ones.",
    ),
]
SensitiveAllocation = Annotated[
    Literal["optimal", "size"],
    Field(
        description="Which layers are on a finer grid: the first, the last, depthwise and the smallest ones (`size`), or, with "
        "as many weights and bits together, those that would harm the model's outputs most, as measured (`optimal`).",
    ),
]


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


class UndecidedLayer(Method):
    """A layer that is ternary or sensitive, as its harm to the model's outputs will tell: until then it has no answer."""

    method: str
    ternary: SerializeAsAny[Method]
    mean: float  # bits of a weight, over all layers that are undecided together
    share: float  # of their weights that may be on a finer grid

    @property
    def expected_bits(self) -> float:
        """The mean."""
        return self.mean

    @property
    def measured_bits(self) -> BitBudget:
        """Of all undecided layers; ternary is the least."""
        return BitBudget(self.mean, quartering(TERNARY_BITS, MOST_BITS), finer=self.share)

    def at_bits(self, bits: int) -> Method:
        """Ternary, or on a grid of so many."""
        return self.ternary if bits == TERNARY_BITS else SensitiveLayer(method=self.method, bits=bits)

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Raises NotImplementedError: `at_bits` gives the method that does."""
        raise NotImplementedError


def with_sensitive_layers(
    ternary: Mapping[str, Method],
    bits: int | None,
    share: float,
    allocation: Literal["optimal", "size"],
    sizes: Mapping[str, int],
    read: Callable[[str], Array],
) -> Mapping[str, Method]:
    """The `ternary` methods of some layers, by name, with the sensitive layers on a finer grid of `bits` in the mean.

    `sizes` and `read` are those of `Method.allocate`. The smallest layers, up to a `share` of all weights, count as sensitive.
    Where their harm is to be measured, which are sensitive is left undecided.
    """
    if bits is None:
        return ternary
    fine = {name: each for name, each in _on_fine_grid(bits, share, sizes, read).items() if name in ternary}
    if allocation == "optimal" and 0 < len(fine) < len(ternary):
        return _undecided(ternary, fine, sizes)
    return {
        name: SensitiveLayer(method=step.method, bits=fine[name]) if name in fine else step for name, step in ternary.items()
    }


def _undecided(ternary: Mapping[str, Method], fine: Mapping[str, int], sizes: Mapping[str, int]) -> Mapping[str, Method]:
    """Layers that share the weights and bits of the `fine` ones."""
    weights = sum(sizes[name] for name in ternary)
    mean = sum(sizes[name] * fine.get(name, TERNARY_BITS) for name in ternary) / weights
    most = sum(sizes[name] for name in fine) / weights
    return {name: UndecidedLayer(method=step.method, ternary=step, mean=mean, share=most) for name, step in ternary.items()}


def _on_fine_grid(bits: int, share: float, sizes: Mapping[str, int], read: Callable[[str], Array]) -> dict[str, int]:
    """The layers that are sensitive by rule, and their bits: `bits` in the mean, small ones more."""
    names = _sensitive(sizes, share, read)
    spent = bits_by_size([sizes[name] for name in names], bits, LEAST_BITS, MOST_BITS)
    return dict(zip(names, spent, strict=True))


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
