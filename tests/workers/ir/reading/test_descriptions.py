"""What is read off a graph without running it: inputs, sizes, faults; and complaints of OpenVINO in plain words."""

from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import (
    AlreadyQuantized,
    FractuneError,
    IncompleteModel,
    NonFiniteModel,
    NothingToCompress,
    OutOfMemory,
    UnreadableModel,
    UnresolvedShape,
    UnsupportedOperation,
)
from workers.ir.graph.interface import interface_of, name_tensors
from workers.ir.reading import limits, validation
from workers.ir.reading.error_translation import LONGEST, plain_sentence, refusing
from workers.ir.reading.inputs import Input, describe_inputs
from workers.ir.reading.limits import MAX_TENSOR_BYTES, check_sizes, tensor_bytes

RNG = np.random.default_rng(0)


def floats(*shape: int) -> Any:
    return ops.constant(RNG.normal(size=shape).astype(np.float32))


def indices(*values: int) -> Any:
    return ops.constant(np.array(values, np.int64))


def described(parameter: Any, *outputs: Any) -> Input:
    model = ov.Model([ops.result(output) for output in outputs or (ops.relu(parameter),)], [parameter])
    name_tensors(model)
    (entry,) = describe_inputs(model, interface_of(model))
    return entry


# layouts


@pytest.mark.parametrize(
    ("shape", "kind", "layout"),
    [
        ([1, 3, 8, 8], "f32", "NCHW"),
        ([1, 8, 8, 3], "f32", "NHWC"),
        ([1, 3, 8, 8], "u8", "NCHW"),
        ([1, 3, 8, 8], "i64", None),
        ([1, 3, 7, 8], "f32", None),  # too small a picture
        ([1, 5, 8, 8], "f32", None),  # too many channels
        ([1, 3, 8], "f32", None),
        ([1, 3, 3, 8, 8], "f32", None),
        ([1, 4, 8, 4], "f32", None),
        ([1, 1, 32, 320], "f16", "NCHW"),
    ],
)
def test_a_picture_is_told_by_its_shape(shape: list[int], kind: str, layout: str | None) -> None:
    parameter = ops.parameter(shape, getattr(ov.Type, kind))
    assert described(parameter, ops.convert(parameter, "f32")).layout == layout


def test_a_declared_layout_counts_where_both_would_do() -> None:
    parameter = ops.parameter([1, 8, 8, 8], name="x")
    assert described(parameter).layout is None
    parameter = ops.parameter([1, 3, 8, 3], name="x")
    assert described(parameter).layout is None
    parameter = ops.parameter([1, 4, 16, 16], name="x")
    parameter.set_layout(ov.Layout("NHWC"))
    assert described(parameter).layout is None  # 16 channels are no picture


# numbers of tokens


def looked_up(parameter: Any, rows: int, axis: int = 0) -> Any:
    table = floats(rows, 4) if axis == 0 else floats(4, rows)
    return ops.gather(table, parameter, ops.constant(np.int64(axis)))


def test_tokens_are_counted_by_the_table_that_they_index() -> None:
    tokens = ops.parameter([1, 5], ov.Type.i64)
    entry = described(tokens, looked_up(tokens, 100))
    assert (entry.vocabulary, entry.bounds) == (100, (0, 99))


def test_the_smallest_of_several_tables_counts_and_any_axis() -> None:
    tokens = ops.parameter([1, 5], ov.Type.i32)
    assert described(tokens, looked_up(tokens, 100), looked_up(tokens, 30, axis=1)).vocabulary == 30


def test_tables_are_found_behind_what_only_rearranges() -> None:
    tokens = ops.parameter([1, 5], ov.Type.i32)
    moved = ops.unsqueeze(ops.convert(ops.reshape(tokens, indices(5), False), "i64"), indices(0))
    assert described(tokens, looked_up(moved, 77)).vocabulary == 77
    added = ops.add(tokens, ops.constant(np.int32(1)))  # another number
    tokens = added.input_value(0).get_node()
    assert described(tokens, looked_up(added, 77)).vocabulary is None


def test_one_hot_comparisons_count_as_tables() -> None:
    tokens = ops.parameter([1, 5], ov.Type.i64)
    compared = ops.equal(ops.unsqueeze(tokens, indices(2)), indices(*range(12)))
    assert described(tokens, compared).vocabulary == 12
    tokens = ops.parameter([1, 5], ov.Type.i64)
    on, off = ops.constant(np.float32(1)), ops.constant(np.float32(0))
    assert described(tokens, ops.one_hot(tokens, ops.constant(np.int64(9)), on, off, 2)).vocabulary == 9
    tokens = ops.parameter([1, 5], ov.Type.i64)
    assert described(tokens, ops.equal(tokens, ops.constant(np.int64(0)))).vocabulary is None  # a mask of padding


