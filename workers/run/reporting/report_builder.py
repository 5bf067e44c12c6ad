"""All that a job found out, put together as its report and written beside the model."""

import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fractal_data import contact_sheet
from workers.allocation.error_attribution import milder_settings, next_run, ranks, saved_times, shares
from workers.calibration.data_splits import DataSplits
from workers.digest import file_sha256
from workers.engine.layer import LayerResult
from workers.evaluation.fidelity import summarise
from workers.evaluation.task_pictures import task_pictures
from workers.ir.graph.interface import Port
from workers.ir.reading.importer import Imported
from workers.ir.writing.writer import SavedSize as DiskSize
from workers.jobs.job import JobTask
from workers.machine import fingerprint
from workers.passes import TrainingRun
from workers.randomness import Stream, generator
from workers.recipe import Recipe
from workers.report import (
    CalibrationReport,
    LayerReport,
    ModelReport,
    Picture,
    PreprocessingReport,
    Provenance,
    Report,
    Size,
    StageTime,
    Tensor,
    TrainingReport,
    save_pictures,
    telling_pictures,
)
from workers.report.advice import what_next
from workers.report.report_files import CONTACT_SHEET, write_pages
from workers.report.sample_gallery import FAST
from workers.run.candidates import Candidate
from workers.run.exploration import Explored, report_exploration
from workers.run.int8_search import blame
from workers.run.reporting.assumptions import assumed
from workers.run.reporting.pixel_check import wants_raw_pixels
from workers.run.reporting.shortfall import shortfall

SHEET_IMAGES = 32  # calibration images on the contact sheet
SHEET_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class RunResults:
    """What the stages of a job have produced."""

    task: JobTask
    recipe: Recipe
    imported: Imported
    splits: DataSplits
    explored: Explored
    original_size: DiskSize
    losses: Mapping[str, float]  # of the outputs, by layer
    spent: dict[str, dict[str, float]]
    failed: tuple[str, ...]  # figures that could not be had, and why
    reused: int  # layers that an interrupted attempt, or another worker, had solved

    @property
    def chosen(self) -> Candidate:
        """The job's result."""
        return self.explored.chosen


def write_report(found: RunResults) -> None:
    """Write report.json, report.html, model_card.md, provenance.json, calibration.png and samples/."""
    out = Path(found.task.out)
    save_pictures(_pictures(found), out / "samples")
    _write_sheet(found, out / CONTACT_SHEET)
    report = assemble(found)
    (out / "provenance.json").write_text(report.provenance.model_dump_json(indent=1))
    write_pages(report, out)


def assemble(found: RunResults) -> Report:
    """The report of a job."""
    chosen, recipe = found.chosen, found.recipe
    layers = _layers(found)
    assert chosen.comparison is not None  # a chosen candidate has been judged
    fidelity = summarise(chosen.comparison, generator(recipe.seed, Stream.FIDELITY))
    report = Report(
        model=_model(found),
        recipe=chosen.recipe,
        sparsity=chosen.sparsity,
        layers=layers,
        skipped=chosen.compressed.skipped,
        next_run=next_run(layers, milder_settings(chosen.compressed.results, chosen.recipe.steps)),
        exploration=report_exploration(found.explored, recipe, found.splits) if found.explored.tried else None,
        training=_training(chosen.compressed.training),
        size=_size(found),
        fidelity=fidelity,
        fidelity_on_fractals=chosen.on_fractals
        and summarise(chosen.on_fractals, generator(recipe.seed, Stream.FIDELITY_ON_FRACTALS)),
        benchmark=chosen.benchmark,
        constraint=chosen.verdict,
        calibration=CalibrationReport(
            source=found.splits.calibration.source,
            count=found.splits.calibration.count,
            seed=recipe.seed if recipe.calibration.seed is None else recipe.calibration.seed,
            notes=(*found.imported.notes, *chosen.compressed.notes),
        ),
        preprocessing=PreprocessingReport(
            inputs={name: dict(values) for name, values in found.splits.calibration.applied.items()},
            notes=found.splits.calibration.notes,
        ),
        time={stage: StageTime(**cost) for stage, cost in found.spent.items()},
        peak_rss_bytes=peak_memory(),
        reused_layers=found.reused,
        assumed=assumed(
            recipe,
            found.imported,
            found.splits.calibration,
            fidelity.task if fidelity else None,
            wants_raw_pixels(found.imported, recipe.preprocessing),
        ),
        warnings=_warnings(found),
        provenance=_provenance(found),
    )
    return report.model_copy(update={"advice": what_next(report)})


def layer_row(result: LayerResult) -> dict[str, Any]:
    """What is known of a layer as soon as it is solved, in JSON values."""
    return {
        "name": result.layer.name,
        "type": result.layer.type,
        "method": method_names(result),
        "sparsity": 1 - np.count_nonzero(result.weight) / result.original.size,
        "relative_error": result.relative_error,
        "samples": result.samples,
        "weights": result.layer.size,
    }


