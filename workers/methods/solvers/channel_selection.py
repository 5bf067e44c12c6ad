"""Which channels a network misses least, and the weights that make up for them.

A channel is removed with all weights that read it. For one layer that reads it, the columns S of its inputs, the least
squares error grows by tr(W_S (H⁻¹)_SS⁻¹ W_Sᵀ) when S goes and all other weights are re-solved: the block form of the
optimal brain surgeon (Hassibi and Stork 1993; Frantar et al. 2022, "Optimal Brain Compression", Eq. 5). Channels that
several layers read are charged the sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.methods.problem import Array, LayerProblem, Mask
from workers.methods.solvers.least_squares import masked_least_squares

Indices = NDArray[np.intp]

LEAST_KEPT = 0.1  # of the channels of a group
AT_ONCE = 64  # of the channels left, one in so many goes before the errors are reckoned anew


@dataclass(frozen=True, slots=True)
class Reader:
    """A layer that reads a group of coupled channels."""

    problem: LayerProblem  # of one group of its own
    energy: float  # of its outputs: its errors count relative to it
    columns: Indices  # (channels, columns of one channel)
    harm: float = 1.0  # of a unit of its relative error


def elimination(readers: Sequence[Reader], most: int) -> tuple[Indices, Array]:
    """The order in which `most` channels of a group are missed least, and what each costs once those before it are gone.

    The cost is the rise of the readers' relative errors times their harm, with all their other weights re-solved.
    """
    channels = readers[0].columns.shape[0]
    alive = np.arange(channels)
    states = [
        (reader.problem.target[0].copy(), np.linalg.inv(reader.problem.hessian[0].astype(np.float64))) for reader in readers
    ]
    order: list[int] = []
    costs: list[float] = []
    while len(order) < most:
        cost = np.zeros(alive.size)
        for reader, (weight, inverse) in zip(readers, states, strict=True):
            cost += _rises(weight, inverse, reader.columns[alive]) * (reader.harm / reader.energy)
        count = min(max(alive.size // AT_ONCE, 1), most - len(order))
        lowest = np.argsort(cost, kind="stable")[:count]
        order += alive[lowest].tolist()
        costs += cost[lowest].tolist()
        for reader, (weight, inverse) in zip(readers, states, strict=True):
            _eliminate(weight, inverse, reader.columns[alive[lowest]].ravel())
        alive = np.delete(alive, lowest)
    return np.array(order, np.intp), np.array(costs)


def _rises(weight: Array, inverse: Array, columns: Indices) -> Array:
    """tr(W_S (H⁻¹)_SS⁻¹ W_Sᵀ) for every row S of `columns` (n, s), (n,); `weight` is (r, c), `inverse` H⁻¹ (c, c)."""
    blocks = inverse[columns[:, :, None], columns[:, None, :]]  # (n, s, s)
    parts = weight.T[columns]  # (n, s, r)
    return np.asarray(np.einsum("nsr,nsr->n", parts, np.linalg.solve(blocks, parts)))


def _eliminate(weight: Array, inverse: Array, columns: Indices) -> None:
    """Take columns out of a least squares problem, in place: all other weights make up for them."""
    gain = np.linalg.solve(inverse[np.ix_(columns, columns)], inverse[columns])
    weight -= weight[:, columns] @ gain
    inverse -= inverse[:, columns] @ gain
    weight[:, columns] = 0
    inverse[:, columns] = 0
    inverse[columns] = 0


def solve_kept_columns(problem: LayerProblem, kept: Mask) -> Array:
    """The least squares solution (g, r, c) on the `kept` columns (c,), and on what an earlier step has left."""
    if problem.support is not None:
        return masked_least_squares(problem, problem.support & kept, np.zeros_like(problem.target))
    weight = np.zeros_like(problem.target)
    whole = problem.hessian.astype(np.float64, copy=False)
    pull = (problem.target @ whole)[:, :, kept]
    hessian = whole[:, kept][:, :, kept]
    weight[:, :, kept] = np.linalg.solve(hessian, pull.swapaxes(1, 2)).swapaxes(1, 2)
    return weight
