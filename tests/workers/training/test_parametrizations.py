"""Weights under training never leave the set of the method that compressed them."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.workers.methods.problems import problem
from workers.engine.layer import LayerResult
from workers.errors import NotTrainable
from workers.ir.graph.layers import Layer, MatMulGeometry
from workers.methods import METHODS
from workers.methods.ec2t import Ec2t
from workers.methods.inq import Inq, round_to, unit_levels
from workers.methods.int8 import Int8
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.mcq import Mcq
from workers.methods.mlq import Mlq
from workers.methods.problem import Method
from workers.methods.slq import Slq
from workers.methods.uniform import Uniform
from workers.training.parametrizations import FAMILIES, QuantizedParameter, parametrize

SHAPE = (1, 12, 20)
STEPS = (
    LayerwisePruning(sparsity_level=0.5),
    Inq(bits=5),
    Inq(bits=2),
    Slq(bits=3),
    Mlq(),
    Ec2t(gamma=0.1),
    Uniform(bits=3),
    Mcq(),
)
NAMES = [f"{step.method}-{getattr(step, 'bits', '')}" for step in STEPS]


def solved(*steps: Any) -> LayerResult:
    posed = problem(shape=SHAPE)
    original, support = posed.original, None
    for step in steps:
        solution = step.solve(replace(posed, original=original, support=support), np.random.default_rng(0))
        original, support = solution.weight, solution.weight != 0
    layer = Layer("layer", "MatMul", ("layer",), 1, SHAPE[1:], MatMulGeometry(True, False, False))
    return LayerResult(layer, steps, posed.original, solution.weight, solution.scale, {}, 0.0, 100, dict(solution.statistics))


def rounded(result: LayerResult, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The nearest of INQ's levels, in every channel its own."""
    scale, bits = result.scale[0], result.steps[-1].model_dump()["bits"]
    return round_to(unit_levels(bits), value / scale) * scale


def trained(confined: QuantizedParameter, turns: int = 40, rate: float = 0.05) -> npt.NDArray[Any]:
    """Its value after steps that push every weight about at random."""
    optimizer = torch.optim.Adam(confined.rates(rate))
    torch.manual_seed(0)
    for turn in range(turns):
        confined.settle(turn / turns)
        optimizer.zero_grad()
        (confined() * torch.randn(SHAPE[1:])).sum().backward()
        optimizer.step()
    confined.settle(1.0)
    return confined().detach().numpy()


def test_every_method_has_its_set() -> None:
    assert {step.family for step in METHODS if issubclass(step, Method)} <= FAMILIES.keys() | {None}


@pytest.mark.parametrize("step", STEPS, ids=NAMES)
def test_training_starts_at_the_compressed_weights(step: Method) -> None:
    result = solved(step)
    confined = parametrize(result)
    begun = confined().detach().numpy()
    if isinstance(step, Inq):  # whose weights are free until they are frozen, and would be frozen where they are
        np.testing.assert_array_equal(rounded(result, begun.astype(np.float64)), result.weight[0])
        assert not confined.complete
    else:
        np.testing.assert_array_equal(begun, result.weight[0].astype(np.float32))
        assert confined.complete


@pytest.mark.parametrize("step", STEPS, ids=NAMES)
def test_training_moves_weights_inside_their_set(step: Method) -> None:
    result = solved(step)
    confined = parametrize(result)
    value = trained(confined)
    assert confined.complete
    assert np.any(value != result.weight[0].astype(np.float32))
    if isinstance(step, LayerwisePruning):
        np.testing.assert_array_equal(value == 0, result.weight[0] == 0)
    elif isinstance(step, Inq):
        np.testing.assert_array_equal(rounded(result, value.astype(np.float64)), value)
    elif isinstance(step, Slq):
        assert np.unique(value / result.scale[0].astype(np.float32)).size <= 5
    elif result.scale is not None:
        codes = np.rint(result.weight / result.scale)
        multiples = value / np.broadcast_to(result.scale, SHAPE)[0]
        np.testing.assert_allclose(multiples, np.rint(multiples), atol=1e-4)
        assert codes.min() <= np.rint(multiples).min()
        assert np.rint(multiples).max() <= codes.max()
    else:
        assert all(len(np.unique(row)) <= 3 for row in value)


@pytest.mark.parametrize("step", STEPS[1:], ids=NAMES[1:])
def test_zeros_of_an_earlier_pruning_survive(step: Method) -> None:
    result = solved(STEPS[0], step)
    value = trained(parametrize(result))
    assert not value[result.weight[0] == 0].any()


def test_a_higher_price_for_information_gives_more_zeros() -> None:
    shares = [np.mean(trained(parametrize(solved(Ec2t(gamma=gamma))), rate=0.01) == 0) for gamma in (0.0, 0.2, 0.6)]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_inq_freezes_the_largest_weights_first_and_never_lets_go() -> None:
    result = solved(Inq(bits=4))
    confined = parametrize(result)
    before = confined().detach().abs() / torch.from_numpy(result.scale[0])
    confined.settle(0.0)
    first = confined.frozen.clone()
    assert before[first].min() >= before[~first].max()
    confined.settle(0.5)
    assert bool(confined.frozen[first].all())
    assert first.sum() < confined.frozen.sum() < confined.frozen.numel()


def test_inq_trains_at_the_bits_that_only_a_shared_budget_gives() -> None:
    step = Inq(powers=2).at_bits(6)
    result = solved(step)
    found = trained(parametrize(result)) / result.scale[0]
    np.testing.assert_array_equal(found, round_to(unit_levels(6, powers=2), found))


def test_a_layer_that_no_step_has_changed_trains_freely() -> None:
    untouched = replace(solved(STEPS[0]), steps=(), weight=problem(shape=SHAPE).original)
    assert np.count_nonzero(trained(parametrize(untouched))) == np.prod(SHAPE)


def test_other_steps_are_refused_by_name() -> None:
    with pytest.raises(NotTrainable, match="int8"):
        parametrize(replace(solved(STEPS[0]), steps=(Int8(),)))
