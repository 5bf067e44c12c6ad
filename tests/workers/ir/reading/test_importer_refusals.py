"""Files that are models, but not models to work on."""

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import openvino.opset13 as ops
import pytest
from onnx import TensorProto, helper
from onnx.external_data_helper import convert_model_to_external_data

from tests.workers.ir import tiny
from workers.errors import (
    AlreadyQuantized,
    IncompleteModel,
    NonFiniteModel,
    NothingToCompress,
    UnreadableModel,
    UnresolvedShape,
    UnsafeArchive,
    UnsupportedFormat,
    UnsupportedOperation,
)
from workers.ir.graph.layers import find_layers
from workers.ir.reading.importer import load


def refuse(model: onnx.ModelProto, tmp_path: Path, kind: type[Exception], words: str, **options: Any) -> None:
    with pytest.raises(kind, match=words):
        load(tiny.save(model, tmp_path / "model.onnx"), **options)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, value: float) -> None:
    weight = tiny.weight(4, 3)
    weight[1, 1] = value
    refuse(tiny.matmul(weight), tmp_path, NonFiniteModel, "MatMul 'out' hold (NaN|infinity)")


def test_weights_whose_products_no_float_holds_are_named(tmp_path: Path) -> None:
    weight = tiny.weight(4, 3)
    weight[1, 1] = -3e30
    refuse(tiny.matmul(weight), tmp_path, NonFiniteModel, r"MatMul 'out' reach 3e\+30: squares of what it gives do not fit")


def test_bias_that_is_not_finite_is_named(tmp_path: Path) -> None:
    model = tiny.cnn()
    bias = next(entry for entry in model.graph.initializer if entry.name == "b3")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(5, np.inf, np.float32), "b3"))
    refuse(model, tmp_path, NonFiniteModel, "'third.*' hold infinity")


@pytest.mark.parametrize("end", ["output", "input"])
def test_model_without_ends_is_incomplete(tmp_path: Path, end: str) -> None:
    nodes = [helper.make_node("MatMul", ["a", "w"], ["out"])]
    weights = {"a": tiny.weight(1, 4), "w": tiny.weight(4, 3)}
    model = tiny.matmul() if end == "output" else tiny.graph(nodes, weights, {})
    if end == "output":
        del model.graph.output[:]
    refuse(model, tmp_path, IncompleteModel, f"no {end}s")


def test_model_without_weights_has_nothing_to_compress(tmp_path: Path) -> None:
    refuse(
        tiny.graph([helper.make_node("Relu", ["in"], ["out"])], {}, {"in": [None, 4]}),
        tmp_path,
        NothingToCompress,
        "no weights",
    )


def test_model_with_an_embedding_alone_says_why_it_is_skipped(tmp_path: Path) -> None:
    model = tiny.graph([helper.make_node("Gather", ["w", "in"], ["out"])], {"w": tiny.weight(4, 3)}, {"in": [1, 4]})
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    layers, skipped = find_layers(load(tiny.save(model, tmp_path / "model.onnx")).model)
    assert (layers, [entry.reason for entry in skipped]) == ([], ["an embedding table is looked up, not multiplied"])


def test_custom_operation_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["in", "w"], ["m"]), helper.make_node("Swish", ["m"], ["out"], domain="com.acme")]
    model = tiny.graph(nodes, {"w": tiny.weight(4, 3)}, {"in": [1, 4]})
    model.opset_import.append(helper.make_opsetid("com.acme", 1))
    refuse(model, tmp_path, UnsupportedOperation, "com.acme.Swish")


def test_unknown_operation_of_an_ir_is_named(tmp_path: Path) -> None:
    path = save_ir(tmp_path)
    path.write_text(path.read_text().replace('type="MatMul" version="opset1"', 'type="Frobnicate" version="opset1"'))
    with pytest.raises(UnsupportedOperation, match="Frobnicate"):
        load(path)


def test_message_of_openvino_is_one_paragraph_without_its_sources(tmp_path: Path) -> None:
    model = tiny.matmul(tiny.weight(5, 3), shape=[1, 4])
    with pytest.raises(UnreadableModel) as caught:
        load(tiny.save(model, tmp_path / "model.onnx"))
    assert "\n" not in caught.value.message
    assert ".cpp" not in caught.value.message
    assert len(caught.value.message) < 600


