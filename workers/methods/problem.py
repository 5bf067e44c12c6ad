"""The question a method answers about one layer, and the shape of its answer.

A layer computes `W x` from its inputs x. In the compressed model the inputs are y, and the method looks for the allowed
weights Ŵ that minimise E‖W x − Ŵ y‖². With H = E[y yᵀ] and the unconstrained optimum W* = E[W x yᵀ] H⁻¹, that is

    minimise  tr((Ŵ − W*) H (Ŵ − W*)ᵀ)   over the allowed Ŵ.

Arrays carry a leading axis of convolution groups, so that a depthwise convolution is one problem and not a thousand:
g groups, r rows (output channels of a group), c columns (weights of one output channel).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.config import JsonDict

from workers.methods.ignored_scope import IgnoredScope, LayerSettings
from workers.threads import ALONE, Threads

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Work = NDArray[Any]

FOR_SOME_LAYERS = ("ignored_scope", "layers")  # knobs, in the order in which they are shown

Ladder = tuple[str, tuple[float, ...]]  # a knob and its values
Levels = Literal["grid", "powers"]  # on which error curves by bits are measured

FLOAT_BITS = 32.0
MILDER = 0.2  # of sparsity, the distance of levels where one step milder is worth a try
SINGLE_PRECISION_FROM = 256  # columns; beyond, products with H dominate and float32 halves them


@dataclass(frozen=True, slots=True)
class LayerProblem:
    """One layer, posed: find allowed weights near `target` in the metric of `hessian`."""

    name: str
    target: Array  # (g, r, c)  W*, the unconstrained optimum
    hessian: Work  # (g, c, c)  H = E[y yᵀ], centred and damped: positive definite; float32 where products with it are
    original: Array  # (g, r, c)  W, off which codebooks and importance are read
    support: Mask | None = None  # (g, r, c)  where an earlier step allows a non-zero; None allows all
    taps: int = 1  # columns of one input channel, which follow one another: the positions of a kernel
    threads: Threads = ALONE  # that may share the work

    def error(self, weight: Array) -> float:
        """tr((Ŵ − W*) H (Ŵ − W*)ᵀ) of `weight` (g, r, c), summed over the groups."""
        return float(self.row_errors(weight).sum())

    def row_errors(self, weight: Array) -> Array:
        """The same of every row, (g, r)."""
        deviation = weight - self.target
        image = self.threads.product(deviation.astype(self.hessian.dtype, copy=False), self.hessian)
        return np.asarray(np.einsum("grc,grc->gr", image, deviation), np.float64)

    def in_units_of(self, scale: Array) -> "LayerProblem":
        """The problem with every row divided by its `scale` (g, r, 1): errors are then relative to it."""
        return replace(self, target=self.target / scale, original=self.original / scale)


@dataclass(frozen=True, slots=True)
class LayerSolution:
    """Allowed weights, exactly as inference will use them once rounded to float32."""

    weight: Array  # (g, r, c)
    # Broadcasts to (g, r, c), positive: weight / scale are integers, or few levels that rows share. It is how they are stored
    # in few bits (both rounded by `half`, unless integers); None for free values, and for values of every row's own.
    scale: Array | None = None
    statistics: Mapping[str, float] = field(default_factory=dict)  # what the method's paper reports about a layer
    free: bool = False  # whether a weight that is left may take any value


def working_precision(hessian: Work) -> type[np.floating[Any]]:
    """The type in which a solver holds products with `hessian` (g, c, c)."""
    return np.float32 if hessian.shape[-1] > SINGLE_PRECISION_FROM else np.float64


def single(values: Array) -> Array:
    """`values` rounded to float32, the type in which inference will read them."""
    return values.astype(np.float32).astype(np.float64)


def half(values: Array) -> Array:
    """`values` rounded to the 11 significant bits of half precision: products of two such numbers are exact in float32."""
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.rint(mantissa * 2**11) / 2**11, exponent), np.float64)


def _require_method(schema: JsonDict) -> None:
    """The name has a default for Python's sake; in JSON it tells the steps apart. What is for some layers comes last."""
    required, properties = schema.get("required", []), schema["properties"]
    assert isinstance(required, list)
    assert isinstance(properties, dict)
    schema["required"] = ["method", *required]
    for name in FOR_SOME_LAYERS:
        if name in properties:
            properties[name] = properties.pop(name)


