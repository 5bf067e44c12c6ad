"""Every trait with every kind of step: what a source shows is kept, what is reported is true, or a reason is given."""

import json
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest

from tests.corpus.models import TRAITS, Trait, text_encoder
from workers.errors import FractuneError, UnresolvedShape
from workers.ir.graph.folding import folded
from workers.ir.graph.frontier import EXACT
from workers.ir.graph.layers import find_layers
from workers.ir.reading.importer import load
from workers.jobs.job import JobTask, Kind
from workers.run.clock import Clock
from workers.run.pipeline import compress

STEPS = {
    "prune": {"method": "layerwise_pruning", "sparsity_level": 0.5},
    "channel": {"method": "layerwise_pruning", "pattern": "channel", "sparsity_level": 0.2},
    "int8": {"method": "int8"},
    "inq": {"method": "inq", "bits": 4},
    "uniform": {"method": "uniform", "bits": 4},
}


def written(trait: Trait, folder: Path) -> Path:
    onnx.save(trait.build(), folder / "model.onnx")
    return folder / "model.onnx"


def ports(model: ov.Model) -> list[tuple[set[str], str, str]]:
    every = [*model.inputs, *model.outputs]
    return [(port.get_names(), str(port.get_partial_shape()), str(port.get_element_type())) for port in every]


def answers(model: ov.Model, values: list[np.ndarray]) -> list[np.ndarray]:
    request = ov.Core().compile_model(model, "CPU", EXACT).create_infer_request()
    request.infer(dict(enumerate(values)))
    return [request.get_output_tensor(number).data.copy() for number in range(len(model.outputs))]


def drawn(model: ov.Model, shapes: dict[str, tuple[int, ...]]) -> list[np.ndarray]:
    """An input for every port, of its own shape where `shapes` has none."""
    rng, values = np.random.default_rng(3), []
    for port in model.inputs:
        own = [axis.get_length() if axis.is_static else 1 for axis in port.get_partial_shape()]
        shape, dtype = shapes.get(min(port.get_names()), tuple(own)), np.dtype(port.get_element_type().to_dtype())
        value = rng.normal(size=shape) if dtype.kind == "f" else rng.integers(0, 50, shape)
        values.append(np.asarray(value, dtype))
    return values


@pytest.mark.parametrize("name", [name for name in TRAITS if "*" not in TRAITS[name].refused])
def test_a_trait_is_read_as_what_it_is(name: str, tmp_path: Path) -> None:
    trait = TRAITS[name]
    path = written(trait, tmp_path)
    imported = load(path, trait.shapes)
    assert len(find_layers(imported.model)[0]) == trait.layers
    assert all(entry.batch_axis == 0 for entry in imported.inputs) == trait.stacked
    assert imported.warnings == ()
    source = ov.Core().read_model(path)
    source.reshape({port.get_any_name(): shape for port, shape in zip(source.inputs, imported.shapes, strict=True)})
    if trait.stacked and imported.shapes != tuple(entry.shape for entry in imported.inputs):
        return  # one sample of a fixed batch: another test
    values = [value.astype(source.inputs[n].get_element_type().to_dtype()) for n, value in enumerate(drawn(imported.model, {}))]
    for expected, found in zip(answers(source, values), answers(imported.model, values), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-2, atol=2e-2 if expected.dtype == np.float16 else 1e-4)


def test_a_recipe_declares_what_a_sample_is(tmp_path: Path) -> None:
    path = written(TRAITS["image_classifier"], tmp_path)
    whole = load(path, batch={"x": None})
    assert [entry.batch_axis for entry in whole.inputs] == [None]
    assert any("one sample at a time" in note for note in whole.notes)
    with pytest.raises(UnresolvedShape, match="no input z"):
        load(path, batch={"z": 0})
    rows = load(written(TRAITS["set_of_points"], tmp_path), batch={"points": 0})
    assert [entry.item for entry in rows.inputs] == [(4,)]
    assert any("as declared; samples that are stacked influence each other" in note for note in rows.notes)
    with pytest.raises(UnresolvedShape, match="does not take samples along its first axis"):
        load(written(TRAITS["fixed_batch"], tmp_path), batch={"x": 0})


