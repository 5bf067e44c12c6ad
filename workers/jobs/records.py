"""What the store returns: its rows as frozen values. Times are UTC seconds since 1970, by the clock of the database."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from workers.jobs.job import TERMINAL, Failure, Kind, Priority, Progress, State

JsonObject = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a listing, newest first; `cursor` asks for the part after it and is None at the end."""

    items: tuple[T, ...]
    cursor: str | None


class AssetKind(StrEnum):
    """What an upload is."""

    MODEL = "model"
    DATASET = "dataset"


@dataclass(frozen=True, slots=True)
class Asset:
    """An uploaded model or dataset, named by its SHA-256."""

    kind: AssetKind
    sha256: str
    name: str  # as the uploader called the file
    size: int  # bytes
    owner: str  # id of the API key
    created_at: float
    used_at: float
    job_id: str | None = None  # the job that inspects it
    job_state: State | None = None
    job_attempt: int | None = None
    inspection: JsonObject | None = None  # what that job found
    failure: Failure | None = None  # why it could not


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in parts, under way."""

    id: str
    kind: AssetKind
    sha256: str  # as announced
    name: str
    size: int  # bytes, as announced
    owner: str
    created_at: float


def uploaded_decoder(recipe: JsonObject | None) -> str | None:
    """SHA-256 of the model that decodes, where a recipe names one; a detector's head goes by its name."""
    decoder = (recipe or {}).get("decoder") or ""
    return decoder if re.fullmatch("[0-9a-f]{64}", decoder) else None


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks of a job."""

    kind: Kind
    model: str  # sha256
    recipe: JsonObject | None = None
    dataset: str | None = None  # sha256 of calibration samples
    evaluation: str | None = None  # sha256 of held-out samples
    name: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    retry_of: str | None = None
    runs_on: str | None = None  # the class of workers that may do it, `label=value`
    priority: Priority = Priority.NORMAL

    def needs(self) -> list[tuple[AssetKind, str]]:
        """The uploads that must be stored for it."""
        models = (None if self.kind == Kind.INSPECT_DATASET else self.model, uploaded_decoder(self.recipe))
        datasets = (self.dataset, self.evaluation)
        named = [(AssetKind.MODEL, sha256) for sha256 in models] + [(AssetKind.DATASET, sha256) for sha256 in datasets]
        return [(kind, sha256) for kind, sha256 in named if sha256 is not None]

    def methods(self) -> str:
        """The recipe's methods in order, joined by "+"."""
        return "+".join(step["method"] for step in (self.recipe or {}).get("steps", ()))


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands."""

    id: str
    kind: Kind
    state: State
    model: str
    dataset: str | None
    evaluation: str | None
    recipe: JsonObject | None
    methods: str  # the recipe's methods in order, joined by "+"
    name: str
    labels: dict[str, str]
    owner: str
    project: str  # whose keys see it
    retry_of: str | None
    runs_on: str | None
    priority: Priority
    attempt: int  # how often a worker has claimed it: the fencing token
    worker: str | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    progress: Progress | None
    eta_s: float | None
    failure: Failure | None
    constraint: JsonObject | None  # requested, achieved, met
    summary: JsonObject | None  # the report in a few figures
    stages: dict[str, float] | None  # seconds by stage
    last_event: int

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self.state in TERMINAL

    def again(self) -> Request:
        """The same request once more."""
        return Request(
            self.kind,
            self.model,
            self.recipe,
            self.dataset,
            self.evaluation,
            self.name,
            self.labels,
            self.id,
            self.runs_on,
            self.priority,
        )


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A line of a job's history; `seq` counts from 1 without gaps."""

    job_id: str
    seq: int
    at: float
    attempt: int
    type: str  # state, progress or layer
    data: JsonObject


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process."""

    id: str
    machine: JsonObject
    labels: dict[str, str]
    started_at: float
    silent_s: float  # seconds since its last sign of life
    job_id: str | None  # what it is at work on

    def idle(self, runs_on: str | None, silent_s: float) -> bool:
        """Whether it has nothing to do, belongs to a class of workers, and was heard of in the last `silent_s` seconds."""
        label, _, value = (runs_on or "").partition("=")
        return self.job_id is None and self.silent_s < silent_s and (runs_on is None or self.labels.get(label) == value)


class Role(StrEnum):
    """What the holder of a key may do; each may do what the ones before it may."""

    VIEWER = "viewer"  # read
    OPERATOR = "operator"  # upload, submit, cancel
    ADMIN = "admin"  # keys, webhooks, audit


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, without what would open a door."""

    id: str
    name: str
    role: Role
    project: str
    created_at: float
    created_by: str  # id of the key that made it
    expires_at: float | None
    revoked_at: float | None
    used_at: float | None  # to the minute


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A request that changed something, or tried to."""

    id: int
    at: float
    actor: str  # id of the API key
    address: str
    action: str  # method and route
    target: str  # path
    status: int


@dataclass(frozen=True, slots=True)
class Webhook:
    """A target that wants to be told of events."""

    id: str
    url: str
    secret: str = field(repr=False)  # signs what it is told
    events: list[str]
    active: bool
    created_at: float
    created_by: str


class DeliveryState(StrEnum):
    """Whether a webhook has been told."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"  # tried as often as it makes sense


@dataclass(frozen=True, slots=True)
class Delivery:
    """Something to tell a webhook."""

    id: str
    webhook_id: str
    type: str
    payload: JsonObject
    state: DeliveryState
    tries: int
    due_at: float
    created_at: float
    ended_at: float | None
    status: int | None  # HTTP status of the last try
    error: str | None  # what was wrong with it


@dataclass(frozen=True, slots=True)
class Artifact:
    """A published file of a job."""

    name: str  # path relative to the results, for example 1/model.xml
    size: int  # bytes
    sha256: str
