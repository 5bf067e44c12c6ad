"""The process that touches a model: `python -m workers.run.child WORKDIR`, started by `workers.worker.sandbox`.

Reads WORKDIR/task.json, does the job, and says how it goes in JSON lines on stdout. Whatever goes wrong becomes a failure
event: this is one of the two places in Fractune that catch everything.
"""

import json
import logging
import sys
import traceback
from pathlib import Path
from typing import Any

from workers.errors import FractuneError, Internal, OutOfDisk, OutOfMemory, Refusal
from workers.evaluation.memory import become
from workers.jobs.job import JobTask, Kind, Stage
from workers.run.clock import Clock
from workers.run.inspection import inspect, inspect_samples
from workers.run.pipeline import assist, compress
from workers.run.prediction import predict
from workers.run.speed import benchmark

LOOKS = {Kind.INSPECT: inspect, Kind.INSPECT_DATASET: inspect_samples, Kind.BENCHMARK: benchmark, Kind.PREDICT: predict}
REFUSED, FAILED = 2, 1
NO_SPACE = 28  # errno.ENOSPC


def main(workdir: Path) -> int:
    """Do the task in `workdir`; returns the exit code: 0 done, 2 refused, 1 anything else."""
    clock = Clock(tell)
    try:
        task = read_task(workdir / "task.json")
        if task.kind in LOOKS:
            LOOKS[task.kind](task, clock)
        elif task.helping:
            assist(task, clock)
        elif compress(task, clock, workdir):
            become(workdir)
    except FractuneError as error:
        return _fail(error, clock.stage)
    except MemoryError as error:
        return _fail(_because(OutOfMemory(), error), clock.stage)
    except Exception as error:  # noqa: BLE001 - the border of the process
        return _fail(_because(_translate(error), error), clock.stage)
    tell({"event": "done"})
    return 0


def read_task(path: Path) -> JobTask:
    """The task a job's folder describes."""
    values = json.loads(path.read_text())
    return JobTask(**values | {"kind": Kind(values["kind"])})


def tell(event: dict[str, Any]) -> None:
    """Write one event for the parent process, which takes no half of a character, as names of files may hold."""
    sys.stdout.buffer.write(json.dumps(event, allow_nan=False, ensure_ascii=False).encode(errors="replace") + b"\n")
    sys.stdout.buffer.flush()


def _translate(error: Exception) -> FractuneError:
    if "bad_alloc" in str(error) or "Cannot allocate memory" in str(error):
        return OutOfMemory()
    if isinstance(error, OSError) and error.errno == NO_SPACE:
        return OutOfDisk()
    return Internal(f"{type(error).__name__}: {error}")


def _because(error: FractuneError, cause: BaseException) -> FractuneError:
    error.__cause__ = cause
    return error


def _fail(error: FractuneError, stage: Stage) -> int:
    if isinstance(error, Refusal):  # what a user can mend needs no trace through our code
        sys.stderr.write(f"{error.code}: {error.message} {error.hint}\n")
    else:
        traceback.print_exception(error, file=sys.stderr)
    tell(
        {
            "event": "failure",
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "stage": stage,
            "layer": error.details.get("layer"),
        }
    )
    return REFUSED if isinstance(error, Refusal) else FAILED


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sys.exit(main(Path(sys.argv[1])))
