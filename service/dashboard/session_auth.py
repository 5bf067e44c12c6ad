"""Who looks at a page, what they may do, and whether a form came from us."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import FormData

from service.access.authentication import ANYBODY, Needs, Principal, principal_of
from service.access.sessions import is_ours
from service.dashboard.pages import token_of
from service.http.dependencies import JobId
from workers.errors import Forbidden, Unauthenticated
from workers.jobs.records import Role
from workers.jobs.store import Store


async def visitor(request: Request) -> Principal:
    """The holder of the session. Raises Unauthenticated, RateLimited."""
    state = request.app.state
    principal = ANYBODY
    if state.settings.auth:
        key = await state.recognition.session(token_of(request))
        if key is None:
            raise Unauthenticated
        principal = principal_of(key)
    state.requests.take(principal.id)
    request.state.principal = principal
    return principal


async def form(request: Request) -> FormData:
    """The fields of a form. Raises Forbidden when it is not one of ours."""
    fields = await request.form(max_files=0, max_fields=2000)
    if not is_ours(request, token_of(request), str(fields.get("csrf", ""))):
        raise Forbidden("The form is not from this session.", hint="Reload the page and send it again.")
    return fields


async def _pass_through(request: Request, principal: Annotated[Principal, Depends(visitor)]) -> AsyncIterator[None]:
    """A place among the requests of a visitor that take long, until the answer has left. Raises RateLimited."""
    async with request.app.state.turnstile.passage(principal.id):
        yield


class _Visitor:
    """A dependency: the visitor, if it has the role. Raises Forbidden."""

    def __init__(self, role: Role) -> None:
        self._needs = Needs(role)

    async def __call__(self, principal: Annotated[Principal, Depends(visitor)]) -> Principal:
        return await self._needs(principal)


async def _store(request: Request, principal: Annotated[Principal, Depends(visitor)]) -> Store:
    store: Store = request.app.state.store
    return store.seen_by(principal.scope)


StoreDep = Annotated[Store, Depends(_store)]
TAKES_LONG = [Depends(_pass_through)]


def _known_job(store: StoreDep, job_id: JobId) -> str:
    """A job that is there, to be asked for before a stream begins. Raises NotFound."""
    return store.jobs.get(job_id).id


KnownJob = Annotated[str, Depends(_known_job)]
Visitor = Annotated[Principal, Depends(visitor)]
OperatorHere = Annotated[Principal, Depends(_Visitor(Role.OPERATOR))]
AdminHere = Annotated[Principal, Depends(_Visitor(Role.ADMIN))]
Form = Annotated[FormData, Depends(form)]
