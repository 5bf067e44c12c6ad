"""The Report: every figure with its unit and, where it was sampled, its interval and the number of samples."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from workers.machine import Machine
from workers.recipe import Recipe
from workers.recipe.goals import GoalName
from workers.recipe.skipped_layer import SkippedLayer
from workers.statistics.constraint import Verdict
from workers.statistics.decisions import OutputKind
from workers.statistics.intervals import Interval

Source = Literal["fractals", "dataset", "synthetic"]
Setting = str | int | float | bool | None | tuple[float, ...]


class Part(BaseModel):
    """A part of the report: frozen, and an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class Tensor(Part):
    """An input or output of the model."""

    name: str
    shape: tuple[int, ...] = Field(description="-1 where it is dynamic.")
    type: str


class ModelReport(Part):
    """The model as it came."""

    name: str
    format: str
    sha256: str
    parameters: int = Field(description="Weights of all constants.")
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    sizes_kept: bool = Field(default=True, description="Whether the result takes every size of input that the original does.")


class Ratio(Part):
    """Time of the original / time of the compressed model: above 1 the compressed model is faster."""

    value: float
    low: float | None
    high: float | None
    significant: bool = Field(description="Whether the interval excludes 1.")


class LayerReport(Part):
    """A compressed layer."""

    name: str
    type: str
    method: str = Field(description="The steps that changed it, joined by ' + '.")
    shape: tuple[int, ...] = Field(description="Of the weight tensor, as it is stored.")
    weights: int = Field(description="That are stored: without those of removed channels.")
    removed: float = Field(default=0.0, description="Share of its original weights that went with removed channels.")
    sparsity: float = Field(description="Share of its original weights that are exactly zero or were removed.")
    relative_error: float = Field(description="E|z - z'|^2 / E|z|^2 of its outputs on the calibration samples.")
    samples: int = Field(
        description="Calibration samples that were run up to this layer; early ones need fewer than late ones."
    )
    bits: float = Field(description="Stored bits per weight.")
    bytes: int = Field(description="What its weights take in model.bin.")
    original_bytes: int
    encoding: str = Field(description="How the weights are stored.")
    output_error: float | None = Field(
        default=None,
        description="E|o - o'|^2 / E|o|^2 of the model's outputs with this layer alone compressed: measured, or where "
        "`allocation: optimal` has measured how much the layer matters, in proportion to its own error.",
    )
    error_share: float | None = Field(
        default=None, description="Its part of the sum over all layers of `output_error`, or of `relative_error` without it."
    )
    rank: int | None = Field(default=None, description="1 for the layer with the largest `error_share`.")
    saved_ms: float | None = Field(default=None, description="Time of its operations in the original less that in the result.")
    statistics: dict[str, float] = Field(default_factory=dict, description="What the method's paper reports about a layer.")


class NextRun(Part):
    """What to change in the recipe to get most fidelity back for least size."""

    ignored_scope: dict[str, tuple[str, ...]] = Field(description="To be put into the recipe as it is.")
    error_share: float = Field(description="Part of the total error that these layers cause.")
    bytes_given_up: int = Field(description="That leaving them alone costs in model.bin.")
    step: int | None = Field(default=None, description="Which of the recipe's steps, from 0, could press less hard on them.")
    layers: tuple[dict[str, Any], ...] = Field(
        default=(), description="For `layers` of that step, as it is: the same layers at the next milder setting."
    )


class CandidateReport(Part):
    """A model that a search or a front has made."""

    setting: float = Field(description="Of the knob that is varied.")
    sparsity: float
    compressed_bytes: int
    zip_bytes: int
    seconds: float = Field(description="To compress and export it.")
    n: int = Field(description="Samples that selected.")
    agreement: Interval | None = Field(description="On the samples that selected.")
    accuracy: Interval | None = Field(description="On the same samples, where they are labelled.")
    relative_error: Interval | None = Field(description="Of the headline output, on the same samples.")
    expected_drop: float | None = Field(description="In the constraint's metric, on the same samples.")
    expected_bound: float | None = Field(description="Its one-sided 95 % bound, had it been seen on the samples that judge.")
    verdict: Verdict | None = Field(description="On the samples that judge; None where it came to no verdict.")
    ratio: Ratio | None = Field(default=None, description="Latency of the original / its own; None where it was not timed.")
    latency_ms: float | None = None
    chosen: bool
    on_front: bool = Field(description="No other candidate is smaller and more faithful.")
    folder: str | None = Field(default=None, description="Where its IR lies among the results.")


