"""What became of a child: from its last words, its exit status and its log to a typed failure."""

import signal
from dataclasses import asdict, dataclass, replace
from typing import Annotated

from pydantic import Field, TypeAdapter

from workers.confinement.launch import LAYERS
from workers.errors import Crashed, Internal, JobFailure, OutOfDisk, OutOfMemory, TimedOut
from workers.jobs.job import Failure, Progress
from workers.worker.sandbox.streams import Event

PROGRESS = TypeAdapter(Progress)
FAILURE = TypeAdapter(Failure)
LEVELS = TypeAdapter(Annotated[list[Annotated[int, Field(ge=0, lt=1000, strict=True)]], Field(max_length=100)])
LAYERS_TOLD = TypeAdapter(list[str])
MESSAGE_LENGTH = 2000
MEMORY_WORDS = ("MemoryError", "bad_alloc", "Cannot allocate memory", "Unable to allocate", "out of memory")
DISK_WORDS = ("No space left on device", "File too large", "Disk quota exceeded")


class EventLog:
    """What the child has said of its work so far."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.failure: Failure | None = None
        self.done = False
        self.told_layers: tuple[str, ...] | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Layers of confinement that the child ran without; all of them where it did not even start."""
        return tuple(LAYERS) if self.told_layers is None else self.told_layers

    def note(self, event: Event) -> Event | None:
        """Remember `event`; gives back what concerns others. Raises ValueError when it is none of the protocol's."""
        match event["event"]:
            case "progress":
                self.progress = PROGRESS.validate_python(event)
                return {"event": "progress", **asdict(self.progress)}
            case "layer":
                return event
            case "parts":
                return {"event": "parts", "levels": LEVELS.validate_python(event.get("levels"))}
            case "failure":
                failure = FAILURE.validate_python(event)
                self.failure = replace(failure, message=failure.message[:MESSAGE_LENGTH])
            case "done":
                self.done = True
            case "sandbox":
                if self.told_layers is None:  # the first one is the launcher's, any other the child's
                    self.told_layers = tuple(LAYERS_TOLD.validate_python(event.get("missing")))
            case kind:
                raise ValueError(f"unknown event {kind!r}")
        return None


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How the process ended."""

    exit_code: int  # negative: the signal
    log: str  # the end of it
    memory: int  # bytes it was allowed
    stopped: JobFailure | None  # why we ended it, if we did
    oom_kill: bool  # the kernel ran out of memory meanwhile


def killed_by_others(status: ExitStatus) -> bool:
    """Whether an operator or the system ended it, for no reason that lies in the work."""
    return status.stopped is None and not status.oom_kill and -status.exit_code in (signal.SIGKILL, signal.SIGTERM)


def classify_failure(events: EventLog, status: ExitStatus) -> Failure | None:
    """None when the work is done; else why not, where it stood, and what helps."""
    if events.done and status.exit_code == 0:
        return None
    if status.stopped is None and events.failure is not None:
        return events.failure
    error = status.stopped or _killed(status) or _exited(status)
    progress = events.progress
    return Failure(
        code=error.code,
        message=error.message[:MESSAGE_LENGTH],
        hint=error.hint,
        stage=progress.stage if progress else None,
        layer=progress.layer if progress else None,
    )


def _killed(status: ExitStatus) -> JobFailure | None:
    """The failure behind a signal."""
    if status.exit_code >= 0:
        return None
    number = -status.exit_code
    if number == signal.SIGXCPU:
        return TimedOut("The job used more processor time than its limit.")
    if number == signal.SIGXFSZ:
        return OutOfDisk("The job wrote a file larger than its limit.")
    if number == signal.SIGKILL and status.oom_kill:
        return OutOfMemory("The machine ran out of memory and killed the job.")
    if _says(status, MEMORY_WORDS):
        return _out_of_memory(status)
    return Crashed(f"The process that worked on the model was killed by {_name(number)}.")


def _exited(status: ExitStatus) -> JobFailure:
    """The failure behind an exit status that no event explains."""
    if _says(status, MEMORY_WORDS):
        return _out_of_memory(status)
    if _says(status, DISK_WORDS):
        return OutOfDisk()
    last = status.log.strip().rpartition("\n")[2] or "its log is empty"
    return Internal(f"The process that worked on the model ended with status {status.exit_code}: {last}")


def _out_of_memory(status: ExitStatus) -> OutOfMemory:
    return OutOfMemory(f"The job needed more memory than its limit of {status.memory / 2**30:.1f} GiB.")


def _says(status: ExitStatus, words: tuple[str, ...]) -> bool:
    return any(word in status.log for word in words)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no name
        return f"signal {number}"
