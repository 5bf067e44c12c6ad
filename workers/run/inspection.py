"""What is in a model, or in a dataset: read, and told in JSON values, without a change to it."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from fractal_data import contact_sheet
from workers.calibration.inspection import inspect_dataset
from workers.ir.graph.frontier import EXACT
from workers.ir.graph.layers import Layer, find_layers, nodes_by_name
from workers.ir.graph.origins import Origin
from workers.ir.reading.importer import Imported, describe_model, load
from workers.jobs.job import JobTask, Stage
from workers.recipe import Preprocessing
from workers.recipe.recipe import parse_recipe
from workers.run.clock import Clock
from workers.run.reporting.pixel_check import wants_raw_pixels

TIMED = 5  # inferences, the quickest of which counts
SORTED = 200_000  # numbers, whose sorting shows how fast the processor is at what is no inference


def inspect(task: JobTask, clock: Clock) -> None:
    """Read a model and write out/inspection.json: inputs, outputs, layers, parameters, speed here. Raises a Refusal."""
    recipe = parse_recipe(task.recipe) if task.recipe else None
    began = time.process_time()
    with clock.run(Stage.IMPORT):
        imported = load(Path(task.model), recipe.shapes if recipe else {}, recipe.batch if recipe else {})
        layers, skipped = find_layers(imported.model)
        found = describe_model(imported) | {
            "layers": [_layer(imported.model, layer, imported.origins) for layer in layers],
            "skipped": [{"name": entry.name, "type": entry.type, "reason": entry.reason} for entry in skipped],
            "speed": _speed(imported, time.process_time() - began),
            "raw_pixels": wants_raw_pixels(imported, recipe.preprocessing if recipe else Preprocessing()),
        }
    out = Path(task.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "inspection.json").write_text(json.dumps(found, indent=1))


def inspect_samples(task: JobTask, clock: Clock) -> None:
    """Read a dataset and write out/inspection.json and out/thumbnails.png. Raises a Refusal."""
    with clock.run(Stage.IMPORT):
        found, thumbnails = inspect_dataset(Path(task.data or ""))
    out = Path(task.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "inspection.json").write_text(json.dumps(found, indent=1))
    if thumbnails is not None:
        contact_sheet(thumbnails).save(out / "thumbnails.png")


def _speed(imported: Imported, importing: float) -> dict[str, float]:
    """Seconds of one processor that reading took here, that compiling, a sample and sorting numbers take.

    Forecasts go by them.
    """
    values = {number: entry.draw(np.random.default_rng(number)) for number, entry in enumerate(imported.all_inputs)}
    began = time.process_time()
    request = ov.Core().compile_model(imported.model, "CPU", {**EXACT, "INFERENCE_NUM_THREADS": 1}).create_infer_request()
    compiling = time.process_time() - began
    numbers = np.random.default_rng(0).random(SORTED)
    found = {
        "import_s": importing,
        "compile_s": compiling,
        "inference_s": _quickest(lambda: request.infer(values)),
        "sorting_s": _quickest(lambda: np.sort(numbers)),
    }
    return {name: float(f"{value:.3g}") for name, value in found.items()}


def _quickest(function: Callable[[], object]) -> float:
    """Seconds of this thread that a function takes at its best, once it is warm."""
    times = []
    for _ in range(1 + TIMED):
        began = time.thread_time()
        function()
        times.append(time.thread_time() - began)
    return min(times[1:])


def _layer(model: ov.Model, layer: Layer, origins: Mapping[str, Origin]) -> dict[str, Any]:
    """A layer of an inspection; its work and the size of its outputs are null where they depend on the data."""
    nodes = nodes_by_name(model)
    outputs = [nodes[name].get_output_partial_shape(0) for name in layer.nodes]
    shapes = [tuple(axis.get_length() for axis in shape) for shape in outputs if shape.is_static]
    known = len(shapes) == len(outputs)
    readers = [name for name in layer.readers if name in origins]
    return {
        "name": layer.name,
        "type": layer.type,
        "shape": layer.shape,
        "weights": layer.size,
        "columns": layer.cols,
        "operations": layer.readers if len(layer.readers) > 1 else None,
        "known_as": _known(readers, [origins[name].names for name in readers]),
        "types": _known([layer.type], [origins[name].types for name in readers]),
        "macs": sum(layer.geometry.positions(shape) for shape in shapes) * layer.size if known else None,
        "outputs": sum(map(prod, shapes)) if known else None,
    }


def _known(first: Iterable[str], more: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys((*first, *chain.from_iterable(more))))