@dataclass(frozen=True, slots=True)
class BitBudget:
    """Bits that layers share, so many for a weight on average."""

    mean: float
    errors: Mapping[int, float] = field(hash=False)  # a layer's at each number of bits that it can have, up to a factor
    levels: Levels = "grid"
    finer: float = 1.0  # share of the weights that may have more than the least bits

    @property
    def open(self) -> bool:
        """Whether there is anything to choose."""
        return min(self.errors) < self.mean < max(self.errors)


Family = Literal[
    "masked", "grid", "codebook", "powers", "ternary", "priced_ternary"
]  # how weights stay in a method's set while they train


class Step(BaseModel, ABC):
    """An entry of a recipe: its fields are the knobs, nothing else is. What others must know of it, it declares here."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, json_schema_extra=_require_method)

    exact: ClassVar[bool] = False  # whether the outputs stay as they are, up to rounding: they are then compared
    opens: ClassVar[bool] = False  # whether it must be the first step: it changes what there is to plan for
    closes: ClassVar[bool] = False  # whether no later step can follow, for want of weights in floating point
    needs_package: ClassVar[str | None] = None  # that an extra of the step's name installs
    trains: ClassVar[bool] = False  # whether it trains the weights that earlier steps have compressed
    compresses_tables: ClassVar[bool] = False  # whether it reaches tables of embeddings, which are no layers
    runs_compressed: ClassVar[bool] = False  # whether weights are decoded as the model runs, and take less memory

    method: str

    @property
    def rewrites_graph(self) -> bool:
        """Whether a module of `workers.passes` carries the step out, and not a solution layer by layer."""
        return True

    @property
    def own_scope(self) -> IgnoredScope | None:
        """Operations that this step alone leaves as they are."""
        return None

    @property
    def expected_bits(self) -> float:
        """Bits that a weight will take which is not zero: for forecasts."""
        return FLOAT_BITS

    @property
    def expected_channel_bits(self) -> float:
        """Bits besides for every output channel, of its scale or its own values: for forecasts."""
        return 0.0

    @property
    def expected_sparsity(self) -> float:
        """Share of the weights that will be zero: for forecasts."""
        return 0.0

    def reaches(self, number: int, count: int) -> bool:
        """Whether the step changes a layer, by its number among `count` layers."""
        return True

    def ladder(self, resolution: float) -> Ladder | None:
        """The knob that a search turns, and its values from the mildest to the hardest; None where there is none.

        `resolution` is the distance of values that lie close.
        """
        return None


class PerLayer(Step, ABC):
    """A step that may go by other knobs in some layers, and leave some alone."""

    unshared: ClassVar[str] = "uniform"  # the `allocation`, where there is one, of layers that share no budget

    ignored_scope: IgnoredScope = Field(
        default=IgnoredScope(), description="Layers that this step leaves as they are, besides the recipe's ignored_scope."
    )
    layers: tuple[LayerSettings, ...] = Field(
        default=(), max_length=1000, description='Other knobs for some layers: [{"scope": {"names": ["conv1"]}, "bits": 8}].'
    )

    @model_validator(mode="after")
    def _check_layers(self) -> Self:
        for number, settings in enumerate(self.layers):
            try:
                self.set_for(settings)
            except ValidationError as error:
                faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False)]
                raise ValueError(f"layers.{number}: {'; '.join(faults)}") from error
        return self

    @property
    def own_scope(self) -> IgnoredScope:
        """Besides the recipe's."""
        return self.ignored_scope

    def alike(self) -> Self:
        """The step for the layers that go by no settings of their own."""
        return self.model_copy(update={"layers": (), "ignored_scope": IgnoredScope()})

    def set_for(self, settings: LayerSettings) -> Self:
        """The step for the layers of `settings`, each by itself: no budget is shared. Raises ValidationError, ValueError."""
        knobs = settings.model_extra or {}
        if not knobs or knobs.keys() & {"method", *FOR_SOME_LAYERS}:
            raise ValueError("layers: beside `scope` stand knobs of the step, at least one")
        alone = {"allocation": self.unshared} if "allocation" in type(self).model_fields else {}
        return type(self).model_validate({**self.model_dump(exclude={*FOR_SOME_LAYERS}), **alone, **knobs})


