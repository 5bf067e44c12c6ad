"""The JSON we promise."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from workers.jobs.database.scope import COMMON
from workers.jobs.job import Kind, Priority, Stage, State
from workers.jobs.records import AssetKind, DeliveryState, Role
from workers.recipe import Recipe

T = TypeVar("T")
HASH = r"^[0-9a-f]{64}$"  # that names an uploaded file
Sha256 = Annotated[str, StringConstraints(pattern=HASH)]
Line = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Label = Annotated[str, StringConstraints(max_length=63, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$")]


WorkerClass = Annotated[
    str, StringConstraints(max_length=127, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*=[A-Za-z0-9][A-Za-z0-9._/-]*$")
]


class View(BaseModel):
    """Read off a record of the store."""

    model_config = ConfigDict(from_attributes=True)


class Body(BaseModel):
    """Sent by a client; a misspelt key is refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class PageView(View, Generic[T]):
    """A part of a listing, newest first."""

    items: list[T]
    cursor: str | None = Field(description="Asks for the part after this one; null at the end.")


class FailureView(View):
    code: str = Field(description="Stable; see docs/errors.")
    message: str
    hint: str = Field(description="What to do about it.")
    stage: Stage | None
    layer: str | None


class ProgressView(View):
    stage: Stage
    done: int
    total: int = Field(description="Layers, batches or rounds, as the stage counts; 0 when it does not.")
    layer: str | None
    message: str


class DatasetSummary(View):
    sha256: Sha256
    name: str
    size: int = Field(description="Bytes.")
    owner: str = Field(description="The API key that uploaded it.")
    created_at: datetime
    job_id: str | None = Field(description="The job that inspects it.")
    job_state: State | None
    failure: FailureView | None = Field(description="Why it cannot be used.")


class DatasetView(DatasetSummary):
    inspection: dict[str, Any] | None = Field(description="Samples, sizes, classes, problems; null until inspected.")


class ModelSummary(DatasetSummary):
    """What listings tell of a model."""


class ModelView(ModelSummary):
    inspection: dict[str, Any] | None = Field(description="Inputs, layers, parameters; null until inspected.")


class UploadCreate(Body):
    kind: AssetKind
    name: Line = Field(min_length=1, description="File name; its suffix tells the format.")
    size: int = Field(ge=1, lt=2**53, description="Bytes.")
    sha256: Sha256


class UploadView(View):
    id: str
    kind: AssetKind
    name: str
    size: int
    sha256: Sha256
    offset: int = Field(description="Bytes received; the next part starts here.")


class JobCreate(Body):
    model: Sha256
    recipe: Recipe
    dataset: Sha256 | None = Field(default=None, description="Calibration samples; fractals when absent.")
    evaluation: Sha256 | None = Field(default=None, description="Held-out samples, with labels if there are any.")
    name: Line = ""
    labels: dict[Label, Line] = Field(default_factory=dict, max_length=32)
    runs_on: WorkerClass | None = Field(
        default=None, description="`label=value`: only workers with that label do it, and so its benchmark; any when absent."
    )
    priority: Priority = Field(default=Priority.NORMAL, description="Which waiting job goes before which.")


class JobSummary(View):
    id: str
    kind: Kind
    state: State
    model: Sha256
    dataset: Sha256 | None
    evaluation: Sha256 | None
    methods: str = Field(description="The recipe's methods in order, joined by +.")
    name: str
    labels: dict[str, str]
    owner: str
    project: str = Field(description="Whose keys see it; `common` is everybody's.")
    retry_of: str | None
    runs_on: str | None = Field(description="The class of workers that may do it.")
    priority: Priority
    attempt: int = Field(description="How many workers have started it.")
    worker: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    progress: ProgressView | None
    eta_s: float | None = Field(description="Seconds until the job ends; until its stage ends where no forecast was made.")
    failure: FailureView | None
    constraint: dict[str, Any] | None = Field(description="`requested`, `achieved`, and `met`: true, false or unverified.")
    summary: dict[str, Any] | None = Field(description="The report in a few figures.")
    stages: dict[Stage, float] | None = Field(description="Seconds spent in each stage, once ended.")
    last_event: int


class JobView(JobSummary):
    recipe: dict[str, Any] | None
    place: int | None = Field(default=None, description="In the queue: 1 is the next to be done; null unless it waits.")


class PriorityBody(Body):
    priority: Priority


class EventView(View):
    seq: int = Field(description="Counts from 1 without gaps; the id of the server-sent event.")
    at: datetime
    attempt: int
    type: Literal["state", "progress", "layer"]
    data: dict[str, Any]


class ArtifactView(View):
    name: str
    size: int = Field(description="Bytes.")
    sha256: Sha256


class MethodView(View):
    name: str
    description: str
    parameters: dict[str, Any] = Field(description="JSON schema of the step.")


class WorkerView(View):
    id: str
    machine: dict[str, Any]
    labels: dict[str, str]
    started_at: datetime
    silent_s: float = Field(description="Seconds since its last sign of life.")
    job_id: str | None = Field(description="What it is at work on.")


class PrincipalView(View):
    id: str
    name: str
    role: Role
    project: str


class SigninLink(BaseModel):
    path: str = Field(description="Below the service's URL. Anybody who has it first is signed in.")
    expires_in_s: float


class KeyCreate(Body):
    name: Line = Field(min_length=1)
    role: Role
    project: Label = Field(
        default=COMMON, description="Sees the models, datasets and jobs of this project, and what is shared."
    )
    expires_in_s: float | None = Field(default=None, gt=0, le=100 * 365 * 86400)


class KeyView(View):
    id: str
    name: str
    role: Role
    project: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None = Field(description="To the minute.")


class KeyIssued(KeyView):
    key: str = Field(description="Shown this once.")


class WebhookCreate(Body):
    url: str = Field(max_length=2000, pattern=r"^https?://[^\x00-\x20\x7f]+$")
    events: list[Literal["job.running", "job.succeeded", "job.failed", "job.canceled"]] = Field(
        default=["job.succeeded", "job.failed", "job.canceled"], min_length=1, max_length=4
    )


class WebhookView(View):
    id: str
    url: str
    events: list[str]
    active: bool = Field(description="False when the target has said that it is gone.")
    created_at: datetime
    created_by: str


class WebhookIssued(WebhookView):
    secret: str = Field(description="Signs what it is told; shown this once.")


class DeliveryView(View):
    id: str
    type: str
    payload: dict[str, Any]
    state: DeliveryState
    tries: int
    due_at: datetime
    created_at: datetime
    ended_at: datetime | None
    status: int | None = Field(description="HTTP status of the last try.")
    error: str | None


class AuditView(View):
    id: int
    at: datetime
    actor: str
    address: str
    action: str
    target: str
    status: int
