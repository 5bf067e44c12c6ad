"""Who does the jobs."""

from fastapi import APIRouter

from service.access.authentication import StoreDep, Viewer
from service.http.schemas import WorkerView

router = APIRouter(prefix="/v1/workers", tags=["workers"])


@router.get("")
def workers(store: StoreDep, _: Viewer) -> list[WorkerView]:
    """Every worker heard of within a day: its machine, and what it is at work on."""
    return [WorkerView.model_validate(worker) for worker in store.workers.list()]