@pytest.mark.parametrize(("side", "tried"), [(16, 32), (1200, 600)])
def test_large_inputs_are_tried_at_a_smaller_size(side: int, tried: int, tmp_path: Path) -> None:
    """Twice the sides of large pictures would take longer than all that follows."""
    imported = load(written(TRAITS["open_sides"], tmp_path), {"x": (1, 3, side, side)})
    assert imported.trial is not None
    assert imported.trial.shapes == ((2, 3, tried, tried),)
    assert not imported.warnings


def test_a_table_of_embeddings_is_stored_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(text_encoder(words=2000), path)
    steps = [{"method": "uniform", "bits": 4, "allocation": "uniform"}]
    recipe = {"steps": steps, "calibration": {"count": 8}, "shapes": {"ids": [1, 6]}, "benchmark": None}
    compress(JobTask(Kind.COMPRESS, str(path), str(tmp_path / "out"), recipe=recipe, threads=1), Clock(lambda event: None))
    report = json.loads((tmp_path / "out/report.json").read_text())
    (row,) = [layer for layer in report["layers"] if layer["type"] == "Gather"]
    assert row["weights"] == 16_000
    assert row["bits"] < 9  # rows of eight: their steps weigh as much as their codes
    assert 0 < row["relative_error"] < 0.02
    assert "Gather" not in {entry["type"] for entry in report["skipped"]}
    table = next(tensor for tensor in onnx.load(path).graph.initializer if tuple(tensor.dims) == (2000, 8))
    rows = onnx.numpy_helper.to_array(table)
    stored = folded(ov.Core().read_model(tmp_path / "out/1/model.xml"))
    (gather,) = [node for node in stored.get_ordered_ops() if node.get_type_name() == "Gather"]
    found = gather.input_value(0).get_node().get_data()
    assert np.linalg.norm(found - rows) ** 2 < 0.02 * np.linalg.norm(rows) ** 2
    assert max(len(np.unique(np.abs(row))) for row in found) <= 8  # fifteen levels, symmetric


@pytest.mark.parametrize("method", STEPS)
@pytest.mark.parametrize("name", TRAITS)
def test_a_trait_is_compressed_or_the_reason_named(name: str, method: str, tmp_path: Path) -> None:
    trait = TRAITS[name]
    path = written(trait, tmp_path)
    shapes = {key: list(shape) for key, shape in trait.shapes.items()}
    recipe = {"steps": [STEPS[method]], "calibration": {"count": 8}, "shapes": shapes, "benchmark": None}
    task = JobTask(Kind.COMPRESS, str(path), str(tmp_path / "out"), recipe=recipe, threads=1)
    refused = trait.refused.get(method) or trait.refused.get("*")
    if refused:
        with pytest.raises(FractuneError) as caught:
            compress(task, Clock(lambda event: None))
        assert caught.value.code == refused
        return
    compress(task, Clock(lambda event: None))
    source, result = ov.Core().read_model(path), ov.Core().read_model(tmp_path / "out/1/model.xml")
    assert ports(result) == ports(source)
    for sizes in ({**trait.shapes}, {**trait.other}):
        values = drawn(source, sizes)
        for port, before, after in zip(result.outputs, answers(source, values), answers(result, values), strict=True):
            assert port.get_partial_shape().is_dynamic or before.shape == after.shape
            assert np.isfinite(after).all()
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["model"]["sizes_kept"]
    assert report["size"]["compressed_bytes"] == sum(file.stat().st_size for file in (tmp_path / "out/1").iterdir())
    assert not [warning for warning in report["warnings"] if "could not be determined" in warning]
