"""Graphs that exporters and people write, and that tools trip over: names, shapes and uses that are legal and seldom seen."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.corpus.models import INT64, Build

Graph = onnx.ModelProto


def same_names() -> Graph:
    """Three operations of one name, and names in other scripts."""
    b = Build()
    h = b.relu(b.gemm(b.input("вход/0:0", ["n", 12]), 12, 16, name="层"))
    h = b.relu(b.gemm(h, 16, 16, name="same"))
    b.gemm(b.relu(b.gemm(h, 16, 16, name="same")), 16, 4, name="same", out="выход")
    return b.model({"выход": ["n", 4]})


def shared_weight() -> Graph:
    """One weight read by three layers, by one of them transposed."""
    b = Build()
    w = b.weight(12, 16)
    h = b.relu(b.op("MatMul", b.input("x", ["n", 12]), w, name="first"))
    h = b.relu(b.op("MatMul", h, b.op("Transpose", w, perm=[1, 0]), name="second"))
    b.op("MatMul", h, w, name="third", out="y")
    return b.model({"y": ["n", 16]})


def weight_behind_a_chain() -> Graph:
    """The weight is stored in half precision, in another shape, and turned."""
    b = Build()
    w = b.op("Cast", b.weight(4, 4, 8, dtype=np.float16), to=TensorProto.FLOAT)
    w = b.op("Transpose", b.op("Reshape", w, b.constant(np.array([16, 8]))), perm=[1, 0])
    b.op("MatMul", b.input("x", ["n", 8]), w, name="only", out="y")
    return b.model({"y": ["n", 16]})


def signal() -> Graph:
    """Convolutions over one axis, the second depthwise with two outputs a channel."""
    b = Build()
    h = b.relu(b.op("Conv", b.input("x", ["n", 2, 40]), b.weight(8, 2, 5), name="stem", strides=[2], pads=[2, 2]))
    h = b.relu(b.op("Conv", h, b.weight(16, 1, 3), name="depthwise", group=8, pads=[1, 1]))
    b.gemm(b.op("Flatten", b.op("GlobalAveragePool", h)), 16, 3, name="head", out="y")
    return b.model({"y": ["n", 3]})


def volume() -> Graph:
    """Convolutions over three axes, and back to the size of the input."""
    b = Build()
    h = b.relu(
        b.op("Conv", b.input("x", ["n", 1, 6, 8, 8]), b.weight(4, 1, 3, 3, 3), name="down", strides=[2] * 3, pads=[1] * 6)
    )
    up = {"strides": [2] * 3, "pads": [1] * 6, "output_padding": [1] * 3}
    b.op("ConvTranspose", h, b.weight(4, 2, 3, 3, 3), name="up", out="y", **up)
    return b.model({"y": ["n", 2, 6, 8, 8]})


def groups_by_hand() -> Graph:
    """A grouped convolution written as Split, convolutions and Concat."""
    b = Build()
    split = helper.make_node("Split", [b.relu(b.conv(b.input("x", ["n", 3, 10, 10]), 3, 8))], ["left", "right"], axis=1)
    b.nodes.append(split)
    h = b.op("Concat", *(b.conv(part, 4, 4, name=part) for part in ("left", "right")), axis=1)
    b.gemm(b.op("Flatten", b.op("GlobalAveragePool", b.relu(h))), 8, 3, name="head", out="y")
    return b.model({"y": ["n", 3]})


def branches() -> Graph:
    """An If whose branches hold weights of their own."""
    b = Build()
    h = b.relu(b.gemm(b.input("x", [1, 6]), 6, 8, name="stem"))
    condition = b.op("Greater", b.op("ReduceSum", h, keepdims=0), b.constant(np.array(3, np.float32)))
    arms = {}
    for name in ("then_branch", "else_branch"):
        arm = Build(prefix=name)
        arm.rng = np.random.default_rng(len(name))
        out = arm.op("MatMul", h, arm.weight(8, 4), out=f"{name}_y")
        ends = [helper.make_tensor_value_info(out, TensorProto.FLOAT, [1, 4])]
        arms[name] = helper.make_graph(arm.nodes, name, [], ends, arm.weights)
    b.op("If", condition, out="y", **arms)
    return b.model({"y": [1, 4]})


def fifty_inputs() -> Graph:
    b = Build()
    h = b.op("Concat", *(b.input(f"x{number}", ["n", 2]) for number in range(50)), axis=1)
    b.gemm(b.relu(b.gemm(h, 100, 8, name="hidden")), 8, 3, name="head", out="y")
    return b.model({"y": ["n", 3]})


def input_handed_on() -> Graph:
    """An output that is an input, and one that is a constant."""
    b = Build()
    x = b.input("x", ["n", 6])
    b.gemm(x, 6, 3, name="head", out="y")
    b.op("Identity", x, out="same")
    b.op("Identity", b.constant(np.arange(3, dtype=np.float32)), out="classes")
    return b.model({"y": ["n", 3], "same": ["n", 6], "classes": [3]})


def flags_and_lengths() -> Graph:
    """Inputs of booleans and integers beside the values."""
    b = Build()
    x, mask, count = b.input("x", ["n", 5, 6]), b.input("mask", ["n", 5], TensorProto.BOOL), b.input("count", ["n"], INT64)
    kept = b.op("Where", b.op("Unsqueeze", mask, b.constant(np.array([2]))), x, b.constant(np.array(0, np.float32)))
    mean = b.op("ReduceSum", b.op("MatMul", kept, b.weight(6, 8), name="up"), b.constant(np.array([1])), keepdims=0)
    scaled = b.op("Div", mean, b.op("Unsqueeze", b.op("Cast", count, to=TensorProto.FLOAT), b.constant(np.array([1]))))
    b.gemm(b.relu(scaled), 8, 3, name="head", out="y")
    return b.model({"y": ["n", 3]})


def text_input() -> Graph:
    b = Build()
    equal = b.op("Equal", b.input("words", ["n", 4], TensorProto.STRING), b.constant(np.array(["a"], object)))
    b.op("MatMul", b.op("Cast", equal, to=TensorProto.FLOAT), b.weight(4, 3), name="head", out="y")
    return b.model({"y": ["n", 3]})


def integer_product() -> Graph:
    """As ONNX Runtime quantises dynamically."""
    b = Build()
    names = ["codes", "scale", "zero"]
    b.nodes.append(helper.make_node("DynamicQuantizeLinear", [b.input("x", ["n", 8])], names))
    weight = b.constant(b.rng.integers(-9, 9, (8, 3)).astype(np.int8))
    product = b.op("MatMulInteger", "codes", weight, "zero", name="head")
    b.op("Mul", b.op("Cast", product, to=TensorProto.FLOAT), "scale", out="y")
    return b.model({"y": ["n", 3]})


def constant_answer() -> Graph:
    """No output depends on the input."""
    b = Build()
    b.input("x", ["n", 4])
    b.op("MatMul", b.weight(2, 4), b.weight(4, 3), name="head", out="y")
    return b.model({"y": [2, 3]})


def nothing_joined() -> Graph:
    """A constant without elements is put in front of the values."""
    b = Build()
    h = b.op("Concat", b.constant(np.zeros((0, 6), np.float32)), b.input("x", [4, 6]), axis=0)
    b.gemm(b.relu(b.gemm(h, 6, 8, name="hidden")), 8, 3, name="head", out="y")
    return b.model({"y": [4, 3]})


def recurrent_with_its_state() -> Graph:
    """Time first, and the state before the first step is an input."""
    b = Build()
    nodes = b.input("x", ["t", 1, 6]), b.weight(1, 24, 6), b.weight(1, 24, 8), b.constant(np.zeros((1, 48), np.float32))
    b.nodes.append(helper.make_node("GRU", [*nodes, "", b.input("h0", [1, 1, 8])], ["all", "last"], hidden_size=8))
    b.gemm(b.op("Reshape", "last", b.constant(np.array([1, 8]))), 8, 3, name="head", out="y")
    return b.model({"y": [1, 3], "last": [1, 1, 8]})


def rank_unknown() -> Graph:
    b = Build()
    b.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, None))
    b.op("MatMul", b.op("Relu", "x"), b.weight(6, 3), name="head", out="y")
    graph = b.model({"y": ["n", 3]})
    graph.graph.output[0].type.tensor_type.ClearField("shape")
    return graph


def half_inside() -> Graph:
    """Pictures in single precision go into a network in half: the conversion at its input means nothing in the result."""
    b, half = Build(), np.float16
    h = b.op("Cast", b.input("x", ["n", 3, 16, 16]), out="a", to=TensorProto.FLOAT16)
    h = b.relu(b.op("Conv", h, b.weight(8, 3, 3, 3, dtype=half), name="stem", pads=[1, 1, 1, 1]))
    h = b.op("MatMul", b.op("Flatten", b.op("GlobalAveragePool", h)), b.weight(8, 5, dtype=half), name="head")
    b.op("Cast", h, to=TensorProto.FLOAT, out="y")
    return b.model({"y": ["n", 5]})


def near_the_end_of_half() -> Graph:
    """Columns repeat, so that what is left of a layer takes over its neighbours' share and passes 65,504."""
    b, half = Build(), np.float16
    h = b.relu(b.op("MatMul", b.input("x", [32, 12], TensorProto.FLOAT16), b.weight(12, 8, dtype=half), name="stem"))
    h = b.op("Mul", b.op("Concat", h, h, h, h, axis=1), b.constant(np.array(1e-4, half)))
    large = np.tile(b.rng.uniform(20_000, 60_000, (8, 6)) * b.rng.choice([-1, 1], (8, 6)), (4, 1))
    h = b.op("Mul", b.op("MatMul", h, b.constant(large.astype(half)), name="large"), b.constant(np.array(1e-2, half)))
    b.op("MatMul", b.relu(h), b.weight(6, 3, dtype=half), name="head", out="y")
    return b.model({"y": [32, 3]}, {"y": TensorProto.FLOAT16})


LAYERS: Mapping[Callable[[], Graph], int | str] = {  # that are found, or the code of the refusal
    same_names: 4,
    shared_weight: 1,
    weight_behind_a_chain: 1,
    signal: 3,
    volume: 2,
    groups_by_hand: 3,  # OpenVINO writes one grouped convolution
    branches: 1,
    fifty_inputs: 2,
    input_handed_on: 1,
    flags_and_lengths: 2,
    text_input: "MODEL_UNSUPPORTED_OPERATION",
    integer_product: "ALREADY_QUANTIZED",
    constant_answer: "MODEL_NOTHING_TO_COMPRESS",
    nothing_joined: 2,
    recurrent_with_its_state: 1,
    rank_unknown: 1,
    half_inside: 2,
    near_the_end_of_half: 3,
}
SHAPES = {"recurrent_with_its_state": {"x": [5, 1, 6]}, "rank_unknown": {"x": [2, 6]}}
