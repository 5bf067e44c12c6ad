"""The job store, the one truth of the service. Every SQL statement of the project lives in this package."""

from workers.jobs.store.store import Store

__all__ = ["Store"]
