"""Whose rows somebody sees: those of a project and those that all share, or everything."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, true

from workers.errors import Forbidden

COMMON = "common"  # the project of keys that name none; what belongs to it, everybody sees


@dataclass(frozen=True, slots=True)
class Scope:
    """What belongs to `project` is one's own; with `everything`, all is."""

    project: str = COMMON
    everything: bool = True

    def sees(self, project: ColumnElement[Any]) -> ColumnElement[bool]:
        """The condition on a column of projects."""
        return true() if self.everything else project.in_({self.project, COMMON})

    def refuse_foreign(self, project: str) -> None:
        """Raises Forbidden for what is shared, but not one's own."""
        if not self.everything and project != self.project:
            raise Forbidden("It is shared with your project, not yours.", hint="Ask the project that it belongs to.")


EVERYTHING = Scope()