def test_names_that_are_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(tiny.cnn().SerializeToString().replace(b"second", b"sec\xf6nd"))
    with pytest.raises(UnreadableModel, match="UTF-8"):
        load(tmp_path / "model.onnx")


def test_entities_of_an_ir_are_not_expanded(tmp_path: Path) -> None:
    path = save_ir(tmp_path)
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    document = f'<!DOCTYPE net [<!ENTITY e0 "lol">{levels}]>'
    path.write_text(path.read_text().replace("<net ", f"{document}<net ", 1).replace('name="in"', 'name="&e9;"', 1))
    assert len(load(path).inputs[0].name) < 100


@pytest.mark.parametrize("field", ["ir_version", "opset"])
def test_versions_that_do_not_exist_are_refused(tmp_path: Path, field: str) -> None:
    model = tiny.cnn()
    if field == "opset":
        model.opset_import[0].version = 99
    else:
        model.ir_version = 99
    refuse(model, tmp_path, UnreadableModel, "99")


def test_open_shape_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UnresolvedShape, match="'in' is open") as caught:
        load(tiny.save(tiny.cnn(side=None), tmp_path / "model.onnx"))
    assert "--shape 'in[1,3,224,224]'" in caught.value.hint


def test_open_shape_is_resolved_by_a_given_one(tmp_path: Path) -> None:
    (entry,) = load(tiny.save(tiny.cnn(side=None), tmp_path / "model.onnx"), {"in": (1, 3, 20, 24)}).inputs
    assert (entry.shape, entry.source_shape) == ((1, 3, 20, 24), (-1, 3, -1, -1))


@pytest.mark.parametrize("shape", [(1, 3, 20), (1, 4, 20, 20), (0, 3, 20, 20), (1, 3, -1, 20)])
def test_given_shape_that_does_not_fit_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    refuse(tiny.cnn(side=None), tmp_path, UnresolvedShape, "fit", shapes={"in": shape})


def test_shape_for_an_input_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    refuse(tiny.cnn(), tmp_path, UnresolvedShape, "no input image; its inputs are in", shapes={"image": (1, 3, 8, 8)})


@pytest.mark.parametrize("operation", ["ConstantOfShape", "Expand", "Tile"])
def test_tensor_beyond_all_measure_is_refused_before_it_is_computed(tmp_path: Path, operation: str) -> None:
    huge = np.array([1 << 40])
    node = {
        "ConstantOfShape": helper.make_node("ConstantOfShape", ["huge"], ["bomb"]),
        "Expand": helper.make_node("Expand", ["one", "huge"], ["bomb"]),
        "Tile": helper.make_node("Tile", ["one", "huge"], ["bomb"]),
    }[operation]
    nodes = [node, helper.make_node("ReduceSum", ["bomb"], ["s"], keepdims=0)]
    nodes += [helper.make_node("MatMul", ["in", "w"], ["m"]), helper.make_node("Add", ["m", "s"], ["out"])]
    weights = {"huge": huge, "one": np.ones(1, np.float32), "w": tiny.weight(4, 3)}
    refuse(tiny.graph(nodes, weights, {"in": [None, 4]}), tmp_path, UnresolvedShape, "limit")


def save_ir(tmp_path: Path) -> Path:
    parameter = ops.parameter([1, 4], np.float32, name="in")
    product = ops.matmul(parameter, ops.constant(tiny.weight(4, 3)), False, False)
    ov.save_model(ov.Model([product], [parameter]), tmp_path / "m.xml", compress_to_fp16=False)
    return tmp_path / "m.xml"


@pytest.mark.parametrize("rows", [1 << 62, (1 << 62) + 4, 1 << 40])
def test_constant_whose_byte_count_overflows_is_refused(tmp_path: Path, rows: int) -> None:
    """OpenVINO reads it, and dies of SIGBUS when the constant is touched."""
    path = save_ir(tmp_path)
    text = (
        path.read_text()
        .replace('shape="4, 3"', f'shape="{rows}, 3"')
        .replace("<dim>4</dim>\n\t\t\t\t\t<dim>3</dim>", f"<dim>{rows}</dim><dim>3</dim>")
    )
    path.write_text(text)
    with pytest.raises((UnreadableModel, UnresolvedShape)):
        load(path)


