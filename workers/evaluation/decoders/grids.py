"""The cells that anchor-free heads predict from."""

import numpy as np
from numpy.typing import NDArray

from workers.evaluation.decoders.detections import Frame

STRIDES = (8, 16, 32, 64, 128, 4)


def cells(frame: Frame, stride: int) -> int:
    """How many cells there are at a stride; sides that it does not divide are rounded up."""
    return -(-frame.height // stride) * -(-frame.width // stride)


def columns_and_rows(frame: Frame, stride: int) -> NDArray[np.float32]:
    """Column and row of every cell (cells, 2), row by row."""
    height, width = -(-frame.height // stride), -(-frame.width // stride)
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)


def stride_of(frame: Frame, count: int) -> int | None:
    """The stride at which there are `count` cells."""
    return next((stride for stride in STRIDES if cells(frame, stride) == count), None)


def strides_of(frame: Frame, count: int, per_cell: int = 1) -> tuple[int, ...] | None:
    """The run of strides whose cells, `per_cell` times each, make `count`."""
    runs = [(8, 16, 32), (8, 16, 32, 64), (16, 32), (4, 8, 16, 32), (8, 16, 32, 64, 128), (8, 16)]
    return next((run for run in runs if per_cell * sum(cells(frame, stride) for stride in run) == count), None)
