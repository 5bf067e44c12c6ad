"""What pruning each layer would do to the model's outputs, measured, and the levels that `allocation: optimal` makes of it.

The harm of a layer at a level is its relative error there, on samples that did not solve it, times what the outputs lose per
unit of that error, from pruning this layer alone. Layers that hold next to none of the weights stay whole: there is nothing to
gain from them, and most come first, where a change runs through the whole model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import openvino as ov

from workers.allocation.assignment import GRID, optimal_levels
from workers.allocation.error_curves import HARD, MILD, SMALLEST, error_curves
from workers.allocation.output_harm import OutputLoss
from workers.allocation.sensitivity import affordable_samples, output_losses
from workers.calibration import Samples
from workers.engine.layer import LayerResult
from workers.engine.solver import EngineOptions
from workers.ir.graph.layers import Float32, Layer
from workers.ir.reading.batching import batched
from workers.methods.problem import Array, Method

FEWEST_SAMPLES, MOST_SAMPLES = 18, 24  # that show how much one layer matters: decisions of fewer tell too little
MOST_MILD = 0.7  # sparsity over all layers up to which what they cost is measured at a mild level
SPARED = 0.01  # of all weights, in the smallest layers: these are pruned last
LEAST_SHARE = 1 / 3  # that a layer keeps, of what all keep on average: samples may hardly answer to one that others need
LAST = 1e6  # what they cost at any level, in units of the output

Progress = Callable[[int, int, str], None]  # done, total, layer

LayerMethods = Mapping[str, tuple[Method, ...]]  # the methods that solve a layer one after another, by its name


@dataclass(frozen=True, slots=True)
class SensitivityProfile:
    """What the levels of GRID would cost in every layer."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]  # weights
    sensitivities: tuple[float, ...]  # error of the outputs per unit of the layer's relative error
    harms: Array  # (layers, GRID)  expected loss of what the outputs decide (`output_harm`)

    def foretold(self, results: Sequence[LayerResult]) -> dict[str, float]:
        """What each layer's new weights alone cost the outputs, by layer name, where its sensitivity was measured."""
        pairs = zip(self.names, self.sensitivities, strict=True)
        return foretold_errors({name: value for name, value in pairs if value < LAST}, results)

    def levels(self, sparsity: float) -> dict[str, float]:
        """The levels that reach `sparsity` over all layers at the least sum of harms, each layer keeping LEAST_SHARE."""
        most = 1 - LEAST_SHARE * (1 - sparsity)
        return dict(zip(self.names, optimal_levels(self.sizes, self.harms, sparsity, most), strict=True))

    def harm(self, sparsity: float) -> float:
        """What these levels cost together; layers that are pruned last are left out."""
        levels = self.levels(sparsity)
        rows = zip(self.names, self.sensitivities, self.harms, strict=True)
        return sum(float(row[np.abs(GRID - levels[name]).argmin()]) for name, value, row in rows if value < LAST)


def foretold_errors(sensitivities: Mapping[str, float], results: Sequence[LayerResult]) -> dict[str, float]:
    """E‖o − ô‖² / E‖o‖² of the model's outputs with each layer's new weights alone, in proportion to the layer's own error.

    By layer name, of those whose own error is known and whose sensitivity was measured.
    """
    known = {result.layer.name: result.own_error for result in results if result.layer.name in sensitivities}
    return {name: sensitivities[name] * error for name, error in known.items() if error is not None}


