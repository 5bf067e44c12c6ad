"""BLAS on parts of matrices, in place.

SciPy's wrappers copy what is not of one piece. The functions behind them, which SciPy hands out for Cython, are told how far
the rows of a matrix are apart, and ctypes lets go of Python's lock while they work.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cython_blas

Float32 = NDArray[np.float32]

ROWS_AT_ONCE = 256  # that every function adds up in one way: of more, each makes blocks of its own


def _function(name: str, arguments: int) -> Callable[..., Any]:
    """A function of BLAS, all of whose arguments are addresses, as Fortran has it."""
    capsule = cython_blas.__pyx_capi__[name]
    named = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
    address = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
    return ctypes.CFUNCTYPE(None, *(ctypes.c_void_p,) * arguments)(address(capsule, named(capsule)))


_SGEMM, _SSYRK = _function("sgemm", 13), _function("ssyrk", 10)
_ONE = ctypes.pointer(ctypes.c_float(1.0))


def add_products(rows: Float32, part: slice, total: Float32) -> None:
    """Add the rows `part` of rowsᵀ rows to `total` (c, c), up to its diagonal; `rows` (n, c) and it lie in memory by rows."""
    c, before, own = map(_int, (rows.shape[1], part.start, part.stop - part.start))
    below, corner = _address(total, part.start, 0), _address(total, part.start, part.start)
    for first in range(0, len(rows), ROWS_AT_ONCE):
        left, right = _address(rows, first, 0), _address(rows, first, part.start)
        n = _int(min(ROWS_AT_ONCE, len(rows) - first))
        if part.start:
            _SGEMM(b"N", b"T", before, own, n, _ONE, left, c, right, c, _ONE, below, c)
        _SSYRK(b"U", b"N", own, n, _ONE, right, c, _ONE, corner, c)


def _int(value: int) -> Any:
    return ctypes.pointer(ctypes.c_int(value))


def _address(matrix: Float32, row: int, column: int) -> int:
    return int(matrix.ctypes.data) + row * matrix.strides[0] + column * matrix.strides[1]