@pytest.mark.parametrize(
    ("dtype", "vocabulary", "bounds"),
    [
        (np.float32, None, (0, 1)),
        (np.int64, 7, (0, 6)),
        (np.int8, 1000, (0, 127)),
        (np.uint8, None, (0, 255)),
        (np.int8, None, (-128, 127)),
        (np.int64, None, (1, 1)),
        (np.int64, 1, (0, 0)),
    ],
)
def test_what_is_drawn_lies_within_the_bounds(dtype: Any, vocabulary: int | None, bounds: tuple[int, int]) -> None:
    entry = Input("x", ("x",), (1, 50), np.dtype(dtype), None, 0, (1, 50), vocabulary)
    assert entry.bounds == bounds
    drawn = entry.draw(np.random.default_rng(0))
    assert (drawn.shape, drawn.dtype) == ((1, 50), np.dtype(dtype))
    if entry.dtype.kind != "f":
        assert bounds[0] <= drawn.min() <= drawn.max() <= bounds[1]


def test_an_item_lacks_the_axis_of_samples_where_there_is_one() -> None:
    for axis, item in ((0, (3, 8)), (None, (1, 3, 8))):
        assert Input("x", ("x",), (1, 3, 8), np.dtype(np.float32), None, axis, (-1, 3, 8), None).item == item


# sizes


@pytest.mark.parametrize(
    ("shape", "kind", "size"),
    [([2, 3], "f32", 24), ([2, 3], "u8", 6), ([3], "u4", 1), ([], "f64", 8), ([0, 5], "f32", 0), ([2, -1], "i64", 16)],
)
def test_bytes_of_a_tensor(shape: list[int], kind: str, size: int) -> None:
    assert tensor_bytes(ops.parameter(shape, getattr(ov.Type, kind)).output(0)) == size


def test_a_tensor_of_unknown_rank_counts_nothing_and_one_beyond_64_bits_everything() -> None:
    assert tensor_bytes(ops.parameter(ov.PartialShape.dynamic()).output(0)) == 0
    assert tensor_bytes(ops.parameter([2**40, 2**40]).output(0)) == 4 * 2**80


def test_the_operation_that_is_too_large_is_named() -> None:
    side = int((MAX_TENSOR_BYTES / 4) ** 0.5) + 1
    x = ops.parameter([side, 1])
    wide = ops.broadcast(x, indices(side, side), name="wide")
    with pytest.raises(UnresolvedShape, match="Broadcast 'wide' computes a tensor of"):
        check_sizes(ov.Model([ops.reduce_sum(wide, indices(0, 1))], [x]))


def test_tensors_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    x = ops.parameter([10])
    model = ov.Model([ops.relu(ops.relu(x))], [x])
    check_sizes(model)
    monkeypatch.setattr(limits, "MAX_TOTAL_BYTES", 119)  # input and two results; the output is counted once more
    with pytest.raises(UnresolvedShape, match="add up to"):
        check_sizes(model)
    monkeypatch.setattr(limits, "MAX_OPERATIONS", 3)
    with pytest.raises(UnresolvedShape, match="4 operations; the limit is 3"):
        check_sizes(model)


# faults


def layer(weight: Any, name: str = "layer") -> ov.Model:
    x = ops.parameter([1, 4], name="x")
    return ov.Model([ops.matmul(x, weight, False, True, name=name)], [x])


