"""Exported models: the same network, in few bytes, with its history, reproducibly."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as ops
import pytest

from workers.errors import Internal
from workers.ir.graph.constants import merge_constants
from workers.ir.graph.edit import write_weight
from workers.ir.graph.layers import Layer, find_layers, nodes_by_name
from workers.ir.writing.deterministic_names import number_operations
from workers.ir.writing.exporter import export
from workers.ir.writing.round_trip_check import prove_same
from workers.ir.writing.writer import save_model, saved_size, size_on_disk


def network(batch: int = 1, channels: int = 48) -> ov.Model:
    """conv, conv with the same weights, matmul; nothing but the input, the output and one convolution has a name."""
    rng = np.random.default_rng(0)
    image = ops.parameter([batch, channels, 8, 8], name="image")
    image.output(0).set_names({"image"})
    weight = ops.constant(rng.normal(size=(channels, channels, 3, 3)).astype(np.float32))
    same = ([1, 1], [1, 1], [1, 1], [1, 1])
    first = ops.relu(ops.convolution(image, weight, *same, name="first"))
    second = ops.reduce_mean(ops.convolution(first, weight, *same), np.array([2, 3]))
    score = ops.matmul(second, rng.normal(size=(channels, 100)).astype(np.float32), False, False, name="head")
    result = ops.add(score, rng.normal(size=(1, 100)).astype(np.float32))
    result.output(0).set_names({"scores"})
    return ov.Model([ops.result(result)], [image])


def ternarised(model: ov.Model) -> list[tuple[Layer, npt.NDArray[Any]]]:
    """The model with ternary layers, and the layers with their steps."""
    layers = []
    for layer in find_layers(model)[0]:
        rng = np.random.default_rng(layer.size)
        matrix = layer.geometry.matrix(np.empty(layer.shape, np.float32))
        step = rng.uniform(0.5, 1.5, size=(1, matrix.shape[1], 1)).astype(np.float32)
        write_weight(model, layer, rng.choice([-1, 0, 1], size=matrix.shape, p=[0.2, 0.6, 0.2]) * step)
        layers.append((layer, step.astype(np.float64)))
    return layers


def outputs(model: ov.Model, batch: int = 1) -> npt.NDArray[Any]:
    value = np.random.default_rng(1).normal(size=(batch, 48, 8, 8)).astype(np.float32)
    compiled = ov.Core().compile_model(model, "CPU", {"EXECUTION_MODE_HINT": "ACCURACY"})
    return compiled({"image": value})["scores"]


@pytest.mark.parametrize("batch", [1, -1])
def test_an_exported_model_computes_the_same_from_fewer_bytes(batch: int, tmp_path: Path) -> None:
    model = network(batch)
    layers = ternarised(model)
    exported = export(model, layers, tmp_path, {})
    np.testing.assert_array_equal(outputs(ov.Core().read_model(exported.xml), abs(batch)), outputs(model, abs(batch)))
    assert exported.xml == tmp_path / "1" / "model.xml"
    assert exported.size.bytes == exported.xml.stat().st_size + exported.bin.stat().st_size
    assert exported.size.bytes < saved_size(model).bytes / 4


def test_layers_report_their_form_and_what_it_takes(tmp_path: Path) -> None:
    model = network()
    shared, head = export(model, ternarised(model), tmp_path, {}).layers
    assert shared.name == "first"
    assert (shared.scheme, shared.weights) == ("u2 table x step", 48 * 48 * 9)
    assert shared.bytes == 48 * 48 * 9 // 4 + 3 * 4 + 48 * 4 + 4  # codes, table, steps, axis of the lookup
    assert shared.bits == 8 * shared.bytes / shared.weights
    assert shared.entropy_bits < shared.bits
    assert head.name == "head"
    assert head.bytes < 4 * head.weights / 8


def test_the_entropy_of_the_model_weighs_layers_by_size(tmp_path: Path) -> None:
    model = network()
    exported = export(model, ternarised(model), tmp_path, {})
    bits = sum(layer.entropy_bits * layer.weights for layer in exported.layers)
    assert exported.entropy_bits == pytest.approx(bits / (48 * 48 * 9 + 48 * 100))


def test_metadata_and_forms_of_storage_are_in_the_model(tmp_path: Path) -> None:
    model = network()
    recipe = json.dumps({"steps": [{"method": "ec2t"}], "note": 'größer als "1 < 2"\n  und länger'})
    exported = export(model, ternarised(model), tmp_path, {"recipe": recipe})
    read = ov.Core().read_model(exported.xml)
    assert read.get_rt_info(["fractune", "recipe"]).astype(str) == recipe
    schemes = json.loads(read.get_rt_info(["fractune", "layers"]).astype(str))
    assert schemes == {layer.name: layer.scheme for layer in exported.layers}


def test_the_model_that_was_given_is_left_alone(tmp_path: Path) -> None:
    model = network()
    layers = ternarised(model)
    names = [node.friendly_name for node in model.get_ordered_ops()]
    export(model, layers, tmp_path, {"recipe": "{}"})
    assert [node.friendly_name for node in model.get_ordered_ops()] == names
    assert not model.has_rt_info(["fractune", "recipe"])


def test_quantised_layers_are_stored_in_fewer_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = network()
    (shared, _), (head, _) = layers = [(layer, None) for layer in find_layers(model)[0]]
    for layer in (shared, head):
        codes = ops.constant(rng.integers(-1, 2, size=layer.shape).astype(np.int8))
        real = ops.multiply(ops.convert(codes, "f32"), rng.uniform(0.5, 1, size=(1, layer.shape[-1])).astype(np.float32))
        for name in layer.nodes:
            nodes_by_name(model)[name].input(layer.port).replace_source_output(real.output(0))
    exported = export(model, layers, tmp_path, {})
    assert exported.layers[0].scheme == "u2 table"
    assert exported.layers[0].bytes == shared.size // 4 + 3 + 4 + 3 * 4
    np.testing.assert_array_equal(outputs(ov.Core().read_model(exported.xml)), outputs(model))


def test_weights_nobody_compressed_lose_nothing_and_what_half_precision_holds_takes_half(tmp_path: Path) -> None:
    model = network()
    for layer in find_layers(model)[0]:
        source = nodes_by_name(model)[layer.name].input_value(layer.port).get_node().get_data()
        write_weight(model, layer, layer.geometry.matrix(source.astype(np.float16).astype(np.float32)))
    exported = export(model, [(layer, None) for layer in find_layers(model)[0]], tmp_path, {})
    assert {layer.scheme for layer in exported.layers} == {"f16"}
    np.testing.assert_array_equal(outputs(ov.Core().read_model(exported.xml)), outputs(model))


SCRIPT = """
import sys
from pathlib import Path
import numpy as np, openvino.opset13 as ops
from tests.workers.ir.writing.test_exporter import network, ternarised
from workers.ir.writing.exporter import export
for _ in range(int(sys.argv[1])):
    ops.constant(np.float32(0))  # counts up the names that OpenVINO makes up
