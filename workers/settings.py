"""Everything an operator can set: one frozen object, read from FRACTUNE_* variables, built at the entry points only."""

import os
import re
import sys
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from workers.errors import InvalidSettings

GIB = 2**30
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SECRETS_DIR = "/run/secrets"  # where container engines put them


HostName = Annotated[str, Field(pattern=r"^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$", max_length=63)]
WebhookTarget = Annotated[IPv4Network | IPv6Network | HostName, Field(union_mode="left_to_right")]


def byte_size(default: int, description: str) -> ByteSize:
    """A number of bytes; variables may say "4GiB"."""
    field: ByteSize = Field(default=ByteSize(default), gt=0, description=description)
    return field


class Limits(BaseModel):
    """What one job may use (FRACTUNE_LIMITS__MEMORY and so on)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory: Annotated[ByteSize, Field(gt=0)] | None = Field(
        default=None, description="Bytes of memory; three quarters of what the machine, or its container, has when absent."
    )
    wall_clock_s: PositiveFloat = Field(default=6 * 3600.0, description="Seconds from start to end.")
    file_size: ByteSize = byte_size(16 * GIB, "Bytes of the largest file it may write.")
    open_files: PositiveInt = 1024
    disk: ByteSize = byte_size(64 * GIB, "Bytes of all files that it may hold at a time.")
    processes: PositiveInt = Field(default=1024, description="Threads, and processes where they are not forbidden.")
    grace_s: PositiveFloat = Field(default=2.0, description="Seconds between SIGTERM and SIGKILL.")


class ConnectionLimits(BaseModel):
    """What a client may do to a connection (FRACTUNE_CONNECTIONS__HEADER_S and so on)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    header_bytes: ByteSize = byte_size(32 * 1024, "Bytes of a request before its body.")
    header_s: PositiveFloat = Field(default=10.0, description="Seconds in which they must be there.")
    body_s: PositiveFloat = Field(default=60.0, description="Seconds after which a body that comes too slowly is given up.")
    body_rate: PositiveFloat = Field(default=1024.0, description="Bytes per second that are fast enough.")
    idle_s: PositiveFloat = Field(default=5.0, description="Seconds between two requests of a connection.")
    per_key: PositiveInt = Field(default=128, description="Uploads and event streams of one key at a time.")
    per_address: PositiveInt = Field(
        default=512, description="Connections of one address; those of trusted proxies are not counted."
    )


def check_address(url: str) -> str:
    """`url`, if it is https, or http on this machine. Raises ValueError."""
    parts = urlsplit(url)
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
        return url
    raise ValueError(f"{url!r} is no https:// address")


