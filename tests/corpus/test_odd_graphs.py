"""Odd graphs end in a result that keeps the interface, or in a refusal with a code; which of the two is written down."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino as ov
import pytest
from onnx import TensorProto, helper

from tests.corpus.models import INT64, Build
from tests.corpus.odd_graphs import LAYERS, SHAPES
from tests.corpus.test_corpus import STEPS, answers, ports
from workers.errors import FractuneError
from workers.ir.graph.layers import find_layers
from workers.ir.graph.probe import draw_values
from workers.ir.reading.importer import load
from workers.jobs.job import JobTask, Kind
from workers.run.clock import Clock
from workers.run.pipeline import compress

GRAPHS = {build.__name__: build for build in LAYERS}
INT8 = {"same_names", "volume", "recurrent_with_its_state"}  # the others are pruned


def answers_of_onnx_runtime(path: Path, values: list[np.ndarray]) -> list[np.ndarray]:
    """Which OpenVINO's own reading cannot lead astray; ONNX Runtime declines two nodes of one name."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    fed = {port.name: value for port, value in zip(session.get_inputs(), values, strict=True)}
    return list(session.run(None, fed))


@pytest.mark.parametrize("name", GRAPHS)
def test_an_odd_graph_is_compressed_or_the_reason_named(name: str, tmp_path: Path) -> None:
    path, wanted, shapes = tmp_path / "model.onnx", LAYERS[GRAPHS[name]], SHAPES.get(name, {})
    onnx.save(GRAPHS[name](), path)
    step = STEPS["int8"] if name in INT8 else STEPS["prune"] | {"allocation": "uniform"}
    recipe = {"steps": [step], "calibration": {"count": 16}, "shapes": shapes, "benchmark": None}
    task = JobTask(Kind.COMPRESS, str(path), str(tmp_path / "out"), recipe=recipe, threads=1)
    if isinstance(wanted, str):
        with pytest.raises(FractuneError) as caught:
            compress(task, Clock(lambda event: None))
        assert caught.value.code == wanted
        return
    compress(task, Clock(lambda event: None))
    imported = load(path, {key: tuple(shape) for key, shape in shapes.items()})
    assert len(find_layers(imported.model)[0]) == wanted
    source, result = ov.Core().read_model(path), ov.Core().read_model(tmp_path / "out/1/model.xml")
    if name != "rank_unknown":
        assert ports(result) == ports(source)
    rng = np.random.default_rng(4)
    entries = zip(imported.inputs, imported.shapes, strict=True)
    values = [draw_values(shape, entry.dtype, entry.bounds, rng) for entry, shape in entries]
    expected = answers(source, values) if name == "same_names" else answers_of_onnx_runtime(path, values)
    for before, after in zip(expected, answers(result, values), strict=True):
        assert before.shape == after.shape
        assert ((before - after) ** 2).sum() <= 0.9 * (before**2).sum()


def test_weights_inside_a_loop_are_named_as_left_alone(tmp_path: Path) -> None:
    inner = Build(prefix="inner_")
    flag = inner.op("Identity", "going", out="goes")
    step = inner.op("Tanh", inner.op("MatMul", "h", inner.weight(8, 8), out="inner_product"), out="inner_h")
    kinds = {"round": INT64, "going": TensorProto.BOOL, "h": TensorProto.FLOAT, flag: TensorProto.BOOL, step: TensorProto.FLOAT}
    shapes = {"h": [1, 8], step: [1, 8]}
    ends = {name: helper.make_tensor_value_info(name, kind, shapes.get(name, [])) for name, kind in kinds.items()}
    inputs, outputs = [ends[name] for name in ("round", "going", "h")], [ends[flag], ends[step]]
    body = helper.make_graph(inner.nodes, "body", inputs, outputs, inner.weights)
    b = Build()
    rounds, going = b.constant(np.array(3)), b.constant(np.array(True))
    h = b.op("Loop", rounds, going, b.gemm(b.input("x", [1, 6]), 6, 8, name="before"), name="loop", body=body)
    b.gemm(h, 8, 4, name="after", out="y")
    onnx.save(b.model({"y": [1, 4]}), tmp_path / "model.onnx")
    layers, skipped = find_layers(load(tmp_path / "model.onnx").model)
    assert [layer.name for layer in layers] == ["before", "after"]
    assert [(entry.name, entry.reason) for entry in skipped] == [("loop", "weights inside a loop are not reached")]
