"""What the figures mean, and what every refusal and failure means: the pages' own help, without the network."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.dashboard.pages import render
from service.dashboard.session_auth import Visitor
from workers.errors import Internal, error_kinds

router = APIRouter()


@router.get("/help")
def page(request: Request, _: Visitor) -> Response:
    """First steps, figures, preprocessing, failures."""
    failures = [(kind.code, kind().message, kind.hint) for kind in error_kinds() if kind is not Internal]
    return render(request, "help.html", failures=failures)