class OpenIdSettings(BaseModel):
    """An identity provider through which people sign in (FRACTUNE_OIDC__ISSUER and so on)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: Annotated[str, AfterValidator(check_address)] = Field(description="URL, exactly as the provider writes it.")
    client_id: str = Field(min_length=1, description="By which the provider knows this service.")
    client_secret: SecretStr | None = Field(default=None, description="Without, the service is a public client.")
    name: str = Field(default="single sign-on", description="What the button says.")
    scope: str = Field(default="openid profile email", description="What is asked for; `openid` must be there.")
    redirect_uri: Annotated[str, AfterValidator(check_address)] | None = Field(
        default=None, description="Where the provider sends people back; follows from the address of the page when absent."
    )
    role_claim: str = Field(default="roles", description="Claim of the ID token that decides on the role; dots lead inwards.")
    roles: dict[str, Literal["viewer", "operator", "admin"]] = Field(
        default_factory=dict, description="From values of that claim to roles; the first that somebody has counts."
    )
    default_role: Literal["viewer", "operator"] | None = Field(
        default=None, description="Role of those whom no value gives one; they are refused when absent."
    )
    project: Label = Field(default="common", description="Whose people all are, when no claim decides.")
    project_claim: str | None = Field(default=None, description="Claim that decides on the project.")
    projects: dict[str, Label] = Field(
        default_factory=dict, description="From values of that claim to projects; who has none of them is refused."
    )


class Settings(BaseSettings):
    """The configuration of an API process, a worker or the embedded server.

    What is not in the environment may be in a file of that name, in lower case, under FRACTUNE_SECRETS_DIR (/run/secrets).
    """

    model_config = SettingsConfigDict(
        env_prefix="FRACTUNE_", env_nested_delimiter="__", env_ignore_empty=True, frozen=True, extra="forbid"
    )

    # where things are
    data_dir: Path = Field(
        default_factory=lambda: Path.home() / ".fractune", description="Models, datasets, results, database."
    )
    database_url: str | None = Field(default=None, repr=False, description="SQLAlchemy URL; SQLite in data_dir when absent.")
    database_password: SecretStr | None = Field(default=None, description="Joins database_url, to keep it out of there.")
    broker_url: str | None = Field(default=None, repr=False, description="redis://, rediss:// or redis+socket://.")
    broker_password: SecretStr | None = Field(default=None, description="Joins broker_url, to keep it out of there.")
    storage_url: str | None = Field(
        default=None, description="s3://bucket/prefix that keeps all files; data_dir, mounted everywhere, when absent."
    )
    storage_endpoint: str | None = Field(default=None, description="URL of the object storage; Amazon's when absent.")
    storage_region: str = Field(default="us-east-1", description="Most object storages ignore it.")
    storage_access_key: str | None = None
    storage_secret_key: SecretStr | None = None
    root_path: str = Field(default="", description="Path prefix under which a proxy publishes the service.")

    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")),
        description="Networks whose X-Forwarded-For and -Proto are believed.",
    )
    connections: ConnectionLimits = ConnectionLimits()

    # uploads
    max_upload_bytes: ByteSize = byte_size(8 * GIB, "Largest model or dataset.")
    quota_bytes: ByteSize = byte_size(64 * GIB, "What one API key may have stored.")
    min_free_bytes: ByteSize = byte_size(1 * GIB, "Free disk space below which uploads are declined.")
    retention_s: PositiveFloat | None = Field(
        default=None, description="Age at which ended jobs and unused files go; never if absent."
    )

    # jobs
    limits: Limits = Limits()
    lease_s: PositiveFloat = Field(default=30.0, description="How long a silent worker keeps its job.")
    heartbeat_s: PositiveFloat = Field(default=2.0, description="How often a worker renews its lease and hears of a cancel.")
    requeue_s: PositiveFloat = Field(default=30.0, description="Age at which a waiting job's message counts as lost.")
    max_attempts: PositiveInt = Field(default=3, description="How many workers a job may take down.")
    threads: PositiveInt | None = Field(default=None, description="Threads per job; what the machine allows when absent.")
    parts: PositiveInt = Field(default=8, description="How many workers may share a job, if they are idle; 1 shares none.")
    worker_labels: dict[Label, Label] = Field(
        default_factory=dict, description="Classes that a worker belongs to, beside `cpu` and `isa`; a job may ask for one."
    )
    worker_dedicated: bool = Field(default=False, description="Do only jobs that ask for one of this worker's classes.")
    required_layers: tuple[Literal["files", "system calls", "processes", "network", "privileges"], ...] = Field(
        default=(), description="Layers of the sandbox without which a worker does not start; see docs/security."
    )
    child_command: tuple[str, ...] = Field(
        default=(sys.executable, "-m", "workers.run.child"),
        description="The program that does a job; gets its folder as argument.",
    )

    # access
    auth: bool = Field(default=True, description="Ask for API keys. Without, whoever reaches the port is an administrator.")
    oidc: OpenIdSettings | None = Field(default=None, description="People may sign in through it; keys go on to work.")
    rate_limit: PositiveInt = Field(default=30_000, description="Requests per minute and API key.")
    webhook_targets: tuple[WebhookTarget, ...] = Field(
        default=(), description="Where webhooks may go: networks (CIDR), host names, *.domain."
    )

    log_format: Literal["json", "console"] = "json"

    @property
    def answer_s(self) -> float:
        """How soon a worker that lives has answered, in seconds: its heartbeat may be a quarter late."""
        return 1.25 * self.heartbeat_s

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then files of secrets."""
        folder = os.environ.get("FRACTUNE_SECRETS_DIR", SECRETS_DIR)
        return init_settings, env_settings, NestedSecretsSettingsSource(file_secret_settings, folder, secrets_dir_missing="ok")

    @property
    def database(self) -> str:
        """The URL of the job store."""
        default = f"sqlite:///{self.data_dir.resolve()}/fractune.db"
        return with_password(self.database_url, self.database_password) if self.database_url else default

    @property
    def broker(self) -> str:
        """The URL of the queue; the embedded server listens on a socket in `data_dir`."""
        default = f"redis+socket://{self.data_dir.resolve()}/broker.sock"
        return with_password(self.broker_url, self.broker_password) if self.broker_url else default


def read_settings(**values: Any) -> Settings:
    """The settings of this process, `values` before the environment. Raises InvalidSettings that names every fault."""
    try:
        return Settings(**values)
    except SettingsError as error:  # which names the field alone
        named = re.search(r'field "(\w+)"', str(error))
        variable = f"FRACTUNE_{named[1].upper()}: it" if named else "A variable"
        raise InvalidSettings(
            f"{variable} is no JSON.",
            hint="""Lists and mappings are JSON, for example FRACTUNE_WEBHOOK_TARGETS='["10.1.0.0/16"]'.""",
        ) from error
    except ValidationError as error:
        faults = (
            f"FRACTUNE_{'__'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors(include_url=False)
        )
        raise InvalidSettings("; ".join(faults) + ".") from error


def with_password(url: str, password: SecretStr | None) -> str:
    """`url` with the password in its place, whatever characters it has."""
    if password is None:
        return url
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:{quote(password.get_secret_value(), safe='')}@{host}").geturl()
