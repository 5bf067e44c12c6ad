"""Networks of well-known shapes with random weights of realistic scale, as OpenVINO IR: for measuring time and memory.

    python benchmarks/architectures.py resnet50 out/resnet50.xml

Weights are drawn so that activations keep a variance of about one through every depth (He et al. 2015), and batch norms are
folded, as they are in an exported model. Their outputs mean nothing; their cost is that of the real networks.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops

GAIN = {"relu": 2.0, "silu": 2.8, "linear": 1.0}  # 1 / E[f(x)²] of a unit normal x


class Builder:
    """Operations over random weights; every layer is named after its place."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._count = 0

    def convolution(
        self, x: ov.Output, outputs: int, kernel: int, stride: int = 1, *, depthwise: bool = False, gain: float = 2.0
    ) -> ov.Output:
        """A convolution with its bias; `x` (n, c, h, w), padded to keep h and w at stride 1."""
        inputs = x.get_partial_shape()[1].get_length()
        fan_in = kernel**2 * (1 if depthwise else inputs)
        shape = (inputs, 1, 1, kernel, kernel) if depthwise else (outputs, inputs, kernel, kernel)
        weight = ops.constant(self._normal(shape, gain / fan_in))
        strides, pads, dilations = [stride] * 2, [kernel // 2] * 2, [1] * 2
        operation = ops.group_convolution if depthwise else ops.convolution
        name = self._name("depthwise" if depthwise else "conv")
        y = operation(x, weight, strides, pads, pads, dilations, name=name)
        return ops.add(y, ops.constant(self._normal((1, outputs, 1, 1), 0.01))).output(0)

    def linear(self, x: ov.Output, outputs: int, gain: float = 1.0) -> ov.Output:
        """A fully connected layer with its bias over the last axis of `x`."""
        inputs = x.get_partial_shape()[-1].get_length()
        weight = ops.constant(self._normal((outputs, inputs), gain / inputs))
        y = ops.matmul(x, weight, False, True, name=self._name("linear"))
        return ops.add(y, ops.constant(self._normal((outputs,), 0.01))).output(0)

    def normalise(self, x: ov.Output) -> ov.Output:
        """Layer normalisation over the last axis."""
        return ops.mvn(x, ops.constant([-1]), True, 1e-6, "INSIDE_SQRT").output(0)

    def _normal(self, shape: tuple[int, ...], variance: float) -> np.ndarray:
        return (self._rng.standard_normal(shape, np.float32) * np.float32(variance**0.5)).astype(np.float32)

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"


def relu(x: ov.Output) -> ov.Output:
    """max(x, 0)."""
    return ops.relu(x).output(0)


def silu(x: ov.Output) -> ov.Output:
    """x · sigmoid(x)."""
    return ops.swish(x).output(0)


def pooled(x: ov.Output) -> ov.Output:
    """Global average over h and w: (n, c, h, w) -> (n, c)."""
    return ops.reduce_mean(x, ops.constant([2, 3]), False).output(0)


def resnet50(build: Builder, x: ov.Output) -> list[ov.Output]:
    """He et al. 2015: 25.6 million weights, 4.1 GMAC at 224 x 224 (stride in the 3 x 3, as torchvision has it)."""
    x = relu(build.convolution(x, 64, 7, 2))
    x = ops.max_pool(x, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            step = stride if block == 0 else 1
            y = relu(build.convolution(x, width, 1))
            y = relu(build.convolution(y, width, 3, step))
            y = build.convolution(y, 4 * width, 1, gain=0.2)
            skip = build.convolution(x, 4 * width, 1, step, gain=1.0) if block == 0 else x
            x = relu(ops.add(y, skip).output(0))
    return [build.linear(pooled(x), 1000)]


def mobilenetv2(build: Builder, x: ov.Output) -> list[ov.Output]:
    """Sandler et al. 2018: 3.5 million weights, 0.3 GMAC at 224 x 224."""
    x = relu(build.convolution(x, 32, 3, 2))
    plan = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, outputs, blocks, stride in plan:
        for block in range(blocks):
            inputs = x.get_partial_shape()[1].get_length()
            y = relu(build.convolution(x, inputs * expansion, 1)) if expansion > 1 else x
            y = relu(build.convolution(y, inputs * expansion, 3, stride if block == 0 else 1, depthwise=True))
            y = build.convolution(y, outputs, 1, gain=1.0)
            x = ops.add(x, y).output(0) if block else y
    return [build.linear(pooled(relu(build.convolution(x, 1280, 1))), 1000)]


def vit_s16(build: Builder, x: ov.Output) -> list[ov.Output]:
    """Touvron et al. 2021 (DeiT-S): 12 blocks of width 384 with 6 heads, 22 million weights, 4.6 GMAC at 224 x 224."""
    width, heads, depth = 384, 6, 12
    x = build.convolution(x, width, 16, 16, gain=1.0)
    tokens = x.get_partial_shape()[2].get_length() * x.get_partial_shape()[3].get_length()
    x = ops.transpose(ops.reshape(x, ops.constant([0, width, tokens]), True), ops.constant([0, 2, 1])).output(0)
    for _ in range(depth):
        x = ops.add(x, build.linear(attention(build, build.normalise(x), heads), width)).output(0)
        hidden = ops.gelu(build.linear(build.normalise(x), 4 * width), "ERF").output(0)
        x = ops.add(x, build.linear(hidden, width)).output(0)
    return [build.linear(ops.reduce_mean(build.normalise(x), ops.constant([1]), False).output(0), 1000)]


def attention(build: Builder, x: ov.Output, heads: int) -> ov.Output:
    """Multi-head self-attention (n, tokens, width) before its output projection."""
    width = x.get_partial_shape()[2].get_length()
    split = ops.constant([0, 0, heads, width // heads])

    def projected(order: list[int]) -> ov.Output:
        return ops.transpose(ops.reshape(build.linear(x, width), split, True), ops.constant(order)).output(0)

    q, k, v = projected([0, 2, 1, 3]), projected([0, 2, 3, 1]), projected([0, 2, 1, 3])
    scores = ops.multiply(ops.matmul(q, k, False, False), ops.constant(np.float32((width // heads) ** -0.5)))
    mixed = ops.transpose(ops.matmul(ops.softmax(scores, -1), v, False, False), ops.constant([0, 2, 1, 3]))
    return ops.reshape(mixed, ops.constant([0, 0, width]), True).output(0)


def yolo_s(build: Builder, x: ov.Output) -> list[ov.Output]:
    """The backbone, neck and heads of a small one-stage detector (the widths of YOLOv5-s): 7 million weights."""

    def stage(x: ov.Output, outputs: int, blocks: int) -> ov.Output:
        left, right = (silu(build.convolution(x, outputs // 2, 1)) for _ in range(2))
        for _ in range(blocks):
            step = silu(build.convolution(silu(build.convolution(left, outputs // 2, 1)), outputs // 2, 3, gain=0.5))
            left = ops.add(left, step).output(0)
        return silu(build.convolution(ops.concat([left, right], 1).output(0), outputs, 1))

    def enlarged(x: ov.Output, like: ov.Output) -> ov.Output:
        height, width = (like.get_partial_shape()[axis].get_length() for axis in (2, 3))
        size = ops.constant(np.array([height, width], np.int64))
        return ops.interpolate(x, size, "nearest", "sizes", axes=ops.constant(np.array([2, 3], np.int64))).output(0)

    x = silu(build.convolution(x, 32, 6 - 1, 2))
    levels = []
    for outputs, blocks in ((64, 1), (128, 2), (256, 3), (512, 1)):
        x = stage(silu(build.convolution(x, outputs, 3, 2)), outputs, blocks)
        levels.append(x)
    _, small, middle, large = levels
    top = silu(build.convolution(large, 256, 1))
    inner = stage(ops.concat([enlarged(top, middle), middle], 1).output(0), 256, 1)
    outer = stage(ops.concat([enlarged(silu(build.convolution(inner, 128, 1)), small), small], 1).output(0), 128, 1)
    return [build.convolution(feature, 255, 1, gain=1.0) for feature in (outer, inner, top)]


ARCHITECTURES: dict[str, tuple[Callable[[Builder, ov.Output], list[ov.Output]], int]] = {
    "resnet50": (resnet50, 224),
    "mobilenetv2": (mobilenetv2, 224),
    "vit_s16": (vit_s16, 224),
    "yolo_s": (yolo_s, 416),
}


def architecture(name: str, seed: int = 0) -> ov.Model:
    """The network `name` with one float32 input `image` [1, 3, size, size]."""
    make, size = ARCHITECTURES[name]
    image = ops.parameter([1, 3, size, size], ov.Type.f32, name="image")
    image.output(0).set_names({"image"})
    outputs = make(Builder(seed), image.output(0))
    results = [ops.result(port, name=f"output_{number}") for number, port in enumerate(outputs)]
    for number, port in enumerate(outputs):
        port.set_names({f"output_{number}"})
    return ov.Model(results, [image], name)


def main() -> None:
    """Write one network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=ARCHITECTURES)
    parser.add_argument("xml", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.xml.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(architecture(arguments.name, arguments.seed), arguments.xml, compress_to_fp16=False)


if __name__ == "__main__":
    main()