class TrainingReport(Part):
    """How the distillation of `finetune` went."""

    steps: int = Field(description="Of the optimiser, that were done.")
    seconds: float
    kept: int = Field(description="The step of the state that was kept; 0 is the model as it was before.")
    selecting: int = Field(description="Samples that chose it; they neither trained nor judge.")
    difference: float = Field(
        description="Of an operation between torch and OpenVINO, relative to its largest output, at the most."
    )
    curve: tuple[tuple[int, float, float], ...] = Field(
        description="Step, loss in training since the last point, loss of the outputs on the selecting samples."
    )


class OperationHarm(Part):
    """What quantising one operation costs and brings, measured with that operation alone quantised."""

    name: str
    harm: float = Field(description="E|o - o'|^2 / E|o|^2 of the model's outputs.")
    gain: float = Field(description="What int8 saves there: milliseconds, or bytes where the objective is a size.")


class Exploration(Part):
    """The candidates that a search or a front has made, in the order of their setting."""

    requested: Recipe = Field(description="As it was asked for; the report's `recipe` is that of the chosen candidate.")
    knob: str
    ended: Literal["settled", "out of time"]
    seconds: float
    selecting: int = Field(description="Samples that selected.")
    judging: int = Field(description="Samples that judged: none of them calibrated or selected.")
    candidates: tuple[CandidateReport, ...]
    failed: dict[str, str] = Field(default_factory=dict, description="Settings that broke down, and why.")
    order: tuple[OperationHarm, ...] = Field(
        default=(),
        description="Of int8, by harm for gain: a candidate has the first of these in floating point, as its setting counts.",
    )


class Size(Part):
    """Bytes on disk, model.xml and model.bin together."""

    original_bytes: int = Field(description="The original, saved as OpenVINO IR in its own precision.")
    compressed_bytes: int
    original_zip_bytes: int = Field(description="The same files in a zip archive (deflate).")
    zip_bytes: int
    entropy_bits_per_weight: float = Field(description="Entropy of the compressed weights' values: what no file goes below.")


class OutputFidelity(Part):
    """How one output of the compressed model follows the original's; None where a quantity is not defined for its kind."""

    name: str
    kind: OutputKind
    n: int
    agreement: Interval | None = Field(description="Share of decisions that stayed the same.")
    foreground_agreement: Interval | None = Field(
        description="The same where either model decides otherwise than the sample's commonest decision."
    )
    kl_divergence: Interval | None = Field(
        description="Kullback-Leibler divergence from the original's probabilities, in nats."
    )
    cosine: Interval
    relative_error: Interval = Field(description="E|y - y'|^2 / E|y|^2.")
    sqnr_db: Interval | None = Field(description="Signal to quantisation noise; None when there is no noise.")


class MetricReport(Part):
    """A metric of the task, with the paired bootstrap's intervals."""

    name: str
    reference: Literal["labels", "original"] = Field(description="What the answers are held against.")
    higher_is_better: bool
    bounded: bool = Field(description="Whether it lies within 0..1.")
    original: Interval
    compressed: Interval
    drop: Interval = Field(description="Positive where the compressed model is worse.")


class ClassReport(Part):
    """What became of one class, in the task's first metric."""

    label: int
    name: str | None
    n: int = Field(description="Samples, objects or pixels of it, by the labels or else by the original.")
    reference: Literal["labels", "original"]
    original: float
    compressed: float


class ChangeReport(Part):
    """How often one answer has become another; None where nothing was found."""

    original: int | None
    compressed: int | None
    n: int


