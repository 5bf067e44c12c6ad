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

from workers.engine.layer import LayerResult
from workers.errors import NotTrainable
from workers.methods.ec2t import Ec2t, largest_price, level_probabilities
from workers.methods.inq import Inq, portion_to_freeze, round_to, unit_levels
from workers.methods.problem import Family, Method, Step

Values = NDArray[np.float64]

CENTROIDS = 0.1  # of the rate of the weights, as in EC2T's released code

FROZEN_FROM = 0.7  # of the training: assignments stay from here on
ORDER = np.array([1, 0, 2])  # zero, below and above as `probabilities` has them: below, at and above zero
WITHIN = 0.25  # of the way to the next value, at the most: where a latent weight begins, well inside what rounds to its own


class QuantizedParameter(nn.Module):
    """A weight tensor inside an allowed set; `complete` while it is whole there."""

    complete = True
    smooth = False  # whether any value that the mask allows is in the set, so that a state can be taken up again

    def settle(self, progress: float) -> None:
        """Choose anew what gradients do not move, `progress` (0 to 1) into the training."""

    def rates(self, rate: float) -> list[dict[str, object]]:
        """Groups of parameters with the learning rate of each, for an optimiser: `rate` is relative to their size."""
        return [{"params": [parameter], "lr": rate * size_of(parameter)} for parameter in self.parameters()]


class MaskedParameter(QuantizedParameter):
    """Any value where the mask has a one (layer-wise calibration pruning)."""

    smooth = True
    mask: Tensor

    def __init__(self, weight: Values, mask: NDArray[np.bool_]) -> None:
        super().__init__()
        self.latent = nn.Parameter(_float(weight))
        self.register_buffer("mask", _float(mask))

    def forward(self) -> Tensor:
        return self.latent * self.mask

    def assign(self, value: Tensor) -> None:
        """Go on from another value."""
        with torch.no_grad():
            self.latent.copy_(value)


class PowersOfTwoParameter(QuantizedParameter):
    """A growing portion is frozen at zero or ±2ⁿ, the largest weights first; the others train (INQ, sections 2.2-2.3)."""

    frozen: Tensor
    fixed: Tensor

    def __init__(self, step: Inq, scale: Values, weight: Values, original: Values, mask: NDArray[np.bool_]) -> None:
        super().__init__()
        self.levels, self.scale, self.mask = unit_levels(step.bits, step.powers), scale, mask
        self.portions = step.frozen_shares
        self.latent = nn.Parameter(_float(_inside(weight / scale, original / scale, self.levels) * scale * mask))
        self.register_buffer("frozen", torch.from_numpy(~mask))
        self.register_buffer("fixed", torch.zeros(original.shape))

    @property
    def complete(self) -> bool:  # type: ignore[override]
        return bool(self.frozen.all())

    def forward(self) -> Tensor:
        return torch.where(self.frozen, self.fixed, self.latent)

    def settle(self, progress: float) -> None:
        due = min(int(progress / FROZEN_FROM * len(self.portions)), len(self.portions) - 1)
        weight = self.forward().detach().numpy() / self.scale
        frozen = self.frozen.numpy()
        fresh = portion_to_freeze(weight, frozen & self.mask, self.mask, self.portions[due], None) & ~frozen
        self.fixed.copy_(_float(np.where(fresh, round_to(self.levels, weight) * self.scale, self.fixed.numpy())))
        self.frozen.copy_(torch.from_numpy(frozen | fresh))


