"""What a model takes once it is loaded: `python -m workers.evaluation.memory WORKDIR ROLE`, an image of its own for each model.

The work on a model may start no process, but it may become another program, under the same limits. So it ends by becoming
this one, twice: what the work itself has used is gone, and each model is loaded where nothing else was.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from numpy.typing import NDArray

from workers.archives import pack_arrays
from workers.evaluation.benchmark import compile_config
from workers.jobs.job import JobTask
from workers.recipe import BenchmarkSettings, Recipe
from workers.report import MemoryReport, Report, SideMemory
from workers.report.report_files import rewrite_report

FOLDER = "memory"  # under the task's working folder
ROLES = ("original", "compressed")
SMAPS = Path("/proc/self/smaps")


@dataclass(frozen=True, slots=True)
class Resident:
    """Memory of this process, in bytes."""

    total: int
    anonymous: int
    file: int  # pages of one file


def is_wanted(recipe: Recipe) -> bool:
    """Whether the report is to tell of memory."""
    settings = recipe.benchmark
    if settings is None or not SMAPS.exists():
        return False
    return settings.memory if settings.memory is not None else any(step.runs_compressed for step in recipe.steps)


def leave_for_measuring(original: ov.Model, inputs: Mapping[str, NDArray[Any]], workdir: Path, *, half: bool) -> None:
    """Leave in `workdir` what is measured: the original as OpenVINO saves it, and one sample."""
    folder = workdir / FOLDER
    folder.mkdir()
    ov.save_model(original, folder / "original.xml", compress_to_fp16=half)
    pack_arrays(folder / "inputs.npz", inputs)


def become(workdir: Path, role: str = ROLES[0]) -> NoReturn:
    """Become the process that measures one of the models."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "workers.evaluation.memory", str(workdir), role])


def measure(xml: Path, inputs: Mapping[str, NDArray[Any]], settings: BenchmarkSettings) -> SideMemory:
    """Load a model in this process, which has loaded none, and run it once.

    A model of one operation is there first, and stays: what the plugin takes for any model, its threads above all, is no
    part of what this one adds.
    """
    core, config = ov.Core(), compile_config(settings)
    parameter = ops.parameter([1], np.float32)
    beside = core.compile_model(ov.Model([ops.relu(parameter)], [parameter]), "CPU", config).create_infer_request()
    beside.infer([np.zeros(1, np.float32)])
    before = resident(xml.with_suffix(".bin"))
    request = core.compile_model(xml, "CPU", config).create_infer_request()
    request.infer(dict(inputs))
    after = resident(xml.with_suffix(".bin"))
    return SideMemory(process_bytes=after.total, model_bytes=max(after.anonymous - before.anonymous, 0) + after.file)


def resident(file: Path) -> Resident:
    """What this process holds of memory, and of the pages of `file`."""
    total = anonymous = mapped = 0
    name = ""
    for line in SMAPS.read_text().splitlines():
        key, *rest = line.split(maxsplit=5)  # the path is last, and may hold blanks
        if not key.endswith(":"):
            name = rest[-1] if len(rest) > 4 else ""
        elif key == "Rss:":
            total += int(rest[0]) << 10
            mapped += int(rest[0]) << 10 if name == str(file) else 0
        elif key == "Anonymous:":
            anonymous += int(rest[0]) << 10
    return Resident(total, anonymous, mapped)


def main(workdir: Path, role: str) -> None:
    """Measure one model, then the other, and have the report tell of both; the child's last word is this process's."""
    task = JobTask(**json.loads((workdir / "task.json").read_text()))
    try:
        _measure_next(task, workdir, role)
    except (OSError, RuntimeError, ValueError) as error:
        traceback.print_exception(error)
        rewrite_report(Path(task.out), _without(error))
    sys.stdout.write(json.dumps({"event": "done"}) + "\n")


def _measure_next(task: JobTask, workdir: Path, role: str) -> None:
    recipe, folder = Recipe.model_validate(task.recipe), workdir / FOLDER
    assert recipe.benchmark is not None  # `is_wanted` says so
    xml = folder / "original.xml" if role == "original" else Path(task.out) / "1" / "model.xml"
    with np.load(folder / "inputs.npz") as inputs:
        found = measure(xml.resolve(), inputs, recipe.benchmark)
    if role == "original":
        (folder / "original.json").write_text(found.model_dump_json())
        become(workdir, "compressed")
    original = SideMemory.model_validate_json((folder / "original.json").read_bytes())
    told = MemoryReport(original=original, compressed=found)
    rewrite_report(Path(task.out), lambda report: report.model_copy(update={"memory": told}))


def _without(error: Exception) -> Callable[[Report], Report]:
    """What the report says where nothing could be measured: the result does not depend on it."""
    warning = f"Memory could not be measured: {type(error).__name__}: {error}"
    return lambda report: report.model_copy(update={"warnings": (*report.warnings, warning)})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
