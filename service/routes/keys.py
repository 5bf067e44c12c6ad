"""API keys, and the log of what was done with them."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from service.access.authentication import Admin, StoreDep, Viewer, issue
from service.access.sessions import TICKET, TICKET_S, issue_ticket
from service.http.dependencies import Cursor, Limit
from service.http.schemas import AuditView, KeyCreate, KeyIssued, KeyView, PageView, PrincipalView, SigninLink
from workers.jobs.records import ApiKey

router = APIRouter(prefix="/v1", tags=["access"])
KeyId = Annotated[str, Path(pattern=r"^[0-9a-f]{12}$")]


@router.get("/whoami")
def whoami(principal: Viewer) -> PrincipalView:
    """The key that this request came with."""
    return PrincipalView.model_validate(principal)


@router.post("/signin-links", status_code=201)
def signin_link(request: Request, principal: Viewer) -> SigninLink:
    """A link that opens the dashboard in a browser with the key that asks, once and within minutes."""
    ticket = issue_ticket(request.app.state.store, principal.id)
    return SigninLink(path=f"{request.scope.get('root_path', '')}/ui/login#{TICKET}{ticket}", expires_in_s=TICKET_S)


@router.post("/apikeys", status_code=201)
def create(store: StoreDep, principal: Admin, body: KeyCreate) -> KeyIssued:
    """A new key; its text is shown this once."""
    key, text = issue(store, body.name, body.role, principal.id, body.expires_in_s, body.project)
    return KeyIssued(**KeyView.model_validate(key).model_dump(), key=text)


@router.get("/apikeys", response_model=PageView[KeyView])
def page(store: StoreDep, _: Admin, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """Every key ever given out, newest first."""
    return store.keys.page(cursor, limit)


@router.delete("/apikeys/{key_id}", response_model=KeyView)
def revoke(store: StoreDep, _: Admin, key_id: KeyId) -> ApiKey:
    """From now on the key opens nothing."""
    return store.keys.revoke(key_id)


@router.get("/audit")
def audit(
    store: StoreDep,
    _: Admin,
    before: Annotated[int | None, Query(ge=1, lt=2**31, description="Entries before this one.")] = None,
    limit: Limit = 50,
    actor: Annotated[str | None, Query(pattern=r"^[a-z0-9]{1,20}$", description="Id of an API key.")] = None,
) -> list[AuditView]:
    """Every request that changed something, or tried to, newest first."""
    return [AuditView.model_validate(entry) for entry in store.audit.page(before, limit, actor=actor)]
