"""What a user asks for: the recipe file, the body of POST /v1/jobs and the options of `fractune optimize` are this class."""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workers.errors import InvalidRecipe
from workers.methods import AnyStep
from workers.methods.ignored_scope import IgnoredScope, Name
from workers.methods.problem import Method
from workers.recipe.faults import deepest_faults, in_words
from workers.recipe.goals import GOALS, GoalName, with_goal

INVERSION_STEPS = 3  # unless the recipe says otherwise
INFORMING, DECIDING = 128, 256  # held-out samples that are drawn when none are given

Fraction = Annotated[float, Field(gt=0, le=1)]
TaskName = Literal[
    "classification", "multilabel", "detection", "segmentation", "regression", "embedding", "image", "text_lines", "other"
]
Metric = Literal[
    "accuracy", "agreement", "kl_divergence", "top1", "top5", "f1", "auc", "mAP", "mAP50", "mIoU", "psnr", "ssim", "rmse",
    "mae", "r2", "spearman", "recall_at_k", "cer", "relative_error", "custom",
]  # fmt: skip
HEADS = (
    "yunet", "nanodet", "nanodet_plus", "suppressed", "detection_output", "centernet", "yolov5", "yolov8", "yolox", "ssd",
    "yolov10",
)  # fmt: skip
UNBOUNDED = frozenset({"custom", "kl_divergence", "psnr", "rmse", "mae"})  # in units of their own


class Block(BaseModel):
    """A part of the recipe: frozen, and a misspelt key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, serialize_by_alias=True)


class Calibration(Block):
    """Where the calibration samples come from."""

    source: Literal["fractals", "dataset"] | None = Field(
        default=None, description="`dataset` when data is given, else `fractals`."
    )
    count: int = Field(
        default=1024,
        ge=1,
        le=100_000,
        description="How many samples calibrate; of a dataset they are drawn, as many of each class as it has.",
    )
    seed: int | None = Field(
        default=None, ge=0, description="Seed of the fractals, or of the draw; the recipe's seed when absent."
    )
    inversion_steps: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Steps by which fractals are moved towards what the model recognises (model inversion); 0 leaves them as "
        f"they are. When absent {INVERSION_STEPS}, where torch is installed and can follow the model.",
    )


MOST_PIXEL = 1e6  # beyond it nothing that was a pixel is left of a value in single precision


class Preprocessing(Block):
    """From 0..255 pixels to the model's input: `(x - mean_values) / scale_values`, channel by channel."""

    mean_values: tuple[Annotated[float, Field(ge=-MOST_PIXEL, le=MOST_PIXEL)], ...] | None = Field(
        default=None, max_length=1024, description="Subtracted, in units of 0..255."
    )
    scale_values: tuple[Annotated[float, Field(ge=1 / MOST_PIXEL, le=MOST_PIXEL)], ...] | None = Field(
        default=None, max_length=1024, description="Divided by, in units of 0..255."
    )
    layout: Literal["NCHW", "NHWC"] | None = Field(default=None, description="Read off the input's shape when absent.")
    color_order: Literal["RGB", "BGR"] = "RGB"
    resize: int | None = Field(default=None, ge=1, le=8192, description="Scale the shorter side to this many pixels.")
    crop: int | None = Field(default=None, ge=1, le=8192, description="Cut this many pixels square from the centre.")
    fit: Literal["cover", "stretch", "letterbox"] | None = Field(
        default=None,
        description="How pictures of another shape are brought to the input's when neither resize nor crop is set: scaled to "
        "cover it and cut, stretched, or scaled to fit and framed in grey. "
        "`letterbox` for detectors and lines of text, else `cover`, when absent.",
    )


class Constraint(Block):
    """How much of a metric may be lost; verified on held-out samples."""

    metric: Metric = Field(
        default="accuracy",
        description="`accuracy` is the metric of the task against the labels, `agreement` the same against the original's "
        "answers and needs none; the others are metrics by name, against the labels where there are any.",
    )
    max_drop: Annotated[float, Field(gt=0)] = Field(
        description="A fraction: 0.01 is one percentage point when `drop_type` is absolute. In nats for kl_divergence, in dB "
        "for psnr, in the unit of the labels for rmse and mae."
    )
    drop_type: Literal["absolute", "relative"] = "absolute"

    @model_validator(mode="after")
    def _check_unit(self) -> Self:
        if self.metric == "kl_divergence" and self.drop_type == "relative":
            raise ValueError("a divergence starts from 0, so that drop_type must be `absolute`")
        if self.max_drop > 1 and (self.metric not in UNBOUNDED or self.drop_type == "relative"):
            raise ValueError("max_drop must be at most 1, that is 100 %")
        return self


