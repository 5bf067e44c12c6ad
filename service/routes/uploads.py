"""Uploads in parts, for large files and bad lines.

POST /uploads announces size and SHA-256, or finds what has come of the same file; PATCH appends at Upload-Offset; after a
cut, HEAD tells where to go on;
POST /uploads/{id}:complete checks the SHA-256 and makes it a model or dataset.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response

from service.access.authentication import TAKES_LONG, StoreDep
from service.http.dependencies import ArtifactsDep
from service.http.schemas import DatasetView, ModelView, UploadCreate, UploadView
from service.routes.assets import BINARY, UNLIMITED
from service.uploads.intake import IntakeDep
from service.uploads.receive import receive
from workers.errors import ChecksumMismatch, Conflict, NotFound
from workers.jobs.records import AssetKind, Upload

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])
PART = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": BINARY}}}}
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, lt=2**53, description="Bytes that the service has already.")]


def _own(store: StoreDep, intake: IntakeDep, upload_id: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]) -> Upload:
    upload = store.assets.announced(upload_id)
    if upload.owner != intake.owner:
        raise NotFound(f"There is no upload {upload_id}.")
    return upload


Own = Annotated[Upload, Depends(_own)]


@router.post("", status_code=201)
def begin(
    request: Request, response: Response, store: StoreDep, artifacts: ArtifactsDep, intake: IntakeDep, body: UploadCreate
) -> UploadView:
    """Announce a file; one that was announced before goes on at `Upload-Offset`."""
    intake.make_room(body.size)
    upload = store.assets.announce(body.kind, body.sha256, body.name, body.size, intake.owner)
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/v1/uploads/{upload.id}"
    return _view(response, upload, artifacts.received(upload.id))


@router.get("/{upload_id}")
@router.head("/{upload_id}", response_model=None)
def read(response: Response, artifacts: ArtifactsDep, upload: Own) -> UploadView:
    """How much of it has come."""
    return _view(response, upload, artifacts.received(upload.id))


@router.patch("/{upload_id}", openapi_extra=PART, max_body_size=UNLIMITED, dependencies=TAKES_LONG)
async def append(
    request: Request, response: Response, artifacts: ArtifactsDep, intake: IntakeDep, upload: Own, offset: Offset
) -> UploadView:
    """Append a part; what came of it before a cut is kept."""
    with artifacts.incoming(upload.size, intake.settings.min_free_bytes, upload.id) as incoming:
        if incoming.size != offset:
            raise _misplaced(incoming.size, offset)
        await receive(request, incoming)
    return _view(response, upload, incoming.size)


@router.post("/{upload_id}:complete", status_code=201, response_model=ModelView | DatasetView)
def complete(
    request: Request, response: Response, store: StoreDep, artifacts: ArtifactsDep, intake: IntakeDep, upload: Own
) -> object:
    """Check it and make it a model or dataset; with another SHA-256 it is forgotten."""
    with artifacts.incoming(upload.size, 0, upload.id) as incoming:
        if incoming.size != upload.size:
            raise _misplaced(incoming.size, upload.size)
        try:
            sha256 = incoming.finish(upload.sha256)
        except ChecksumMismatch:
            give_up(store, artifacts, upload)
            raise
        asset, _ = intake.admit(incoming, upload.kind, sha256, upload.name)
    store.assets.forget(upload.id)
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/v1/{upload.kind}s/{sha256}"
    view = ModelView if upload.kind == AssetKind.MODEL else DatasetView
    return view.model_validate(asset)


@router.delete("/{upload_id}", status_code=204)
def give_up(store: StoreDep, artifacts: ArtifactsDep, upload: Own) -> None:
    """Forget it."""
    store.assets.forget(upload.id)
    artifacts.forget_incoming(upload.id)


def _view(response: Response, upload: Upload, offset: int) -> UploadView:
    response.headers["Upload-Offset"] = str(offset)
    return UploadView(id=upload.id, kind=upload.kind, name=upload.name, size=upload.size, sha256=upload.sha256, offset=offset)


def _misplaced(received: int, offset: int) -> Conflict:
    headers = {"Upload-Offset": str(received)}
    return Conflict(f"{received} bytes have come, not {offset}.", hint="Go on from Upload-Offset.", headers=headers)
