"""Bits shared among layers by what they cost the outputs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.workers.engine.test_sequential import Images, residual_network
from workers.allocation.bit_profile import BIT_PROFILERS, BITS, BitProfile, assign_bits, shared_bits
from workers.calibration import Samples
from workers.engine.solver import EngineOptions
from workers.ir.graph.layers import Layer, find_layers
from workers.ir.reading.batching import rebatch
from workers.methods.ec2t import Ec2t
from workers.methods.inq import Inq
from workers.methods.mcq import Mcq
from workers.methods.mlq import Mlq
from workers.methods.problem import Method
from workers.methods.slq import Slq
from workers.methods.solvers.sensitive_layers import SensitiveLayer, UndecidedLayer
from workers.methods.uniform import Uniform


def profiled(levels: str = "grid") -> tuple[list[Layer], BitProfile]:
    images, model = Images(), rebatch(residual_network(), 1)
    samples = Samples("synthetic", {"x": lambda numbers: images.values[numbers]}, np.arange(images.count))
    layers = find_layers(model)[0]
    return layers, BIT_PROFILERS[levels](model, layers, samples, EngineOptions(16, 0, 1))


def test_harms_fall_with_every_bit_and_tell_layers_apart() -> None:
    layers, profile = profiled()
    assert profile.names == tuple(layer.name for layer in layers)
    assert profile.costs.shape == (len(layers), len(BITS))
    assert np.all(np.diff(np.log(profile.costs), axis=1) < 0)
    assert np.all(profile.costs[:, 1] > 0)
    sweep = {layer.name: (Uniform(bits=4),) for layer in layers}
    assert shared_bits(sweep) == list(profile.names)
    settled: Any = assign_bits(sweep, profile)
    bits = {name: methods[0].bits for name, methods in settled.items()}
    assert len(set(bits.values())) > 1
    assert sum(bits[layer.name] * layer.size for layer in layers) <= 4 * sum(layer.size for layer in layers)


def two(harm: float) -> BitProfile:
    """Two layers of a size, the second of which harms so many times as much."""
    curve = 4.0 ** -np.array(BITS)
    return BitProfile(("a", "b"), (1000, 1000), (1.0, harm), np.stack([curve, harm * curve]))


def test_powers_of_two_gain_less_from_a_bit_than_a_grid_does() -> None:
    (_, profile), (_, powers) = profiled(), profiled("powers")
    assert np.all(np.diff(np.log(powers.costs), axis=1) < 1e-9)
    gained, on_grid = (each.costs[:, 2] / each.costs[:, 3] for each in (powers, profile))
    assert np.median(gained) < np.median(on_grid) / 2


@pytest.mark.parametrize("step", [Uniform(bits=4), Slq(bits=4), Inq(bits=3), Inq(bits=4, powers=2)])
def test_the_layer_that_harms_more_gets_more_bits(step: Any) -> None:
    levels = step.measured_bits.levels
    assert levels in BIT_PROFILERS
    settled: Any = assign_bits({"a": (step,), "b": (step,)}, two(100.0), levels)
    (first,), (second,) = settled["a"], settled["b"]
    assert first.bits < step.bits < second.bits
    assert first.bits + second.bits == 2 * step.bits


@pytest.mark.parametrize("step", [Mlq(), Ec2t()])
def test_the_layers_that_harm_most_are_not_ternary(step: Any) -> None:
    profile = two(100.0)
    ends = {"a": 1000, "b": 1000}
    undecided = {name: UndecidedLayer(method=step.method, ternary=step, mean=3.5, share=0.5) for name in ends}
    settled: Any = assign_bits({name: (method,) for name, method in undecided.items()}, profile)
    assert settled == {"a": (step,), "b": (SensitiveLayer(method=step.method, bits=5),)}
    swapped = replace(profile, costs=profile.costs[::-1])
    assert assign_bits({name: (method,) for name, method in undecided.items()}, swapped)["b"] == (step,)


def test_a_bit_more_doubles_the_samples_of_a_weight() -> None:
    step = Mcq(samples_per_weight=2.0)
    settled: Any = assign_bits({"a": (step,), "b": (step,)}, two(100.0))
    assert [settled[name][0].samples_per_weight for name in "ab"] == [0.5, 8.0]


def test_a_profile_serves_the_methods_with_its_levels_alone() -> None:
    methods: Any = {"a": (Inq(bits=4), Uniform(bits=4)), "b": (Inq(bits=4), Uniform(bits=4))}
    assert shared_bits(methods, "grid") == shared_bits(methods, "powers") == shared_bits(methods) == ["a", "b"]
    settled: Any = assign_bits(methods, two(100.0), "powers")
    assert [settled[name][0].bits for name in "ab"] == [3, 5]
    assert [settled[name][1].bits for name in "ab"] == [4, 4]
    assert shared_bits({"a": (Uniform(bits=4),), "b": (Uniform(bits=4),)}, "powers") == []


def test_alike_layers_get_the_mean() -> None:
    settled: Any = assign_bits({"a": (Uniform(bits=4),), "b": (Uniform(bits=4),)}, two(1.0))
    assert [settled[name][0].bits for name in "ab"] == [4, 4]


@pytest.mark.parametrize(
    "step", [Uniform(bits=4, allocation="size"), Uniform(bits=8), Uniform(bits=2), Inq(bits=5), Mcq(samples_per_weight=1024.0)]
)
def test_nothing_is_measured_where_there_is_nothing_to_choose(step: Method) -> None:
    assert not step.measures
    assert not shared_bits({"a": (step,), "b": (step,)})
    assert assign_bits({"a": (step,), "b": (step,)}, two(9.0)) == {"a": (step,), "b": (step,)}


def test_a_single_layer_has_nothing_to_share() -> None:
    assert not shared_bits({"a": (Uniform(bits=4),)})
