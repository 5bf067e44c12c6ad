"""Weights that train without leaving their method's set of allowed weights.

Every class gives the value of a weight tensor as a differentiable function of its parameters. `settle` moves what gradients do
not: assignments, frozen portions, masks. What `settle` has chosen stays chosen in the last part of training, in which the other
parameters settle around it.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workers.engine.sweep import LayerResult
from workers.errors import NotTrainable
from workers.methods.ec2t import Ec2t, largest_price, level_probabilities
from workers.methods.inq import PORTIONS, Inq, portion_to_freeze, round_to
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.mcq import Mcq
from workers.methods.mlq import Mlq
from workers.methods.problem import Step
from workers.methods.slq import Slq
from workers.methods.solvers.channel_selection import ChannelPruning
from workers.methods.uniform import Uniform

Values = NDArray[np.float64]

CENTROIDS = 0.1  # of the rate of the weights, as in EC2T's released code

FROZEN_FROM = 0.7  # of the training: assignments stay from here on
WITHIN = 0.25  # of the way to the next value, at the most: where a latent weight begins, well inside what rounds to its own


class QuantizedParameter(nn.Module):
    """A weight tensor inside an allowed set; `complete` while it is whole there."""

    complete = True

    def settle(self, progress: float) -> None:
        """Choose anew what gradients do not move, `progress` (0 to 1) into the training."""

    def rates(self, rate: float) -> list[dict[str, object]]:
        """Groups of parameters with the learning rate of each, for an optimiser: `rate` is relative to their size."""
        return [{"params": [parameter], "lr": rate * size_of(parameter)} for parameter in self.parameters()]


class MaskedParameter(QuantizedParameter):
    """Any value where the mask has a one (layer-wise calibration pruning)."""

    mask: Tensor

    def __init__(self, weight: Values, mask: NDArray[np.bool_]) -> None:
        super().__init__()
        self.latent = nn.Parameter(_float(weight))
        self.register_buffer("mask", _float(mask))

    def forward(self) -> Tensor:
        return self.latent * self.mask


class PowersOfTwoParameter(QuantizedParameter):
    """A growing portion is frozen at zero or ±2ⁿ, the largest weights first; the others train (INQ, sections 2.2-2.3)."""

    frozen: Tensor
    fixed: Tensor

    def __init__(self, step: Inq, levels: Values, weight: Values, original: Values, mask: NDArray[np.bool_]) -> None:
        super().__init__()
        self.levels = levels
        self.portions = step.portions or PORTIONS[step.bits]
        self.latent = nn.Parameter(_float(_inside(weight, original, levels) * mask))
        self.register_buffer("frozen", torch.from_numpy(~mask))
        self.register_buffer("fixed", torch.zeros(original.shape))

    @property
    def complete(self) -> bool:  # type: ignore[override]
        return bool(self.frozen.all())

    def forward(self) -> Tensor:
        return torch.where(self.frozen, self.fixed, self.latent)

    def settle(self, progress: float) -> None:
        due = min(int(progress / FROZEN_FROM * len(self.portions)), len(self.portions) - 1)
        weight = self.forward().detach().numpy().astype(np.float64)
        frozen = self.frozen.numpy()
        if np.count_nonzero(frozen) >= round(self.portions[due] * frozen.size):
            return
        fresh = portion_to_freeze(weight, frozen, self.portions[due], None) & ~frozen
        self.fixed.copy_(_float(np.where(fresh, round_to(self.levels, weight), self.fixed.numpy())))
        self.frozen.copy_(torch.from_numpy(frozen | fresh))


class CodebookParameter(QuantizedParameter):
    """Shared centroids and zero; latent weights say which (SLQ, MLQ). Gradients reach both, as in trained ternarisation."""

    mask: Tensor
    chosen: Tensor

    def __init__(self, weight: Values, original: Values, mask: NDArray[np.bool_]) -> None:
        super().__init__()
        levels = np.unique([0.0, *np.unique(weight)])
        self.centroids = nn.Parameter(_float(levels[levels != 0]))
        self.latent = nn.Parameter(_float(_inside(weight, original, levels)))
        self.register_buffer("mask", torch.from_numpy(mask))
        self.register_buffer("chosen", self._nearest())

    def table(self) -> Tensor:
        """Zero and the centroids (k,)."""
        return torch.cat([self.centroids.new_zeros(1), self.centroids])

    def forward(self) -> Tensor:
        value = self.table()[self.chosen]
        size = torch.where(self.chosen > 0, value.detach().abs(), 1.0)  # EC2T, Eq. 4.18
        return value + size * (self.latent - self.latent.detach()) * self.mask

    def settle(self, progress: float) -> None:
        if progress < FROZEN_FROM:
            with torch.no_grad():
                self.chosen.copy_(self.choose() * self.mask)

    def choose(self) -> Tensor:
        """Which entry of the table every weight takes."""
        return self._nearest()

    def rates(self, rate: float) -> list[dict[str, object]]:
        slow = CENTROIDS * rate * size_of(self.centroids)
        return [{"params": [self.latent], "lr": rate * size_of(self.latent)}, {"params": [self.centroids], "lr": slow}]

    def _nearest(self) -> Tensor:
        levels, order = self.table().detach().sort()
        return order[torch.bucketize(self.latent.detach(), (levels[1:] + levels[:-1]) / 2)] * self.mask


class TernaryParameter(CodebookParameter):
    """Two centroids and zero, assigned at a price for information at every step (EC2T, section 3.2)."""

    def __init__(self, step: Ec2t, weight: Values, original: Values, mask: NDArray[np.bool_]) -> None:
        self.gamma = step.gamma
        super().__init__(weight, original, mask)

    def choose(self) -> Tensor:
        table, latent = self.table().detach(), self.latent.detach()
        levels = table.numpy().astype(np.float64)
        share = level_probabilities(levels[self._nearest().numpy()], levels)
        highest = largest_price(latent.numpy(), levels, share)
        price = _float(-self.gamma * highest * np.log2(share))
        costs = torch.stack([(latent - level).square() + extra for level, extra in zip(table, price, strict=True)])
        return costs.argmin(dim=0)


class GridParameter(QuantizedParameter):
    """Integer multiples of a step, between the smallest and the largest that the method used (uniform, MCQ)."""

    mask: Tensor
    step: Tensor
    codes: Tensor

    def __init__(self, step: Values, weight: Values, original: Values, mask: NDArray[np.bool_]) -> None:
        super().__init__()
        codes = np.rint(weight / step)
        drawn = codes + np.clip(original / step - codes, -WITHIN, WITHIN)
        self.latent = nn.Parameter(_float(drawn * step))
        self.low, self.high = float(codes.min()), float(codes.max())
        self.register_buffer("mask", _float(mask))
        self.register_buffer("step", _float(step))
        self.register_buffer("codes", _float(codes))

    def forward(self) -> Tensor:
        return self.codes * self.step + (self.latent - self.latent.detach()) * self.mask

    def settle(self, progress: float) -> None:
        if progress < FROZEN_FROM:
            with torch.no_grad():
                self.codes.copy_((self.latent / self.step).round().clamp(self.low, self.high) * self.mask)


Arguments = tuple[Values, Values, NDArray[np.bool_], LayerResult]
KINDS: Mapping[type[Step], Callable[[Step, Arguments], QuantizedParameter]] = {
    LayerwisePruning: lambda step, at: MaskedParameter(at[0], at[2]),
    ChannelPruning: lambda step, at: MaskedParameter(at[0], at[2]),
    Inq: lambda step, at: PowersOfTwoParameter(step, _powers(at[3]), at[0], at[1], at[2]),  # type: ignore[arg-type]
    Slq: lambda step, at: CodebookParameter(at[0], at[1], at[2]),
    Mlq: lambda step, at: CodebookParameter(at[0], at[1], at[2]),
    Ec2t: lambda step, at: TernaryParameter(step, at[0], at[1], at[2]),  # type: ignore[arg-type]
    Uniform: lambda step, at: GridParameter(_step(at[3]), at[0], at[1], at[2]),
    Mcq: lambda step, at: GridParameter(_step(at[3]), at[0], at[1], at[2]),
}
PRUNING = (LayerwisePruning, ChannelPruning)


def parametrize(result: LayerResult) -> QuantizedParameter:
    """The weight tensor of a compressed layer, inside the set of the method that compressed it last.

    Raises NotTrainable where that method's set is not known.
    """
    step = result.steps[-1] if result.steps else None
    if step is not None and type(step) not in KINDS:
        raise NotTrainable(f"finetune cannot follow {step.method} ({result.layer.name!r}).")
    pruned = any(isinstance(each, PRUNING) for each in result.steps)
    weight = _tensor(result, result.weight)
    start = result.original if result.original.shape == result.weight.shape else result.weight  # channels may be gone
    mask = weight != 0 if pruned else np.ones(weight.shape, np.bool_)
    if step is None:
        return MaskedParameter(weight, mask)
    return KINDS[type(step)](step, (weight, _tensor(result, start), mask, result))


def _powers(result: LayerResult) -> Values:
    """The levels that INQ has chosen for a layer, by the exponents it reports; zero alone for a layer of zeros."""
    if "n1" not in result.statistics:
        return np.zeros(1)
    positive = 2.0 ** np.arange(result.statistics["n2"], result.statistics["n1"] + 1)
    return np.concatenate([-positive[::-1], [0.0], positive])


def _step(result: LayerResult) -> Values:
    assert result.scale is not None
    return _tensor(result, np.broadcast_to(result.scale, result.weight.shape))


def _tensor(result: LayerResult, matrix: Values) -> Values:
    return result.layer.geometry.tensor(matrix, result.layer.shape)  # type: ignore[arg-type, return-value]


def _inside(weight: Values, original: Values, levels: Values) -> Values:
    """The original weights, moved as little as it takes to be nearest to what they were assigned to."""
    at = np.searchsorted(levels, weight)
    below = np.where(at > 0, weight - WITHIN * (weight - levels[np.maximum(at - 1, 0)]), -np.inf)
    above = np.where(at < len(levels) - 1, weight + WITHIN * (levels[np.minimum(at + 1, len(levels) - 1)] - weight), np.inf)
    return np.clip(original, below, above)


def size_of(values: Tensor) -> float:
    """The root mean square, or 0 of nothing."""
    return float(values.detach().square().mean().sqrt()) if values.numel() else 0.0


def _float(values: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))