RESOLUTION = 0.05  # of a search or a front: the distance of neighbouring sparsity levels
SEARCH_TIME = 3600.0  # seconds


class Search(Block):
    """Look for the most compressed model that keeps the constraint, by varying how hard one step of the recipe presses.

    Varied is `sparsity_level` of layerwise_pruning or, without it, `bits`; with `int8` alone, which operations stay in floating
    point. The recipe's own setting is tried first.
    """

    max_time: float = Field(
        default=SEARCH_TIME, gt=0, le=7 * 86400, description="Seconds after which no further candidate starts."
    )
    resolution: float = Field(default=RESOLUTION, ge=0.01, le=0.25, description="Distance of neighbouring sparsity levels.")
    objective: Literal["latency", "size", "zip"] = Field(
        default="latency",
        description="Where int8 is searched: operations go back to floating point in the order of what they harm for the time, "
        "or the bytes, that they save.",
    )
    max_bytes: int | None = Field(
        default=None, ge=1, description="Look instead for the least compressed model whose files are no larger than this."
    )


class Pareto(Block):
    """Make several models that press differently hard, and keep those that no other beats in both size and fidelity.

    They are placed where the error that is foreseen bends, or evenly where no layer was profiled.
    """

    points: int = Field(default=5, ge=2, le=20, description="Models besides those of a search.")


class BenchmarkSettings(Block):
    """Names as in OpenVINO's benchmark_app."""

    hint: Literal["latency", "throughput"] = "latency"
    niter: int = Field(default=100, ge=10, le=100_000, description="Interleaved rounds of original and compressed.")
    time: float = Field(default=20.0, gt=0, le=3600, description="Seconds after which no further round starts.")
    nthreads: int = Field(default=1, ge=1, le=1024)
    batch: int = Field(default=1, ge=1, le=4096, description="Samples of one inference, for a model that takes batches.")
    nstreams: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Inferences that run at once, with the throughput hint; OpenVINO's when absent.",
    )
    nireq: int | None = Field(
        default=None, ge=1, le=1024, description="Requests under way, with the throughput hint; as many as suit when absent."
    )
    shapes: dict[Name, Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=32)]] = Field(
        default_factory=dict,
        max_length=256,
        description="Shapes of inputs, batch included; those of one calibration sample when absent.",
    )
    infer_precision: Literal["f32", "bf16", "f16"] | None = Field(
        default=None, description="The precision OpenVINO picks by itself when absent; the report states which."
    )
    pc: bool = Field(default=True, description="Time every operation of both models too, apart from the rounds.")
    memory: bool | None = Field(
        default=None,
        description="Measure what both models take once loaded, each in a fresh process (Linux). Where weights stay compressed "
        "when absent.",
    )

    @model_validator(mode="after")
    def _check_hint(self) -> Self:
        given = [name for name in ("nstreams", "nireq") if (getattr(self, name) or 1) > 1]
        if self.hint == "latency" and given:
            raise ValueError(f"{', '.join(given)}: a latency is that of one inference at a time, set `hint` to throughput")
        return self


