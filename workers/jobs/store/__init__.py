"""The job store: every SQL statement of the project lives in this package.

    store = Store(settings.database)
    store.migrate()                 # at the start of `fractune serve`
    store.assets.*                  # models and datasets
    store.jobs.*                    # jobs, their events and artifacts
    store.workers.* keys.* audit.* webhooks.*

Signatures (bodies follow):

    assets.add(kind, sha256, name, size, owner) -> tuple[Asset, bool]       # True when it is new
    assets.get(kind, sha256) -> Asset                                       # raises NotFound
    assets.page(kind, cursor=None, limit=50, name=None) -> Page[Asset]
    assets.remove(kind, sha256) -> None                                     # raises NotFound, Conflict while a job needs it
    assets.stored_bytes(owner) -> int

    jobs.submit(request: Request, owner: str, idempotency_key=None) -> tuple[Job, bool]
    jobs.get(job_id) -> Job                                                 # raises NotFound
    jobs.page(cursor=None, limit=50, *, state=None, kind=None, model=None, method=None, name=None, labels={}) -> Page[Job]
    jobs.events(job_id, after=0, limit=1000) -> list[Event]
    jobs.layers(job_id) -> list[dict]                                       # rows of the current attempt
    jobs.artifacts(job_id) -> list[Artifact]
    jobs.cancel(job_id) -> Job                                              # raises NotFound, Conflict

    jobs.claim(job_id, worker, lease_s) -> Job | None                       # QUEUED -> RUNNING, attempt + 1
    jobs.heartbeat(job_id, attempt, lease_s) -> State | None                # None: the lease is lost, stop
    jobs.progress(job_id, attempt, progress: Progress, eta_s) -> bool
    jobs.layer(job_id, attempt, row: dict) -> bool
    jobs.publish(job_id, attempt, artifacts, summary, constraint, inspection=None) -> bool
    jobs.fail(job_id, attempt, failure: Failure) -> bool                    # CANCELED instead when it was CANCELING
    jobs.expire(max_attempts) -> list[str]                                  # leases that ran out: QUEUED again, or POISON
    jobs.overdue(requeue_s, limit) -> list[str]                             # waiting rows whose message may be lost
"""


class Store:
    """Rows of models, datasets, jobs, workers, keys and webhooks, in SQLite or PostgreSQL."""

    def __init__(self, url: str) -> None:
        raise NotImplementedError

    def migrate(self) -> None:
        """Bring the schema up to date; safe when several processes start at once."""
        raise NotImplementedError
