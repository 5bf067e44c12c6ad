"""What every method of the catalogue promises, on every kind of layer."""

from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from tests.workers.methods.problems import KINDS, SHAPES, problem
from workers.methods import METHODS
from workers.methods.ec2t import Ec2t
from workers.methods.inq import Inq, unit_levels
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.mcq import Mcq
from workers.methods.mlq import Mlq
from workers.methods.problem import LayerProblem, LayerSolution, Method
from workers.methods.slq import Slq
from workers.methods.uniform import Uniform

SETTINGS = (
    LayerwisePruning(sparsity_level=0.5),
    Mcq(),
    Mcq(rounding="calibrated", granularity="channel", sort_weights=True),
    Mcq(samples_per_weight=0.5, jitter="stratum"),
    Inq(bits=5),
    Inq(bits=3, portions=(0.5, 1.0)),
    Inq(bits=2, partition="random", exponents="largest"),
    Inq(bits=4, powers=2),
    Slq(bits=3),
    Slq(bits=2, portions=(1.0,)),
    Mlq(),
    Ec2t(),
    Ec2t(gamma=0.3, initial_scale=0.3),
    Uniform(bits=3),
    Uniform(bits=4, group_size=3),
)
LEVELS: dict[str, Callable[[Any], float]] = {  # most values that the weights of a channel may take, in units of its scale
    "inq": lambda method: 2**method.bits if method.powers == 2 else 2 ** (method.bits - 1) + 1,
    "slq": lambda method: 2 ** (method.bits - 1) + 1,
    "mlq": lambda method: 3,
    "ec2t": lambda method: 3,
}
REACH: dict[str, Callable[[Any], float]] = {"uniform": lambda method: 2 ** (method.bits - 1) - 1}  # largest multiple of a step
NOT_THE_LEAST_ERROR = [  # chance decides, or a price
    method for method in SETTINGS if getattr(method, "rounding", None) == "sampled" or method.method == "ec2t"
]

every_method = pytest.mark.parametrize("method", SETTINGS, ids=str)
every_problem = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_kind = pytest.mark.parametrize("kind", KINDS)


def no_limit(method: Mcq) -> float:
    return np.inf


def solve(method: Method, posed: LayerProblem, seed: int = 0) -> LayerSolution:
    return method.solve(posed, np.random.default_rng(seed))


def test_the_whole_catalogue_is_tested() -> None:
    assert {type(method) for method in SETTINGS} == {entry for entry in METHODS if issubclass(entry, Method)}


@every_method
@every_problem
@every_kind
def test_answers_in_shape_and_is_deterministic(method: Method, shape: tuple[int, ...], kind: str) -> None:
    posed = problem(kind, shape)
    before = [value.copy() for value in astuple(posed) if isinstance(value, np.ndarray)]
    first, second = solve(method, posed), solve(method, posed)
    assert first.weight.shape == shape
    assert np.isfinite(first.weight).all()
    np.testing.assert_array_equal(first.weight, second.weight)
    after = [value for value in astuple(posed) if isinstance(value, np.ndarray)]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


@every_method
@every_problem
@every_kind
def test_stays_on_its_codebook(method: Any, shape: tuple[int, ...], kind: str) -> None:
    posed = problem(kind, shape)
    solution = solve(method, posed)
    weight = solution.weight.astype(np.float32)
    units: npt.NDArray[Any] = weight if solution.scale is None else weight / np.float32(solution.scale)
    if method.method in REACH or method.method == "mcq":
        np.testing.assert_array_equal(np.rint(units) * np.float32(solution.scale), weight)
        assert np.abs(np.rint(units)).max() <= REACH.get(method.method, no_limit)(method)
    if method.method in LEVELS:
        assert most_values(units, method) <= LEVELS[method.method](method)
    if method.method == "inq":
        assert np.isin(units, unit_levels(method.bits, method.powers)).all()
        assert method.powers == 2 or np.isin(np.abs(weight[weight != 0]), 2.0 ** np.arange(-60, 20)).all()


def most_values(units: npt.NDArray[Any], method: Method) -> int:
    """Of a channel, where each has its own; of all channels, where they share."""
    return (
        np.unique(units).size
        if method.method == "slq"
        else max(np.unique(row).size for row in units.reshape(-1, units.shape[2]))
    )


@every_method
@every_kind
def test_zeros_of_an_earlier_step_survive(method: Method, kind: str) -> None:
    posed = problem(kind)
    support = np.random.default_rng(2).random(posed.target.shape) < 0.5
    held = replace(posed, original=np.where(support, posed.original, 0.0), support=support)
    assert not solve(method, held).weight[~support].any()


@pytest.mark.parametrize("method", [method for method in SETTINGS if method not in NOT_THE_LEAST_ERROR], ids=str)
@every_problem
@every_kind
def test_never_worse_than_the_same_method_without_reconstruction(method: Method, shape: tuple[int, ...], kind: str) -> None:
    """Posed in the metric of the identity, a method rounds: to its grid, to clusters, to the largest weights."""
    posed = problem(kind, shape)
    identity = np.broadcast_to(np.eye(shape[2]), posed.hessian.shape)
    rounded = solve(method, replace(posed, hessian=identity, target=posed.original)).weight
    assert posed.error(solve(method, posed).weight) <= posed.error(rounded) * (1 + 1e-5) + 1e-9


@every_method
@every_kind
def test_follows_pruning(method: Method, kind: str) -> None:
    posed = problem(kind)
    pruned = solve(LayerwisePruning(sparsity_level=0.5), posed).weight
    after = solve(method, replace(posed, original=pruned, support=pruned != 0)).weight
    assert not after[pruned == 0].any()
    assert np.isfinite(after).all()


@pytest.mark.parametrize("name", [entry.model_fields["method"].default for entry in METHODS])
def test_every_knob_says_what_it_does(name: str) -> None:
    (entry,) = (entry for entry in METHODS if entry.model_fields["method"].default == name)
    assert entry.__doc__
    assert all(field.description for knob, field in entry.model_fields.items() if knob != "method")


@every_method
def test_a_misspelt_knob_is_refused(method: Method) -> None:
    with pytest.raises(ValidationError):
        type(method).model_validate(method.model_dump() | {"sparsety": 0.5})


@every_method
def test_some_layers_may_go_by_other_knobs(method: Method) -> None:
    """They share no budget with the others, and nothing is measured for them."""
    numbers = {name: value for name, value in method.model_dump().items() if type(value) in (int, float)}
    for knob, value in numbers.items():
        settings = {"scope": {"names": ["a"]}, knob: value}
        step = type(method).model_validate({**method.model_dump(), "layers": [settings]})
        alone = step.set_for(step.layers[0])
        assert getattr(alone, knob) == value
        assert not alone.measures
        assert list(alone.allocate({"a": 12}, lambda name: np.ones((1, 3, 4)))) == ["a"] * alone.reaches(0, 1)