class CodebookParameter(QuantizedParameter):
    """Values that weights share; latent weights say which. Gradients reach both, as in trained ternarisation."""

    mask: Tensor
    scale: Tensor
    chosen: Tensor

    def __init__(self, start: Values, scale: Values, mask: NDArray[np.bool_]) -> None:
        """`start`, the latent weights, are in units of `scale`."""
        super().__init__()
        self.latent = nn.Parameter(_float(start))
        self.register_buffer("scale", _float(scale))
        self.register_buffer("mask", torch.from_numpy(mask))

    def value(self) -> Tensor:
        """What every weight is, in units of its scale."""
        raise NotImplementedError

    def choose(self) -> Tensor:
        """Which of the values every weight takes, 0 for zero."""
        raise NotImplementedError

    def forward(self) -> Tensor:
        value = self.value()
        size = torch.where(self.chosen > 0, value.detach().abs(), 1.0)  # EC2T, Eq. 4.18
        return self.scale * (value + size * (self.latent - self.latent.detach()) * self.mask)

    def settle(self, progress: float) -> None:
        if progress < FROZEN_FROM:
            with torch.no_grad():
                self.chosen.copy_(self.choose() * self.mask)

    def rates(self, rate: float) -> list[dict[str, object]]:
        values = [parameter for parameter in self.parameters() if parameter is not self.latent]
        slow = [{"params": [parameter], "lr": CENTROIDS * rate * size_of(parameter)} for parameter in values]
        return [{"params": [self.latent], "lr": rate * size_of(self.latent)}, *slow]


class SharedLevels(CodebookParameter):
    """Levels that all channels share, times a fixed scale for each (SLQ)."""

    def __init__(self, scale: Values, weight: Values, original: Values, mask: NDArray[np.bool_]) -> None:
        levels = np.unique([0.0, *np.unique(weight / scale)])
        super().__init__(_inside(weight / scale, original / scale, levels), scale, mask)
        self.centroids = nn.Parameter(_float(levels[levels != 0]))
        self.register_buffer("chosen", self.choose() * self.mask)

    def table(self) -> Tensor:
        """Zero and the centroids (k,), in half precision, as they are stored."""
        rounded = self.centroids + (self.centroids.half().float() - self.centroids).detach()
        return torch.cat([rounded.new_zeros(1), rounded])

    def value(self) -> Tensor:
        return self.table()[self.chosen]

    def choose(self) -> Tensor:
        levels, order = self.table().detach().sort()
        return order[torch.bucketize(self.latent.detach(), (levels[1:] + levels[:-1]) / 2)]


class TernaryParameter(CodebookParameter):
    """Zero and two values for every channel (MLQ)."""

    channel: Tensor

    def __init__(self, channel: NDArray[np.intp], weight: Values, original: Values, mask: NDArray[np.bool_]) -> None:
        """`channel` tells the output channel of every weight."""
        count = channel.max() + 1
        size = np.sqrt(np.bincount(channel.ravel(), np.square(original).ravel(), count) / np.bincount(channel.ravel()))
        scale = np.exp2(np.rint(np.log2(np.where(size > 0, size, 1.0))))[channel]  # exact to divide by
        below, above = np.zeros(count), np.zeros(count)
        np.minimum.at(below, channel, weight / scale)
        np.maximum.at(above, channel, weight / scale)
        start = _within(original / scale, np.sign(weight), below[channel], above[channel])
        super().__init__(start, scale, mask)
        self.below, self.above = nn.Parameter(_float(below)), nn.Parameter(_float(above))
        self.register_buffer("channel", torch.from_numpy(channel))
        self.register_buffer("chosen", self.choose() * self.mask)

    def sides(self) -> Tensor:
        """Zero, and the values of either side at every weight, (3, ...)."""
        below, above = self.below[self.channel], self.above[self.channel]
        return torch.stack([torch.zeros_like(below), below, above])

    def value(self) -> Tensor:
        return torch.take_along_dim(self.sides(), self.chosen[None], dim=0)[0]

    def choose(self) -> Tensor:
        return (self.latent.detach() - self.sides().detach()).abs().argmin(dim=0)


