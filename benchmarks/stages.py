"""Where does the time of a whole command go, and how near to the machine is each part?

    python benchmarks/stages.py efficientnet_lite0.onnx --data pictures.zip --count 300
    python benchmarks/stages.py resnet50 --count 300 --out figures.json
    python benchmarks/stages.py resnet50 --count 300 --threads 2
    python benchmarks/stages.py resnet50 --count 300 --cores 16

What `fractune optimize` runs in its child is run here, from the import to the report, while the functions that do the work are
timed and their operations counted; the start of such a child is timed beside it. Next to the stages stands what the machine
itself reaches in the same run: a large float32 matrix product, and the plain inference of as many samples.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
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

from workers.allocation import sensitivity_profile
from workers.calibration import from_fractals
from workers.engine import moments, solver
from workers.engine.gram import Gram
from workers.ir.graph import frontier
from workers.ir.graph.layers import ConvolutionGeometry, MatMulGeometry
from workers.ir.reading.batching import rebatch
from workers.ir.reading.importer import load
from workers.jobs.job import JobTask, Kind
from workers.machine import fingerprint
from workers.methods import layerwise_pruning
from workers.methods.solvers import least_squares
from workers.passes.hidden_frameworks import only_openvino
from workers.recipe import Preprocessing
from workers.run import pipeline
from workers.run.clock import Clock
from workers.run.compression import batch_size
from workers.threads import Threads

SIDE = 2048  # of the matrices whose product shows what the machine can do
PEAK_S = 2.0  # to measure a peak
MATMUL, CONVOLUTION, GROUPED = "MatMul", "Convolution", "GroupConvolution"
START = "process start and imports"
CHILD = (sys.executable, "-c", "import workers.run.child")


class Stopwatch:
    """Seconds of processor and clock, and operations, by stage; what is in a stage within another counts there alone.

    What so many `cores` would share is done by one, and what the others would save is counted.
    """

    def __init__(self, cores: int = 1) -> None:
        self._cores = cores
        self.seconds: dict[str, float] = defaultdict(float)
        self.saved: dict[str, float] = defaultdict(float)
        self.wall: dict[str, float] = defaultdict(float)
        self.operations: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._whole = 0  # stages whose inner ones do not count
        self._since = _now()

    @contextmanager
    def stage(self, name: str, whole: bool = False) -> Iterator[None]:
        """Charge what happens to `name`; where it is `whole`, also what stages within it do."""
        if self._whole:
            yield
            return
        self._turn()
        self._open.append(name)
        self._whole += whole
        try:
            yield
        finally:
            self._turn()
            self._whole -= whole
            self._open.pop()

    def timed(
        self, name: str, function: Callable[..., Any], operations: Callable[..., float] | None = None, whole: bool = False
    ) -> Any:
        """`function`, charged to `name` with as many floating-point operations as its arguments mean."""

        def wrapper(*arguments: Any, **named: Any) -> Any:
            with self.stage(name, whole):
                if operations and self._open[-1] == name:
                    self.operations[name] += operations(*arguments, **named)
                return function(*arguments, **named)

        return wrapper

    def counted(self, function: Callable[..., Any]) -> Any:
        """`Threads.product`, whose operations belong to the stage that it is called in."""

        def wrapper(threads: Threads, left: Any, right: Any) -> Any:
            if self._open:
                self.operations[self._open[-1]] += 2.0 * left.size * right.shape[-1]
            return function(threads, left, right)

        return wrapper

    def shared(self, threads: Threads, work: Callable[[Any], object], items: Iterable[Any]) -> None:
        """`Threads.each`, by one thread: the longest item, or an equal part of all, would take as long with all cores."""
        spent = [0.0]
        for item in items:
            start = time.process_time()
            work(item)
            spent.append(time.process_time() - start)
        self._save(sum(spent) - max(max(spent), sum(spent) / self._cores))

    def inferred(self, function: Callable[..., Any]) -> Any:
        """An inference by one thread, which the runtime would share."""

        def wrapper(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            found = function(*arguments, **named)
            self._save((time.process_time() - start) * (1 - 1 / self._cores))
            return found

        return wrapper

    def _save(self, seconds: float) -> None:
        if self._open:
            self.saved[self._open[-1]] += seconds

    def run(self, function: Callable[..., Any]) -> Any:
        """`Clock.run`, each of whose stages is one of ours."""

        @contextmanager
        def wrapper(clock: Clock, stage: str, total: int = 0) -> Iterator[None]:
            with self.stage(f"{stage}: the rest"), function(clock, stage, total):
                yield

        return wrapper

    def rows(self) -> dict[str, dict[str, float]]:
        """The figures of all stages, the longest first."""
        ordered = sorted(self.seconds.items(), key=lambda item: -item[1])
        return {
            name: {
                "cpu_s": round(seconds, 2),
                "shared_s": round(seconds - self.saved[name], 2),
                "wall_s": round(self.wall[name], 2),
                "gflop": round(self.operations[name] / 1e9, 1),
            }
            for name, seconds in ordered
        }

    def _turn(self) -> None:
        now = _now()
        if self._open:
            self.seconds[self._open[-1]] += now[0] - self._since[0]
            self.wall[self._open[-1]] += now[1] - self._since[1]
        self._since = now


def _now() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


@contextmanager
def counted(watch: Stopwatch, cores: int) -> Iterator[None]:
    """Cut all that so many cores would share, and count what that would save."""

    def cut(threads: Threads, count: int = 1) -> None:
        threads.count = cores

    with ExitStack() as stack:
        stack.enter_context(patch.object(Threads, "__init__", cut))
        stack.enter_context(patch.object(Threads, "each", lambda *arguments: watch.shared(*arguments)))
        stack.enter_context(patch.object(ov.InferRequest, "infer", watch.inferred(ov.InferRequest.infer)))
        yield


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


def gram_operations(gram: Gram, rows: Any) -> float:
    """Half of rowsᵀ rows where BLAS adds to a triangle; else it is a product."""
    return float(rows.size * rows.shape[2]) if gram._triangular else 0.0


def pose_operations(layer: Any, original: Any, *others: Any) -> float:
    """The Cholesky decomposition of H and the solution for every row, beside products."""
    groups, rows, cols = original.shape
    return float(groups * (cols**3 / 3 + 2.0 * rows * cols**2))


@contextmanager
def watched(watch: Stopwatch, methods: Sequence[str]) -> Iterator[None]:
    """Time what a job of these methods is made of, under the names that it is called by."""
    split: list[tuple[Any, str, str, Callable[..., float] | None]] = [
        (frontier.Runner, "__call__", "compress: inference", segment_operations),
        (frontier.Runner, "__init__", "compress: compiling segments", None),
        (ConvolutionGeometry, "input_rows", "compress: gathering rows", None),
        (MatMulGeometry, "input_rows", "compress: gathering rows", None),
        (Gram, "add", "compress: statistics", gram_operations),
        (moments, "cross_product", "compress: statistics", None),
        (solver, "pose", "compress: unconstrained optimum", pose_operations),
        (layerwise_pruning, "choose_mask", "compress: choosing masks", None),
        (least_squares.Relaxation, "__call__", "compress: re-solving", None),
    ]
    whole = [
        (pipeline, "split_data", "calibrate: reading or drawing samples"),
        (pipeline, "_recognised", "calibrate: images that the network recognises"),
        (pipeline, "check_original", "calibrate: checking the original"),
        (sensitivity_profile, "output_losses", "sensitivity: passes of layers"),
        (pipeline, "_lost", "losses: passes of layers"),
    ]
    if "int8" in methods:
        with watch.stage("compress: importing NNCF"), only_openvino():
            int8 = import_module("workers.passes.int8")
        whole += [(int8, "_quantise", "compress: NNCF"), (int8, "measure_drift", "compress: drift of quantised layers")]
    with ExitStack() as stack:
        stack.enter_context(patch.object(Clock, "run", watch.run(Clock.run)))
        stack.enter_context(patch.object(Threads, "product", watch.counted(Threads.product)))
        for owner, name, stage, operations in split:
            stack.enter_context(patch.object(owner, name, watch.timed(stage, getattr(owner, name), operations)))
        for owner, name, stage in whole:
            stack.enter_context(patch.object(owner, name, watch.timed(stage, getattr(owner, name), whole=True)))
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


def peaks(task: JobTask, count: int) -> tuple[dict[str, float], float]:
    """GFLOP/s of a large matrix product and of this model's inference, and CPU-seconds of `count` plain inferences."""
    values = np.random.default_rng(0).normal(size=(SIDE, SIDE))
    single = values.astype(np.float32)
    imported = load(Path(task.model), {})
    samples = from_fractals(imported, 64, 0, Preprocessing())
    size = batch_size(imported, samples)
    model = rebatch(imported.model.clone(), size) if size > 1 else imported.model
    config = {**frontier.EXACT, "INFERENCE_NUM_THREADS": task.threads or 1}
    request = ov.Core().compile_model(model, "CPU", config).create_infer_request()
    inputs = samples.batch(0, size)
    plain = rate(lambda: request.infer(inputs, share_inputs=True), size) * 1e9  # samples a second
    return {
        "matrix product, float32": rate(lambda: single @ single.T.copy(), 2.0 * SIDE**3),
        "matrix product, float64": rate(lambda: values @ values.T.copy(), 2.0 * SIDE**3),
        "inference": plain * model_operations(model) / size / 1e9,
    }, count / plain


