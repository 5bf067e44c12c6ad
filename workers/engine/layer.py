"""A layer on its way through the engine: what is to be done with it, and what became of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import openvino as ov

from workers.ir.graph.edit import read_weight
from workers.ir.graph.layers import Float32, Indices, Layer
from workers.methods.problem import Array, LayerProblem, LayerSolution, Mask, Method, Step


class Solves(Protocol):
    """Whatever answers layer problems: a method of the catalogue, or a part of a pass."""

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Answer one layer; the problem's arrays are not written to."""


@dataclass(frozen=True, slots=True)
class LayerResult:
    """What became of one layer."""

    layer: Layer
    steps: tuple[Step, ...]  # that changed it
    original: Float32  # (g, r, c)
    weight: Float32  # (g, r, c)
    scale: Array | None  # LayerSolution.scale of the last method
    biases: Mapping[str, Array]  # (channels,) by operation
    relative_error: float  # E‖z − Ŵ y‖² / E‖z‖², about the means
    samples: int  # that its statistics were taken from
    statistics: Mapping[str, float]
    channels: Indices | None = None  # the original's output channels that are left, where some were removed
    own_error: float | None = None  # E‖(W − Ŵ) y‖² / E‖W y‖², about the means: of the new weights alone, where it is known


@dataclass(frozen=True, slots=True)
class LayerTask:
    """A layer as it stands, and the methods that are to solve it one after another."""

    layer: Layer
    methods: tuple[Solves, ...]
    values: Float32 = field(repr=False)  # (g, r, c), as the model holds them
    earlier: LayerResult | None = None  # of the steps before

    @property
    def weight(self) -> Array:
        """The weights W (g, r, c) for calculations."""
        return self.values.astype(np.float64)

    @property
    def original(self) -> Float32:
        """The weights (g, r, c) before all steps."""
        return self.earlier.original if self.earlier else self.values

    @property
    def support(self) -> Mask | None:
        """Where the steps before left a weight (g, r, c); None where there were none."""
        return self.values != 0 if self.earlier and self.earlier.steps else None

    @property
    def propagation(self) -> float:
        """How much of what the layers before have lost the target makes up for: as much as any of the methods asks for."""
        return max((method.propagation for method in self.methods if isinstance(method, Method)), default=1.0)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that will have changed the layer."""
        before = self.earlier.steps if self.earlier else ()
        return (*before, *(method for method in self.methods if isinstance(method, Step)))


LayerPlan = Iterable[tuple[Layer, tuple[Solves, ...]]]
NOTHING_YET: Mapping[str, LayerResult] = {}


def make_tasks(model: ov.Model, plan: LayerPlan, earlier: Mapping[str, LayerResult] = NOTHING_YET) -> list[LayerTask]:
    """The tasks of a plan on `model`; `earlier` are the results of the steps before, by layer name."""
    return [LayerTask(layer, methods, read_weight(model, layer), earlier.get(layer.name)) for layer, methods in plan]