class Method(PerLayer, ABC):
    """A step that compresses layer by layer: a set of allowed weights, and how to choose among them."""

    family: ClassVar[Family | None] = None  # of the set of allowed weights; None where `finetune` cannot follow
    propagation: ClassVar[float] = 1.0  # how much of what the layers before have lost its targets make up for
    effort: ClassVar[float] = 1.0  # of solving a layer, where that of pruning it is 1: for the forecast of time
    in_portions: ClassVar[bool] = False  # whether a layer is solved portion by portion, each of which costs some time besides
    stores_tables: ClassVar[bool] = False  # whether it has a form for tables whose rows are looked up, not multiplied

    @model_validator(mode="after")
    def _check_layerwise(self) -> Self:
        if self.layers and self.rewrites_graph:
            raise ValueError("layers: whole channels are chosen over the network, layer by layer there is nothing to set")
        return self

    @abstractmethod
    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Answer one layer. Pure: the problem's arrays are not written to."""

    @property
    def rewrites_graph(self) -> bool:
        """A method does not."""
        return False

    def allocate(self, sizes: Mapping[str, int], read: Callable[[str], Array]) -> Mapping[str, "Method"]:
        """The method for each layer that it is to compress, by name.

        `sizes` are the numbers of weights of all layers in topological order; `read` gives the weights (g, r, c) of one.
        """
        return dict.fromkeys(sizes, self)

    def store(self, table: Array) -> LayerSolution:
        """The form of a table (1, r, c), for methods with `stores_tables`."""
        raise NotImplementedError

    def expected_bits_of(self, sizes: Mapping[str, int], read: Callable[[str], Array]) -> Mapping[str, float]:
        """`expected_bits` of each layer, by name, where they differ; of what `read` gives only the shapes are known."""
        return {}

    @property
    def measured_level(self) -> float | None:
        """The sparsity over all layers whose levels are to be chosen by what they do to the outputs; None for others."""
        return None

    def at_level(self, level: float) -> "Method | None":
        """The method for a layer of that sparsity; None where the layer is to stay as it is."""
        return self

    @property
    def measured_bits(self) -> BitBudget | None:
        """Bits to be shared among the layers by what they cost the outputs; None for others."""
        return None

    def at_bits(self, bits: int) -> "Method":
        """The method for a layer of so many bits."""
        return self

    def milder(self) -> tuple[str, float] | None:
        """The knob that a search would turn, at its next milder value; None where there is none."""
        found = self.ladder(MILDER)
        if found is None:
            return None
        knob, values = found
        own = getattr(self, knob)
        place = values.index(own) if own in values else 0  # a share of a budget can be milder than what a recipe can ask for
        return (knob, values[place - 1]) if place else None

    @property
    def measures(self) -> bool:
        """Whether something is chosen for each layer by what it costs the outputs, at the price of measuring that."""
        return self.measured_level is not None or bool(self.measured_bits and self.measured_bits.open)


class Pass(Step, ABC):
    """A step that rewrites the graph, as `workers.passes` knows how; it stands between the methods before and after it."""
