"""What a user asks for: the recipe file, the body of POST /v1/jobs and the options of `fractune optimize` are this class."""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from workers.methods import AnyStep
from workers.methods.ignored_scope import IgnoredScope
from workers.methods.problem import Pass

Fraction = Annotated[float, Field(gt=0, le=1)]


class Block(BaseModel):
    """A part of the recipe: frozen, and a misspelt key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, serialize_by_alias=True)


class Calibration(Block):
    """Where the calibration samples come from."""

    source: Literal["fractals", "dataset"] | None = Field(
        default=None, description="`dataset` when data is given, else `fractals`."
    )
    count: int = Field(
        default=1024, ge=1, le=100_000, description="How many samples calibrate; a dataset gives its first ones."
    )
    seed: int | None = Field(default=None, ge=0, description="Seed of the fractals; the recipe's seed when absent.")


class Preprocessing(Block):
    """From 0..255 pixels to the model's input: `(x - mean_values) / scale_values`, channel by channel."""

    mean_values: tuple[float, ...] | None = Field(default=None, description="Subtracted, in units of 0..255.")
    scale_values: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        default=None, description="Divided by, in units of 0..255."
    )
    layout: Literal["NCHW", "NHWC"] | None = Field(default=None, description="Read off the input's shape when absent.")
    color_order: Literal["RGB", "BGR"] = "RGB"
    resize: int | None = Field(default=None, ge=1, le=8192, description="Scale the shorter side to this many pixels.")
    crop: int | None = Field(default=None, ge=1, le=8192, description="Cut this many pixels square from the centre.")


class Constraint(Block):
    """How much of a metric may be lost; verified on held-out samples."""

    metric: Literal["accuracy", "agreement"] = "accuracy"
    max_drop: Fraction = Field(description="A fraction: 0.01 is one percentage point when `drop_type` is absolute.")
    drop_type: Literal["absolute", "relative"] = "absolute"


class BenchmarkSettings(Block):
    """Names as in OpenVINO's benchmark_app."""

    hint: Literal["latency", "throughput"] = "latency"
    niter: int = Field(default=100, ge=10, le=100_000, description="Interleaved rounds of original and compressed.")
    time: float = Field(default=20.0, gt=0, le=3600, description="Seconds after which no further round starts.")
    nthreads: int = Field(default=1, ge=1, le=1024)
    infer_precision: Literal["f32", "bf16", "f16"] | None = Field(
        default=None, description="The precision OpenVINO picks by itself when absent; the report states which."
    )
    pc: bool = Field(default=True, description="Time every operation of both models too, apart from the rounds.")


class Recipe(Block):
    """An ordered list of steps and the conditions under which they run."""

    steps: tuple[AnyStep, ...] = Field(min_length=1)
    calibration: Calibration = Calibration()
    preprocessing: Preprocessing = Preprocessing()
    constraint: Constraint | None = None
    benchmark: BenchmarkSettings | None = BenchmarkSettings()
    ignored_scope: IgnoredScope = IgnoredScope()
    shapes: dict[str, tuple[int, ...]] = Field(default_factory=dict, description="Input shapes, for inputs that are dynamic.")
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        for step, following in pairwise(self.steps):
            if isinstance(step, Pass) and step.closes:
                raise ValueError(f"{step.method} must be the last step, {following.method} cannot follow it")
        return self

    def brief(self) -> dict[str, Any]:
        """The recipe in JSON values, without what is left at its default."""
        steps = [
            {"method": step.method, **step.model_dump(mode="json", exclude_defaults=True, by_alias=True)} for step in self.steps
        ]
        return {**self.model_dump(mode="json", exclude_defaults=True), "steps": steps}
