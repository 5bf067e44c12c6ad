"""Layer problems of every kind that a method must live with."""

from typing import Any

import numpy as np

from workers.methods.problem import LayerProblem


def problem(kind: str = "plain", shape: Any = (1, 6, 12), samples: int = 200, seed: int = 0) -> Any:
    """A problem with a damped covariance of correlated inputs; `kind` bends it."""
    groups, rows, cols = shape
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(groups, samples, cols)) @ (np.eye(cols) + 0.4 * rng.normal(size=(groups, cols, cols)))
    weight = rng.normal(size=shape)
    if kind == "rank_deficient":
        inputs[:, :, cols // 2 :] = inputs[:, :, : cols - cols // 2]
    if kind == "dead_input":
        inputs[:, :, 0] = 0
    if kind == "constant":
        weight[:] = 0.5
    if kind == "zero":
        weight[:] = 0
    if kind == "one_sided":
        weight = np.abs(weight)
    hessian = inputs.swapaxes(1, 2) @ inputs / samples
    hessian += 1e-3 * np.einsum("gcc->g", hessian)[:, None, None] / cols * np.eye(cols)
    drift = 0.05 * rng.normal(size=shape) * (kind not in ("zero", "constant"))
    return LayerProblem("layer", weight + drift, hessian, weight)


KINDS = ("plain", "rank_deficient", "dead_input", "constant", "zero", "one_sided")
SHAPES = ((1, 6, 12), (1, 1, 12), (5, 1, 9), (2, 3, 8))
