"""The examples of the documentation do what they say."""

from itertools import product

import numpy as np
import pytest
import yaml

from examples.binary_weights import Binary
from tests.contracts.test_documentation import ROOT
from tests.workers.methods.problems import KINDS, SHAPES, problem


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_single_flip_of_a_sign_makes_binary_weights_better(kind: str, shape: tuple[int, int, int]) -> None:
    layer = problem(kind, shape)
    weight = Binary(rounds=100).solve(layer, np.random.default_rng(0)).weight
    assert (np.abs(weight) == np.abs(weight[:, :, :1])).all(), "one magnitude per output channel"
    for position in product(*map(range, weight.shape)):
        flipped = weight.copy()
        flipped[position] *= -1
        assert layer.error(flipped) >= layer.error(weight) - 1e-9


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml", "argo-workflow.yml"])
def test_a_pipeline_calls_the_shared_script(name: str) -> None:
    text = (ROOT / "examples" / "pipelines" / name).read_text()
    assert isinstance(yaml.safe_load(text), dict)
    assert "compress.sh" in text
