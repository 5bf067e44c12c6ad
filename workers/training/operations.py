"""OpenVINO's operations in torch: for each type, a function of a node's attributes and its input tensors.

Shapes, axes and other integers come as tensors, as they do in OpenVINO; constants make them known.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Attributes = Mapping[str, Any]
Operation = Callable[..., Tensor | tuple[Tensor, ...]]  # (attributes, *inputs) -> output, or a tuple of outputs

TYPES = {
    "f32": torch.float32,
    "f16": torch.float16,
    "f64": torch.float64,
    "i64": torch.int64,
    "i32": torch.int32,
    "u8": torch.uint8,
    "i8": torch.int8,
    "boolean": torch.bool,
}


def _plain(function: Callable[..., Tensor]) -> Operation:
    """An operation without attributes."""
    return lambda attributes, *inputs: function(*inputs)


def _integers(values: Tensor) -> list[int]:
    return [int(value) for value in values.reshape(-1).tolist()]


def _sides(begin: Sequence[int], end: Sequence[int]) -> list[int]:
    """Pads as `F.pad` takes them: last axis first."""
    return [side for pair in zip(reversed(begin), reversed(end), strict=True) for side in pair]


def _padded(value: Tensor, attributes: Attributes, fill: float = 0.0) -> Tensor:
    sides = _sides(attributes["pads_begin"], attributes["pads_end"])
    return F.pad(value, sides, value=fill) if any(sides) else value


CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE_POOLS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def _convolution(attributes: Attributes, value: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
    begin, end = list(attributes["pads_begin"]), list(attributes["pads_end"])
    strides, kernel = list(attributes["strides"]), list(weight.shape[2:])
    if groups == 1 and max(kernel) == max(strides) == 1 and not any(begin + end):
        return F.linear(value.movedim(1, -1), weight.flatten(1)).movedim(-1, 1)  # one product for all pixels
    if _is_wide_depthwise(attributes, value, weight, groups):
        found: Tensor = WideDepthwise.apply(value, weight)  # type: ignore[no-untyped-call]
        return found
    uneven = begin != end
    return CONVOLUTIONS[weight.dim() - 2](
        _padded(value, attributes) if uneven else value,
        weight,
        stride=list(attributes["strides"]),
        padding=0 if uneven else begin,
        dilation=list(attributes["dilations"]),
        groups=groups,
    )


def _is_wide_depthwise(attributes: Attributes, value: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether `WideDepthwise` can carry out a convolution, and is worth it."""
    plain = {*attributes["strides"], *attributes["dilations"]} == {1}
    kernel = list(weight.shape[2:])
    same = all(list(attributes[pads]) == [side // 2 for side in kernel] for pads in ("pads_begin", "pads_end"))
    alone = value.shape[1] == weight.shape[0] == groups
    return plain and same and alone and len(kernel) == 2 and kernel[0] == kernel[1] and kernel[0] in (5, 7)


class WideDepthwise(torch.autograd.Function):
    """A depthwise convolution that keeps its input's size, with a gradient of its weights that is a convolution itself.

    torch takes ten times as long for that gradient as for the convolution, from five taps a side on.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(value, weight)
        return F.conv2d(value, weight, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        value, weight = ctx.saved_tensors
        (gradient,), (n, channels, *size), side = gradients, value.shape, weight.shape[-1]
        back = F.conv2d(gradient, weight.flip(2, 3), padding=side // 2, groups=channels)
        images, kernels = value.reshape(1, n * channels, *size), gradient.reshape(n * channels, 1, *size)
        taps = F.conv2d(images, kernels, padding=side // 2, groups=n * channels)
        return back, taps.reshape(n, channels, side, side).sum(0)[:, None]


def _group_convolution(attributes: Attributes, value: Tensor, weight: Tensor) -> Tensor:
    return _convolution(attributes, value, weight.flatten(0, 1), groups=weight.shape[0])


def _transposed(attributes: Attributes, value: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
    begin, end = list(attributes["pads_begin"]), list(attributes["pads_end"])
    extra = list(attributes.get("output_padding") or [0] * len(begin))
    whole = TRANSPOSED[weight.dim() - 2](
        value, weight, stride=list(attributes["strides"]), dilation=list(attributes["dilations"]), groups=groups
    )
    return F.pad(whole, _sides([-b for b in begin], [e - p for e, p in zip(extra, end, strict=True)]))


def _group_transposed(attributes: Attributes, value: Tensor, weight: Tensor) -> Tensor:
    return _transposed(attributes, value, weight.flatten(0, 1), groups=weight.shape[0])


def _mat_mul(attributes: Attributes, first: Tensor, second: Tensor) -> Tensor:
    first = first.mT if attributes["transpose_a"] else first
    return torch.matmul(first, second.mT if attributes["transpose_b"] else second)


def _max_pool(attributes: Attributes, value: Tensor) -> Tensor:
    kernel = list(attributes["kernel"])
    value, ceil = _pooled(value, attributes, kernel, float("-inf"))
    return MAX_POOLS[len(kernel)](
        value,
        kernel,
        list(attributes["strides"]),
        dilation=list(attributes.get("dilations") or [1] * len(kernel)),
        ceil_mode=ceil,
    )


def _avg_pool(attributes: Attributes, value: Tensor) -> Tensor:
    kernel, strides = list(attributes["kernel"]), list(attributes["strides"])
    pool = AVERAGE_POOLS[len(kernel)]
    exclude = bool(attributes.get("exclude-pad", attributes.get("exclude_pad", True)))
    padded, ceil = _pooled(value, attributes, kernel, 0.0)
    sums = pool(padded, kernel, strides, ceil_mode=ceil)
    if padded is value or not exclude:
        return sums
    inside, _ = _pooled(torch.ones_like(value[:1, :1]), attributes, kernel, 0.0)
    return sums / pool(inside, kernel, strides, ceil_mode=ceil)


def _pooled(value: Tensor, attributes: Attributes, kernel: list[int], fill: float) -> tuple[Tensor, bool]:
    """The padded input of a pooling, and whether a last incomplete window counts."""
    return _padded(value, attributes, fill), str(attributes["rounding_type"]).lower().endswith("ceil")


def _reduction(function: Callable[..., Tensor]) -> Operation:
    def reduce(attributes: Attributes, value: Tensor, axes: Tensor) -> Tensor:
        return function(value, dim=_integers(axes), keepdim=bool(attributes["keep_dims"]))

    return reduce


def _product(value: Tensor, dim: list[int], keepdim: bool) -> Tensor:
    for axis in sorted((axis % value.dim() for axis in dim), reverse=True):
        value = value.prod(dim=axis, keepdim=keepdim)
    return value


def _norm2(value: Tensor, dim: list[int], keepdim: bool) -> Tensor:
    return value.square().sum(dim=dim, keepdim=keepdim).sqrt()


def _reshape(attributes: Attributes, value: Tensor, pattern: Tensor) -> Tensor:
    sizes = _integers(pattern)
    if attributes["special_zero"]:
        sizes = [value.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return value.reshape(sizes)


def _squeeze(attributes: Attributes, value: Tensor, axes: Tensor | None = None) -> Tensor:
    if axes is None:
        return value.squeeze()
    return value.squeeze(tuple(_integers(axes)))


def _unsqueeze(attributes: Attributes, value: Tensor, axes: Tensor) -> Tensor:
    rank = value.dim() + axes.numel()
    for axis in sorted(axis % rank for axis in _integers(axes)):
        value = value.unsqueeze(axis)
    return value


def _split(attributes: Attributes, value: Tensor, axis: Tensor) -> tuple[Tensor, ...]:
    return value.chunk(int(attributes["num_splits"]), int(axis))


def _variadic_split(attributes: Attributes, value: Tensor, axis: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
    sizes = _integers(lengths)
    rest = value.shape[int(axis)] - sum(size for size in sizes if size >= 0)
    return torch.split(value, [rest if size < 0 else size for size in sizes], int(axis))


def _slice(
    attributes: Attributes, value: Tensor, start: Tensor, stop: Tensor, step: Tensor, axes: Tensor | None = None
) -> Tensor:
    where = _integers(axes) if axes is not None else range(start.numel())
    for axis, begin, end, stride in zip(where, _integers(start), _integers(stop), _integers(step), strict=True):
        chosen = (
            torch.arange(value.shape[axis])[begin:end:stride]
            if stride > 0
            else _backwards(value.shape[axis], begin, end, stride)
        )
        value = value.index_select(axis, chosen)
    return value


def _backwards(length: int, begin: int, end: int, stride: int) -> Tensor:
    return torch.tensor(list(range(length))[begin:end:stride], dtype=torch.int64)


def _strided_slice(attributes: Attributes, value: Tensor, begin: Tensor, end: Tensor, strides: Tensor | None = None) -> Tensor:
    count = begin.numel()
    masks = {
        name: [*list(attributes.get(name) or []), *[0] * count][:count]
        for name in ("begin_mask", "end_mask", "new_axis_mask", "shrink_axis_mask", "ellipsis_mask")
    }
    steps = _integers(strides) if strides is not None else [1] * count
    index: list[Any] = []
    for at, (first, last, step) in enumerate(zip(_integers(begin), _integers(end), steps, strict=True)):
        if masks["ellipsis_mask"][at]:
            index.append(Ellipsis)
        elif masks["new_axis_mask"][at]:
            index.append(None)
        elif masks["shrink_axis_mask"][at]:
            index.append(first)
        else:
            index.append(slice(None if masks["begin_mask"][at] else first, None if masks["end_mask"][at] else last, step))
    return value[tuple(index)]


def _gather(attributes: Attributes, value: Tensor, indices: Tensor, axis: Tensor) -> Tensor:
    if int(attributes.get("batch_dims") or 0):
        raise NotImplementedError("Gather with batch_dims")
    where = int(axis) % value.dim()
    taken = value.index_select(where, indices.reshape(-1).long() % value.shape[where])
    return taken.reshape(*value.shape[:where], *indices.shape, *value.shape[where + 1 :])


def _broadcast(attributes: Attributes, value: Tensor, shape: Tensor, axes: Tensor | None = None) -> Tensor:
    if axes is not None and axes.numel():
        raise NotImplementedError("Broadcast with explicit axes")
    return value * torch.ones(_integers(shape), dtype=value.dtype)


def _pad(attributes: Attributes, value: Tensor, begin: Tensor, end: Tensor, fill: Tensor | None = None) -> Tensor:
    mode = str(attributes["pad_mode"]).lower().rsplit(".", 1)[-1]
    sides = _sides(_integers(begin), _integers(end))
    if mode == "constant":
        return F.pad(value, sides, value=0.0 if fill is None else float(fill))
    while len(sides) > 2 and sides[-2:] == [0, 0] and len(sides) > 2 * (value.dim() - 2):
        sides = sides[:-2]
    return F.pad(value, sides, mode={"edge": "replicate", "reflect": "reflect"}[mode])


def _shuffle_channels(attributes: Attributes, value: Tensor) -> Tensor:
    axis, group = int(attributes["axis"]) % value.dim(), int(attributes["group"])
    shape = value.shape
    apart = value.reshape(*shape[:axis], group, -1, *shape[axis + 1 :]).transpose(axis, axis + 1)
    return apart.flatten(axis, axis + 1)


def _interpolate(attributes: Attributes, value: Tensor, *rest: Tensor) -> Tensor:
    """Resize the two last axes as torch does: nearest by the floor, or linear with half-pixel or aligned corners."""
    mode = str(attributes["mode"]).lower()
    transform = str(attributes["coordinate_transformation_mode"]).lower()
    by_scale = str(attributes["shape_calculation_mode"]).lower() == "scales"
    given = rest[1] if by_scale and len(rest) > 1 and rest[1].is_floating_point() else rest[0]
    axes = [int(axis) % value.dim() for axis in (rest[-1].tolist() if len(rest) > 1 else range(value.dim()))]
    if by_scale:
        sizes = {axis: int(value.shape[axis] * factor + 1e-6) for axis, factor in zip(axes, given.tolist(), strict=True)}
    else:
        sizes = dict(zip(axes, _integers(given), strict=True))
    target = [sizes.get(axis, value.shape[axis]) for axis in (2, 3)]
    if mode == "nearest":
        return F.interpolate(value, target, mode="nearest")
    return F.interpolate(value, target, mode="bilinear", align_corners=transform == "align_corners")


def _mvn(attributes: Attributes, value: Tensor, axes: Tensor) -> Tensor:
    dims = _integers(axes)
    centred = value - value.mean(dim=dims, keepdim=True)
    if not attributes["normalize_variance"]:
        return centred
    variance, eps = centred.square().mean(dim=dims, keepdim=True), float(attributes["eps"])
    inside = str(attributes["eps_mode"]).lower().endswith("inside_sqrt")
    return centred / ((variance + eps).sqrt() if inside else variance.sqrt() + eps)


def _attention(
    attributes: Attributes,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    scale: Tensor | None = None,
) -> Tensor:
    factor = None if scale is None else float(scale)
    causal = bool(attributes.get("causal"))
    chosen = None if mask is None or causal or mask.dim() == 0 else mask
    return F.scaled_dot_product_attention(query, key, value, attn_mask=chosen, is_causal=causal, scale=factor)


def _prelu(attributes: Attributes, value: Tensor, slope: Tensor) -> Tensor:
    if slope.dim() == 1 and slope.numel() > 1:
        slope = slope.reshape(-1, *[1] * (value.dim() - 2))
    return torch.where(value >= 0, value, value * slope)


def _gelu(attributes: Attributes, value: Tensor) -> Tensor:
    exact = str(attributes.get("approximation_mode", "ERF")).lower().endswith("erf")
    return F.gelu(value, approximate="none" if exact else "tanh")


def _swish(attributes: Attributes, value: Tensor, beta: Tensor | None = None) -> Tensor:
    return value * torch.sigmoid(value if beta is None else beta * value)


def _tile(attributes: Attributes, value: Tensor, repeats: Tensor) -> Tensor:
    return value.tile(tuple(_integers(repeats)))


def _shape_of(attributes: Attributes, value: Tensor) -> Tensor:
    return torch.tensor(value.shape, dtype=TYPES.get(str(attributes.get("output_type", "i64")), torch.int64))


def _convert(attributes: Attributes, value: Tensor) -> Tensor:
    return value.to(TYPES[str(attributes["destination_type"])])


def _transpose(attributes: Attributes, value: Tensor, order: Tensor) -> Tensor:
    axes = _integers(order)
    return value.permute(axes or list(reversed(range(value.dim()))))


def _normalize_l2(attributes: Attributes, value: Tensor, axes: Tensor) -> Tensor:
    eps = float(attributes["eps"])
    total = value.square().sum(dim=_integers(axes), keepdim=True)
    largest = str(attributes["eps_mode"]).lower().endswith("max")
    return value / (total.clamp(min=eps) if largest else total + eps).sqrt()


def _depth_to_space(attributes: Attributes, value: Tensor) -> Tensor:
    if str(attributes["mode"]).lower().endswith("blocks_first"):
        n, c, h, w = value.shape
        b = int(attributes["block_size"])
        blocks = value.reshape(n, b, b, c // b**2, h, w)
        return blocks.permute(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)
    return F.pixel_shuffle(value, int(attributes["block_size"]))


OPERATIONS: Mapping[str, Operation] = {
    "Add": _plain(torch.add),
    "Subtract": _plain(torch.subtract),
    "Multiply": _plain(torch.multiply),
    "Divide": _plain(torch.divide),
    "Maximum": _plain(torch.maximum),
    "Minimum": _plain(torch.minimum),
    "Power": _plain(torch.pow),
    "SquaredDifference": _plain(lambda first, second: (first - second).square()),
    "Sqrt": _plain(torch.sqrt),
    "Exp": _plain(torch.exp),
    "Log": _plain(torch.log),
    "Abs": _plain(torch.abs),
    "Negative": _plain(torch.neg),
    "Erf": _plain(torch.erf),
    "Equal": _plain(torch.eq),
    "Greater": _plain(torch.gt),
    "Less": _plain(torch.lt),
    "Select": _plain(torch.where),
    "Convert": _convert,
    "Relu": _plain(torch.relu),
    "PRelu": _prelu,
    "Sigmoid": _plain(torch.sigmoid),
    "Tanh": _plain(torch.tanh),
    "Gelu": _gelu,
    "Swish": _swish,
    "HSwish": _plain(F.hardswish),
    "HSigmoid": _plain(F.hardsigmoid),
    "Mish": _plain(F.mish),
    "SoftPlus": _plain(F.softplus),
    "Elu": lambda attributes, value: F.elu(value, alpha=float(attributes["alpha"])),
    "Clamp": lambda attributes, value: F.hardtanh(value, float(attributes["min"]), float(attributes["max"])),  # fast backward
    "Softmax": lambda attributes, value: value.softmax(int(attributes["axis"])),
    "LogSoftmax": lambda attributes, value: value.log_softmax(int(attributes["axis"])),
    "Convolution": _convolution,
    "GroupConvolution": _group_convolution,
    "ConvolutionBackpropData": _transposed,
    "GroupConvolutionBackpropData": _group_transposed,
    "MatMul": _mat_mul,
    "MaxPool": _max_pool,
    "AvgPool": _avg_pool,
    "ReduceMean": _reduction(torch.mean),
    "ReduceSum": _reduction(torch.sum),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMin": _reduction(torch.amin),
    "ReduceProd": _reduction(_product),
    "ReduceL2": _reduction(_norm2),
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": lambda attributes, *values: torch.cat(values, int(attributes["axis"])),
    "Split": _split,
    "VariadicSplit": _variadic_split,
    "Slice": _slice,
    "StridedSlice": _strided_slice,
    "Gather": _gather,
    "Broadcast": _broadcast,
    "Tile": _tile,
    "Pad": _pad,
    "ShapeOf": _shape_of,
    "ShuffleChannels": _shuffle_channels,
    "DepthToSpace": _depth_to_space,
    "Interpolate": _interpolate,
    "MVN": _mvn,
    "NormalizeL2": _normalize_l2,
    "ScaledDotProductAttention": _attention,
}
