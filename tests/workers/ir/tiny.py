"""Small ONNX models, built where a test needs them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from workers.ir.graph.origins import name_operations, tag

RNG = np.random.default_rng(0)
Weights = Mapping[str, NDArray[Any] | np.generic]


def weight(*shape: int, dtype: type[np.generic] = np.float32) -> NDArray[Any]:
    return RNG.normal(size=shape).astype(dtype) / 4


def graph(
    nodes: Sequence[onnx.NodeProto],
    weights: Weights,
    inputs: dict[str, Sequence[int | str | None]],
    outputs: Sequence[str] = ("out",),
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model; `inputs` gives shapes by name, None or text for an open axis."""
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def cnn(batch: int | None = None, side: int | None = 16, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """Convolution with bias, batch norm, grouped convolution without bias, pooling, fully connected layer with bias."""
    dtype = helper.tensor_dtype_to_np_dtype(kind).type
    node = helper.make_node
    nodes = [
        node("Conv", ["in", "w1", "b1"], ["c1"], name="first", pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c1", "scale", "shift", "mean", "var"], ["n1"]),
        node("Relu", ["n1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], name="second", group=4, kernel_shape=[3, 3]),
        node("GlobalAveragePool", ["c2"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "w3", "b3"], ["out"], name="third", transB=1),
    ]
    weights: Weights = {
        "w1": weight(4, 3, 3, 3, dtype=dtype),
        "b1": weight(4, dtype=dtype),
        "scale": np.ones(4, dtype),
        "shift": weight(4, dtype=dtype),
        "mean": weight(4, dtype=dtype),
        "var": np.full(4, 2, dtype),
        "w2": weight(8, 1, 3, 3, dtype=dtype),
        "w3": weight(5, 8, dtype=dtype),
        "b3": weight(5, dtype=dtype),
    }
    return graph(nodes, weights, {"in": [batch, 3, side, side]}, kind=kind)


def matmul(value: NDArray[np.generic] | None = None, shape: Sequence[int | None] = (None, 4)) -> onnx.ModelProto:
    """One matrix product of `in` with a constant."""
    value = weight(4, 3) if value is None else value
    return graph([helper.make_node("MatMul", ["in", "w"], ["out"])], {"w": value}, {"in": shape})


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def named(model: ov.Model) -> ov.Model:
    """The same model, with names that differ and stay."""
    inputs = [node.friendly_name for node in model.get_parameters()]
    name_operations(model, tag(model, None, named=False), inputs)
    return model
