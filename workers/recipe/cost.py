"""What a job costs in time: so many passes over samples, solves of layers and compilations, at the speed of a machine.

How fast that is the inspection of the model has measured where it was made: one inference, one compilation, and how long it
takes to sort some numbers, which stands for all that is no inference. Without it, a common core is assumed. The counts below
were read off runs of `benchmarks/stages.py` and `benchmarks/zoo.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2, prod
from typing import Any, TypeGuard

from workers.methods.finetune import Finetune
from workers.methods.layerwise_pruning import GRADUAL_STEPS
from workers.methods.problem import Method, Step
from workers.methods.solvers.least_squares import affordable_iterations
from workers.recipe import Recipe
from workers.recipe.recipe import INVERSION_STEPS

Layers = Sequence[Mapping[str, Any]]

FLOPS = 1e11  # of one core in convolutions and matrix products, f32, where the inspection does not tell
SORTING_S = 8e-4  # that the measuring machine sorts in, for the seconds below
SOLVING_FLOPS = 2e11  # of one core in products with H
START_S, START_LAYER_S, START_WEIGHT_S = 0.9, 0.004, 2e-7  # processes, imports, the report; zipping both models
DRAWN_S, PIXEL_S = 2e-3, 8.4e-8  # of a fractal, and of each of its pixels
READ_S, READ_PIXEL_S = 2e-4, 4e-8  # of a sample from a file, and of each of its pixels
CHECKED = 100  # samples that check the original against the labels and other preprocessing
PASSES = 4  # over all samples that solving layers comes to: both models, rows gathered, statistics
LAYER_S, EXPORTED_S, EXPORTED_WEIGHT_S = 0.035, 0.012, 1.6e-7  # for each layer, and to write it
PORTIONS_S = 0.05  # of a layer that is solved portion by portion, besides
FACTORISED = 4.0  # times columns cubed: operations by which H of a layer is factorised and inverted
INT8_S, INT8_LAYER_S, INT8_PASSES = 0.3, 0.055, 20  # NNCF and the drift of layers
PROFILED_S, PROFILE_PASSES = 0.06, 3  # of a profile, for each layer, and over all samples
PROBES, LOSSES = 24, 64  # samples at the most that run through what follows each layer, for a profile or the layers' losses
PROBE_PASSES, LOSS_PASSES = 2, 0.5  # over all samples that all of them may cost
FEWEST, FEWEST_LOSSES = 8, 3  # samples
LOSS_LAYER_S, LOSS_COMPILED = 0.022, 0.2  # of losses for each layer, and of a compilation: that of what follows the layer
TRAINING_PASSES = 9  # that a sample of a training step costs: the teacher's, and the student's and gradients with torch
VALUES_AT_ONCE = 2**20  # input elements of a batch
TRAINING_START_S = 2.5  # to load torch and translate the model
GRADIENT_PASSES = 3  # forward passes that a step of moving a picture costs: its own, and twice that for the gradient
SESSIONS, WAVES = 20, 4  # of the benchmark
ENOUGH_SESSIONS = 6  # with which most jobs are content
INTERVALS_S = 0.3  # of the benchmark's resamples
COMPILED_AGAIN = 0.5  # of a compilation, where the model is rewritten already


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of one core, on the machine that inspected the model."""

    importing: float
    compiling: float
    inference: float  # of one sample
    pace: float  # by which all else is slower than where the constants were read off
    at_once: int  # samples of a batch

    @classmethod
    def of(cls, inspection: Mapping[str, Any], layers: Layers) -> "Speed":
        """As measured, or else as common."""
        found = inspection.get("speed")
        at_once = VALUES_AT_ONCE // max(1, sum(prod(entry["shape"]) for entry in inspection.get("inputs", ())))
        if found is None:
            macs = sum(int(layer["macs"]) for layer in layers)
            return cls(0.3, 0.02 + 0.002 * len(layers), 2.0 * macs / FLOPS, 1.0, at_once)
        pace = max(found["sorting_s"], 1e-5) / SORTING_S
        return cls(found["import_s"], found["compile_s"], found["inference_s"], pace, at_once)


def stage_seconds(inspection: Mapping[str, Any], layers: Layers, recipe: Recipe, *, data: bool) -> dict[str, float] | None:
    """Seconds of one core for each stage of the job; None where the work of a layer depends on the data."""
    if any(layer.get("macs") is None for layer in layers):
        return None
    speed, weights = Speed.of(inspection, layers), int(inspection["parameters"])
    starting = speed.pace * (START_S + START_LAYER_S * len(layers) + START_WEIGHT_S * weights)
    before = {"import": speed.importing, "calibrate": _samples(inspection, recipe, speed, data)}
    after = {"benchmark": _benchmark(recipe, speed), "losses": _losses(layers, recipe, speed), "report": starting}
    if _waits(recipe):
        before, after["losses"] = before | {"sensitivity": _profile(layers, recipe, speed)}, 0.0
    once = _compressing(layers, recipe, speed, weights)
    many = _candidates(recipe) * sum(once.values())
    if recipe.search:
        many = min(many, recipe.search.max_time + sum(once.values()))
    return before | {stage: seconds * many / sum(once.values()) for stage, seconds in once.items()} | after


