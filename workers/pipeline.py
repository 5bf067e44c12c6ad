"""A job from end to end: import, calibrate, compress, export, verify, benchmark, report.

Knows neither queue nor database: the same code runs behind the service and behind `fractune optimize`.
"""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import openvino as ov
from pydantic import ValidationError

from workers.benchmark import compare_speed
from workers.clock import Clock
from workers.compression import Compressed, batch_size, make_plan
from workers.compression import run as apply_plan
from workers.constraint import verify
from workers.errors import InvalidRecipe
from workers.evidence import Evidence, gather
from workers.fidelity import Comparison, compare_models, examine, summarise
from workers.findings import Findings, layer_row, write_report
from workers.ir.exporter import Exported, export
from workers.ir.importer import Imported, load
from workers.ir.importer import inspect as describe
from workers.ir.inputs import restore_batch
from workers.ir.layers import find_layers
from workers.ir.writer import Size, size_on_disk
from workers.jobs.job import Stage, Task
from workers.recipe import Recipe


def inspect(task: Task, clock: Clock) -> None:
    """Read a model and write out/inspection.json: inputs, outputs, layers, parameters. Raises a Refusal."""
    with clock.run(Stage.IMPORT):
        imported = load(Path(task.model), _shapes(task))
        layers, skipped = find_layers(imported.model)
        found = describe(imported) | {
            "layers": [
                {"name": layer.name, "type": layer.type, "shape": layer.shape, "weights": layer.size} for layer in layers
            ],
            "skipped": [{"name": entry.name, "type": entry.type, "reason": entry.reason} for entry in skipped],
        }
    out = Path(task.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "inspection.json").write_text(json.dumps(found, indent=1))


def compress(task: Task, clock: Clock) -> None:
    """Run a recipe and write 1/model.xml, report.json, report.html and provenance.json under `task.out`.

    Raises a Refusal for what cannot be used and a Breakdown for what cannot be finished.
    """
    recipe = read_recipe(task)
    threads = task.threads or usable_cores()
    with clock.run(Stage.IMPORT):
        imported = load(Path(task.model), recipe.shapes)
        original = imported.model.clone()
        plan = make_plan(imported, recipe)
    with clock.run(Stage.CALIBRATE, recipe.calibration.count):
        evidence = gather(task, imported, recipe, clock.progress)
        examine(original, evidence.judging, threads)
    with clock.run(Stage.COMPRESS, plan.work):
        compressed = apply_plan(
            imported,
            original,
            plan,
            evidence.calibration,
            seed=recipe.seed,
            threads=threads,
            on_layer=lambda result: clock.tell({"event": "layer", **layer_row(result)}),
            progress=clock.progress,
        )
    with clock.run(Stage.EXPORT):
        exported = _export(task, imported, compressed, recipe)
        original_size = _size_of(original, imported)
    with clock.run(Stage.VERIFY, evidence.judging.count):
        result = ov.Core().read_model(exported.xml)
        comparison = _compare(original, result, imported, evidence, threads, clock)
        rng = np.random.default_rng([recipe.seed, 3])
        fidelity = summarise(comparison, rng)
        verdict = verify(recipe.constraint, comparison.outcomes) if recipe.constraint else None
    with clock.run(Stage.BENCHMARK, recipe.benchmark.niter if recipe.benchmark else 0):
        measured = None
        if recipe.benchmark:
            inputs = evidence.judging.batch(0, 1)
            rng = np.random.default_rng([recipe.seed, 4])
            measured = compare_speed(original, result, inputs, recipe.benchmark, rng, progress=clock.progress)
    with clock.run(Stage.REPORT):
        write_report(
            Findings(
                task,
                recipe,
                imported,
                evidence,
                compressed,
                exported,
                original_size,
                fidelity,
                verdict,
                measured,
                dict(clock.spent),
            )
        )


def read_recipe(task: Task) -> Recipe:
    """The recipe of a task. Raises InvalidRecipe that names the wrong key."""
    try:
        return Recipe.model_validate(task.recipe)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidRecipe(f"{where}: {first['msg']}") from error


def usable_cores() -> int:
    """How many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shapes(task: Task) -> dict[str, tuple[int, ...]]:
    return dict(Recipe.model_validate(task.recipe).shapes) if task.recipe else {}


def _size_of(original: ov.Model, imported: Imported) -> Size:
    """What the original takes as OpenVINO IR, in the precision its weights came in."""
    with TemporaryDirectory() as folder:
        xml = Path(folder) / "model.xml"
        ov.save_model(original, xml, compress_to_fp16=imported.precision == "f16")
        return size_on_disk(xml)


def _export(task: Task, imported: Imported, compressed: Compressed, recipe: Recipe) -> Exported:
    restore_batch(compressed.model, imported.inputs)
    return export(
        compressed.model,
        [(result.layer, result.step) for result in compressed.results],
        Path(task.out),
        {"recipe": recipe.model_dump_json(by_alias=True), "model_sha256": imported.sha256, "seed": str(recipe.seed)},
    )


def _compare(
    original: ov.Model, result: ov.Model, imported: Imported, evidence: Evidence, threads: int, clock: Clock
) -> Comparison:
    size = batch_size(imported, evidence.judging)
    return compare_models(original, result, evidence.judging, batch_size=size, threads=threads, progress=clock.progress)
