"""What a recipe's steps work on, one after another: the interface of a pass.

A pass is two things: its knobs, a `Pass` in `workers.methods` that loads nowhere near OpenVINO, and a function
`rewrite(step, state, context)` in a module of this package that returns the state as the step leaves it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import openvino as ov

from workers.calibration import Samples
from workers.engine.damping import DAMPING, SYNTHETIC_LAST_DAMPING
from workers.engine.layer import LayerResult
from workers.engine.solver import EngineOptions
from workers.ir.graph.origins import Origin
from workers.ir.reading.importer import Precision
from workers.recipe.skipped_layer import SkippedLayer


class StepProgress(Protocol):
    """Told how far a step is."""

    def __call__(self, done: int, total: int, layer: str | None = None, message: str = "") -> None:
        """`done` of `total` items of whatever is counted; the last one was `layer`, or `message` says what they are."""


def tell_nobody(done: int, total: int, layer: str | None = None, message: str = "") -> None:
    """The progress of a step that nobody waits for."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What is the same for all steps of a job."""

    original: ov.Model  # as it was imported, not to be changed
    samples: Samples  # that calibrate
    batch_size: int  # how many samples to run at once; 1 for a model that takes no batches
    precision: Precision  # in which most of the model's weights were stored
    excluded: Mapping[str, str]  # operations that the recipe leaves alone, and the rule that says so
    origins: Mapping[str, Origin]  # what operations are called in the source
    seed: int
    threads: int
    on_layer: Callable[[LayerResult], None]  # told of every layer as soon as it is changed
    independent: bool = False  # whether every layer is solved on the original's inputs
    early_stopping: Samples | None = None  # that choose the best state of a training; none of them calibrated
    harms: Mapping[str, float] | None = None  # what the outputs lose per unit of a layer's relative error, if a step measures
    folder: Path | None = None  # where a long step may keep what an interrupted attempt of it has reached

    @property
    def engine(self) -> EngineOptions:
        """The engine's options for these samples and this model."""
        return EngineOptions(
            batch_size=self.batch_size,
            seed=self.seed,
            threads=self.threads,
            last_damping=DAMPING if self.samples.source == "dataset" else SYNTHETIC_LAST_DAMPING,
            stored=np.float16 if self.precision == "f16" else np.float32,
        )


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """How a training went."""

    steps: int
    seconds: float
    kept: int  # the step of the state that was kept; 0 is the model as it came
    selecting: int  # samples that chose it
    difference: float  # of an operation between torch and OpenVINO, relative to its largest output, at the most
    curve: tuple[tuple[int, float, float], ...]  # step, loss in training since the last point, loss of the selecting samples


@dataclass(frozen=True, slots=True)
class CompressionState:
    """The model between two steps, and what became of its layers so far."""

    model: ov.Model  # batch 1 where the batch is open; a step may change it in place
    results: Mapping[str, LayerResult]  # by layer name
    skipped: tuple[SkippedLayer, ...] = ()  # weights that the steps so far have left as they are
    training: TrainingRun | None = None
    unquantised: "CompressionState | None" = None  # what `int8` was given, for operations that are taken back
    notes: tuple[str, ...] = ()  # for the report