class PricedTernary(TernaryParameter):
    """The same, assigned at a price for information at every step (EC2T, section 3.2)."""

    def __init__(self, step: Ec2t, *arguments: Values) -> None:
        self.gamma = step.gamma
        super().__init__(*arguments)  # type: ignore[arg-type]

    def choose(self) -> Tensor:
        latent, values = self.latent.detach(), self.sides().detach()
        side = ORDER[super().choose().numpy()]
        share = level_probabilities(side)
        levels = np.array([float(self.below.detach().mean()), 0.0, float(self.above.detach().mean())])
        highest = largest_price(latent.numpy(), levels, share)
        price = _float(-self.gamma * highest * np.log2(share))[torch.from_numpy(ORDER)]
        costs = (latent - values).square() + price.reshape(3, *[1] * latent.ndim)
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
FAMILIES: Mapping[Family, Callable[[Step, Arguments], QuantizedParameter]] = {
    "masked": lambda step, at: MaskedParameter(at[0], at[2]),
    "powers": lambda step, at: PowersOfTwoParameter(step, _step(at[3]), at[0], at[1], at[2]),  # type: ignore[arg-type]
    "codebook": lambda step, at: SharedLevels(_step(at[3]), at[0], at[1], at[2]),
    "ternary": lambda step, at: TernaryParameter(_channel(at[3]), at[0], at[1], at[2]),
    "priced_ternary": lambda step, at: PricedTernary(step, _channel(at[3]), at[0], at[1], at[2]),  # type: ignore[arg-type]
    "grid": lambda step, at: GridParameter(_step(at[3]), at[0], at[1], at[2]),
}


def parametrize(result: LayerResult) -> QuantizedParameter:
    """The weight tensor of a compressed layer, inside the set of the method that compressed it last.

    Raises NotTrainable where that method's set is not known.
    """
    step = result.steps[-1] if result.steps else None
    family = step.family if isinstance(step, Method) else None
    if step is not None and family is None:
        raise NotTrainable(f"finetune cannot follow {step.method} ({result.layer.name!r}).")
    pruned = any(isinstance(each, Method) and each.family == "masked" for each in result.steps)
    weight = _tensor(result, result.weight.astype(np.float64))
    start = result.original if result.original.shape == result.weight.shape else result.weight  # channels may be gone
    mask = weight != 0 if pruned else np.ones(weight.shape, np.bool_)
    if step is None or family is None:
        return MaskedParameter(weight, mask)
    return FAMILIES[family](step, (weight, _tensor(result, start.astype(np.float64)), mask, result))


def _step(result: LayerResult) -> Values:
    assert result.scale is not None
    return _tensor(result, np.broadcast_to(result.scale, result.weight.shape))


def _channel(result: LayerResult) -> NDArray[np.intp]:
    """The output channel of every weight."""
    groups, rows, columns = result.weight.shape
    numbers = np.arange(groups * rows).reshape(groups, rows, 1)
    matrix = np.ascontiguousarray(np.broadcast_to(numbers, (groups, rows, columns)), np.float64)
    return _tensor(result, matrix).astype(np.intp)


def _tensor(result: LayerResult, matrix: Values) -> Values:
    return result.layer.geometry.tensor(matrix, result.layer.shape)  # type: ignore[arg-type, return-value]


def _inside(weight: Values, original: Values, levels: Values) -> Values:
    """The original weights, moved as little as it takes to be nearest to what they were assigned to."""
    at = np.searchsorted(levels, weight)
    below = np.where(at > 0, weight - WITHIN * (weight - levels[np.maximum(at - 1, 0)]), -np.inf)
    above = np.where(at < len(levels) - 1, weight + WITHIN * (levels[np.minimum(at + 1, len(levels) - 1)] - weight), np.inf)
    return np.clip(original, below, above)


def _within(original: Values, sign: Values, below: Values, above: Values) -> Values:
    """The original weights, moved as little as it takes to be nearest to zero or to the value of the `sign`."""
    low = np.where(sign > 0, (1 - WITHIN) * above, np.where(sign < 0, -np.inf, WITHIN * below))
    high = np.where(sign < 0, (1 - WITHIN) * below, np.where(sign > 0, np.inf, WITHIN * above))
    return np.clip(original, low, high)


def size_of(values: Tensor) -> float:
    """The root mean square, or 0 of nothing."""
    return float(values.detach().square().mean().sqrt()) if values.numel() else 0.0


def _float(values: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))
