"""What a command's exit status says."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from workers.errors import Refusal


class ExitCode(IntEnum):
    """Scripts rely on these numbers."""

    DONE = 0  # the constraint is met, or there is none
    BROKEN = 1  # anything else
    REFUSED = 2  # refused input or usage
    NOT_MET = 3  # done, but the constraint is not met
    UNVERIFIED = 4  # done, but nothing could verify the constraint
    INTERRUPTED = 130  # by Ctrl-C, as shells have it


KINDS: list[type[Refusal]] = [Refusal, *Refusal.__subclasses__()]
REFUSALS = frozenset(kind.code for kind in KINDS)


def of_failure(code: str) -> ExitCode:
    """The status for a failure with this code of `workers.errors`."""
    return ExitCode.REFUSED if code in REFUSALS else ExitCode.BROKEN


def of_constraint(constraint: Mapping[str, Any] | None) -> ExitCode:
    """The status for a job that ended well: `constraint` of its report, or None."""
    if constraint is None or constraint["met"] is True:
        return ExitCode.DONE
    return ExitCode.NOT_MET if constraint["met"] is False else ExitCode.UNVERIFIED
