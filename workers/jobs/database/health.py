"""Whether the store can be written to, and whether its clock is to be believed."""

import time

from sqlalchemy import case, select, update

from workers.errors import Unavailable
from workers.jobs.database.connection import Database, now
from workers.jobs.database.tables import clock

STEP_S = 2.0  # that a clock may go back without anybody hearing of it
TOLD_S = 60.0  # for which a clock that was set back is reported
ROW = 1


class Health:
    """One row that is written for the sake of writing, and keeps the latest time that was ever seen."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._behind_since: float | None = None  # by a clock that nobody sets

    def check_writing(self) -> None:
        """Raises Unavailable when nothing can be written, or what is written goes into a file that was removed."""
        self._database.check_file()
        latest = case((clock.c.seen_at < now(), now()), else_=clock.c.seen_at)
        first = self._database.insert(clock).values(id=ROW, seen_at=now())
        with self._database.write() as connection:
            connection.execute(first.on_conflict_do_update(index_elements=["id"], set_={"seen_at": latest}))

    def check_clock(self) -> None:
        """Raises Unavailable for a minute after the database's clock was set back; then it is believed again."""
        with self._database.read() as connection:
            behind = connection.scalar(select(clock.c.seen_at - now()).where(clock.c.id == ROW)) or 0.0
        if behind < STEP_S:
            self._behind_since = None
            return
        self._behind_since = self._behind_since or time.monotonic()
        if time.monotonic() - self._behind_since < TOLD_S:
            raise Unavailable(f"the clock went back by {behind:.0f} s")
        with self._database.write() as connection:
            connection.execute(update(clock).values(seen_at=now()))
