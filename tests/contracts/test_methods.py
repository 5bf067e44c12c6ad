"""What every method of the catalogue promises, on every kind of layer."""

from dataclasses import astuple, replace

import numpy as np
import pytest
from pydantic import ValidationError

from tests.workers.methods.problems import KINDS, SHAPES, problem
from workers.methods import METHODS
from workers.methods.ec2t import Ec2t
from workers.methods.inq import Inq, powers_of_two
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.mcq import Mcq
from workers.methods.mlq import Mlq
from workers.methods.problem import Method
from workers.methods.slq import Slq
from workers.methods.uniform import Uniform

SETTINGS = (
    LayerwisePruning(sparsity_level=0.5),
    Mcq(),
    Mcq(rounding="calibrated", granularity="channel", sort_weights=True),
    Mcq(samples_per_weight=0.5, jitter="stratum"),
    Inq(bits=5),
    Inq(bits=2, partition="random"),
    Slq(bits=3),
    Mlq(),
    Ec2t(),
    Uniform(bits=3),
    Uniform(bits=4, group_size=3),
)
LEVELS = {"inq": 17, "slq": 5, "mlq": 3, "ec2t": 3}

every_method = pytest.mark.parametrize("method", SETTINGS, ids=str)
every_problem = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_kind = pytest.mark.parametrize("kind", KINDS)


def solve(method, posed, seed=0):
    return method.solve(posed, np.random.default_rng(seed))


def test_the_whole_catalogue_is_tested():
    assert {type(method) for method in SETTINGS} == {entry for entry in METHODS if issubclass(entry, Method)}


@every_method
@every_problem
@every_kind
def test_answers_in_shape_and_is_deterministic(method, shape, kind):
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
def test_stays_on_its_codebook(method, shape, kind):
    solution = solve(method, problem(kind, shape))
    weight = np.float32(solution.weight)
    if method.method in LEVELS:
        assert np.unique(weight).size <= LEVELS[method.method]
    if solution.step is not None:
        counts = weight / np.float32(solution.step)
        np.testing.assert_allclose(counts, np.rint(counts), atol=1e-3)


@every_method
@every_kind
def test_zeros_of_an_earlier_step_survive(method, kind):
    posed = problem(kind)
    support = np.random.default_rng(2).random(posed.target.shape) < 0.5
    held = replace(posed, original=np.where(support, posed.original, 0.0), support=support)
    assert not solve(method, held).weight[~support].any()


@pytest.mark.parametrize("method", [Inq(bits=4), Uniform(bits=3), Slq(bits=3), Mlq(), Mcq(rounding="calibrated")], ids=str)
@every_kind
def test_no_worse_than_rounding_to_the_same_codebook(method, kind):
    posed = problem(kind, (1, 8, 24))
    solution = solve(method, posed)
    weight = solution.weight
    if solution.step is None:
        levels = powers_of_two(np.abs(posed.original).max(), 4) if method.method == "inq" else np.unique(weight)
        rounded = levels[np.abs(posed.original[..., None] - levels).argmin(-1)]
    else:
        reach = np.abs(weight / solution.step).max()
        rounded = solution.step * np.clip(np.rint(posed.original / solution.step), -reach, reach)
    assert posed.error(weight) <= posed.error(rounded) * (1 + 1e-5) + 1e-9


@pytest.mark.parametrize("name", [entry.model_fields["method"].default for entry in METHODS])
def test_every_knob_says_what_it_does(name):
    (entry,) = (entry for entry in METHODS if entry.model_fields["method"].default == name)
    assert entry.__doc__
    assert all(field.description for knob, field in entry.model_fields.items() if knob != "method")


@every_method
def test_a_misspelt_knob_is_refused(method):
    with pytest.raises(ValidationError):
        type(method).model_validate(method.model_dump() | {"sparsety": 0.5})