model = network()
export(model, ternarised(model), Path(sys.argv[2]), {"recipe": "{}"})
"""


def test_the_same_model_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    for count in (0, 1234):
        command = [sys.executable, "-c", SCRIPT, str(count), str(tmp_path / str(count))]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[4])
    for name in ("model.xml", "model.bin"):
        assert (tmp_path / "0" / "1" / name).read_bytes() == (tmp_path / "1234" / "1" / name).read_bytes()


def test_the_deflated_size_is_that_of_a_zip(tmp_path: Path) -> None:
    model = network()
    exported = export(model, ternarised(model), tmp_path, {})
    with zipfile.ZipFile(tmp_path / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (exported.xml, exported.bin):
            archive.write(path, path.name)
        packed = sum(entry.compress_size for entry in archive.infolist())
    assert size_on_disk(exported.xml).zip_bytes == pytest.approx(packed, abs=16)  # zlib's own frame


def test_blanks_between_tags_are_left_out_and_nothing_else(tmp_path: Path) -> None:
    model = network()
    model.set_rt_info("a >  < b\n\n  c", ["note"])
    ov.save_model(model, tmp_path / "plain.xml", compress_to_fp16=False)
    save_model(model, tmp_path / "model.xml")
    assert (tmp_path / "model.xml").stat().st_size < 0.9 * (tmp_path / "plain.xml").stat().st_size
    read = ov.Core().read_model(tmp_path / "model.xml")
    assert read.get_rt_info(["note"]).astype(str) == "a >  < b\n\n  c"
    ov.save_model(read, tmp_path / "again.xml", compress_to_fp16=False)
    assert (tmp_path / "again.xml").read_bytes() == (tmp_path / "plain.xml").read_bytes()


def test_equal_small_constants_are_kept_once() -> None:
    image = ops.parameter([1, 4], name="image")
    bounds = [ops.constant(np.float32(bound)) for bound in (-1, 1, -1, 1)]
    integer = ops.convert(ops.constant(np.int32(-1)), "f32")
    model = ov.Model([ops.add(ops.fake_quantize(image, *bounds, 256), integer)], [image])
    merge_constants(model)
    kept = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
    assert len(kept) == 3  # -1.0, 1.0 and the integer


def named_network() -> ov.Model:
    model = network()
    number_operations(model)
    return model


def test_a_model_with_another_weight_is_not_the_same() -> None:
    meant, written = named_network(), named_network()
    layer = find_layers(written)[0][0]
    write_weight(written, layer, layer.geometry.matrix(np.ones(layer.shape, np.float32)))
    with pytest.raises(Internal, match="constant of first"):
        prove_same(meant, written)


def test_a_model_with_another_operation_is_not_the_same() -> None:
    meant, written = named_network(), named_network()
    first = nodes_by_name(written)["first"].output(0)
    users = first.get_target_inputs()
    tanh = ops.tanh(first)
    for user in users:
        user.replace_source_output(tanh.output(0))
    with pytest.raises(Internal, match="outputs"):
        prove_same(meant, written)


def test_a_model_with_another_interface_is_not_the_same() -> None:
    meant, written = named_network(), named_network()
    written.output(0).set_names({"logits"})
    with pytest.raises(Internal, match="inputs or outputs"):
        prove_same(meant, written)


def test_a_model_that_equals_itself_is_the_same() -> None:
    prove_same(named_network(), named_network())