class ChangedSample(Part):
    """A sample whose answer has changed."""

    sample: int = Field(description="Its position among the held-out samples, from 0.")
    label: int | None
    original: int
    compressed: int
    original_confidence: float
    compressed_confidence: float


class Fidelity(Part):
    """How the compressed model follows the original on held-out samples, both in f32.

    What an output is compared by, as cosine and relative error, is that of `headline`; what answers are worth is the task's.
    """

    source: Source
    n: int
    task: str = "classification"
    metrics: tuple[MetricReport, ...] = Field(default=(), description="Of the task, those against the labels first.")
    classes: tuple[ClassReport, ...] = Field(default=(), description="Those that lost most first.")
    changes: tuple[ChangeReport, ...] = Field(default=(), description="The most frequent first.")
    changed_samples: tuple[ChangedSample, ...] = Field(default=(), description="The surest of the original first.")
    accuracy_metric: str = Field(default="top1", description="Metric of `accuracy_original`, `accuracy_compressed` and `drop`.")
    headline: str | None = Field(description="Name of the output that decides most; None when none can be compared.")
    agreement: Interval | None = Field(
        description="Share of samples whose decision stayed the same; for other tasks, their first metric against the original."
    )
    kl_divergence: Interval | None
    cosine: Interval | None
    relative_error: Interval | None
    accuracy_original: Interval | None
    accuracy_compressed: Interval | None
    drop: Interval | None = Field(description="accuracy_original - accuracy_compressed, with a paired interval.")
    outputs: tuple[OutputFidelity, ...]
    notes: tuple[str, ...] = ()

    @property
    def foreground_agreement(self) -> Interval | None:
        """Of the headline; None unless it is a map that has a foreground."""
        return next((output.foreground_agreement for output in self.outputs if output.name == self.headline), None)


class SideBenchmark(Part):
    """One model in the benchmark; names as in benchmark_app. Latencies are per inference of one batch."""

    latency_median_ms: float
    latency_average_ms: float
    latency_min_ms: float
    latency_max_ms: float
    latency_percentiles_ms: dict[int, float]
    throughput_fps: float = Field(description="Samples per second.")
    cpu_median_ms: float = Field(description="Processor time per inference, all threads.")
    compile_ms: float = Field(description="Of one compilation.")
    infer_precision: str = Field(description="INFERENCE_PRECISION_HINT, read back from the compiled model.")
    execution_mode: str = Field(description="EXECUTION_MODE_HINT, read back.")
    nstreams: int
    nireq: int
    kernel_precisions: dict[str, int] = Field(description="Convolutions and matrix products by the precision they run in.")
    wall_ms: tuple[float, ...] = Field(description="Raw: wall time per inference, by round.")
    cpu_ms: tuple[float, ...] = Field(description="Raw: processor time per inference, by round.")


class LayerProfile(Part):
    """Time of one executed operation; None where the other model has no operation of that name."""

    name: str
    type: str
    original_ms: float | None
    compressed_ms: float | None
    kernel: str = Field(description="Of the compressed model; of the original where it has none.")


class Benchmark(Part):
    """Original and compressed, interleaved in one process."""

    hint: Literal["latency", "throughput"]
    nthreads: int
    batch_size: int
    rounds: int
    sessions: int = Field(description="How often both models were compiled anew; the unit of resampling.")
    shapes: dict[str, tuple[int, ...]] = Field(default_factory=dict, description="Of the inputs, in all rounds.")
    ratio: Ratio = Field(
        description="Of wall time, or of samples a second with the throughput hint: the median of the rounds' own ratios."
    )
    ratio_of_medians: float | None = Field(
        default=None,
        description="Of both models' median times: they need not be of the same round, so it may differ from `ratio`.",
    )
    cpu_ratio: Ratio = Field(description="Of processor time: median over the rounds.")
    verdict: str
    original: SideBenchmark
    compressed: SideBenchmark
    profile: tuple[LayerProfile, ...] = ()
    notes: tuple[str, ...] = ()


