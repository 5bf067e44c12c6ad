"""Stored constants: exact through save, read and compile; as small as their formulas say; friendly to kernels."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as ops
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.ir.storage import Graph, encode, encode_integers, entropy_bits, recode
from workers.ir.storage.encode import tensor_plans, value_plans
from workers.ir.storage.graph import CHUNK
from workers.ir.storage.symbols import WIDTHS, packed_bytes

F32 = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
SHAPE = (16, 8, 3, 3)


def reloaded(model: ov.Model, folder: Path) -> ov.Model:
    ov.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return ov.Core().read_model(folder / "model.xml")


def decoded(outputs: list[Any], folder: Path) -> list[npt.NDArray[Any]]:
    """What stored tensors come to after save, read and compile."""
    model = reloaded(ov.Model([ops.result(output) for output in outputs], []), folder)
    compiled = ov.Core().compile_model(model, "CPU", F32)
    values = compiled([])
    return [values[port] for port in range(len(outputs))]


def constant_bytes(output: Any) -> int:
    nodes = ov.Model([ops.result(output)], []).get_ops()
    own = [node for node in nodes if node.get_type_name() == "Constant" and not node.friendly_name.startswith("index")]
    return sum(node.get_byte_size() for node in own)


def sparse(values: npt.NDArray[Any], density: float, seed: int = 0) -> npt.NDArray[Any]:
    return values * (np.random.default_rng(seed).random(values.shape) < density).astype(np.float32)


def choice(levels: Any, shape: tuple[int, ...] = SHAPE, seed: int = 1) -> npt.NDArray[Any]:
    return np.random.default_rng(seed).choice(np.array(levels, np.float32), shape)


def normal(shape: tuple[int, ...] = SHAPE, seed: int = 2) -> npt.NDArray[Any]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def bfloat(values: Any) -> Any:
    """Numbers that bfloat16 holds, too small for float16."""
    return ((values * 1e-9).view(np.uint32) & 0xFFFF0000).view(np.float32)


STEP = np.random.default_rng(3).uniform(0.5, 1.5, size=(16, 1, 1, 1)).astype(np.float32)
BLOCKS = np.repeat(np.random.default_rng(4).uniform(0.5, 1.5, size=(16, 4)).astype(np.float32), 8, axis=1)
HALVES = np.random.default_rng(5).normal(size=9).astype(np.float16).astype(np.float32)
TERNARY = np.where(choice([0, 1]), np.where(normal() > 0, STEP, -0.4 * STEP), 0).astype(np.float32)
POWERS = [sign * 2.0**-n for n in range(8) for sign in (-1, 1)]
WEIGHTS = {
    "dense": (normal(), None),
    "half": (normal().astype(np.float16).astype(np.float32), None),
    "bfloat": (bfloat(normal()), None),
    "powers of two": (choice([0, *POWERS]), None),
    "ternary": (choice([-0.3, 0, 0.5]), None),
    "pruned": (sparse(normal(), 0.3), None),
    "very sparse": (sparse(choice([-1, 1, 0.1]), 0.01), None),
    "zero": (np.zeros(SHAPE, np.float32), None),
    "one step per channel": (choice(range(-7, 8)) * STEP, STEP),
    "one step per block": (choice(range(-3, 4), (16, 32)) * BLOCKS, BLOCKS),
    "sparse on a grid": (sparse(choice(range(-90, 90)), 0.2) * STEP, STEP),
    "scaled levels": (choice(HALVES) * STEP.astype(np.float16).astype(np.float32), STEP.astype(np.float16).astype(np.float32)),
    "scaled powers of two": (choice([0, *POWERS]) * np.exp2(np.rint(STEP)), np.exp2(np.rint(STEP))),
    "ternary channels": (TERNARY, None),
    "ternary columns": (np.ascontiguousarray(TERNARY.reshape(16, -1).T), None),
    "large integers": (choice(range(-20000, 20000, 7)) * STEP, STEP),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_every_form_decodes_exactly_and_takes_what_it_says(case: str, tmp_path: Path) -> None:
    weight, step = WEIGHTS[case]
    plans = list(tensor_plans(weight, step))
    outputs = [plan.build(Graph(str(number), {})) for number, plan in enumerate(plans)]
    for plan, output, values in zip(plans, outputs, decoded(outputs, tmp_path), strict=True):
        np.testing.assert_array_equal(values, weight, err_msg=plan.scheme)
        assert constant_bytes(output) == plan.bytes, plan.scheme
        own = [n for n in ov.Model([ops.result(output)], []).get_ops() if not n.friendly_name.startswith("index")]
        assert len(own) - 1 == plan.nodes, plan.scheme


@pytest.mark.parametrize("density", [1.0, 0.5, 0.05, 0.0])
def test_every_form_of_integers_decodes_to_int8(density: float, tmp_path: Path) -> None:
    codes = sparse(choice(range(-128, 128)), density).astype(np.int8)
    plans = list(value_plans(codes))
    outputs = [plan.build(Graph(str(number), {})) for number, plan in enumerate(plans)]
    for plan, values in zip(plans, decoded(outputs, tmp_path), strict=True):
        assert values.dtype == np.int8
        np.testing.assert_array_equal(values, codes, err_msg=plan.scheme)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_tensor_decodes_exactly(data: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    shape = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple))
    levels = data.draw(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False), min_size=1))
    density = data.draw(st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))
    weight = sparse(choice(levels, shape), density)
    plans = list(tensor_plans(weight, None))
    outputs = [plan.build(Graph(str(number), {})) for number, plan in enumerate(plans)]
    for plan, values in zip(plans, decoded(outputs, tmp_path_factory.mktemp("model")), strict=True):
        np.testing.assert_array_equal(values, weight, err_msg=plan.scheme)


LARGE = (128, 64, 3, 3)
N = 128 * 64 * 3 * 3
CHANNELS = normal((128, 1, 1, 1))
RANK = 4 * 4  # bytes of a shape
NINE = np.arange(-4, 5, dtype=np.float32) / 7
NINE = NINE.astype(np.float16).astype(np.float32)
HALF = CHANNELS.astype(np.float16).astype(np.float32)


def ternary_channels(density: float) -> npt.NDArray[Any]:
    """Zero, or one of two values of the channel."""
    above, below = np.abs(HALF), -np.abs(normal((128, 1, 1, 1), 6).astype(np.float16).astype(np.float32))
    return sparse(np.where(normal(LARGE) > 0, above, below), density)


@pytest.mark.parametrize(
    ("scheme", "weight", "step", "size"),
    [
        ("f32", normal(LARGE), None, 4 * N),
        ("f16", normal(LARGE).astype(np.float16).astype(np.float32), None, 2 * N),
        ("bf16", bfloat(normal(LARGE)), None, 2 * N),
        ("constant", np.zeros(LARGE, np.float32), None, 4 + RANK),
        ("u1 table", choice([-1, 0.3], LARGE), None, N // 8 + 8),
        ("u2 table", choice([-2, -1, 0.5, 3.1], LARGE), None, N // 4 + 16),
        ("u8 base 3 table", choice([-0.3, 0.1, 0.5], LARGE), None, -(-N // 5) + 12 + RANK + 8),
        ("u16 base 9 table", choice(range(1, 10), LARGE) / 10, None, -(-N // 5) * 2 + 36 + RANK + 8),
        ("u3 table", choice(np.arange(8) / 10, LARGE), None, N * 3 // 8 + 32),
        ("u4 table", choice(np.arange(1, 17) / 10, LARGE), None, N // 2 + 64),
        ("u6 table", choice(np.arange(1, 64) / 10, LARGE), None, N * 3 // 4 + 4 * 63),
        ("u8 table", choice(np.arange(1, 250) / 10, LARGE), None, N + 4 * 249),
        ("i4 x step", choice(range(-7, 8), LARGE) * CHANNELS, CHANNELS, N // 2 + 4 * 128),
        ("i8 x step", choice(range(-127, 128), LARGE) * CHANNELS, CHANNELS, N + 4 * 128),
        ("u16 base 9 table x step", choice(NINE, LARGE) * HALF, HALF, -(-N // 5) * 2 + RANK + 8 + 4 * 9 + 4 * 128),
        ("u8 base 3 table x two values", ternary_channels(0.7), None, -(-N // 5) + RANK + 8 + 12 + 2 * 4 * 128 + 4),
        ("bitmap, f32", sparse(normal(LARGE), 0.5), None, N // 8 + 4 + RANK + 4 * np.count_nonzero(sparse(normal(LARGE), 0.5))),
    ],
)  # fmt: skip
def test_the_smallest_form_is_chosen(scheme: str, weight: npt.NDArray[Any], step: npt.NDArray[Any] | None, size: Any) -> None:
    stored = encode(weight.astype(np.float32), Graph("w", {}), step=step)
    assert (stored.scheme, stored.bytes) == (scheme, size)
    assert constant_bytes(stored.output) == size


def test_few_survivors_are_stored_by_their_gaps() -> None:
    weight = sparse(normal((256, 256)), 0.02)
    stored = encode(weight, Graph("w", {}))
    assert stored.scheme == "u8 gaps, f32"
    assert stored.bytes == pytest.approx(5 * np.count_nonzero(weight), rel=0.02)


def test_a_small_tensor_stays_plain_because_operations_cost_bytes_too() -> None:
    assert encode(choice([-1, 0, 1], (4, 3, 3, 3)), Graph("w", {})).scheme == "f32"


def test_negative_zero_becomes_zero(tmp_path: Path) -> None:
    stored = encode(np.array([-0.0, 0.0, 1.0] * 2000, np.float32), Graph("w", {}))
    (values,) = decoded([stored.output], tmp_path)
    assert not np.signbit(values).any()


def test_a_step_that_does_not_give_the_weights_back_is_not_used() -> None:
    weight = choice(range(-7, 8), LARGE) * CHANNELS
    assert "step" not in encode(weight, Graph("w", {}), step=CHANNELS * 1.01).scheme


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", [1, 7, 8, 9, 36, CHUNK + 5])
def test_packed_constants_are_as_openvino_packs_them(width: int, count: int) -> None:
    values = np.random.default_rng(0).integers(0, 2**width, size=count).astype(np.uint8)
    node = Graph("w", {}).constant(values, WIDTHS[width]).get_node()
    expected = ops.constant(values, dtype=WIDTHS[width])
    np.testing.assert_array_equal(node.data, expected.data)
    assert node.get_byte_size() == packed_bytes(count, width)


@pytest.mark.parametrize("case", WEIGHTS)
def test_a_matrix_product_gives_the_same_bits_under_every_hint(case: str, tmp_path: Path) -> None:
    """OpenVINO must not take a stored weight for a quantised one: it would quantise the activations."""
    weight, step = (None if part is None else part.reshape(len(part), -1) for part in WEIGHTS[case])
    assert weight is not None
    parameter = ops.parameter([2, weight.shape[1]])

    def model(output: Any) -> Any:
        return ov.Model([ops.matmul(parameter, output, False, True)], [parameter])

    plain, stored = model(ops.constant(weight).output(0)), model(encode(weight, Graph("w", {}), step=step).output)
    value = np.random.default_rng(0).normal(size=(2, weight.shape[1])).astype(np.float32)
    written = reloaded(stored, tmp_path)
    for config in ({"INFERENCE_PRECISION_HINT": "f32"}, {"EXECUTION_MODE_HINT": "ACCURACY"}, {}):
        expected, found = (ov.Core().compile_model(m, "CPU", config)(value)[0] for m in (plain, written))
        np.testing.assert_array_equal(found, expected)


def quantised_convolution(codes: npt.NDArray[Any]) -> ov.Model:
    """As NNCF writes it: FakeQuantize on the activations, i8 weights times a scale per channel."""
    image = ops.parameter([1, 64, 14, 14], name="x")
    low, high = (ops.constant(np.float32(bound)) for bound in (-1, 1))
    weight = ops.multiply(ops.convert(ops.constant(codes, name="weight"), "f32"), ops.constant(np.abs(normal((64, 1, 1, 1)))))
    node = ops.convolution(ops.fake_quantize(image, low, high, low, high, 256), weight, [1, 1], [1, 1], [1, 1], [1, 1])
    return ov.Model([ops.relu(node)], [image])


def kernel(compiled: ov.CompiledModel) -> str:
    (found,) = (
        node.get_rt_info()["primitiveType"].astype(str)
        for node in compiled.get_runtime_model().get_ops()
        if node.get_rt_info()["layerType"].astype(str) == "Convolution"
    )
    return found


@pytest.mark.parametrize(
    ("density", "levels", "scheme"),
    [(1, [-9, 2, 40], "u2 table"), (0.3, range(-127, 128), "bitmap, i8"), (0.05, range(-127, 128), "u6 gaps, i8")],
)
def test_recoding_keeps_the_int8_kernel_and_the_outputs(density: float, levels: Any, scheme: str, tmp_path: Path) -> None:
    model = quantised_convolution(sparse(choice(levels, (64, 64, 3, 3)), density).astype(np.int8))
    plain = ov.Core().compile_model(model.clone(), "CPU", F32)
    if "I8" not in kernel(plain):
        pytest.skip(f"INT8 KERNELS ARE NOT TESTED: this machine runs {kernel(plain)} for a quantised convolution")
    assert [stored.scheme for stored in recode(model).values()] == [scheme]
    compiled = ov.Core().compile_model(reloaded(model, tmp_path), "CPU", F32)
    value = normal((1, 64, 14, 14))
    np.testing.assert_array_equal(compiled(value)[0], plain(value)[0])
    assert kernel(compiled) == kernel(plain)


def test_recoding_leaves_quantisation_ranges_and_names_alone() -> None:
    image = ops.parameter([1, 1024], name="x")
    ranges = [ops.constant(np.full((1, 1024), bound, np.float32)) for bound in (-1, 1, -1, 1)]
    weight = ops.constant(choice([-1, 0, 1], (1024, 8)), name="weight")
    weight.output(0).set_names({"weight_tensor"})
    model = ov.Model([ops.matmul(ops.fake_quantize(image, *ranges, 256), weight, False, False)], [image])
    assert list(recode(model)) == ["weight"]
    decoder = next(node for node in model.get_ops() if node.friendly_name == "weight")
    assert decoder.get_type_name() == "Gather"
    assert decoder.output(0).get_names() == {"weight_tensor"}


@pytest.mark.parametrize(
    ("weight", "bits"),
    [
        (np.tile(np.arange(4, dtype=np.float32), 4096) / 3, 2 + 32 * 4 / 16384),
        (normal(), 32),
        (normal().astype(np.float16).astype(np.float32), 16),
        (np.zeros(1024, np.float32), 0),
        (np.arange(-8, 8, dtype=np.int8), 4),
    ],
)
def test_entropy_of_known_distributions(weight: npt.NDArray[Any], bits: float) -> None:
    assert entropy_bits(weight) == pytest.approx(bits)


def test_entropy_of_ternary_channels_counts_the_signs_and_two_half_precision_values() -> None:
    weight = ternary_channels(0.5)
    assert entropy_bits(weight) == pytest.approx(1.5 + 2 * 16 * 128 / N, abs=0.01)


def test_channels_of_several_groups_may_be_ternary() -> None:
    weight = np.where(normal((4, 8, 9)) > 0, normal((4, 8, 1)), 0).astype(np.float32)
    assert encode(np.tile(weight, (1, 1, 40)), Graph("w", {})).scheme.endswith("x two values")


def test_wide_layers_store_their_scales_in_half_precision() -> None:
    scale = np.abs(normal((1024, 1))).astype(np.float16).astype(np.float32)
    stored = encode(choice(range(-7, 8), (1024, 64)) * scale, Graph("w", {}), step=scale)
    assert stored.scheme == "i4 x step"
    assert stored.bytes == 1024 * 64 // 2 + 2 * 1024


def test_entropy_of_integers_on_a_grid_counts_the_integers() -> None:
    weight = choice(range(-4, 4), LARGE) * CHANNELS
    assert entropy_bits(weight, step=CHANNELS) == pytest.approx(3, abs=0.1)
    assert entropy_bits(weight) > 6


def test_encoding_integers_of_a_small_kernel_keeps_them_plain() -> None:
    assert encode_integers(choice(range(-9, 9), (4, 3, 3, 3)).astype(np.int8), Graph("w", {})).scheme == "i8"
