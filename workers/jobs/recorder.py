"""From what a child says to rows that clients see."""

import time
from typing import Any

import structlog

from workers.errors import Unavailable
from workers.jobs.job import Progress, Stage
from workers.jobs.records import JsonObject
from workers.jobs.store.leases import Leases
from workers.jobs.time_left import Expectation, time_left

NOTHING = Expectation()
INTERVAL_S = 0.5  # between two progress rows of the same stage
log = structlog.get_logger(__name__)


class Recorder:
    """Writes the progress and the layers of one attempt; a store that does not answer delays them, not the job."""

    def __init__(self, leases: Leases, job_id: str, attempt: int, expected: Expectation = NOTHING) -> None:
        self._leases = leases
        self._expected = expected
        self._job = (job_id, attempt)
        self._stage: Stage | None = None
        self._stage_began = 0.0
        self._written = 0.0
        self._layers: list[JsonObject] = []  # not written yet
        self._stages: dict[str, float] = {}

    def __call__(self, event: dict[str, Any]) -> None:
        """Take a progress or layer event of the child."""
        data = {key: value for key, value in event.items() if key != "event"}
        if event["event"] == "layer":
            self._layers.append(data)
            self.flush()
        else:
            self._progress(Progress(**data | {"stage": Stage(data["stage"])}))

    def stages(self) -> dict[str, float]:
        """Seconds spent in each stage so far."""
        if self._stage is None:
            return {}
        return self._stages | {self._stage: self._stages.get(self._stage, 0.0) + time.monotonic() - self._stage_began}

    def flush(self) -> None:
        """Write the layers that could not be written before."""
        try:
            while self._layers:
                self._leases.layer(*self._job, self._layers[0])
                del self._layers[0]
        except Unavailable:
            log.warning("layers not recorded yet", count=len(self._layers))

    def _progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self._stage:
            self._stages = self.stages()
            self._stage, self._stage_began = progress.stage, now
        elif now - self._written < INTERVAL_S and progress.done != progress.total:
            return
        self._written = now
        try:
            self._leases.progress(*self._job, progress, time_left(progress, self._so_far(), self._expected))
        except Unavailable:
            log.warning("progress not recorded", stage=progress.stage)

    def _so_far(self) -> dict[Stage, float]:
        return {Stage(stage): seconds for stage, seconds in self.stages().items()}
