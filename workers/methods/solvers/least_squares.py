"""The solvers that methods share: least squares over the entries that a method leaves free.

All minimise tr((Ŵ − W*) H (Ŵ − W*)ᵀ), with W* `target` (g, r, c) and H `hessian` (g, c, c) positive definite.
"""

from functools import partial

import numpy as np

from workers.methods.problem import Array, LayerProblem, Mask, Work, working_precision
from workers.threads import parts_of_rows

EFFORT = 5e9  # operations in products with H that one solve may take
ITERATIONS = (4, 60)  # fewest and most, whatever they take
ENOUGH = 20  # iterations for weights that will move again
FEWEST_BETWEEN = 2  # of these, whatever they take
TOLERANCE = 1e-3  # of a row's residual: what is left of its error is a millionth


def masked_least_squares(
    problem: LayerProblem, free: Mask, start: Array, *, iterations: int | None = None, tolerance: float = TOLERANCE
) -> Array:
    """Re-solve the entries where `free` is true and keep the others as in `start`; all (g, r, c)."""
    return Relaxation(problem)(free, start, iterations, tolerance)[0]


def re_solve(problem: LayerProblem, free: Mask, weight: Array) -> Array:
    """The free entries of `weight` (g, r, c), solved for between two portions of an incremental method.

    They are on their way to a level, and need not be exact.
    """
    return masked_least_squares(
        problem, free, weight, iterations=min(ENOUGH, affordable_iterations(problem.target.size, problem.target.shape[2]))
    )


class Relaxation:
    """Conjugate gradient on all rows of a problem at once, preconditioned by the blocks of H that belong to one input channel.

    A row stops counting when its residual has fallen by the tolerance. Unless told, a layer gets as many iterations as EFFORT
    allows: all that small layers can use, and few for the largest, where each takes a third of a second and the first ones do
    nearly all.
    """

    def __init__(self, problem: LayerProblem) -> None:
        self._target, self._threads = problem.target, problem.threads
        self._dtype = working_precision(problem.hessian)
        self._metric: Work = problem.hessian.astype(self._dtype, copy=False)
        self._blocks: Work = _inverse_blocks(problem).astype(self._dtype)

    def __call__(
        self, free: Mask, start: Array, iterations: int | None = None, tolerance: float = TOLERANCE
    ) -> tuple[Array, Work]:
        """The weights Ŵ, re-solved where `free` and elsewhere as in `start`, and the pull (W* − Ŵ) H on all; each (g, r, c)."""
        apart = self._threads.by_rows(np.subtract, self._target, start, dtype=self._dtype)
        pull = self._threads.product(apart, self._metric)
        descent, parts = _Descent(free, pull, self._blocks), parts_of_rows(pull)
        self._threads.each(descent.begin, parts)
        goal = descent.energy * tolerance**2
        for _ in range(iterations or affordable_iterations(self._target.size, self._target.shape[2])):
            active = descent.energy > goal
            if not active.any():
                break
            image = self._threads.product(descent.direction, self._metric)
            self._threads.each(partial(descent.advance, active, image), parts)
        weight = np.empty_like(start)
        self._threads.each(partial(descent.move, start, weight), parts)
        return weight, pull


class _Descent:
    """Where the conjugate gradient of every row has come to; rows go on by parts, which stay in the processor's cache."""

    def __init__(self, free: Mask, pull: Work, blocks: Work) -> None:
        self._free, self._pull, self._blocks = free, pull, blocks
        self._step, self.direction = np.zeros_like(pull), np.empty_like(pull)
        self.energy: Work = np.empty((*pull.shape[:2], 1), pull.dtype)

    def begin(self, part: slice) -> None:
        """Take the first direction."""
        self.direction[:, part], self.energy[:, part] = self._gain(part)

    def advance(self, active: Mask, image: Work, part: slice) -> None:
        """Go along the direction, whose `image` is its product with H, and take the next one; rows not `active` stay."""
        direction, before, tiny = self.direction[:, part], self.energy[:, part].copy(), np.finfo(image.dtype).tiny
        length = np.where(active[:, part], before / np.maximum(_dot(direction, image[:, part]), tiny), 0)
        self._step[:, part] += length * direction
        self._pull[:, part] -= length * image[:, part]
        gain, self.energy[:, part] = self._gain(part)
        direction *= self.energy[:, part] / np.maximum(before, tiny)
        direction += gain

    def move(self, start: Array, weight: Array, part: slice) -> None:
        """Write the weights (g, r, c) from which the free ones of `start` have gone by all steps."""
        weight[:, part] = start[:, part] + np.where(self._free[:, part], self._step[:, part], 0)

    def _gain(self, part: slice) -> tuple[Work, Work]:
        """The preconditioned residual, and its inner product with the residual."""
        free = self._free[:, part].astype(self._pull.dtype)
        residual = free * self._pull[:, part]
        gain = free * _by_block(residual, self._blocks)
        return gain, _dot(residual, gain)


def _inverse_blocks(problem: LayerProblem) -> Array:
    """The inverses of the blocks of H on its diagonal, one for the taps of every input channel, (g, channels, taps, taps)."""
    groups, cols, _ = problem.hessian.shape
    channels = cols // problem.taps
    by_tap = problem.hessian.reshape(groups, channels, problem.taps, channels, problem.taps)
    return np.linalg.inv(np.einsum("gitiu->gitu", by_tap).astype(np.float64))


def _by_block(rows: Work, blocks: Work) -> Work:
    """`rows` (g, r, c) times the block diagonal matrix of `blocks` (g, channels, taps, taps)."""
    groups, channels, taps, _ = blocks.shape
    if taps == 1:
        return rows * blocks.reshape(groups, 1, channels)
    parts = rows.reshape(groups, -1, channels, taps).swapaxes(1, 2)
    return np.asarray((parts @ blocks).swapaxes(1, 2).reshape(rows.shape))


def affordable_iterations(weights: int, cols: int, fewest: int = ITERATIONS[0]) -> int:
    """How many products of so many weights, `cols` to a row, with H make up EFFORT; `fewest` to the most of ITERATIONS."""
    return min(max(int(EFFORT / (2 * weights * cols)), fewest), ITERATIONS[1])


def _dot(a: Work, b: Work) -> Work:
    """Row-wise inner product (g, r, 1)."""
    return np.asarray(np.einsum("grc,grc->gr", a, b)[..., None])