def as_a_job() -> dict[str, str]:
    """The environment, of BLAS what the process of a job has of it: one thread, and kernels of its own choice."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")} | {
        "OPENBLAS_NUM_THREADS": "1"
    }


def start_seconds() -> float:
    """CPU-seconds of a process that has imported what a job needs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(CHILD, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(
    model: Annotated[str, typer.Argument(help=f"A model file, or one of {', '.join(ARCHITECTURES)}.")],
    recipe: Annotated[str, typer.Option(help="A recipe as JSON; `layerwise_pruning` of 0.5 when absent.")] = "",
    data: Annotated[str | None, typer.Option(help="Calibration samples; fractals when absent.")] = None,
    evaluation: Annotated[str | None, typer.Option(help="Held-out samples.")] = None,
    count: Annotated[int, typer.Option(help="How many samples calibrate.")] = 300,
    threads: int = 1,
    cores: Annotated[int, typer.Option(help="With one thread: count what so many cores would share.")] = 1,
    out: Annotated[Path | None, typer.Option(help="A JSON file to add the figures to.")] = None,
) -> None:
    """Run a job and tell where the time went."""
    steps = {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.5}]}
    wanted: dict[str, Any] = json.loads(recipe) if recipe else steps
    wanted["calibration"] = {**wanted.get("calibration", {}), "count": count}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.xml") if model in ARCHITECTURES else Path(model)
        if model in ARCHITECTURES:
            ov.save_model(architecture(model, 0), path, compress_to_fp16=False)
        out_folder = Path(folder, "out")
        out_folder.mkdir()
        task = JobTask(Kind.COMPRESS, str(path), str(out_folder), wanted, data, evaluation, threads)
        watch = Stopwatch(cores)
        with ExitStack() as stack:
            if cores > 1:
                stack.enter_context(counted(watch, cores))
            stack.enter_context(watched(watch, [step["method"] for step in wanted["steps"]]))
            stack.enter_context(watch.stage("between stages"))
            pipeline.compress(task, Clock(lambda event: None))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        reached, plain = peaks(task, count)
    watch.seconds[START] = start_seconds()
    found = {
        "model": Path(model).stem,
        "recipe": wanted,
        "count": count,
        "threads": threads,
        "cpu_s": round(sum(watch.seconds.values()), 1),
        "cores": cores,
        "shared_s": round(sum(watch.seconds.values()) - sum(watch.saved.values()), 1),
        "wall_s": round(sum(watch.wall.values()), 1),
        "plain_pass_s": round(plain, 2),
        "peak_bytes": peak,
        "stages": watch.rows(),
        "machine_gflops": {name: round(value, 1) for name, value in reached.items()},
        "machine": fingerprint().model_dump(mode="json"),
    }
    show(found)
    if out is not None:
        known = json.loads(out.read_text()) if out.exists() else []
        out.write_text("[\n" + ",\n".join(map(json.dumps, [*known, found])) + "\n]\n")