class SingleBenchmark(Part):
    """One model by itself."""

    hint: Literal["latency", "throughput"]
    nthreads: int
    batch_size: int
    rounds: int
    sessions: int = Field(description="How often the model was compiled anew; the unit of resampling.")
    shapes: dict[str, tuple[int, ...]] = Field(description="Of the inputs, in all rounds.")
    model: SideBenchmark
    median_ms: Interval = Field(description="Wall time per inference: the median of the rounds.")
    notes: tuple[str, ...] = ()


class SideMemory(Part):
    """Resident memory of a process that has loaded nothing but one model, after one inference."""

    process_bytes: int = Field(description="All of it: Python and OpenVINO are in it, whatever the model.")
    model_bytes: int = Field(description="What the model has added: memory of its own, and pages of its file.")


class MemoryReport(Part):
    """Both models once loaded, each in a process of its own; the original as OpenVINO saves it."""

    original: SideMemory
    compressed: SideMemory


class StageTime(Part):
    """What a stage cost."""

    wall_s: float
    cpu_s: float


class CalibrationReport(Part):
    """The samples that the methods saw."""

    source: Source
    count: int
    seed: int
    notes: tuple[str, ...] = ()


class PreprocessingReport(Part):
    """What was done to images before the model saw them, by input; `notes` says aloud what was assumed."""

    inputs: dict[str, dict[str, Setting]] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Provenance(Part):
    """Where the result comes from; with the recipe it is enough to make it again."""

    inputs: dict[str, str] = Field(description="SHA-256 by role: model, data, evaluation.")
    outputs: dict[str, str] = Field(description="SHA-256 by file name.")
    seed: int
    created: str = Field(description="UTC, ISO 8601.")
    machine: Machine


class Advice(Part):
    """A suggestion for the next run; whoever shows it says how it is followed there."""

    action: Literal["evaluate", "calibrate", "ignore", "int8", "goal"] = Field(
        description="Give samples that judge or calibrate; or take `recipe`: it leaves layers alone, adds int8 or has a goal."
    )
    sentence: str
    goal: GoalName | None = Field(default=None, description="That the action `goal` takes.")
    recipe: dict[str, Any] | None = Field(default=None, description="Of the next run, ready to be submitted.")


class Report(Part):
    """All a job found out."""

    schema_version: Literal["1"] = "1"
    model: ModelReport
    recipe: Recipe
    sparsity: float = Field(description="Share of exact zeros over all compressed layers' weights.")
    layers: tuple[LayerReport, ...]
    skipped: tuple[SkippedLayer, ...] = ()
    next_run: NextRun | None = Field(default=None, description="None where no few layers cause most of the error.")
    exploration: Exploration | None = Field(default=None, description="None unless the recipe asks for a search or a front.")
    training: TrainingReport | None = Field(default=None, description="None unless the recipe ends with `finetune`.")
    size: Size
    fidelity: Fidelity | None = Field(description="None when there was no sample to compare on.")
    fidelity_on_fractals: Fidelity | None = Field(
        default=None, description="The same on held-out fractals, where fractals calibrated and data judged."
    )
    benchmark: Benchmark | None = Field(description="None when the recipe switches it off.")
    memory: MemoryReport | None = Field(default=None, description="None unless the recipe asks, or compresses weights for it.")
    constraint: Verdict | None = Field(description="None when the recipe sets none.")
    calibration: CalibrationReport
    preprocessing: PreprocessingReport
    time: dict[str, StageTime] = Field(description="By stage.")
    peak_rss_bytes: int
    reused_layers: int = Field(
        default=0, description="Layers solved by an interrupted attempt or by another worker, and not solved again."
    )
    assumed: str | None = Field(
        default=None, description="Preprocessing, batch, shapes and task that nothing told; None where all was told."
    )
    warnings: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = Field(default=(), description="What to try next, best first.")
    provenance: Provenance

    @field_validator("advice", mode="before")
    @classmethod
    def _without_sentences(cls, advice: Any) -> Any:
        """Reports were once written with bare sentences, in the words of the command line."""
        return [each for each in advice if not isinstance(each, str)] if isinstance(advice, list | tuple) else advice