def _samples(inspection: Mapping[str, Any], recipe: Recipe, speed: Speed, data: bool) -> float:
    """Drawing or reading the samples, and making fractals into what the model recognises."""
    pixels = sum(_pixels(entry) for entry in inspection.get("inputs", ()))
    count = recipe.calibration.count
    if recipe.calibration.source == "dataset" or data:
        return (count + recipe.drawn_judges) * speed.pace * (READ_S + READ_PIXEL_S * pixels) + CHECKED * speed.inference
    drawn = (count + recipe.drawn_judges) * speed.pace * (DRAWN_S + PIXEL_S * pixels)
    if recipe.calibration.inversion_steps == 0 or not pixels:
        return drawn
    passes = 1 + GRADIENT_PASSES * (recipe.calibration.inversion_steps or INVERSION_STEPS)
    return drawn + TRAINING_START_S * speed.pace + passes * count * speed.inference


def _pixels(entry: Mapping[str, Any]) -> int:
    """Of an input that takes images; 0 else."""
    sides = dict(zip(entry.get("layout") or "", entry["shape"], strict=False))
    return int(sides.get("H", 0) * sides.get("W", 0))


def _compressing(layers: Layers, recipe: Recipe, speed: Speed, weights: int) -> dict[str, float]:
    """From the samples to a verdict on one model."""
    steps = sum(_step(step, layers, recipe, speed) for step in recipe.steps)
    return {
        "compress": steps + _shared_pass(layers, recipe, speed),
        "export": speed.pace * (EXPORTED_S * len(layers) + EXPORTED_WEIGHT_S * weights),
        "verify": 2 * (recipe.drawn_judges * speed.inference + 2 * speed.compiling),
    }


def _shared_pass(layers: Layers, recipe: Recipe, speed: Speed) -> float:
    """What consecutive methods share: both models run, and statistics are taken."""
    if not any(_solves(step) for step in recipe.steps):
        return 0.0
    passes = PASSES * (0.7 if recipe.calibrate_on == "original" else 1.0)
    return speed.pace * LAYER_S * len(layers) + passes * recipe.calibration.count * speed.inference


def _solves(step: Step) -> TypeGuard[Method]:
    return isinstance(step, Method) and not step.rewrites_graph


def _step(step: Step, layers: Layers, recipe: Recipe, speed: Speed) -> float:
    """What a step costs beside what it shares with others."""
    if isinstance(step, Finetune):
        settled = step.settled(speed.at_once)
        needed = TRAINING_PASSES * (settled.steps or 1) * (settled.batch_size or 1) * speed.inference
        return min(TRAINING_START_S * speed.pace + needed, step.max_time or float("inf"))
    if not _solves(step):
        overhead = speed.pace * (INT8_S + INT8_LAYER_S * len(layers))
        return overhead + INT8_PASSES * min(recipe.calibration.count, 300) * speed.inference
    portions = PORTIONS_S * len(layers) if step.in_portions else 0.0
    return speed.pace * (portions + step.effort * solving(layers) / SOLVING_FLOPS)


def solving(layers: Layers) -> float:
    """Operations that solving every layer step by step takes: H factorised, and products with it."""
    columns = map(columns_of, layers)
    return sum(
        FACTORISED * count**3 + _products(int(layer["weights"]), count) for layer, count in zip(layers, columns, strict=True)
    )


def _products(weights: int, cols: int) -> float:
    return 2.0 * GRADUAL_STEPS * (1 + affordable_iterations(weights, cols)) * weights * cols


def columns_of(layer: Mapping[str, Any]) -> int:
    """Weights of one output channel; inspections of an earlier version do not tell, and are taken for convolutions."""
    return int(layer.get("columns") or max(prod(map(int, layer["shape"][1:])), 1))


def _waits(recipe: Recipe) -> bool:
    """Whether levels or bits of a step wait for a profile of the layers."""
    return any(isinstance(step, Method) and step.measures for step in recipe.steps)


def _profile(layers: Layers, recipe: Recipe, speed: Speed) -> float:
    """How much each layer matters: statistics once, coarse solves, and a few samples through what follows each layer."""
    passes = PROFILE_PASSES * recipe.calibration.count + _probes(layers, recipe, PROBES, PROBE_PASSES, FEWEST) * len(layers) / 2
    effort = max(step.effort for step in recipe.steps if isinstance(step, Method) and step.measures)
    return speed.pace * (PROFILED_S * len(layers) + 0.3 * effort * solving(layers) / SOLVING_FLOPS) + passes * speed.inference


def _losses(layers: Layers, recipe: Recipe, speed: Speed) -> float:
    """What each layer alone has cost: what follows it compiled and run on a few samples."""
    compiled = LOSS_LAYER_S * speed.pace + LOSS_COMPILED * speed.compiling
    return len(layers) * (compiled + _probes(layers, recipe, LOSSES, LOSS_PASSES, FEWEST_LOSSES) / 2 * speed.inference)


def _probes(layers: Layers, recipe: Recipe, most: int, passes: float, fewest: int) -> int:
    """Samples that run through what follows each layer."""
    return min(most, max(fewest, int(passes * recipe.calibration.count / max(len(layers), 1))))


def _benchmark(recipe: Recipe, speed: Speed) -> float:
    """Both models compiled anew for all sessions and timed round by round, within the time that there is."""
    settings = recipe.benchmark
    if settings is None:
        return 0.0
    waves = 2 if settings.hint == "latency" else WAVES + 1
    rounds = 2 * (settings.niter * waves + 3 * SESSIONS) * settings.batch * speed.inference
    timed = (2 * SESSIONS * COMPILED_AGAIN * speed.compiling + min(rounds, settings.time)) * ENOUGH_SESSIONS / SESSIONS
    return INTERVALS_S * speed.pace + timed


def _candidates(recipe: Recipe) -> int:
    searched = ceil(log2(1 / recipe.search.resolution)) + 1 if recipe.search else 1
    return searched + (recipe.pareto.points if recipe.pareto else 0)
