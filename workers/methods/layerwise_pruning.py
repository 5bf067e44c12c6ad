"""Layer-wise calibration pruning: Lazarevich, Kozlov, Malinin, "Post-training deep neural network pruning via layer-wise
calibration" (2021).

The paper masks by magnitude and tunes the surviving weights of every layer by Adam against the original layer's output
(Eq. 6). That objective is a masked least-squares problem: it is solved here exactly, and the mask is revised as it rises.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from workers.methods.problem import Array, Family, Ladder, LayerProblem, LayerSolution, Mask, Method, Work
from workers.methods.solvers.alternating_directions import MOST_COLUMNS, choose_mask
from workers.methods.solvers.least_squares import (
    FEWEST_BETWEEN,
    TOLERANCE,
    Relaxation,
    affordable_iterations,
    masked_least_squares,
)

GRADUAL_STEPS = 8
MILDEST, HARDEST = 0.1, 0.95  # levels between which a search looks
LEAST_KEPT = 0.02  # of a layer's weights: none is pruned away whole
ZEROS = {"2:4": (2, 4), "4:8": (4, 8)}  # zeros in a block, and its size


class LayerwisePruning(Method):
    """Zeros by mask, the surviving weights re-solved against the original layer's output (Lazarevich et al. 2021)."""

    family: ClassVar[Family | None] = "masked"
    propagation: ClassVar[float] = 0.25  # what more the weights that stay could make up for does not hold for other samples

    method: Literal["layerwise_pruning"] = "layerwise_pruning"
    sparsity_level: float = Field(gt=0, lt=1, description="Share of the weights set to zero, over all compressed layers.")
    allocation: Literal["optimal", "normalized", "uniform"] = Field(
        default="optimal",
        description="`optimal`: the shares that together harm the model's outputs least, as measured on samples that did not "
        "solve the layers; `normalized`: one threshold on |w| / ‖W‖₂ over all layers (the paper); `uniform`: all the same. "
        "2:4 and 4:8 are the same in all layers. Channels go from all alike if `uniform`; if `normalized`, where what reads "
        "them loses least.",
    )
    pattern: Literal["unstructured", "2:4", "4:8", "channel"] = Field(
        default="unstructured",
        description="`2:4`, `4:8`: that many zeros in every 4 or 8 input channels at one kernel position, in all layers alike; "
        "`channel`: whole output channels, removed from the graph with all that reads them.",
    )
    budget: Literal["weights", "operations"] = Field(
        default="weights", description="What `sparsity_level` is a share of when channels are removed: weights or operations."
    )
    gradual_steps: int = Field(
        default=GRADUAL_STEPS,
        ge=1,
        le=100,
        description="Steps in which sparsity rises, by the cubic law (Eq. 1); channels are removed at once.",
    )

    @model_validator(mode="after")
    def _check_pattern(self) -> Self:
        if self.pattern in ZEROS and self.sparsity_level != 0.5:
            raise ValueError(f"pattern {self.pattern} zeroes half of the weights: sparsity_level must be 0.5")
        if self.pattern != "channel" and self.budget != "weights":
            raise ValueError("budget: operations are saved by pattern: channel alone")
        if self.pattern == "channel" and self.gradual_steps != GRADUAL_STEPS:
            raise ValueError("gradual_steps: channels are removed at once; leave it out")
        if self.pattern in ZEROS and self.allocation == "normalized":
            raise ValueError(f"allocation: pattern {self.pattern} zeroes the same share of every layer; leave it out")
        return self

    @property
    def rewrites_graph(self) -> bool:
        """Whole channels are no matter of one layer: a pass chooses and removes them."""
        return self.pattern == "channel"

    @property
    def expected_sparsity(self) -> float:
        """The level, over all layers."""
        return self.sparsity_level

    def ladder(self, resolution: float) -> Ladder | None:
        """More and more zeros; patterns of blocks are one level of sparsity."""
        if self.pattern in ZEROS:
            return None
        given = self.sparsity_level
        even = np.arange(MILDEST, HARDEST + resolution / 2, resolution)
        others = {round(float(level), 4) for level in (*even, HARDEST)}
        levels = {given, *(level for level in others if level <= HARDEST and abs(level - given) > resolution / 4)}
        return "sparsity_level", tuple(sorted(levels))

    def allocate(self, sizes: Mapping[str, int], read: Callable[[str], Array]) -> Mapping[str, Method]:
        """The same level in every layer, or those of one threshold over all layers."""
        if self.pattern != "unstructured" or self.allocation != "normalized":
            return dict.fromkeys(sizes, self)
        levels = normalized_levels(map(read, sizes), self.sparsity_level)
        return {name: self.model_copy(update={"sparsity_level": level}) for name, level in zip(sizes, levels, strict=True)}

    @property
    def measured_level(self) -> float | None:
        """The level of `allocation: optimal`."""
        return self.sparsity_level if self.allocation == "optimal" and self.pattern == "unstructured" else None

    @property
    def measures(self) -> bool:
        """For zeros anywhere and for channels, if `allocation: optimal`."""
        return self.allocation == "optimal" and self.pattern not in ZEROS

    def at_level(self, level: float) -> Method | None:
        """The same at that level; None where all weights stay."""
        return self.model_copy(update={"sparsity_level": level}) if level > 0 else None

    def solve(self, problem: LayerProblem, rng: np.random.Generator) -> LayerSolution:
        """Prune `sparsity_level` of this layer's weights."""
        steps = np.arange(1, self.gradual_steps + 1) / self.gradual_steps
        levels = self.sparsity_level * (1 - (1 - steps) ** 3)
        if self.pattern == "unstructured" and problem.hessian.shape[2] <= MOST_COLUMNS:
            kept, start = choose_mask(problem, levels, lambda scores, level: keep_highest(scores, level, problem.support))
            weight = masked_least_squares(problem, kept, start)
        else:
            *_, weight = prune_gradually(problem, levels, self.pattern)
        return LayerSolution(weight, free=True)


