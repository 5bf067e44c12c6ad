"""What a route may ask for. Coroutines where nothing waits: FastAPI sends plain functions through a thread each."""

from collections import Counter
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Path, Query, Request

from workers.errors import InvalidRequest
from workers.jobs.artifacts import Artifacts
from workers.settings import Settings

LISTS = {"label"}  # parameters that may be given several times


async def single_values(request: Request) -> None:
    """Raises InvalidRequest where a parameter comes twice of which one value counts: a proxy may have looked at the other."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    repeated = [name for name, count in counts.items() if count > 1 and name not in LISTS]
    if repeated:
        raise InvalidRequest(f"The parameter {repeated[0]!r} is given more than once.", hint="Give it once.")


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _artifacts(request: Request) -> Artifacts:
    artifacts: Artifacts = request.app.state.artifacts
    return artifacts


async def _announce(request: Request) -> Callable[[str], None]:
    announce: Callable[[str], None] = request.app.state.announce
    return announce


SettingsDep = Annotated[Settings, Depends(_settings)]
ArtifactsDep = Annotated[Artifacts, Depends(_artifacts)]
AnnounceDep = Annotated[Callable[[str], None], Depends(_announce)]

JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Digest = Annotated[str, Path(alias="sha256", pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file.")]
Cursor = Annotated[str | None, Query(max_length=200, pattern=r"^[A-Za-z0-9_-]*$", description="From the page before.")]
Limit = Annotated[int, Query(ge=1, le=200)]
Part = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="A part of the name.")]
