"""How small do the forms of storage get, and what does decoding cost when a model is loaded?

    python benchmarks/storage.py forms
    python benchmarks/storage.py models MODELS/*.onnx --density 0.35
    python benchmarks/storage.py matmul

`forms` stores one layer in every form; `models` exports whole networks, pruned and ternarised by magnitude (their accuracy
is not the point); `matmul` compares what OpenVINO does with integer weights that it recognises and with those it does not.
"""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from workers.ir.graph.edit import read_weight, write_weight
from workers.ir.graph.layers import find_layers
from workers.ir.reading.importer import load
from workers.ir.storage import Graph, entropy_bits
from workers.ir.storage.encode import tensor_plans
from workers.ir.storage.plan import StoragePlan
from workers.ir.writing.exporter import export
from workers.ir.writing.writer import save_model, saved_size

SHAPE = (256, 256, 3, 3)
F32 = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
Float32 = NDArray[np.float32]

app = typer.Typer()


def kinds(density: float) -> Iterator[tuple[str, Float32, Float32 | None]]:
    """Weights as the methods leave them, with their steps."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=SHAPE).astype(np.float32)
    kept = (rng.random(SHAPE) < density).astype(np.float32)
    step = rng.uniform(0.5, 1.5, size=(SHAPE[0], 1, 1, 1)).astype(np.float32)
    yield "pruned", normal * kept, None
    yield "ternary", np.where(normal < 0, np.float32(-0.3), np.float32(0.5)) * kept, None
    yield "powers of two", np.sign(normal) * np.exp2(rng.integers(-3, 1, size=SHAPE), dtype=np.float32) * kept, None
    for bits in (4, 8):
        reach = 2 ** (bits - 1) - 1
        yield f"{bits}-bit grid", rng.integers(-reach, reach + 1, size=SHAPE).astype(np.float32) * step * kept, step


@app.command()
def forms(
    density: float = 0.3, every: Annotated[bool, typer.Option(help="Show all forms, not the best three.")] = False
) -> None:
    """Store one layer in every form."""
    table = Table("weights", "form", "bits per weight", "entropy", "operations", "xml bytes each", "compile ms", "exact")
    for name, weight, step in kinds(density):
        bound = entropy_bits(weight, step=step)
        plans = sorted(tensor_plans(weight, step), key=lambda plan: plan.cost)
        for plan in plans if every else [*plans[:3], plans[-1]]:
            size, compiling, exact = measure(plan, weight)
            bits = f"{8 * plan.bytes / weight.size:.3f}"
            table.add_row(
                name, plan.scheme, bits, f"{bound:.3f}", str(plan.nodes), f"{size:.0f}", f"{compiling:.0f}", str(exact)
            )
    Console().print(table)


def measure(plan: StoragePlan, weight: Float32) -> tuple[float, float, bool]:
    """Bytes of .xml per operation, milliseconds to compile, and whether the tensor comes back."""
    model = ov.Model([ops.result(plan.build(Graph("conv1.weight", {})))], [], "layer")
    nothing = ov.Model([ops.result(ops.constant(np.float32(0)))], [], "layer")
    with TemporaryDirectory() as folder:
        xml = Path(folder) / "model.xml"
        save_model(nothing, xml)
        empty = xml.stat().st_size
        save_model(model, xml)
        start = time.perf_counter()
        compiled = ov.Core().compile_model(xml, "CPU", F32)
        compiling = 1000 * (time.perf_counter() - start)
        return (xml.stat().st_size - empty) / plan.nodes, compiling, np.array_equal(compiled([])[0], weight)


@app.command()
def models(paths: list[Path], density: float = 0.35) -> None:
    """Export whole networks."""
    table = Table(
        "model", "weights", "uploaded", "OpenVINO f32", "exported", ".bin", "zip", "bits", "entropy", "seconds", "forms"
    )
    for path in paths:
        for name in ("as it is", "pruned", "ternary"):
            imported = load(path)
            layers = find_layers(imported.model)[0]
            for layer in layers:
                write_weight(imported.model, layer, thinned(read_weight(imported.model, layer), name, density))
            dense = saved_size(imported.model)
            start = time.process_time()
            with TemporaryDirectory() as folder:
                done = export(imported.model, [(layer, None) for layer in layers], Path(folder), {})
                stored = done.bin.stat().st_size
            seconds = time.process_time() - start
            bits = 8 * sum(layer.bytes for layer in done.layers) / sum(layer.weights for layer in done.layers)
            sizes = [imported.original_bytes, dense.bytes, done.size.bytes, stored, done.size.zip_bytes]
            used = ", ".join(f"{count} {scheme}" for scheme, count in Counter(layer.scheme for layer in done.layers).items())
            figures = [f"{size:,}" for size in sizes] + [f"{bits:.2f}", f"{done.entropy_bits:.2f}", f"{seconds:.1f}"]
            table.add_row(path.stem, name, *figures, used)
    Console(width=200).print(table)


def thinned(weight: Float32, name: str, density: float) -> Float32:
    """The weight of a layer as it is, pruned by magnitude, or one positive and one negative value where it is not pruned."""
    if name == "as it is":
        return weight
    kept = np.where(np.abs(weight) >= np.quantile(np.abs(weight), 1 - density), weight, np.float32(0))
    if name == "pruned":
        return kept
    positive, negative = (kept[kept > 0], kept[kept < 0])
    return np.where(
        kept > 0, positive.sum() / max(positive.size, 1), np.where(kept < 0, negative.sum() / max(negative.size, 1), 0)
    )


@app.command()
def matmul(size: int = 1024, rounds: int = 200) -> None:
    """Compare i4 weights that OpenVINO takes for quantised with the same weights decoded over i32."""
    rng = np.random.default_rng(0)
    integers = rng.integers(-7, 8, size=(size, size)).astype(np.int8)
    step = rng.uniform(0.5, 1.5, size=(size, 1)).astype(np.float32)
    stored = ops.constant(integers, dtype=ov.Type.i4)
    forms = {
        "f32": ops.constant(integers * step),
        "i4 -> f32, recognised": ops.multiply(ops.convert(stored, "f32"), step),
        "i4 -> i32 -> f32, as exported": ops.multiply(ops.convert(ops.convert(stored, "i32"), "f32"), step),
    }
    table = Table("weights", "rows", "hint", "largest error", "CPU ms")
    for rows in (1, 16):
        value = rng.normal(size=(rows, size)).astype(np.float32)
        for hint, config in (("f32", F32), ("accuracy", {"EXECUTION_MODE_HINT": "ACCURACY"}), ("none", {})):
            expected = None
            for name, weight in forms.items():
                parameter = ops.parameter([rows, size])
                model = ov.Model([ops.matmul(parameter, weight, False, True)], [parameter])
                request = ov.Core().compile_model(model, "CPU", config | {"INFERENCE_NUM_THREADS": 1}).create_infer_request()
                found = request.infer(value)[0].copy()
                expected = found if expected is None else expected
                start = time.process_time()
                for _ in range(rounds):
                    request.infer(value)
                spent = 1000 * (time.process_time() - start) / rounds
                error = np.abs(found - expected).max() / np.abs(expected).max()
                table.add_row(name, str(rows), hint, f"{error:.1e}", f"{spent:.3f}")
    Console().print(table)


if __name__ == "__main__":
    app()
