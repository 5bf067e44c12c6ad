"""Which layers of confinement this machine gives, found by confining a program that does nothing."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from workers.confinement.launch import LAYERS
from workers.errors import Unavailable
from workers.jobs.job import JobTask, Kind
from workers.settings import Settings
from workers.worker.sandbox.process import run_sandboxed

DO_NOTHING = (sys.executable, "-I", "-S", "-c", 'print(\'{"event": "done"}\')')


def missing_layers(settings: Settings) -> tuple[str, ...]:
    """What jobs run without here: keys of LAYERS. Raises Unavailable when not even nothing can be run."""
    with TemporaryDirectory() as folder:
        task = JobTask(Kind.INSPECT, model=folder, out=folder)
        outcome = run_sandboxed(task, Path(folder), settings.limits, lambda _: None, command=DO_NOTHING)
    if outcome.failure:
        raise Unavailable(outcome.failure.message, hint=outcome.failure.hint)
    return outcome.missing


def require_layers(settings: Settings) -> tuple[str, ...]:
    """The same. Raises Unavailable when one of them is in `settings.required_layers`."""
    missing = missing_layers(settings)
    wanted = [layer for layer in missing if layer in settings.required_layers]
    if wanted:
        told = "; ".join(f"{layer} ({LAYERS[layer]})" for layer in wanted)
        raise Unavailable(
            f"This machine does not confine jobs as FRACTUNE_REQUIRED_LAYERS asks: it lacks {told}.",
            hint="See docs/security.md for what each layer needs, or ask for fewer.",
        )
    return missing
