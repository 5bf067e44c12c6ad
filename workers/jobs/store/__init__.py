"""The job store, the one truth of the service: every SQL statement of the project is here or in `workers.jobs.database`."""

from workers.jobs.store.store import Store

__all__ = ["Store"]
