"""The tables. Times are UTC seconds since 1970 by the database's clock."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, MetaData, Named, Table, TypedColumns

from workers.jobs.database.scope import COMMON

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)
Json: JSON[Any] = JSON(none_as_null=True)


class AssetColumns(TypedColumns):
    kind: Named[str] = Column(primary_key=True)
    sha256: Named[str] = Column(primary_key=True)
    name: Named[str]
    size: Named[int] = Column(BigInteger)
    owner: Named[str]
    created_at: Named[float]
    used_at: Named[float]
    job_id: Named[str | None]
    inspection: Named[dict[str, Any] | None] = Column(Json)


class UploadColumns(TypedColumns):
    id: Named[str] = Column(primary_key=True)
    kind: Named[str]
    name: Named[str]
    size: Named[int] = Column(BigInteger)
    sha256: Named[str]
    owner: Named[str]
    created_at: Named[float]


class JobColumns(TypedColumns):
    id: Named[str] = Column(primary_key=True)
    kind: Named[str]
    state: Named[str]
    model: Named[str] = Column(index=True)
    dataset: Named[str | None] = Column(index=True)
    evaluation: Named[str | None] = Column(index=True)
    recipe: Named[dict[str, Any] | None] = Column(Json)
    methods: Named[str]
    name: Named[str]
    labels: Named[dict[str, str]] = Column(Json)
    owner: Named[str]
    project: Named[str] = Column(server_default=COMMON)
    retry_of: Named[str | None]
    runs_on: Named[str | None]  # the class of workers that may do it
    priority: Named[int] = Column(server_default="0")  # -1 low, 0, 1 high
    attempt: Named[int]  # counts claims: the fencing token
    worker: Named[str | None]
    lease_until: Named[float | None]
    enqueued_at: Named[float]  # when its message was last sent
    created_at: Named[float]
    started_at: Named[float | None]
    ended_at: Named[float | None]
    progress: Named[dict[str, Any] | None] = Column(Json)
    eta_s: Named[float | None]
    failure: Named[dict[str, Any] | None] = Column(Json)
    constraint: Named[dict[str, Any] | None] = Column(Json)
    summary: Named[dict[str, Any] | None] = Column(Json)
    stages: Named[dict[str, float] | None] = Column(Json)  # seconds by stage
    last_event: Named[int]


class EventColumns(TypedColumns):
    job_id: Named[str] = Column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Named[int] = Column(primary_key=True, autoincrement=False)
    at: Named[float]
    attempt: Named[int]
    type: Named[str]
    data: Named[dict[str, Any]] = Column(Json)


class ArtifactColumns(TypedColumns):
    job_id: Named[str] = Column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Named[str] = Column(primary_key=True)
    size: Named[int] = Column(BigInteger)
    sha256: Named[str]


class IdempotencyColumns(TypedColumns):
    owner: Named[str] = Column(primary_key=True)
    key: Named[str] = Column(primary_key=True)
    fingerprint: Named[str]  # SHA-256 of the request
    job_id: Named[str] = Column(ForeignKey("jobs.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"), index=True)
    created_at: Named[float]


class WorkerColumns(TypedColumns):
    id: Named[str] = Column(primary_key=True)
    machine: Named[dict[str, Any]] = Column(Json)
    labels: Named[dict[str, str]] = Column(Json)
    started_at: Named[float]
    seen_at: Named[float]


class KeyColumns(TypedColumns):
    id: Named[str] = Column(primary_key=True)
    name: Named[str]
    role: Named[str]
    project: Named[str] = Column(server_default=COMMON)
    digest: Named[str]  # SHA-256 of the secret
    created_at: Named[float]
    created_by: Named[str]
    expires_at: Named[float | None]
    revoked_at: Named[float | None]
    used_at: Named[float | None]


class SessionColumns(TypedColumns):
    digest: Named[str] = Column(primary_key=True)  # SHA-256 of the token
    key_id: Named[str] = Column(ForeignKey("keys.id", ondelete="CASCADE"))
    created_at: Named[float]
    expires_at: Named[float]


class TicketColumns(TypedColumns):
    digest: Named[str] = Column(primary_key=True)  # SHA-256 of what the link carries
    key_id: Named[str] = Column(ForeignKey("keys.id", ondelete="CASCADE"))
    created_at: Named[float]
    expires_at: Named[float]


class SigninColumns(TypedColumns):
    digest: Named[str] = Column(primary_key=True)  # SHA-256 of a sign-in that was used
    expires_at: Named[float]


class ClockColumns(TypedColumns):
    id: Named[int] = Column(primary_key=True, autoincrement=False)
    seen_at: Named[float]  # the latest time that was ever seen


class GrantColumns(TypedColumns):
    kind: Named[str] = Column(primary_key=True)
    sha256: Named[str] = Column(primary_key=True)
    project: Named[str] = Column(primary_key=True)


class AuditColumns(TypedColumns):
    id: Named[int] = Column(primary_key=True)
    at: Named[float]
    actor: Named[str]  # id of the API key
    address: Named[str]
    action: Named[str]  # method and route
    target: Named[str]  # path
    status: Named[int]


class WebhookColumns(TypedColumns):
    id: Named[str] = Column(primary_key=True)
    url: Named[str]
    secret: Named[str]
    events: Named[list[str]] = Column(Json)
    active: Named[bool]
    created_at: Named[float]
    created_by: Named[str]


class DeliveryColumns(TypedColumns):
    id: Named[str] = Column(primary_key=True)
    webhook_id: Named[str] = Column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    type: Named[str]
    payload: Named[dict[str, Any]] = Column(Json)
    state: Named[str]  # PENDING, DELIVERED or DEAD
    tries: Named[int]
    due_at: Named[float]
    created_at: Named[float]
    ended_at: Named[float | None]
    status: Named[int | None]
    error: Named[str | None]


assets = Table("assets", metadata, AssetColumns, Index(None, "kind", "created_at"), Index(None, "owner"))
uploads = Table("uploads", metadata, UploadColumns, Index(None, "owner"))
jobs = Table("jobs", metadata, JobColumns, Index(None, "created_at", "id"), Index(None, "state", "created_at"))
events = Table("events", metadata, EventColumns)
artifacts = Table("artifacts", metadata, ArtifactColumns)
idempotency = Table("idempotency", metadata, IdempotencyColumns)
workers = Table("workers", metadata, WorkerColumns)
keys = Table("keys", metadata, KeyColumns)
sessions = Table("sessions", metadata, SessionColumns)
tickets = Table("tickets", metadata, TicketColumns)
signins = Table("signins", metadata, SigninColumns)
clock = Table("clock", metadata, ClockColumns)
grants = Table("grants", metadata, GrantColumns)
audit = Table("audit", metadata, AuditColumns, sqlite_autoincrement=True)
webhooks = Table("webhooks", metadata, WebhookColumns)
deliveries = Table("deliveries", metadata, DeliveryColumns, Index(None, "state", "due_at"))
