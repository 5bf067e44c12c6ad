"""Models and datasets: what is stored, what an inspection has found, upload and removal."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from service.dashboard.pages import go, render
from service.dashboard.session_auth import Form, OperatorHere, StoreDep, Visitor
from service.http.dependencies import ArtifactsDep, Cursor, Digest
from workers.jobs.records import AssetKind
from workers.jobs.store.listing import JobFilter

router = APIRouter()
PAGE = 50
RECENT = 10
Search = Annotated[str, Query(max_length=200)]


@router.get("/models")
def models(request: Request, store: StoreDep, _: Visitor, cursor: Cursor = None, q: Search = "") -> Response:
    """Uploaded models."""
    page = store.assets.page(AssetKind.MODEL, cursor, PAGE, name=q or None)
    return render(request, "assets.html", kind=AssetKind.MODEL, page=page, q=q)


@router.get("/datasets")
def datasets(request: Request, store: StoreDep, _: Visitor, cursor: Cursor = None, q: Search = "") -> Response:
    """Uploaded datasets."""
    page = store.assets.page(AssetKind.DATASET, cursor, PAGE, name=q or None)
    return render(request, "assets.html", kind=AssetKind.DATASET, page=page, q=q)


@router.get("/models/{sha256}")
def model(request: Request, store: StoreDep, _: Visitor, sha256: Digest) -> Response:
    """A model: inputs, outputs, layers, and its jobs."""
    asset = store.assets.get(AssetKind.MODEL, sha256)
    return render(request, "model.html", model=asset, jobs=store.listing.page(JobFilter(model=sha256), limit=RECENT))


@router.post("/{kind}s/{sha256}/remove")
def remove(
    request: Request, store: StoreDep, artifacts: ArtifactsDep, _: OperatorHere, fields: Form, kind: AssetKind, sha256: Digest
) -> Response:
    """Forget it; declined while a job needs it."""
    store.assets.remove(kind, sha256, lambda: artifacts.discard(kind, sha256))
    return go(request, f"{kind}s")
