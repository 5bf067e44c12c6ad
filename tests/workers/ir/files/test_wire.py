"""The wire format of protocol buffers, read without a schema; and what an ONNX file says of itself."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.workers.ir import tiny
from tests.workers.ir.files.messages import external, field, varint
from workers.errors import IncompleteModel, UnreadableModel, UnsafeArchive
from workers.ir.files.onnx_file import NEWEST_IR, NEWEST_OPSET, external_files, node_by_tensor
from workers.ir.files.wire import Malformed, Truncated, fields, walk

NUMBERS = st.integers(1, 2**29 - 1)


def read(message: bytes) -> list[tuple[int, Any]]:
    return [(number, value if isinstance(value, int) else bytes(value)) for number, value in fields(memoryview(message))]


@given(st.lists(st.tuples(NUMBERS, st.integers(0, 2**64 - 1) | st.binary(max_size=40))))
def test_fields_come_back_in_order(content: list[tuple[int, int | bytes]]) -> None:
    assert read(b"".join(field(number, value) for number, value in content)) == content


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    try:
        read(message)
    except Malformed:
        return
    assert sum(1 for _ in fields(memoryview(message))) <= len(message)


def test_fixed_widths_are_bytes() -> None:
    assert read(varint(1 << 3 | 1) + b"12345678" + varint(2 << 3 | 5) + b"1234") == [(1, b"12345678"), (2, b"1234")]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"\x80", "no number at byte 0"),
        (b"\xff" * 11, "no number at byte 0"),
        (field(1, 5)[:-1], "no number at byte 1"),
        (b"\x00\x01", "field number 0"),
        (varint(2**29 << 3) + b"\x01", f"field number {2**29}"),
        (varint(1 << 3 | 3), "wire type 3"),
        (varint(1 << 3 | 7), "wire type 7"),
    ],
)
def test_what_is_no_field_is_told_with_its_place(message: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        read(message)


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_message_that_ends_inside_a_field_says_in_which(cut: int) -> None:
    with pytest.raises(Truncated, match=f"its field 7 needs 5 bytes, and {5 - cut} are left") as truncated:
        read(field(7, b"12345")[:-cut])
    assert truncated.value.field == 7


def test_a_size_beyond_everything_is_truncated_and_not_allocated() -> None:
    with pytest.raises(Truncated):
        read(varint(1 << 3 | 2) + varint(2**64 - 1) + b"x")


def test_nested_messages_are_opened_where_a_schema_says_so() -> None:
    leaf = field(3, 9)
    message = field(1, field(2, leaf)) + field(5, field(2, leaf))
    schemas = {"root": {1: "inner"}, "inner": {2: "leaf"}}
    seen = [(kind, number) for kind, number, _ in walk(memoryview(message), "root", schemas)]
    assert seen == [("root", 1), ("inner", 2), ("leaf", 3), ("root", 5)]


def test_nesting_has_an_end() -> None:
    message = b""
    for _ in range(120):
        message = field(1, message)
    with pytest.raises(Malformed, match="nested too deep"):
        list(walk(memoryview(message), "node", {"node": {1: "node"}}))


# ONNX


def test_a_model_without_other_files_has_none(tmp_path: Path) -> None:
    assert external_files(tiny.save(tiny.cnn(), tmp_path / "m.onnx")) == ()


@pytest.mark.parametrize("entries", [{}, {"offset": "0", "length": "48"}, {"offset": "48", "length": "0"}, {"length": "48"}])
def test_weights_in_a_file_of_their_own_are_found(tmp_path: Path, entries: dict[str, str]) -> None:
    assert external_files(external(tmp_path, bytes(48), **entries)) == (tmp_path / "weights",)


def test_weights_inside_a_branch_and_an_attribute_are_found_once(tmp_path: Path) -> None:
    tensor = onnx.load(external(tmp_path, bytes(48)), load_external_data=False).graph.initializer[0]
    branch = helper.make_graph([], "branch", [], [], [tensor])
    nodes = [
        helper.make_node("If", ["c"], ["out"], then_branch=branch, else_branch=branch),
        helper.make_node("Constant", [], ["k"], value=tensor),
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", [], []))
    (tmp_path / "nested.onnx").write_bytes(model.SerializeToString())
    assert external_files(tmp_path / "nested.onnx") == (tmp_path / "weights",)


@pytest.mark.parametrize("location", ["../weights", "/etc/passwd", "a/../weights", "..", "a\\weights", "C:\\weights"])
def test_places_outside_of_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(UnsafeArchive, match="outside its folder"):
        external_files(external(tmp_path, bytes(48), location=location))


@pytest.mark.parametrize("location", ["", ".", "gone", "weights/x", "\0", "x" * 300, "d/" * 3000 + "x", "wéights"])
def test_files_that_are_missing_are_named(tmp_path: Path, location: str) -> None:
    with pytest.raises(IncompleteModel, match="missing") as refused:
        external_files(external(tmp_path, bytes(48), location=location))
    assert len(refused.value.message) < 200


@pytest.mark.parametrize("entries", [{"length": "49"}, {"offset": "1", "length": "48"}, {"offset": "99999999999999999999"}])
def test_a_file_that_is_too_short_is_refused_with_its_sizes(tmp_path: Path, entries: dict[str, str]) -> None:
    with pytest.raises(IncompleteModel, match=r"needs \d+ bytes of 'weights', which has 48"):
        external_files(external(tmp_path, bytes(48), **entries))


@pytest.mark.parametrize("number", ["-1", "1e3", "0x10", " 1", "", "٣", "9" * 21])
def test_what_is_no_number_of_bytes_is_damage(tmp_path: Path, number: str) -> None:
    with pytest.raises(UnreadableModel, match="no number of bytes"):
        external_files(external(tmp_path, bytes(48), length=number))


@pytest.mark.parametrize(
    ("ir", "opset", "words"),
    [(NEWEST_IR, NEWEST_OPSET, None), (NEWEST_IR + 1, 17, "IR version"), (8, NEWEST_OPSET + 1, "operator set")],
)
def test_versions_that_nobody_knows_are_refused(tmp_path: Path, ir: int, opset: int, words: str | None) -> None:
    model = tiny.matmul()
    model.ir_version, model.opset_import[0].version = ir, opset
    path = tiny.save(model, tmp_path / "m.onnx")
    if words is None:
        assert external_files(path) == ()
    else:
        with pytest.raises(UnreadableModel, match=words):
            external_files(path)


def test_operations_are_known_by_the_tensors_that_they_compute(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Split", ["in"], ["a", "", "b"], name="parts"),
        helper.make_node("Relu", ["a"], ["c"]),
        helper.make_node("Identity", ["c"], []),
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", [], []))
    found = node_by_tensor(tiny.save(model, tmp_path / "m.onnx"))
    assert {tensor: (node.name, node.type) for tensor, node in found.items()} == {
        "a": ("parts", "Split"),
        "b": ("parts", "Split"),
        "c": ("c", "Relu"),
    }
