"""Removes what nobody will ask for any more. Any number of processes may run it at any time."""

from contextlib import suppress
from functools import partial

import structlog

from workers.errors import Conflict, NotFound
from workers.jobs.artifacts import Artifacts
from workers.jobs.store import Store

DAY_S = 86400.0
COPY_AGE_S = 7 * DAY_S  # of a file that object storage keeps as well
BATCH = 100
log = structlog.get_logger(__name__)


def remove_old(store: Store, artifacts: Artifacts, retention_s: float | None) -> None:
    """Give up uploads that were left for a day; with `retention_s`, remove older jobs, unused uploads and records too."""
    for upload_id in store.retention.abandoned_uploads(DAY_S):
        store.assets.forget(upload_id)
        artifacts.forget_incoming(upload_id)
    artifacts.discard_incoming(DAY_S)
    artifacts.forget_copies(COPY_AGE_S)
    store.retention.forget_keys(DAY_S)
    if retention_s is not None:
        _remove_old(store, artifacts, retention_s)


def _remove_old(store: Store, artifacts: Artifacts, age_s: float) -> None:
    for job_id in store.retention.ended_jobs(age_s, BATCH):
        with suppress(NotFound):  # another process was quicker
            store.retention.remove_job(job_id, partial(artifacts.discard_job, job_id))
            log.info("job removed", job_id=job_id)
    for kind, sha256 in store.retention.unused_assets(age_s, BATCH):
        with suppress(NotFound, Conflict):  # or a job came to need it
            store.assets.remove(kind, sha256, partial(artifacts.discard, kind, sha256))
            log.info("upload removed", kind=kind, sha256=sha256)
    store.retention.forget_records(age_s)
