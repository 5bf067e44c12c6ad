"""Small models, one for each trait that graphs in the wild have, and what must come out of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]
INT64, HALF, DOUBLE = TensorProto.INT64, TensorProto.FLOAT16, TensorProto.DOUBLE


class Build:
    """An ONNX graph in the making."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix  # of the names of its constants: no graph may hide those of the one around it
        self.rng = np.random.default_rng(7)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, values: NDArray[np.generic]) -> str:
        name = f"{self.prefix}c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def weight(self, *shape: int, dtype: type = np.float32) -> str:
        fan = max(int(np.prod(shape)) // max(shape[0], 1), 1)
        return self.constant((self.rng.normal(size=shape) * (2 / fan) ** 0.5).astype(dtype))

    def op(self, kind: str, *inputs: str, name: str = "", out: str = "", **attributes: Any) -> str:
        out = out or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], name=name, **attributes))
        return out

    def relu(self, x: str) -> str:
        return self.op("Relu", x)

    def conv(self, x: str, inputs: int, outputs: int, name: str = "", **attributes: Any) -> str:
        weight, bias = self.weight(outputs, inputs, 3, 3), self.constant(np.zeros(outputs, np.float32))
        return self.op("Conv", x, weight, bias, name=name, pads=[1, 1, 1, 1], **attributes)

    def gemm(self, x: str, inputs: int, outputs: int, name: str = "", out: str = "") -> str:
        bias = self.constant(self.rng.normal(size=outputs).astype(np.float32) / 9)
        return self.op("Gemm", x, self.weight(outputs, inputs), bias, name=name, out=out, transB=1)

    def model(self, outputs: Mapping[str, Shape], kinds: Mapping[str, int] | None = None) -> onnx.ModelProto:
        kinds = kinds or {}
        infos = [
            helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shape) for name, shape in outputs.items()
        ]
        graph = helper.make_graph(self.nodes, "trait", self.inputs, infos, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@dataclass(frozen=True)
class Trait:
    """A model and what is to come of it."""

    build: Callable[[], onnx.ModelProto]
    layers: int  # that are found
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # that the recipe gives
    stacked: bool = True  # whether samples go through together
    other: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # a further size at which the result must run
    refused: Mapping[str, str] = field(default_factory=dict)  # code of the refusal, by method; "*" for all


def image_classifier() -> onnx.ModelProto:
    b = Build()
    h = b.relu(b.conv(b.input("x", ["n", 3, 16, 16]), 3, 8, name="stem"))
    h = b.relu(b.conv(h, 8, 8, name="body"))
    b.gemm(b.op("Flatten", b.op("GlobalAveragePool", h)), 8, 5, name="head", out="y")
    return b.model({"y": ["n", 5]})


def open_sides() -> onnx.ModelProto:
    b = Build()
    h = b.relu(b.conv(b.input("x", ["n", 3, "h", "w"]), 3, 8, name="stem"))
    b.gemm(b.op("Flatten", b.op("GlobalAveragePool", b.relu(b.conv(h, 8, 8, name="body")))), 8, 5, name="head", out="y")
    return b.model({"y": ["n", 5]})


def fixed_batch() -> onnx.ModelProto:
    """Four images at once, and a Reshape that insists on it."""
    b = Build()
    h = b.relu(b.conv(b.input("x", [4, 3, 8, 8]), 3, 8, name="stem", strides=[2, 2]))
    h = b.op("Reshape", h, b.constant(np.array([4, 128])))
    b.gemm(b.relu(b.gemm(h, 128, 16, name="hidden")), 16, 5, name="head", out="y")
    return b.model({"y": [4, 5]})


def batch_for_speed() -> onnx.ModelProto:
    """Four images at once, though nothing but the declared shape insists on it."""
    b = Build()
    h = b.relu(b.conv(b.input("x", [4, 3, 8, 8]), 3, 8, name="stem", strides=[2, 2]))
    b.gemm(b.relu(b.gemm(b.op("Flatten", h), 128, 16, name="hidden")), 16, 5, name="head", out="y")
    return b.model({"y": [4, 5]})


def set_of_points() -> onnx.ModelProto:
    """Rows of one sample, seen against their mean."""
    b = Build()
    x = b.input("points", [6, 4])
    centred = b.op("Sub", x, b.op("ReduceMean", x, axes=[0], keepdims=1))
    b.gemm(b.relu(b.gemm(centred, 4, 16, name="hidden")), 16, 3, name="head", out="y")
    return b.model({"y": [6, 3]})


def sequence_first() -> onnx.ModelProto:
    """Attention over an open first axis."""
    b = Build()
    x = b.input("tokens", ["l", 1, 8])
    q, k, v = (b.op("MatMul", x, b.weight(8, 8), name=name) for name in "qkv")
    turn: dict[str, Any] = {"perm": [1, 0, 2]}
    scores = b.op("MatMul", b.op("Transpose", q, **turn), b.op("Transpose", k, perm=[1, 2, 0]))
    mixed = b.op("MatMul", b.op("Softmax", scores, axis=-1), b.op("Transpose", v, **turn))
    b.op("MatMul", b.op("Transpose", mixed, **turn), b.weight(8, 4), name="out", out="y")
    return b.model({"y": ["l", 1, 4]})


def text_encoder(words: int = 50) -> onnx.ModelProto:
    b = Build()
    h = b.op("Gather", b.weight(words, 8), b.input("ids", ["n", "s"], INT64))
    b.op("MatMul", b.relu(b.op("MatMul", h, b.weight(8, 16), name="up")), b.weight(16, 4), name="down", out="y")
    return b.model({"y": ["n", "s", 4]})


def one_tensor_two_names() -> onnx.ModelProto:
    b = Build()
    h = b.op("Identity", b.input("x", ["n", 12]), out="same")
    logits = b.gemm(b.relu(b.gemm(h, 12, 16, name="hidden")), 16, 4, name="head", out="y")
    b.op("Identity", logits, out="again")
    return b.model({"y": ["n", 4], "again": ["n", 4]})


def constant_first() -> onnx.ModelProto:
    b = Build()
    h = b.op("Transpose", b.relu(b.gemm(b.input("x", ["n", 12]), 12, 16, name="hidden")), perm=[1, 0])
    h = b.op("Transpose", b.op("MatMul", b.weight(8, 16), h, name="turned"), perm=[1, 0])
    b.gemm(b.relu(h), 8, 4, name="head", out="y")
    return b.model({"y": ["n", 4]})


def einsum() -> onnx.ModelProto:
    b = Build()
    h = b.op("Einsum", b.input("x", ["n", 6, 8]), b.weight(8, 2, 6), name="project", equation="bsd,dhk->bshk")
    b.op("Einsum", b.relu(h), b.weight(2, 6, 4), name="merge", equation="bshk,hkd->bsd", out="y")
    return b.model({"y": ["n", 6, 4]})


def style_beside_samples() -> onnx.ModelProto:
    """One vector for all samples."""
    b = Build()
    h = b.relu(b.gemm(b.input("x", ["n", 12]), 12, 16, name="hidden"))
    style = b.op("Unsqueeze", b.input("style", [6]), b.constant(np.array([0])))
    b.gemm(b.op("Mul", h, b.gemm(style, 6, 16, name="style")), 16, 4, name="head", out="y")
    return b.model({"y": ["n", 4]})


def scalar_input() -> onnx.ModelProto:
    b = Build()
    h = b.gemm(b.relu(b.gemm(b.input("x", ["n", 12]), 12, 16, name="hidden")), 16, 4, name="head")
    b.op("Mul", h, b.input("temperature", []), out="y")
    return b.model({"y": ["n", 4]})


def of_type(kind: int) -> onnx.ModelProto:
    b, dtype = Build(), helper.tensor_dtype_to_np_dtype(kind).type
    h = b.relu(b.op("MatMul", b.input("x", ["n", 12], kind), b.weight(12, 16, dtype=dtype), name="hidden"))
    b.op("MatMul", h, b.weight(16, 4, dtype=dtype), name="head", out="y")
    return b.model({"y": ["n", 4]}, {"y": kind})


def suppression() -> onnx.ModelProto:
    """Outputs whose size depends on the data."""
    b = Build()
    h = b.relu(b.conv(b.input("x", [1, 3, 12, 12]), 3, 8, name="stem", strides=[2, 2]))
    found = b.op("Reshape", b.conv(h, 8, 7, name="head"), b.constant(np.array([1, 7, 36])))
    boxes = b.op(
        "Transpose", b.op("Sigmoid", b.op("Slice", found, *(b.constant(np.array([n])) for n in (0, 4, 1)))), perm=[0, 2, 1]
    )
    scores = b.op("Sigmoid", b.op("Slice", found, *(b.constant(np.array([n])) for n in (4, 7, 1))), out="scores")
    limits = (b.constant(np.array([5])), b.constant(np.array([0.5], np.float32)), b.constant(np.array([0.3], np.float32)))
    b.op("NonMaxSuppression", boxes, scores, *limits, out="selected")
    return b.model({"selected": ["k", 3], "scores": [1, 3, 36]}, {"selected": INT64})


def recurrent_only() -> onnx.ModelProto:
    b = Build()
    weights = b.weight(1, 32, 6), b.weight(1, 32, 8)
    b.op("LSTM", b.input("x", [5, 1, 6]), *weights, name="cells", hidden_size=8, out="y")
    return b.model({"y": [5, 1, 1, 8]})


def random_numbers() -> onnx.ModelProto:
    b = Build()
    x = b.input("x", [1, 12])
    b.gemm(b.op("Add", x, b.op("RandomNormalLike", x)), 12, 4, name="head", out="y")
    return b.model({"y": [1, 4]})


FEW = "BUDGET_OUT_OF_REACH"  # channels: too few can go
TRAITS: Mapping[str, Trait] = {
    "image_classifier": Trait(image_classifier, 3, other={"x": (3, 3, 16, 16)}),
    "open_sides": Trait(open_sides, 3, {"x": (1, 3, 16, 16)}, other={"x": (2, 3, 20, 12)}),
    "fixed_batch": Trait(fixed_batch, 3, stacked=False),
    "batch_for_speed": Trait(batch_for_speed, 3),
    "set_of_points": Trait(set_of_points, 2, stacked=False),
    "sequence_first": Trait(sequence_first, 4, {"tokens": (6, 1, 8)}, False, {"tokens": (9, 1, 8)}, {"channel": FEW}),
    "text_encoder": Trait(text_encoder, 2, {"ids": (1, 6)}, other={"ids": (3, 9)}),
    "one_tensor_two_names": Trait(one_tensor_two_names, 2, other={"x": (3, 12)}),
    "constant_first": Trait(constant_first, 3, other={"x": (3, 12)}),
    "einsum": Trait(einsum, 2, other={"x": (3, 6, 8)}, refused={"channel": FEW}),
    "style_beside_samples": Trait(style_beside_samples, 3, stacked=False, other={"x": (3, 12), "style": (6,)}),
    "scalar_input": Trait(scalar_input, 2, stacked=False, other={"x": (3, 12), "temperature": ()}),
    "half": Trait(lambda: of_type(HALF), 2, other={"x": (3, 12)}),
    "double": Trait(lambda: of_type(DOUBLE), 2, other={"x": (3, 12)}),
    "suppression": Trait(suppression, 2, stacked=False),
    "recurrent_only": Trait(
        recurrent_only,
        0,
        stacked=False,
        refused=dict.fromkeys(("prune", "channel", "inq", "uniform"), "MODEL_NOTHING_TO_COMPRESS"),
    ),
    "random_numbers": Trait(random_numbers, 1, refused={"*": "MODEL_UNSUPPORTED_OPERATION"}),
}
