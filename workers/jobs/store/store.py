"""The store as one object."""

from copy import copy
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import select

from workers.errors import Unavailable
from workers.jobs.database.connection import Database
from workers.jobs.database.health import Health
from workers.jobs.database.scope import EVERYTHING, Scope
from workers.jobs.database.tables import jobs
from workers.jobs.store.assets import Assets
from workers.jobs.store.figures import Figures
from workers.jobs.store.identities import Identities
from workers.jobs.store.jobs import Jobs
from workers.jobs.store.keys import Audit, Keys, Sessions, Tickets
from workers.jobs.store.leases import Leases
from workers.jobs.store.listing import Listing
from workers.jobs.store.retention import Retention
from workers.jobs.store.webhooks import Webhooks
from workers.jobs.store.workers import Workers

TOO_OLD = "Upgrade this process too, or restore the backup from before the upgrade: the schema only moves forward."


class Store:
    """Rows of models, datasets, jobs, workers, keys and webhooks, in SQLite or PostgreSQL.

    store.assets    models and datasets
    store.jobs      jobs from the client's side
    store.listing   jobs as a table for people
    store.leases    jobs from the worker's side
    store.workers   who is there to do them
    store.keys      who may ask, and store.audit what they did
    store.sessions  browsers that have signed in with a key
    store.webhooks  who wants to be told
    store.figures   sums for monitoring
    store.tickets   links that sign in, once
    store.identities people whom an identity provider vouches for
    store.health    whether it can be written to
    store.retention what is old enough to go
    """

    def __init__(self, url: str, *, pooled: bool = True) -> None:
        """Connects at first use. `pooled=False` for a process that forks: no connection outlives its transaction."""
        self._database = Database(url, pooled=pooled)
        self._look(EVERYTHING)
        self.leases = Leases(self._database)
        self.workers = Workers(self._database)
        self.keys = Keys(self._database)
        self.sessions = Sessions(self._database)
        self.audit = Audit(self._database)
        self.webhooks = Webhooks(self._database)
        self.health = Health(self._database)
        self.tickets = Tickets(self._database)
        self.identities = Identities(self._database)

    def seen_by(self, scope: Scope) -> "Store":
        """The same rows, of which only those in `scope` are there."""
        view = copy(self)
        view._look(scope)
        return view

    def _look(self, scope: Scope) -> None:
        self.assets = Assets(self._database, scope)
        self.jobs = Jobs(self._database, scope)
        self.listing = Listing(self._database, scope)
        self.figures = Figures(self._database, scope)
        self.retention = Retention(self._database, scope)

    def migrate(self) -> None:
        """Bring the schema up to date; safe when several processes start at once.

        Raises Unavailable where a newer version of Fractune has already moved it beyond what this one knows.
        """
        config = Config()
        config.set_main_option("script_location", str(files("workers.jobs") / "migrations"))
        with self._database.migration() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise Unavailable(f"The job store is of a newer version of Fractune ({error}).", hint=TOO_OLD) from error

    def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        with self._database.read() as connection:
            connection.execute(select(jobs.c.id).limit(1))

    def version(self) -> int | None:
        """A number that changes with whatever is written; None where the database does not tell."""
        return self._database.version()

    def close(self) -> None:
        """Close all connections."""
        self._database.close()
