"""What a job is: its states, its stages, and the events a running one sends."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "QUEUED"  # waits for a worker
    RUNNING = "RUNNING"  # a worker holds its lease
    CANCELING = "CANCELING"  # asked to stop; its worker has not confirmed yet
    SUCCEEDED = "SUCCEEDED"  # ended, artefacts published
    FAILED = "FAILED"  # ended, `failure` says why
    CANCELED = "CANCELED"  # ended on request


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED})


class Kind(StrEnum):
    """What a job does with its model."""

    INSPECT_DATASET = "inspect_dataset"  # read an upload: samples, sizes, classes, or a refusal
    INSPECT = "inspect"  # read an upload: inputs, layers, parameters, or a refusal
    COMPRESS = "compress"  # run a recipe
    BENCHMARK = "benchmark"  # time one model or two; on the user's own machine, as the next
    PREDICT = "predict"  # show what a model answers to some samples


class Priority(StrEnum):
    """Which waiting job goes first; among equals the one that was submitted first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """As the store keeps it: 0 is normal."""
        return list(Priority).index(self) - 1

    @classmethod
    def of(cls, rank: int) -> "Priority":
        """The other way round."""
        return list(cls)[rank + 1]


class Stage(StrEnum):
    """The parts of a running job, in their order."""

    IMPORT = "import"
    CALIBRATE = "calibrate"
    SENSITIVITY = "sensitivity"  # how much each layer matters, where levels wait for that
    COMPRESS = "compress"
    EXPORT = "export"
    VERIFY = "verify"
    BENCHMARK = "benchmark"
    LOSSES = "losses"  # what each layer alone has cost the outputs
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class JobTask:
    """What the child process is told: one job, in paths and plain values (task.json)."""

    kind: Kind
    model: str  # path of the model file or folder
    out: str  # folder that receives 1/model.xml, report.json, report.html, provenance.json (inspect: inspection.json)
    recipe: dict[str, Any] | None = None
    data: str | None = None  # path of calibration samples
    evaluation: str | None = None  # path of held-out samples, optionally labelled
    threads: int | None = None  # None: what the machine, or its container, allows
    checkpoints: str | None = None  # folder that keeps solved layers for another attempt
    cache: str | None = None  # folder of what other jobs of the project on the same model can use
    decoder: str | None = None  # path of a model that decodes the outputs
    metric: str | None = None  # FILE:NAME of a function of the user's; only on the user's own machine
    helping: bool = False  # solve layers for the process that does the job, and leave the rest to it
    level: int | None = None  # of the candidate whose layers these are, where it helps with a search or a front
    other: str | None = None  # path of a model that is timed beside the first


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is."""

    stage: Stage
    done: int = 0
    total: int = 0
    layer: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed, in the words of `workers.errors`."""

    code: str
    message: str
    hint: str
    stage: Stage | None = None
    layer: str | None = None
