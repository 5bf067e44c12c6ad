"""Bytes are counted and numbered as NumPy's own sorting does it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from workers.ir.storage.values import BYTES, byte_counts, numbered


@given(arrays(np.int8, array_shapes(max_dims=3, max_side=9)))
def test_bytes_are_numbered_as_by_sorting(values: np.typing.NDArray[np.int8]) -> None:
    entries, places = numbered(values)
    expected, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    assert entries.dtype == np.int8
    assert (entries.tolist(), places.tolist()) == (expected.tolist(), inverse.reshape(values.shape).tolist())
    found = byte_counts(values)
    assert dict(zip(BYTES[found > 0].tolist(), found[found > 0].tolist(), strict=True)) == dict(
        zip(expected.tolist(), counts.tolist(), strict=True)
    )


@given(st.integers(-128, 127))
def test_a_byte_alone_is_its_own_table(value: int) -> None:
    assert numbered(np.full(3, value, np.int8))[0].tolist() == [value]