def test_weights_that_reach_beyond_their_file_are_refused(tmp_path: Path) -> None:
    path = save_ir(tmp_path)
    path.write_text(re.sub(r'offset="\d+"', 'offset="18446744073709551600"', path.read_text()))
    with pytest.raises(UnreadableModel):
        load(path)


def test_ir_without_its_weights_is_incomplete(tmp_path: Path) -> None:
    path = save_ir(tmp_path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(IncompleteModel, match=r"'m\.bin'"):
        load(path)


def test_quantised_activations_are_refused(tmp_path: Path) -> None:
    parameter = ops.parameter([1, 4], np.float32, name="in")
    quantised = ops.fake_quantize(parameter, *(np.float32(v) for v in (0, 1, 0, 1)), levels=256)
    product = ops.matmul(quantised, ops.constant(tiny.weight(4, 3)), False, False)
    ov.save_model(ov.Model([product], [parameter]), tmp_path / "m.xml")
    with pytest.raises(AlreadyQuantized, match="1 tensors"):
        load(tmp_path / "m.xml")


def test_weights_in_eight_bits_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"], ["d"]), helper.make_node("MatMul", ["in", "d"], ["out"])]
    weights: tiny.Weights = {"w": np.ones((4, 3), np.int8), "s": np.float32(0.1)}
    refuse(tiny.graph(nodes, weights, {"in": [None, 4]}), tmp_path, AlreadyQuantized, "1 of 1 layers")


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """A model whose weights are in a file beside it."""
    model = tiny.matmul(tiny.weight(40, 30), shape=(None, 40))
    convert_model_to_external_data(model, location="weights.data", size_threshold=0)
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_weights_in_a_file_of_their_own_are_read(external: Path) -> None:
    imported = load(external)
    assert imported.original_bytes == external.stat().st_size + 40 * 30 * 4


def test_weights_in_a_file_of_their_own_are_read_from_a_zip(external: Path, tmp_path: Path) -> None:
    packed = pack(
        tmp_path / "model.zip", {f"nested/{name}": (tmp_path / name).read_bytes() for name in ("model.onnx", "weights.data")}
    )
    assert load(packed).original_bytes == load(external).original_bytes


def test_missing_file_of_weights_is_named(external: Path) -> None:
    (external.parent / "weights.data").unlink()
    with pytest.raises(IncompleteModel, match=r"weights\.data.*missing"):
        load(external)


def test_short_file_of_weights_is_refused(external: Path) -> None:
    (external.parent / "weights.data").write_bytes(b"short")
    with pytest.raises(IncompleteModel, match="needs 4800 bytes"):
        load(external)


def test_linked_file_of_weights_is_refused(external: Path, tmp_path: Path) -> None:
    secret = (tmp_path / "weights.data").rename(tmp_path.parent / f"{tmp_path.name}-secret")
    (tmp_path / "weights.data").symlink_to(secret)
    with pytest.raises(UnsafeArchive, match="link"):
        load(external)


@pytest.mark.parametrize("location", ["../weights.data", "/etc/passwd", "a/../../weights.data", "..\\weights.data"])
def test_file_of_weights_outside_the_folder_is_refused(external: Path, location: str) -> None:
    model = onnx.load(external, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = location
    external.write_bytes(model.SerializeToString())
    with pytest.raises(UnsafeArchive, match="outside its folder"):
        load(external)


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_two_models_in_a_zip_are_named(tmp_path: Path) -> None:
    content = tiny.cnn().SerializeToString()
    with pytest.raises(UnsupportedFormat, match=r"2 models in it: a\.onnx, b\.onnx"):
        load(pack(tmp_path / "m.zip", {"a.onnx": content, "b.onnx": content}))


def test_zip_without_a_model_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormat, match=r"2 files \(\.csv, \.txt\)"):
        load(pack(tmp_path / "m.zip", {"a.csv": b"a,b\n", "b.txt": b"text"}))


def test_damaged_model_in_a_zip_is_refused_for_its_damage(tmp_path: Path) -> None:
    with pytest.raises(UnreadableModel, match="cut off"):
        load(pack(tmp_path / "m.zip", {"README.md": b"text", "m.onnx": tiny.cnn().SerializeToString()[:-100]}))


def test_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableModel, match="no file or folder"):
        load(tmp_path / "nothing.onnx")


def test_device_is_refused() -> None:
    with pytest.raises(UnreadableModel, match="no file or folder"):
        load(Path("/dev/zero"))
