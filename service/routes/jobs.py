"""Jobs: submit, list, read, cancel, retry."""

from contextlib import suppress
from dataclasses import replace
from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from service.access.authentication import Operator, StoreDep, Viewer
from service.http.dependencies import AnnounceDep, ArtifactsDep, Cursor, JobId, Limit, Part, SettingsDep
from service.http.schemas import JobCreate, JobSummary, JobView, PageView, PriorityBody
from workers.errors import Conflict, InvalidRecipe, InvalidRequest, NotFound
from workers.jobs.job import Kind, State
from workers.jobs.records import Asset, AssetKind, Job, uploaded_decoder
from workers.jobs.records import Request as JobRequest
from workers.jobs.store import Store
from workers.jobs.store.jobs import JobQuery
from workers.recipe.forecast import Forecast, foresee
from workers.recipe.recipe import HEADS
from workers.recipe.title import recipe_title

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
IdempotencyKey = Annotated[
    str | None, Header(max_length=255, pattern=r"^[\x21-\x7e]+$", description="The same key and body give the same job.")
]
Labels = Annotated[list[str], Query(alias="label", max_length=32, description="`key:value`; all must fit.")]
POLL_S = "2"
LONGEST_NAME = 200


@router.post("", status_code=202, response_model=JobView)
def submit(
    body: JobCreate,
    request: Request,
    response: Response,
    store: StoreDep,
    announce: AnnounceDep,
    principal: Operator,
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Compress a model by a recipe."""
    job, _ = submit_job(store, announce, principal.id, body, idempotency_key)
    return accepted(request, response, job, store)


@router.post(":validate", response_model=Forecast)
def validate(request: Request, body: JobCreate, store: StoreDep, _: Operator) -> Forecast:
    """What a job would do: layers matched and skipped, size, memory and time. Nothing is queued."""
    request.state.changes_nothing = True
    refuse_impossible(body)
    for kind, sha256 in request_of(body).needs():
        refuse_unusable(store.assets.get(kind, sha256))
    model = store.assets.get(AssetKind.MODEL, body.model)
    if model.inspection is None:
        raise Conflict(f"Model {model.sha256} has not been inspected yet.", hint="Ask again in a moment.")
    return foresee(model.inspection, body.recipe, data=body.dataset is not None)


def selection(
    begins: Annotated[str | None, Query(alias="id", pattern=r"^[0-9a-f]{1,32}$", description="Its first letters.")] = None,
    state: State | None = None,
    kind: Kind | None = None,
    model: Annotated[str | None, Query(pattern=r"^[0-9a-f]{64}$")] = None,
    method: Annotated[str | None, Query(pattern=r"^[a-z0-9_]{1,40}$", description="One of the recipe's.")] = None,
    name: Part = None,
    label: Labels = [],  # noqa: B006
) -> JobQuery:
    """Which jobs a list is to show."""
    labels = {key: value for key, _, value in (pair.partition(":") for pair in label)}
    return JobQuery(begins, state, kind, model, method, name, labels)


@router.get("", response_model=PageView[JobSummary])
def page(
    store: StoreDep, _: Viewer, chosen: Annotated[JobQuery, Depends(selection)], cursor: Cursor = None, limit: Limit = 50
) -> Any:
    """List, newest first; each without its recipe."""
    return store.jobs.page(cursor, limit, chosen)


@router.get("/{job_id}", response_model=JobView)
async def read(request: Request, response: Response, viewer: Viewer, job_id: JobId) -> JobView:
    """A job as it stands."""
    job: Job = await request.app.state.job(viewer.scope, job_id)
    if not job.ended:
        response.headers["Retry-After"] = POLL_S
    return viewed(job, await request.app.state.queue() if job.state == State.QUEUED else [])


def view_of(job: Job, store: Store) -> JobView:
    """The job with its place in the queue."""
    return viewed(job, store.jobs.queue() if job.state == State.QUEUED else [])


def viewed(job: Job, queue: list[str]) -> JobView:
    """The job with its place among those that wait."""
    place = queue.index(job.id) + 1 if job.id in queue else None
    return JobView.model_validate(job).model_copy(update={"place": place})


@router.delete("/{job_id}", status_code=204)
def remove(store: StoreDep, artifacts: ArtifactsDep, _: Operator, job_id: JobId) -> None:
    """Remove an ended job with its results."""
    store.retention.remove_job(job_id, lambda: artifacts.discard_job(job_id))


@router.post("/{job_id}:share", response_model=JobView)
def share(store: StoreDep, _: Operator, job_id: JobId) -> Job:
    """Let every project see it."""
    return store.jobs.share(job_id)


@router.post("/{job_id}:cancel", status_code=202, response_model=JobView)
def cancel(store: StoreDep, settings: SettingsDep, _: Operator, job_id: JobId) -> Job:
    """End a waiting job; ask the worker of a running one to stop."""
    return store.jobs.cancel(job_id, settings.answer_s)


@router.post("/{job_id}:prioritize", response_model=JobView)
def prioritize(body: PriorityBody, store: StoreDep, _: Operator, job_id: JobId) -> JobView:
    """Let a waiting job go before or after others."""
    return view_of(store.jobs.prioritize(job_id, body.priority), store)


@router.post("/{job_id}:retry", status_code=202, response_model=JobView)
def retry(
    request: Request, response: Response, store: StoreDep, announce: AnnounceDep, principal: Operator, job_id: JobId
) -> JobView:
    """Do an ended job again, as a new job. It takes no body: a job with other settings is submitted."""
    if request.headers.get("content-length", "0") != "0":
        raise InvalidRequest("A retry takes no body: it does the same again.", hint="Submit a job with the other recipe.")
    return accepted(request, response, again(store, announce, principal.id, job_id), store)


def again(store: Store, announce: AnnounceDep, owner: str, job_id: str) -> Job:
    """Queue an ended job once more. Raises NotFound, Conflict."""
    job = store.jobs.get(job_id)
    if not job.ended:
        raise Conflict(f"Job {job_id} has not ended: {job.state}.", hint="Cancel it first.")
    new, _ = store.jobs.submit(job.again(), owner)
    announce(new.id)
    return new


def submit_job(store: Store, announce: AnnounceDep, owner: str, body: JobCreate, key: str | None) -> tuple[Job, bool]:
    """Queue what is asked for; True when it is new. Raises NotFound, InvalidRequest, InvalidRecipe, IdempotencyMismatch."""
    refuse_impossible(body)
    wanted = replace(request_of(body), name=body.name or _name_of(body, store))
    for kind, sha256 in wanted.needs():
        with suppress(NotFound):  # which the store tells with what to do
            refuse_unusable(store.assets.get(kind, sha256))
    job, new = store.jobs.submit(wanted, owner, key)
    if new:
        announce(job.id)
    return job, new


def _name_of(body: JobCreate, store: Store) -> str:
    """The model, and what is done to it."""
    with suppress(NotFound):  # which the store tells with what to do
        model = store.assets.get(AssetKind.MODEL, body.model)
        return f"{PurePath(model.name).stem} · {recipe_title(body.recipe)}"[:LONGEST_NAME]
    return ""


def request_of(body: JobCreate) -> JobRequest:
    """What is asked of the store."""
    return JobRequest(
        Kind.COMPRESS,
        body.model,
        body.recipe.model_dump(mode="json", by_alias=True),
        body.dataset,
        body.evaluation,
        body.name,
        body.labels,
        runs_on=body.runs_on,
        priority=body.priority,
    )


def accepted(request: Request, response: Response, job: Job, store: Store) -> JobView:
    """Tell the client where to look."""
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/v1/jobs/{job.id}"
    response.headers["Retry-After"] = POLL_S
    return view_of(job, store)


def refuse_impossible(body: JobCreate) -> None:
    """What no worker could do is not queued. Raises InvalidRecipe."""
    recipe = body.recipe
    recipe.check_data(data=body.dataset is not None, evaluation=body.evaluation is not None)
    if recipe.constraint and recipe.constraint.metric == "custom":
        raise InvalidRecipe(
            "constraint.metric is `custom`: no code of users runs in the service.",
            hint="Run `fractune optimize --metric MODULE:FUNCTION` on your own machine, or upload a decoder as a model.",
        )
    if recipe.decoder and recipe.decoder not in HEADS and uploaded_decoder(recipe.brief()) is None:
        raise InvalidRecipe(
            f"decoder: {recipe.decoder!r} is neither a head nor the SHA-256 of a model.",
            hint=f"There are {', '.join(HEADS)}; or upload a model that decodes.",
        )


def refuse_unusable(asset: Asset) -> None:
    """What was refused at its inspection would be refused again. Raises InvalidRequest."""
    if asset.failure is not None:
        raise InvalidRequest(f"The {asset.kind.value} was refused: {asset.failure.message}", hint=asset.failure.hint)
