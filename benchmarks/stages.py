"""Where does the time of a compression go, and how near to the machine is each part?

    OMP_NUM_THREADS=1 python benchmarks/stages.py resnet50 --count 300

One model is compressed while the functions that do the work are timed and their operations counted. Beside each stage's
GFLOP/s stands what the machine itself reaches in the same run: a large float32 matrix product, and the whole model's inference.
"""

import json
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import openvino as ov
import typer
from architectures import ARCHITECTURES, architecture
from rich.console import Console
from rich.table import Table

from workers.calibration import from_fractals
from workers.engine import moments, solver
from workers.ir.graph import frontier
from workers.ir.graph.layers import find_layers
from workers.ir.reading.batching import rebatch
from workers.ir.reading.importer import load
from workers.machine import fingerprint
from workers.methods.solvers import least_squares
from workers.recipe import Preprocessing, Recipe
from workers.run.compression import batch_size, compress_model, make_context
from workers.run.plan import make_plan

SIDE = 2048  # of the matrices whose product shows what the machine can do
PEAK_S = 2.0  # to measure a peak
MATMUL, CONVOLUTION, GROUPED = "MatMul", "Convolution", "GroupConvolution"


class Stopwatch:
    """CPU seconds and operations by stage; time in a stage within another counts for the inner one alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.operations: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = time.process_time()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Charge what happens to `name`."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def timed(self, name: str, function: Callable[..., Any], operations: Callable[..., float] = lambda *a, **k: 0.0) -> Any:
        """`function`, charged to `name` with as many floating-point operations as its arguments mean."""

        def wrapper(*arguments: Any, **named: Any) -> Any:
            with self.stage(name):
                self.operations[name] += operations(*arguments, **named)
                return function(*arguments, **named)

        return wrapper

    def _turn(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


def node_operations(node: ov.Node) -> float:
    """Floating-point operations of a node of known shapes; of all but matrix products and convolutions, none."""
    kind = node.get_type_name()
    if kind not in (MATMUL, CONVOLUTION, GROUPED):
        return 0.0
    outputs = prod(node.output(0).get_shape())
    weight = node.input(1).get_shape()
    if kind == MATMUL:
        return float(2 * outputs * weight[-1 if node.get_attributes()["transpose_b"] else -2])
    return float(2 * outputs * prod(weight[1:] if kind == CONVOLUTION else weight[2:]))


def model_operations(model: ov.Model) -> float:
    """Of one inference."""
    return sum(map(node_operations, model.get_ops()))


def segment_operations(runner: frontier.Runner, batch: frontier.Batch) -> float:
    """Of one run of a segment."""
    return model_operations(runner._segment.model)


def gram_operations(left: Any, right: Any) -> float:
    """leftᵀ right; half where BLAS takes the symmetric product."""
    whole = 2.0 * left.shape[0] * left.shape[1] * left.shape[2] * right.shape[2]
    return float(whole / 2 if left is right and left.shape[0] == 1 else whole)


def pose_operations(layer: Any, original: Any, *others: Any) -> float:
    """The Cholesky decomposition of H and the solution for every row."""
    groups, rows, cols = original.shape
    return float(groups * (cols**3 / 3 + 2.0 * rows * cols**2))


def product_operations(rows: Any, blocks: Any) -> float:
    """The preconditioner is applied once for each product with H."""
    return float(2 * rows.size * rows.shape[-1])


@contextmanager
def watched(watch: Stopwatch) -> Iterator[None]:
    """Time what the engine is made of, under the names that it calls it by."""
    parts: list[tuple[Any, str, str, Callable[..., float]]] = [
        (frontier.Runner, "__call__", "inference", segment_operations),
        (frontier.Runner, "__init__", "compiling segments", lambda *a: 0.0),
        (moments, "gram", "statistics", gram_operations),
        (moments, "accumulated", "statistics", lambda *a: 0.0),
        (solver, "pose", "unconstrained optimum", pose_operations),
        (least_squares, "_by_block", "re-solving", product_operations),
        (least_squares.Relaxation, "__call__", "re-solving", lambda *a: 0.0),
    ]
    with ExitStack() as stack:
        for owner, name, stage, operations in parts:
            stack.enter_context(patch.object(owner, name, watch.timed(stage, getattr(owner, name), operations)))
        yield


def rate(function: Callable[[], object], operations: float) -> float:
    """GFLOP/s of a function, by CPU time, at its best."""
    function()
    best, until = 0.0, time.process_time() + PEAK_S
    while time.process_time() < until:
        start = time.process_time()
        function()
        best = max(best, operations / (time.process_time() - start))
    return best / 1e9


def peaks(model: ov.Model, inputs: dict[str, Any], threads: int) -> dict[str, float]:
    """What the machine reaches: in a large matrix product in single and in double precision, and in this model's inference."""
    values = np.random.default_rng(0).normal(size=(SIDE, SIDE))
    single = values.astype(np.float32)
    config = {**frontier.EXACT, "INFERENCE_NUM_THREADS": threads}
    request = ov.Core().compile_model(model, "CPU", config).create_infer_request()
    return {
        "matrix product, float32": rate(lambda: single @ single.T.copy(), 2.0 * SIDE**3),
        "matrix product, float64": rate(lambda: values @ values.T.copy(), 2.0 * SIDE**3),
        "inference": rate(lambda: request.infer(inputs, share_inputs=True), model_operations(model)),
    }


