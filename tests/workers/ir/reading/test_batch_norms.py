"""What BatchNorm has kept of the data."""

from pathlib import Path

import numpy as np
import openvino as ov

from tests.workers.ir import tiny
from workers.ir.reading.batch_norms import batch_norm_statistics
from workers.ir.reading.importer import load


def test_statistics_are_those_of_the_output_and_survive_folding(tmp_path: Path) -> None:
    model = tiny.cnn()
    held = {
        entry.name: np.array(entry.float_data or np.frombuffer(entry.raw_data, np.float32)) for entry in model.graph.initializer
    }
    path = tiny.save(model, tmp_path / "m.onnx")
    found = batch_norm_statistics(ov.Core().read_model(path))
    assert list(found) == ["n1"]
    np.testing.assert_array_equal(found["n1"].mean, held["shift"])
    np.testing.assert_array_equal(found["n1"].deviation, np.abs(held["scale"]))
    imported = load(path)
    assert list(imported.statistics) == ["n1"]
    assert all(node.get_type_name() != "BatchNormInference" for node in imported.model.get_ops())
    assert any("n1" in node.output(0).get_names() for node in imported.model.get_ops() if node.get_output_size())


def test_half_precision_is_read_too(tmp_path: Path) -> None:
    path = tiny.save(tiny.cnn(kind=tiny.TensorProto.FLOAT16), tmp_path / "m.onnx")
    assert load(path).statistics["n1"].mean.dtype == np.float32
