"""Models and datasets: what is stored, what an inspection has found, upload and removal."""

from collections.abc import AsyncIterator
from typing import Annotated

from anyio import sleep
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.access.authentication import welcome
from service.dashboard.pages import fill, go, render
from service.dashboard.session_auth import TAKES_LONG, Form, OperatorHere, StoreDep, Visitor
from service.http.dependencies import ArtifactsDep, Cursor, Digest
from service.routes.assets import thumbnail_sheet
from workers.jobs.job import TERMINAL
from workers.jobs.records import AssetKind
from workers.jobs.store.listing import JobFilter

router = APIRouter()
PAGE = 50
RECENT = 10
POLL_S = 0.5
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


@router.get("/datasets/{sha256}")
def dataset(request: Request, store: StoreDep, _: Visitor, sha256: Digest) -> Response:
    """A dataset: what is in it and wrong with it, and the jobs that calibrate on it or are judged by it."""
    asset = store.assets.get(AssetKind.DATASET, sha256)
    used = store.listing.page(JobFilter(dataset=sha256), limit=RECENT)
    return render(request, "dataset.html", dataset=asset, jobs=used)


@router.get("/datasets/{sha256}/thumbnails.png")
def thumbnails(store: StoreDep, artifacts: ArtifactsDep, _: Visitor, sha256: Digest) -> FileResponse:
    """Some of its pictures."""
    return thumbnail_sheet(artifacts, store.assets.get(AssetKind.DATASET, sha256))


@router.get("/live/{kind}s/{sha256}", response_class=EventSourceResponse, dependencies=TAKES_LONG)
async def inspected(
    request: Request, store: StoreDep, _: Visitor, kind: AssetKind, sha256: Digest
) -> AsyncIterator[ServerSentEvent]:
    """What the inspection finds, as soon as it has ended."""
    shown, still = "", welcome(request)
    while await still():
        asset = await run_sync(store.assets.get, kind, sha256)
        html = fill(request, f"parts/{kind.value}_facts.html", **{kind.value: asset})
        if html != shown:
            yield ServerSentEvent(data={"id": f"{kind.value}-facts", "html": html}, event="replace")
        if asset.job_state is None or asset.job_state in TERMINAL:
            yield ServerSentEvent(data={}, event="done")
            return
        shown = html
        await sleep(POLL_S)


@router.post("/{kind}s/{sha256}/remove")
def remove(
    request: Request, store: StoreDep, artifacts: ArtifactsDep, _: OperatorHere, fields: Form, kind: AssetKind, sha256: Digest
) -> Response:
    """Forget it; declined while a job needs it."""
    store.assets.remove(kind, sha256, lambda: artifacts.discard(kind, sha256))
    return go(request, f"{kind}s")