def main(
    model: Annotated[str, typer.Argument(help=f"A model file, or one of {', '.join(ARCHITECTURES)}.")],
    count: Annotated[int, typer.Option(help="How many fractals calibrate.")] = 300,
    level: Annotated[float, typer.Option(help="sparsity_level.")] = 0.5,
    threads: int = 1,
    out: Annotated[Path | None, typer.Option(help="A JSON file to add the figures to.")] = None,
) -> None:
    """Compress a model by `layerwise_pruning` and tell where the time went."""
    if os.environ.get("OMP_NUM_THREADS") != str(threads):
        raise typer.BadParameter(f"set OMP_NUM_THREADS={threads}: NumPy reads it before this program can")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.xml") if model in ARCHITECTURES else Path(model)
        if model in ARCHITECTURES:
            ov.save_model(architecture(model, 0), path, compress_to_fp16=False)
        imported = load(path, {})
    recipe = Recipe.model_validate({"steps": [{"method": "layerwise_pruning", "sparsity_level": level}]})
    watch = Stopwatch()
    with watch.stage("the rest"), watched(watch):
        with watch.stage("drawing fractals"):
            samples = from_fractals(imported, count, 0, Preprocessing())
            samples.batch(0, count if samples.stacked else 1)
        plan = make_plan(imported, recipe)
        size = batch_size(imported, samples)
        whole = rebatch(imported.model.clone(), size)
        compress_model(plan, make_context(plan, imported.model, samples, seed=0, threads=threads))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    reached = peaks(whole, samples.batch(0, size), threads)
    found = {
        "model": Path(model).stem,
        "layers": len(find_layers(whole)[0]),
        "count": count,
        "level": level,
        "batch": size,
        "cpu_s": round(sum(watch.seconds.values()), 1),
        "peak_bytes": peak,
        "stages": {
            name: {"cpu_s": round(seconds, 2), "gflop": round(watch.operations[name] / 1e9, 1)}
            for name, seconds in sorted(watch.seconds.items(), key=lambda item: -item[1])
        },
        "machine_gflops": {name: round(value, 1) for name, value in reached.items()},
        "machine": fingerprint().model_dump(mode="json"),
    }
    show(found)
    if out is not None:
        known = json.loads(out.read_text()) if out.exists() else []
        out.write_text(json.dumps([*known, found], indent=1) + "\n")


def show(found: dict[str, Any]) -> None:
    """Print a run as a table."""
    title = f"{found['model']}, {found['count']} fractals, batches of {found['batch']}: {found['cpu_s']} CPU-seconds"
    table = Table("stage", "CPU s", "share", "GFLOP", "GFLOP/s", title=f"{title}, {found['peak_bytes'] / 1e6:,.0f} MB")
    for name, stage in found["stages"].items():
        speed = f"{stage['gflop'] / stage['cpu_s']:.1f}" if stage["gflop"] else ""
        share = f"{stage['cpu_s'] / found['cpu_s']:.0%}"
        table.add_row(name, f"{stage['cpu_s']:.1f}", share, f"{stage['gflop']:,.0f}" if stage["gflop"] else "", speed)
    for name, value in found["machine_gflops"].items():
        table.add_row(f"the machine: {name}", "", "", "", f"{value:.1f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
