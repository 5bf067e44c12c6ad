"""Tables of embeddings in fewer bits: rows are looked up, not multiplied, so that each is rounded for itself."""

from collections.abc import Callable, Sequence

import numpy as np

from workers.engine.layer import LayerResult
from workers.ir.graph.edit import read_weight, write_weight
from workers.ir.graph.layers import Layer
from workers.methods.problem import Array, Method, single
from workers.passes.state import CompressionState


def store_tables(
    state: CompressionState, tables: Sequence[tuple[Layer, tuple[Method, ...]]], told: Callable[[LayerResult], None]
) -> list[LayerResult]:
    """Store tables as their methods say, in place; the error of a result is that of its rows, all alike."""
    return [_stored(state, layer, methods, told) for layer, methods in tables]


def _stored(
    state: CompressionState, layer: Layer, methods: tuple[Method, ...], told: Callable[[LayerResult], None]
) -> LayerResult:
    table = read_weight(state.model, layer).astype(np.float64)
    earlier = state.results.get(layer.name)
    original = earlier.original.astype(np.float64) if earlier else table
    for method in methods:
        solution = method.store(table)
        table = single(solution.weight)
    write_weight(state.model, layer, table)
    result = LayerResult(
        layer=layer,
        steps=(*(earlier.steps if earlier else ()), *methods),
        original=original.astype(np.float32),
        weight=table.astype(np.float32),
        scale=solution.scale,
        biases={},
        relative_error=_row_error(original, table),
        samples=0,
        statistics=dict(solution.statistics),
    )
    told(result)
    return result


def _row_error(before: Array, after: Array) -> float:
    """The squared error of the rows over their spread about their mean."""
    spread = float(np.sum((before - before.mean(axis=1, keepdims=True)) ** 2))
    return float(np.sum((after - before) ** 2)) / spread if spread else 0.0
