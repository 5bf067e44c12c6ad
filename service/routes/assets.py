"""Models and datasets: upload, list, read, remove. Both are files named by their SHA-256."""

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse

from service.access.authentication import TAKES_LONG, Operator, StoreDep, Viewer
from service.http.dependencies import ArtifactsDep, Cursor, Digest, Limit, Part
from service.http.schemas import DatasetSummary, DatasetView, ModelSummary, ModelView, PageView
from service.uploads.intake import Intake, IntakeDep
from service.uploads.receive import receive
from workers.errors import NotFound
from workers.jobs.artifacts import Artifacts
from workers.jobs.records import Asset, AssetKind

THUMBNAILS = "thumbnails.png"
BINARY = {"type": "string", "format": "binary"}
UNLIMITED = 2**62  # for the framework; Incoming enforces the limit that is set
FORM = {"type": "object", "properties": {"file": BINARY}, "required": ["file"]}
FILE_TYPES = {"application/octet-stream": {"schema": BINARY}, "multipart/form-data": {"schema": FORM}}
FILE_UPLOAD: dict[str, Any] = {
    "openapi_extra": {"requestBody": {"required": True, "content": FILE_TYPES}},
    "max_body_size": UNLIMITED,
    "dependencies": TAKES_LONG,
}
Name = Annotated[str | None, Query(max_length=200, description="File name; its suffix tells the format. A form brings one.")]


def asset_router(kind: AssetKind, view: type[DatasetSummary], summary: type[DatasetSummary]) -> APIRouter:
    """The routes under /models or /datasets."""
    router = APIRouter(prefix=f"/v1/{kind}s", tags=[f"{kind}s"])
    stored = {200: {"model": view, "description": "It was there already."}, 201: {"model": view}}
    upload: dict[str, Any] = {"status_code": 201, "response_model": view, "responses": stored, **FILE_UPLOAD}

    @router.post("", **upload)
    async def create(request: Request, response: Response, intake: IntakeDep, name: Name = None) -> Asset:
        """Upload a file; raw or as a form."""
        return await take(request, response, intake, kind, name)

    @router.put("/{sha256}", **upload)
    async def put(request: Request, response: Response, intake: IntakeDep, sha256: Digest, name: Name = None) -> Asset:
        """Upload the file of that SHA-256; refused if it has another one."""
        return await take(request, response, intake, kind, name, sha256)

    @router.get("", response_model=PageView[summary])  # type: ignore[valid-type]
    def page(store: StoreDep, _: Viewer, cursor: Cursor = None, limit: Limit = 50, name: Part = None) -> Any:
        """List, newest first."""
        return store.assets.page(kind, cursor, limit, name=name)

    @router.get("/{sha256}", response_model=view)
    @router.head("/{sha256}", response_model=None)
    def read(store: StoreDep, _: Viewer, sha256: Digest) -> Asset:
        """Whether it is stored, and what is known about it."""
        return store.assets.get(kind, sha256)

    @router.post("/{sha256}:share", response_model=view)
    def share(store: StoreDep, _: Operator, sha256: Digest) -> Asset:
        """Let every project see it and use it."""
        return store.assets.share(kind, sha256)

    @router.delete("/{sha256}", status_code=204)
    def remove(store: StoreDep, artifacts: ArtifactsDep, _: Operator, sha256: Digest) -> None:
        """Forget it; declined while a job needs it."""
        store.assets.remove(kind, sha256, lambda: artifacts.discard(kind, sha256))

    return router


async def take(
    request: Request, response: Response, intake: Intake, kind: AssetKind, name: str | None, sha256: str | None = None
) -> Asset:
    """Receive the file of a request and keep it."""
    with intake.receiving() as incoming:
        form_name = await receive(request, incoming)
        actual = await run_sync(incoming.finish, sha256)
        await run_sync(intake.make_room, incoming.size)
        asset, new = await run_sync(intake.admit, incoming, kind, actual, name or form_name or "")
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/v1/{kind}s/{actual}"
    return asset


models = asset_router(AssetKind.MODEL, ModelView, ModelSummary)
datasets = asset_router(AssetKind.DATASET, DatasetView, DatasetSummary)


@datasets.get("/{sha256}/thumbnails.png", response_class=FileResponse)
def thumbnails(store: StoreDep, artifacts: ArtifactsDep, _: Viewer, sha256: Digest) -> FileResponse:
    """Some of the pictures, side by side."""
    return thumbnail_sheet(artifacts, store.assets.get(AssetKind.DATASET, sha256))


def thumbnail_sheet(artifacts: Artifacts, asset: Asset) -> FileResponse:
    """What the inspection of a dataset has drawn. Raises NotFound where there is none."""
    if asset.job_id and asset.job_attempt and asset.inspection:
        path = artifacts.result(asset.job_id, asset.job_attempt, THUMBNAILS)
        if path.is_file():
            return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=86400"})
    raise NotFound(f"Dataset {asset.sha256} has no thumbnails.", hint="Only pictures that were inspected have some.")