def method_names(result: LayerResult) -> str:
    """The steps that changed a layer, joined by ' + '."""
    return " + ".join(step.method for step in result.steps)


def peak_memory() -> int:
    """Most resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _model(found: RunResults) -> ModelReport:
    imported = found.imported
    constants = [node for node in imported.model.get_ops() if node.get_type_name() == "Constant"]
    return ModelReport(
        name=Path(found.task.model).name,
        format=imported.format,
        sha256=imported.sha256,
        parameters=sum(prod(node.shape) for node in constants if node.get_element_type().is_real()),
        inputs=tuple(map(_tensor, imported.source.inputs)),
        outputs=tuple(map(_tensor, imported.source.outputs)),
        sizes_kept=not imported.narrowed and not found.chosen.warnings,
    )


def _tensor(port: Port) -> Tensor:
    axes = port.shape if port.shape.rank.is_static else ()
    shape = tuple(-1 if axis.is_dynamic else axis.get_length() for axis in axes)
    return Tensor(name=port.name, shape=shape, type=port.type.get_type_name())


def _layers(found: RunResults) -> tuple[LayerReport, ...]:
    results = found.chosen.compressed.results
    stored = {layer.name: layer for layer in found.chosen.exported.layers}
    shared = shares(results, found.losses)
    ranked = ranks(shared)
    times = saved_times(found.chosen.benchmark.profile) if found.chosen.benchmark else {}
    width = 2 if found.imported.precision == "f16" else 4
    return tuple(
        LayerReport(
            **layer_row(result),
            shape=result.layer.shape,
            removed=1 - result.weight.size / result.original.size,
            bits=stored[result.layer.name].bits,
            bytes=stored[result.layer.name].bytes,
            original_bytes=width * result.original.size,
            encoding=stored[result.layer.name].scheme,
            output_error=found.losses.get(result.layer.name),
            error_share=shared.get(result.layer.name),
            rank=ranked.get(result.layer.name),
            saved_ms=sum(times[name] for name in result.layer.nodes if name in times) if times else None,
            statistics=dict(result.statistics),
        )
        for result in results
    )


def _training(training: TrainingRun | None) -> TrainingReport | None:
    return TrainingReport(**asdict(training)) if training else None


def _size(found: RunResults) -> Size:
    return Size(
        original_bytes=found.original_size.bytes,
        compressed_bytes=found.chosen.exported.size.bytes,
        original_zip_bytes=found.original_size.zip_bytes,
        zip_bytes=found.chosen.exported.size.zip_bytes,
        entropy_bits_per_weight=found.chosen.exported.entropy_bits,
    )


def _warnings(found: RunResults) -> tuple[str, ...]:
    warnings = [*found.imported.warnings, *found.chosen.warnings, *found.chosen.doubts, *found.failed]
    if found.splits.test.source != "dataset":
        warnings.append("No held-out data was given: fidelity is measured on synthetic samples and says nothing of real ones.")
    warnings += shortfall(found.chosen.recipe.steps, found.chosen.compressed.results)
    if not found.chosen.compressed.results:
        warnings.append("No layer was compressed.")
    if found.explored.order and found.chosen.verdict and found.chosen.verdict.met is not True:
        warnings.append(blame(found.explored.order))
    return tuple(warnings)


def _provenance(found: RunResults) -> Provenance:
    inputs = {"model": found.imported.sha256}
    for role, path in ("data", found.task.data), ("evaluation", found.task.evaluation):
        if path and Path(path).is_file():
            inputs[role] = file_sha256(Path(path))
    files = (found.chosen.exported.xml, found.chosen.exported.bin)
    return Provenance(
        inputs=inputs,
        outputs={f"1/{path.name}": file_sha256(path) for path in files},
        seed=found.recipe.seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=fingerprint(),
    )


def _pictures(found: RunResults) -> tuple[Picture, ...]:
    """Held-out samples with what both models made of them; none where there is nothing to see."""
    comparison = found.chosen.comparison
    if comparison is None or comparison.headline is None:
        return ()
    if comparison.decisions is None:
        return task_pictures(comparison.task, comparison.rows, found.splits.test.images)
    return telling_pictures(comparison.headline.rows, comparison.labels, found.splits.test.images)


def _write_sheet(found: RunResults, path: Path) -> None:
    """The first calibration images as a PNG, below the fractals they were made from; nothing for inputs that are no images."""
    samples = found.splits.calibration
    images = samples.images(0, min(SHEET_IMAGES, samples.count))
    if images is None:
        return
    if samples.origins is not None:
        images = _below(samples.origins(samples.numbers[: len(images)]), images)
    contact_sheet(images, SHEET_COLUMNS).save(path, compress_level=FAST)


def _below(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A row of the first images, the row of the second ones, and so on; half as many of each."""
    rows = [(first[at : at + SHEET_COLUMNS], second[at : at + SHEET_COLUMNS]) for at in range(0, len(first), SHEET_COLUMNS)]
    return np.concatenate([row for pair in rows[: max(len(rows) // 2, 1)] for row in pair])