def show(found: dict[str, Any]) -> None:
    """Print a run as a table."""
    passes = f"{found['cpu_s'] / found['plain_pass_s']:.1f} plain passes of {found['plain_pass_s']} s"
    title = f"{found['model']}, {found['count']} samples: {found['cpu_s']} CPU-seconds, {passes}"
    title += f", {found['shared_s']} where {found['cores']} cores share, {found['peak_bytes'] / 1e6:,.0f} MB"
    table = Table("stage", "CPU s", "shared", "wall s", "share", "GFLOP", "GFLOP/s", title=title)
    for name, stage in found["stages"].items():
        share = f"{stage['cpu_s'] / found['cpu_s']:.0%}"
        work = (f"{stage['gflop']:,.0f}", f"{stage['gflop'] / stage['cpu_s']:.1f}") if stage["gflop"] else ("", "")
        table.add_row(name, *(f"{stage[kind]:.2f}" for kind in ("cpu_s", "shared_s", "wall_s")), share, *work)
    for name, value in found["machine_gflops"].items():
        table.add_row(f"the machine: {name}", "", "", "", "", "", f"{value:.1f}")
    Console().print(table)


if __name__ == "__main__":
    if as_a_job() != dict(os.environ):  # NumPy has read it, so begin anew
        os.execve(sys.executable, [sys.executable, *sys.argv], as_a_job())
    typer.run(main)