@pytest.mark.parametrize(("value", "what"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_weights_that_are_not_finite_name_their_layer(value: float, what: str) -> None:
    weight = np.ones((3, 4), np.float32)
    weight[1, 2] = value
    with pytest.raises(NonFiniteModel, match=f"MatMul 'layer' hold {what}"):
        validation.check_finite(layer(ops.constant(weight)))


def test_infinity_in_a_mask_is_ordinary_and_nan_is_not() -> None:
    x = ops.parameter([4])
    mask = np.array([0, -np.inf, np.inf, 0], np.float32)
    validation.check_finite(ov.Model([ops.add(x, ops.constant(mask))], [x]))
    x, mask[0] = ops.parameter([4]), np.nan
    with pytest.raises(NonFiniteModel, match="Add 'masked' hold NaN"):
        validation.check_finite(ov.Model([ops.add(x, ops.constant(mask), name="masked")], [x]))


def test_an_infinite_bias_belongs_to_its_layer() -> None:
    x = ops.parameter([1, 4])
    product = ops.matmul(x, floats(3, 4), False, True)
    biased = ops.add(product, ops.constant(np.array([0, np.inf, 0], np.float32)), name="biased")
    with pytest.raises(NonFiniteModel, match="'biased' hold infinity"):
        validation.check_finite(ov.Model([biased], [x]))


def test_an_empty_constant_is_finite() -> None:
    x = ops.parameter([2, 0])
    validation.check_finite(ov.Model([ops.add(x, ops.constant(np.zeros((2, 0), np.float32)))], [x]))


def test_ends_are_needed() -> None:
    x = ops.parameter([1])
    with pytest.raises(IncompleteModel, match="no outputs"):
        validation.check_complete(ov.Model([], [x]))
    with pytest.raises(IncompleteModel, match="no inputs"):
        validation.check_complete(ov.Model([ops.relu(floats(1))], []))


def test_an_input_of_text_is_refused() -> None:
    x = ops.parameter([1], ov.Type.string)
    x.output(0).set_names({"words"})
    with pytest.raises(UnsupportedOperation, match="Input 'words' is of type string"):
        validation.check_complete(ov.Model([x], [x]))


def test_random_numbers_are_refused_by_name() -> None:
    x = ops.parameter([2])
    noise = ops.random_uniform(indices(2), ops.constant(np.float32(0)), ops.constant(np.float32(1)), "f32", 0, 0, name="noise")
    with pytest.raises(UnsupportedOperation, match="RandomUniform 'noise'"):
        validation.check_deterministic(ov.Model([ops.add(x, noise)], [x]))
    validation.check_deterministic(layer(floats(3, 4)))


@pytest.mark.parametrize(("bits", "quantised"), [("i8", True), ("u4", True), ("f16", False), ("f32", False)])
def test_weights_of_few_bits_are_quantised_already(bits: str, quantised: bool) -> None:
    stored = ops.constant(np.ones((3, 4), np.float32), dtype=getattr(ov.Type, bits))
    decoded = ops.multiply(ops.convert(stored, "f32"), ops.constant(np.float32(0.5)))
    if quantised:
        with pytest.raises(AlreadyQuantized, match="1 of 1 layers keep weights in 8 bits or fewer, and 0 tensors"):
            validation.check_not_quantized(layer(decoded))
    else:
        validation.check_not_quantized(layer(decoded))


def test_a_model_without_weights_has_nothing_to_compress() -> None:
    x = ops.parameter([4])
    with pytest.raises(NothingToCompress, match="it has no weights"):
        validation.check_has_layers(ov.Model([ops.relu(x)], [x]))
    validation.check_has_layers(layer(floats(3, 4)))
    y, z = ops.parameter([2, 4]), ops.parameter([4, 2])
    with pytest.raises(NothingToCompress, match="it has no weights"):
        validation.check_has_layers(ov.Model([ops.matmul(y, z, False, False, name="product")], [y, z]))


# complaints


def test_a_complaint_is_one_sentence_without_source_locations() -> None:
    text = "Exception from src/core/src/node.cpp:123:\nCheck 'a == b' failed at src/x.cpp:9:\n  Shapes\tdo not\n fit. "
    assert plain_sentence(text) == "Shapes do not fit."


@pytest.mark.parametrize("text", ["", " \n\t", "Exception from a.cpp:1:"])
def test_a_complaint_without_words_says_so(text: str) -> None:
    assert plain_sentence(text) == "it gives no reason."


@given(st.text())
def test_any_complaint_becomes_a_short_printable_line(text: str) -> None:
    found = plain_sentence(text)
    assert found.isprintable()
    assert 0 < len(found) <= LONGEST
    assert found.endswith(".")


def test_a_hostile_complaint_is_cut() -> None:
    assert len(plain_sentence("x" * 10**7)) == LONGEST
    assert "\x1b" not in plain_sentence("\x1b[31mred")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (RuntimeError("No conversion rule found for operations: Foo, Bar"), UnsupportedOperation, "Foo, Bar"),
        (RuntimeError("opset doesn't contain the operation with type: Baz\n"), UnsupportedOperation, "Baz"),
        (RuntimeError("Cannot create Qux layer q id:3"), UnsupportedOperation, "Qux"),
        (MemoryError(), OutOfMemory, "read the model within the memory"),
        (RuntimeError("std::bad_alloc"), OutOfMemory, "within the memory"),
        (RuntimeError("Something else"), UnreadableModel, "cannot read the model: Something else."),
        (IndexError("vector"), UnreadableModel, "vector"),
        (OverflowError("too large"), UnreadableModel, "too large"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), UnreadableModel, "codec"),
    ],
)
def test_what_openvino_raises_becomes_a_refusal(error: Exception, kind: type[FractuneError], words: str) -> None:
    with pytest.raises(kind, match=words) as refused, refusing("read the model"):
        raise error
    assert refused.value.__cause__ is error


def test_mistakes_of_ours_are_not_hidden() -> None:
    with pytest.raises(KeyError), refusing("read the model"):
        raise KeyError("ours")
    with pytest.raises(UnresolvedShape), refusing("read the model"):
        raise UnresolvedShape("a refusal stays one")
