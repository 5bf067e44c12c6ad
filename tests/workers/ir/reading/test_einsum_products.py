"""Einsum equations that are matrix products, against NumPy and against OpenVINO's own reading."""

import string
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.ir.reading.einsum import Product, matrix_product, write_products


@pytest.mark.parametrize(
    ("equation", "product"),
    [
        ("bnd,df->bnf", Product(2, 1, False)),
        ("bnd,fd->bnf", Product(2, 1, True)),
        ("bqhd,hdo->bqo", Product(2, 2, False)),
        ("bqhd,ohd->bqo", Product(2, 2, True)),
        ("bnd,dhe->bnhe", Product(2, 1, False)),
        (" b d , d f -> b f ", Product(1, 1, False)),
        ("bd,d->b", Product(1, 1, False)),
        ("bd,fd->fb", None),  # transposed
        ("bdn,df->bnf", None),  # the sum is not over the last axes
        ("bhd,dh->b", None),  # summed in another order
        ("bhd,dho->bo", None),
        ("d,df->f", None),  # nothing stays
        ("bd,ef->bdef", None),  # nothing is summed
        ("bbd,df->bbf", None),  # a diagonal
        ("bd,ddf->bf", None),
        ("bd,df,fg->bg", None),
        ("bd->b", None),
        ("bd,df", None),  # the output is not told
        ("...d,df->...f", None),
        ("bhd,hde->bhe", None),  # h stays in both: many products, not one
        ("", None),
        ("->", None),
    ],
)
def test_equations(equation: str, product: Product | None) -> None:
    assert matrix_product(equation) == product


@settings(max_examples=30)
@given(
    lead=st.integers(1, 3),
    contracted=st.integers(1, 2),
    fresh=st.integers(0, 2),
    flipped=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_is_recognised_computes_what_numpy_computes(
    lead: int, contracted: int, fresh: int, flipped: bool, seed: int
) -> None:
    letters = string.ascii_lowercase
    kept, summed, new = letters[:lead], letters[5 : 5 + contracted], letters[10 : 10 + fresh]
    equation = f"{kept}{summed},{new + summed if flipped else summed + new}->{kept}{new}"
    product = matrix_product(equation)
    assert product is not None
    rng = np.random.default_rng(seed)
    sizes = {letter: int(rng.integers(1, 4)) for letter in kept + summed + new}
    value = rng.normal(size=[sizes[letter] for letter in kept + summed])
    weight = rng.normal(size=[sizes[letter] for letter in (new + summed if flipped and new else summed + new)])
    columns = int(np.prod([sizes[letter] for letter in summed]))
    matrix = weight.reshape(-1, columns).T if product.flipped else weight.reshape(columns, -1)
    flat = value.reshape(*value.shape[: product.lead], columns) @ matrix
    expected = np.einsum(equation, value, weight)
    np.testing.assert_allclose(flat.reshape(expected.shape), expected, atol=1e-12)


def evaluated(model: ov.Model, value: Any) -> Any:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    return compiled([value])[0]


@pytest.mark.parametrize("equation", ["bnd,df->bnf", "bqhd,ohd->bqo", "bnd,dhe->bnhe"])
def test_products_are_written_as_layers_that_compute_the_same(equation: str) -> None:
    rng = np.random.default_rng(0)
    first, second = equation.partition("->")[0].split(",")
    sizes = dict(zip("bnqhdfoe", (2, 3, 3, 2, 5, 4, 4, 6), strict=True))
    weight = rng.normal(size=[sizes[letter] for letter in second]).astype(np.float32)
    value = rng.normal(size=[sizes[letter] for letter in first]).astype(np.float32)
    parameter = ops.parameter(list(value.shape), name="x")
    node = ops.einsum([parameter, ops.constant(weight, name="w")], equation)
    node.output(0).set_names({"answer"})
    model = ov.Model([node], [parameter])
    write_products(model)
    kinds = [node.get_type_name() for node in model.get_ordered_ops()]
    assert ("Einsum" in kinds, kinds.count("MatMul")) == (False, 1)
    assert model.output(0).get_names() == {"answer"}
    np.testing.assert_allclose(evaluated(model, value), np.einsum(equation, value, weight), rtol=1e-5, atol=1e-5)


def test_other_einsums_stay() -> None:
    first, second = ops.parameter([2, 3]), ops.parameter([3, 4])
    weight = ops.constant(np.ones((4, 3), np.float32))
    both = ops.einsum([first, second], "bd,df->bf")
    turned = ops.einsum([weight, ops.transpose(both, ops.constant([1, 0]))], "ab,ac->bc")
    model = ov.Model([turned], [first, second])
    write_products(model)
    assert [node.get_type_name() for node in model.get_ordered_ops()].count("Einsum") == 2