class Recipe(Block):
    """An ordered list of steps and the conditions under which they run."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.pop("required"))  # a goal brings the steps

    goal: GoalName | None = Field(
        default=None, description="What is wanted: what the recipe leaves out, its steps for one, is then as the goal has it."
    )
    steps: tuple[AnyStep, ...] = Field(min_length=1, max_length=16, description="What is done, in this order.")
    calibration: Calibration = Calibration()
    calibrate_on: Literal["compressed", "original"] = Field(
        default="compressed",
        description="Whose inputs a layer is solved on: those of the model as compressed so far, which makes up for the layers "
        "before it, or the original's, which takes one pass less and lets idle workers share the layers of the job.",
    )
    preprocessing: Preprocessing = Preprocessing()
    task: TaskName | None = Field(
        default=None, description="What the model answers; read off its outputs and the labels when absent."
    )
    decoder: str | None = Field(
        default=None,
        max_length=200,
        description="How the outputs are decoded: the name of a detector's head, for example yolov8, or the SHA-256 of an "
        "uploaded model that turns them into boxes, scores and labels, or a class_map, or an embedding; found when absent.",
    )
    check_original: bool = Field(
        default=True,
        description="Stop where labels show that the original guesses, or does clearly better with other preprocessing. False "
        "insists on the preprocessing as it is.",
    )
    constraint: Constraint | None = None
    search: Search | None = None
    pareto: Pareto | None = None
    benchmark: BenchmarkSettings | None = BenchmarkSettings()
    ignored_scope: IgnoredScope = IgnoredScope()
    shapes: dict[Name, Annotated[tuple[int, ...], Field(max_length=32)]] = Field(
        default_factory=dict,
        max_length=256,
        description="Shapes in which inputs of open shape are calibrated; the result keeps what is open.",
    )
    batch: dict[Name, Literal[0] | None] = Field(
        default_factory=dict,
        max_length=256,
        description="By input: 0 where its first axis is the samples', null where a sample has no such axis. What is not named "
        "is found out by running two samples stacked and one by one.",
    )
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, document: Any) -> Any:
        return with_goal(document)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        for step, following in pairwise(self.steps):
            if step.closes:
                raise ValueError(f"{step.method} must be the last step, {following.method} cannot follow it")
            if following.opens:
                raise ValueError(f"{following.method} must be the first step, {step.method} cannot stand before it")
        return self

    @model_validator(mode="after")
    def _check_training(self) -> Self:
        for number, step in enumerate(self.steps):
            last = next((each for each in reversed(self.steps[:number]) if isinstance(each, Method)), None)
            if step.trains and last and last.family is None:
                raise ValueError(f"{step.method} cannot follow {last.method}: it is not known how such weights train")
        return self

    @model_validator(mode="after")
    def _check_search(self) -> Self:
        if self.search and not self.constraint and self.search.max_bytes is None:
            raise ValueError("a search needs a `constraint`, or `max_bytes`, to tell what it looks for")
        return self

    @property
    def drawn_judges(self) -> int:
        """How many held-out samples are drawn when none are given: twice as many where they decide."""
        return DECIDING if self.constraint or self.search or self.pareto else INFORMING

    def brief(self) -> dict[str, Any]:
        """The recipe in JSON values, without what is left at its default."""
        steps = [
            {"method": step.method, **step.model_dump(mode="json", exclude_defaults=True, by_alias=True)} for step in self.steps
        ]
        whole, brief = self.model_dump(mode="json"), self.model_dump(mode="json", exclude_defaults=True)
        kept = {name: whole[name] for name in (GOALS[self.goal].recipe if self.goal else ()) if name not in brief}
        return {**brief, **kept, "steps": steps}

    def check_data(self, *, data: bool, evaluation: bool) -> None:
        """Raises InvalidRecipe where it needs samples that are not given, or is given some that it would not look at."""
        if self.calibration.source == "dataset" and not data:
            raise InvalidRecipe(
                "calibration.source is `dataset`, but no dataset is given.", hint="Name one: `dataset`, or --data."
            )
        if self.goal == "data_free" and self.calibration.source == "fractals" and data:
            raise InvalidRecipe(
                "The goal `data_free` looks at no data, but a dataset is given.",
                hint="Take another goal, or leave the data out.",
            )
        if self.goal is not None and GOALS[self.goal].needs_evaluation and not evaluation:
            raise InvalidRecipe(
                f"The goal `{self.goal}` needs samples to judge by.",
                hint="Name held-out samples, with labels if there are any: `evaluation`, or --eval.",
            )


def parse_recipe(document: object) -> Recipe:
    """Check a recipe; raises InvalidRecipe that names every fault, where it is, and what may be meant."""
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        schema = Recipe.model_json_schema()
        faults = "; ".join(in_words(fault, schema) for fault in deepest_faults(error.errors(include_url=False)))
        raise InvalidRecipe(f"The recipe is not valid: {faults}{'' if faults.endswith('?') else '.'}") from error
