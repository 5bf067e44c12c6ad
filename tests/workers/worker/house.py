"""A data directory with a store, a queue and real workers, as tests need them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil

from tests.waiting import until
from workers.jobs.artifacts import Artifacts
from workers.jobs.job import Kind, State
from workers.jobs.reconciler import reconcile
from workers.jobs.records import AssetKind, Job, JsonObject, Request
from workers.jobs.store import Store
from workers.settings import Settings
from workers.worker import broker

ROOT = Path(__file__).parents[3]


class House:
    """A data directory with a store and a queue, as the API sees them."""

    def __init__(self, home: Path, database_url: str | None = None) -> None:
        command = (sys.executable, str(ROOT / "tests" / "stand_in.py"))
        self.settings = Settings(
            data_dir=home, database_url=database_url, child_command=command, heartbeat_s=0.2, lease_s=600, requeue_s=1
        )
        self.store = Store(self.settings.database)
        self.store.migrate()
        self.artifacts = Artifacts(home)
        self.celery = broker.make_celery(self.settings)

    def model(self, act: str) -> str:
        with self.artifacts.incoming(1000, 0) as incoming:
            incoming.write(json.dumps({"compress": act}).encode())
            sha256 = incoming.finish()
        self.artifacts.place(incoming.path, AssetKind.MODEL, sha256, "model.onnx")
        _, _, inspection = self.store.assets.add(AssetKind.MODEL, sha256, "model.onnx", incoming.size, "me", lambda: None)
        if inspection is not None:
            broker.enqueue(self.celery, inspection.id)
        return sha256

    def upload(self, path: Path) -> str:
        with self.artifacts.incoming(10**7, 0) as incoming:
            incoming.write(path.read_bytes())
            sha256 = incoming.finish()
        self.artifacts.place(incoming.path, AssetKind.MODEL, sha256, path.name)
        self.store.assets.add(AssetKind.MODEL, sha256, path.name, incoming.size, "me", lambda: None)
        return sha256

    def compressed(self, model: str, recipe: JsonObject) -> dict[str, str]:
        """The digests of the IR that a job makes."""
        job = self.store.jobs.submit(Request(Kind.COMPRESS, model, recipe), "me")[0]
        broker.enqueue(self.celery, job.id)
        self.until(lambda: self.store.jobs.get(job.id).ended)
        assert self.state(job) == State.SUCCEEDED
        return {file.name: file.sha256 for file in self.store.jobs.artifacts(job.id) if file.name.startswith("1/")}

    def submit(self, act: str = "succeed", *, announce: bool = True, runs_on: str | None = None) -> Job:
        request = Request(Kind.COMPRESS, self.model(act), {"steps": []}, runs_on=runs_on)
        job = self.store.jobs.submit(request, "me")[0]
        if announce:
            broker.enqueue(self.celery, job.id, runs_on)
        return job

    def reconcile(self) -> None:
        enqueue, depth = partial(broker.announce_job, self.celery, self.store), partial(broker.depth, self.celery)
        reconcile(self.store, enqueue, depth, max_attempts=3, requeue_s=self.settings.requeue_s, lease_s=self.settings.lease_s)

    def state(self, job: Job) -> State:
        return self.store.jobs.get(job.id).state

    def until(self, condition: Callable[[], bool]) -> None:
        until(lambda: self.reconcile() or condition(), pause_s=0.05)

    def until_ended(self, *jobs: Job) -> None:
        self.until(lambda: all(self.store.jobs.get(job.id).ended for job in jobs))

    def until_at_work(self, job: Job) -> None:
        self.until(lambda: self.store.jobs.layers(job.id) != [])

    @contextmanager
    def worker(self, **more: str) -> Iterator[psutil.Process]:
        variables = {
            "FRACTUNE_DATA_DIR": str(self.settings.data_dir),
            "FRACTUNE_CHILD_COMMAND": json.dumps(self.settings.child_command),
            "FRACTUNE_HEARTBEAT_S": "0.2",
            "FRACTUNE_LEASE_S": "600",
            "FRACTUNE_REQUEUE_S": "1",
            "FRACTUNE_DATABASE_URL": self.settings.database,
        }
        process = subprocess.Popen([sys.executable, "-m", "workers.worker"], env=os.environ | variables | more, cwd=ROOT)
        try:
            yield psutil.Process(process.pid)
        finally:
            process.kill()
            process.wait()
