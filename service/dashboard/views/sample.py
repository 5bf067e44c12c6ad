"""A first job by one click: the small network that the service carries, and the digits to judge it by."""

import json
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.dashboard.pages import go
from service.dashboard.session_auth import Form, OperatorHere, StoreDep
from service.http.dependencies import AnnounceDep, ArtifactsDep, SettingsDep
from service.http.schemas import JobCreate
from service.routes.jobs import submit_job
from service.uploads.intake import Intake
from workers.jobs.records import AssetKind

router = APIRouter()
SAMPLE = Path(__file__).parents[1] / "sample"


@router.post("/sample")
def start(
    request: Request,
    store: StoreDep,
    artifacts: ArtifactsDep,
    settings: SettingsDep,
    announce: AnnounceDep,
    principal: OperatorHere,
    fields: Form,
) -> Response:
    """Take the network and its digits in like any upload, and submit the job of `make demo`."""
    intake = Intake(settings, store, artifacts, announce, principal.id)
    model, digits = _take(intake, AssetKind.MODEL, "digits.onnx"), _take(intake, AssetKind.DATASET, "digits.npz")
    recipe = json.loads((SAMPLE / "recipe.json").read_text())
    wanted = JobCreate.model_validate({"model": model, "evaluation": digits, "recipe": recipe})
    job, _ = submit_job(store, announce, principal.id, wanted, None)
    return go(request, f"jobs/{job.id}")


def _take(intake: Intake, kind: AssetKind, name: str) -> str:
    """Its SHA-256. Raises QuotaExceeded, StorageFull."""
    content = (SAMPLE / name).read_bytes()
    intake.make_room(len(content))
    with intake.receiving() as incoming:
        incoming.write(content)
        asset, _ = intake.admit(incoming, kind, incoming.finish(), name)
    return asset.sha256