def normalized_levels(weights: Iterable[Array], sparsity: float) -> list[float]:
    """The share of each layer below one threshold on |w| / ‖W‖₂ (Eq. 2).

    The threshold prunes `sparsity` of all weights together; a layer that would keep less than `LEAST_KEPT` keeps that, and
    the others give the difference. Where all come to that, less is pruned than asked for.
    """
    importance = [np.abs(weight).ravel() / max(float(np.linalg.norm(weight)), np.finfo(float).tiny) for weight in weights]
    sizes = np.array([scores.size for scores in importance])
    capped = np.zeros(len(importance), np.bool_)
    levels = np.zeros(len(importance))
    while True:
        wanted = sparsity * sizes.sum() - (1 - LEAST_KEPT) * sizes[capped].sum()
        pooled = np.concatenate([scores for scores, fixed in zip(importance, capped, strict=True) if not fixed])
        rank = min(max(round(wanted), 0), pooled.size)
        threshold = np.inf if rank == pooled.size else np.partition(pooled, rank)[rank]
        levels = np.array([np.count_nonzero(scores < threshold) / scores.size for scores in importance])
        levels[capped] = 1 - LEAST_KEPT
        fresh = (levels > 1 - LEAST_KEPT) & ~capped
        if not fresh.any():
            return [float(level) for level in levels]
        capped |= fresh
        if capped.all():
            return [float(level) for level in np.minimum(levels, 1 - LEAST_KEPT)]


def prune_gradually(
    problem: LayerProblem, levels: Iterable[float], pattern: str = "unstructured", tolerance: float = TOLERANCE
) -> Iterator[Array]:
    """The weights (g, r, c) at every one of the rising sparsity `levels`; each begins where the one before has ended."""
    relax = Relaxation(problem)
    weight, pull = problem.target, np.zeros_like(problem.target)
    between = affordable_iterations(weight.size, weight.shape[2], FEWEST_BETWEEN)
    levels = list(levels)
    for number, level in enumerate(levels, start=1):
        scores = _score(problem, weight, pull)
        if pattern in ZEROS:
            kept = keep_in_blocks(scores, *ZEROS[pattern], problem.taps, 2 * level)
            kept = kept if problem.support is None else kept & problem.support
        else:
            kept = keep_highest(scores, level, problem.support)
        iterations = between if number < len(levels) else None
        start = problem.threads.by_rows(lambda on, some: np.where(on, some, 0.0), kept, weight, dtype=np.float64)
        weight, pull = relax(kept, start, iterations, tolerance)
        yield weight


def _score(problem: LayerProblem, weight: Array, pull: Work) -> Array:
    """What each weight would save if it alone were free: H_jj v², with v its best value given all others, (g, r, c).

    For a kept weight v is its present value; a pruned one returns to the mask when its v has grown beyond a kept one's.
    `pull` is (W* − Ŵ) H.
    """
    curvature = np.einsum("gcc->gc", problem.hessian)[:, None, :]
    return problem.threads.by_rows(
        lambda some, pulled: curvature * (some + pulled / curvature) ** 2, weight, pull, dtype=np.float64
    )


def keep_highest(score: Array, sparsity: float, support: Mask | None = None) -> Mask:
    """True for all but the lowest `sparsity` share of the scores; false outside the `support`. Ties fall to the earlier."""
    if support is not None:
        score = np.where(support, score, -1.0)
    shaped = ~_lowest(score.ravel(), round(sparsity * score.size)).reshape(score.shape)
    return shaped if support is None else shaped & support


def _lowest(score: Array, count: int) -> Mask:
    """True for the `count` lowest of the scores (n,), which a partition finds in linear time."""
    if count == 0:
        return np.zeros(score.shape, np.bool_)
    threshold = np.partition(score, count - 1)[count - 1]
    lowest = score < threshold
    ties = np.flatnonzero(score == threshold)
    lowest[ties[: count - np.count_nonzero(lowest)]] = True
    return np.asarray(lowest)


def keep_in_blocks(score: Array, zeros: int, size: int, taps: int, share: float) -> Mask:
    """Prune up to `zeros` of the lowest in every block; of all that may go, the lowest `share`.

    A block is `size` input channels that follow one another, at one of the `taps` positions of the kernel: what sparse matrix
    units read at once, who keep a kernel as (output, position, input). The last block of a layer is filled up with zeros, which
    count. With a share of 1 every block has its zeros.
    """
    groups, rows, cols = score.shape
    channels = cols // taps
    missing = -channels % size
    by_tap = score.reshape(groups, rows, channels, taps).swapaxes(2, 3)
    padded = np.pad(by_tap, ((0, 0), (0, 0), (0, 0), (0, missing)), constant_values=-np.inf)
    blocks = padded.reshape(groups, rows, taps, -1, size)
    rank = blocks.argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable")
    candidates = np.where(rank < zeros, blocks, np.inf).reshape(groups, rows, taps, -1)[..., :channels].swapaxes(2, 3)
    flat = candidates.reshape(-1)
    order = np.argsort(flat, kind="stable")[: round(share * np.count_nonzero(flat < np.inf))]
    kept = np.ones(flat.size, np.bool_)
    kept[order] = False
    return kept.reshape(score.shape)
