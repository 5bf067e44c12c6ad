"""Which stage a job is in, what each stage has cost, and who is told."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from workers.jobs.job import Stage

Tell = Callable[[dict[str, Any]], None]


class Clock:
    """Times the stages of one job and announces its progress as events."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.stage = Stage.IMPORT
        self.note = ""  # told with all progress that says nothing of its own
        self.spent: dict[str, dict[str, float]] = {}  # stage -> {wall_s, cpu_s}

    @contextmanager
    def run(self, stage: Stage, total: int = 0) -> Iterator[None]:
        """Time `stage`, whose work is `total` items long; a stage that comes again adds to its time."""
        self.stage = stage
        self.progress(0, total)
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        earlier = self.spent.get(stage, {"wall_s": 0.0, "cpu_s": 0.0})
        self.spent[stage] = {
            "wall_s": earlier["wall_s"] + time.perf_counter() - wall,
            "cpu_s": earlier["cpu_s"] + time.process_time() - cpu,
        }

    def progress(self, done: int, total: int, layer: str | None = None, message: str = "") -> None:
        """Say how far the stage is."""
        told = {"done": done, "total": total, "layer": layer, "message": message or self.note}
        self.tell({"event": "progress", "stage": self.stage, **told})