def profile_sensitivities(
    model: ov.Model,
    layers: Sequence[Layer],
    samples: Samples,
    options: EngineOptions,
    progress: Progress = lambda done, total, layer: None,
    reference: int = MILD,
) -> SensitivityProfile:
    """Profile `layers` of a model of one sample, what each costs being measured at the level of `reference`.

    Costs one pass over all samples, one solve of every layer, and for every layer a pass over a few samples: `progress` counts
    each layer twice.
    """
    spared = smallest(layers, SPARED)
    whole = batched(model, options.batch_size)
    judged = [layer for layer in layers if layer.name not in spared]
    curves = error_curves(whole, judged, samples, options, lambda d, total, layer: progress(d, 2 * total, layer), reference)
    pruned = [(curve.layer, curve.weight) for curve in curves]
    lost = losses_of_probes(model, pruned, samples, options, progress)
    units = {curve.layer.name: max(curve.error, SMALLEST) for curve in curves}
    sensitivities = {name: lost[name].error / unit for name, unit in units.items()}
    prices = {name: lost[name].harm / unit for name, unit in units.items()}
    harms = {curve.layer.name: prices[curve.layer.name] * curve.errors_at(GRID) for curve in curves}
    return SensitivityProfile(
        tuple(layer.name for layer in layers),
        tuple(layer.size for layer in layers),
        tuple(sensitivities.get(layer.name, LAST) for layer in layers),
        np.array([harms.get(layer.name, LAST * GRID) for layer in layers]),
    )


def profile_hard_pruning(
    model: ov.Model,
    layers: Sequence[Layer],
    samples: Samples,
    options: EngineOptions,
    progress: Progress = lambda done, total, layer: None,
) -> SensitivityProfile:
    """The same where most of the weights go: a redundant layer shows what it costs only there."""
    return profile_sensitivities(model, layers, samples, options, progress, HARD)


def losses_of_probes(
    model: ov.Model,
    changed: Sequence[tuple[Layer, Float32]],
    samples: Samples,
    options: EngineOptions,
    progress: Progress,
) -> dict[str, OutputLoss]:
    """What the outputs lose with one layer's weights (g, r, c) changed at a time, by layer name, on a few samples that did not
    solve it. `progress` counts the second half of a profile."""
    wanted = max(affordable_samples(samples.count, len(changed), MOST_SAMPLES), min(FEWEST_SAMPLES, samples.count))
    wanted -= wanted % min(options.batch_size, wanted)  # whole batches
    few = samples.take(unseen(samples.count, options.batch_size, wanted))
    size = min(options.batch_size, few.count)
    return output_losses(
        batched(model, size),
        changed,
        few,
        batch_size=size,
        threads=options.threads,
        progress=lambda done, total, layer: progress(total + done, 2 * total, layer),
    )


def smallest(layers: Sequence[Layer], share: float) -> set[str]:
    """The names of the smallest layers, which together hold less than this share of the weights."""
    ordered = sorted(layers, key=lambda layer: layer.size)
    held = np.cumsum([layer.size for layer in ordered])
    return {layer.name for layer, so_far in zip(ordered, held, strict=True) if so_far < share * held[-1]}


def unseen(count: int, batch_size: int, wanted: int) -> list[int]:
    """At most so many samples of the half that judges curves, every second batch, spread over all."""
    second = [number for number in range(count) if number // batch_size % 2] or list(range(count))
    return [second[round(at)] for at in np.linspace(0, len(second) - 1, min(wanted, len(second)))]


def needs_profile(methods: LayerMethods) -> bool:
    """Whether a level of the methods waits for a profile."""
    return bool(_waiting(methods))


def profiler_for(methods: LayerMethods) -> Callable[..., SensitivityProfile]:
    """What profiles the layers at the levels that these methods ask for."""
    return profile_hard_pruning if max(_waiting(methods)) > MOST_MILD else profile_sensitivities


def _waiting(methods: LayerMethods) -> set[float]:
    levels = {method.measured_level for method in chain.from_iterable(methods.values())}
    return {level for level in levels if level is not None}


def assign_levels(methods: LayerMethods, profile: SensitivityProfile) -> LayerMethods:
    """The methods at the levels that the profile gives each layer; where a layer keeps all its weights, the others alone."""
    levels = {sparsity: profile.levels(sparsity) for sparsity in _waiting(methods)}
    return {
        name: tuple(placed for method in each if (placed := _placed(method, name, levels))) for name, each in methods.items()
    }


def _placed(method: Method, name: str, levels: Mapping[float, Mapping[str, float]]) -> Method | None:
    """The method at its level in a layer."""
    return method if method.measured_level is None else method.at_level(levels[method.measured_level][name])
