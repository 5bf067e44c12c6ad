"""Put a job together: choose or upload a model, build a recipe, see what it comes to, submit it."""

from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import ValidationError

from service.dashboard.draft import BLOCKS, PRESETS, Draft, catalogue
from service.dashboard.equivalents import brief, spell_request
from service.dashboard.pages import address, go, render
from service.dashboard.session_auth import Form, OperatorHere, StoreDep
from service.dashboard.views.job import advised
from service.http.dependencies import AnnounceDep, ArtifactsDep, JobId
from service.http.schemas import JobCreate
from service.routes.jobs import submit_job
from workers.errors import FractuneError, InvalidRequest, NotFound
from workers.jobs.records import Asset, AssetKind, Job, JsonObject
from workers.jobs.store import Store
from workers.recipe import Recipe
from workers.recipe.forecast import Forecast, foresee
from workers.recipe.goals import DEFAULT_GOAL, GOALS, with_goal

router = APIRouter()
LISTED = 200  # models and datasets to choose from; the newest


@router.get("/new")
def begin(
    request: Request,
    store: StoreDep,
    _: OperatorHere,
    model: Annotated[str, Query(max_length=64)] = "",
    dataset: Annotated[str, Query(max_length=64)] = "",
    goal: Annotated[str, Query(max_length=20)] = DEFAULT_GOAL,
    preset: Annotated[str, Query(max_length=200)] = "",
    like: Annotated[str, Query(alias="from", max_length=32)] = "",
) -> Response:
    """A form for a goal or a common recipe, or one filled in like an earlier job."""
    if like:
        job = store.jobs.get(like)
        return _page(request, store, Draft.of(brief(job.recipe), **_chosen(job), name=job.name))
    return _page(request, store, Draft.of(PRESETS.get(preset) or with_goal({"goal": goal}), model=model, dataset=dataset))


@router.get("/jobs/{job_id}/advice/{number}")
def follow(
    request: Request,
    store: StoreDep,
    artifacts: ArtifactsDep,
    _: OperatorHere,
    job_id: JobId,
    number: Annotated[int, Path(ge=0, le=99)],
) -> Response:
    """A form filled in as the report of a job suggests."""
    job = store.jobs.get(job_id)
    sentence, recipe = advised(store, artifacts, job, number)
    return _page(request, store, Draft.of(recipe.brief(), **_chosen(job)), followed=(job, sentence))


@router.post("/new")
def change(request: Request, store: StoreDep, announce: AnnounceDep, principal: OperatorHere, fields: Form) -> Response:
    """A button of the form: change the steps, or submit."""
    draft = _draft(fields)
    action = str(fields.get("action", ""))
    if action == "submit" and not draft.faults:
        try:
            job, _ = submit_job(store, announce, principal.id, _wanted(draft), draft.values.get("key") or None)
        except FractuneError as error:
            return _page(request, store, draft, f"{error.message} {error.hint}")
        return go(request, f"jobs/{job.id}")
    if action.startswith("add"):
        action = f"add:{fields.get('add', '')}"
    return _page(request, store, draft.changed(action))


@router.post("/new/preview")
def preview(request: Request, store: StoreDep, _: OperatorHere, fields: Form) -> Response:
    """What the form comes to, for the script to show while one types."""
    request.state.changes_nothing = True
    return render(request, "parts/new_preview.html", **_preview(request, store, _draft(fields)))


def _chosen(job: Job) -> dict[str, str]:
    return {"model": job.model, "dataset": job.dataset or "", "evaluation": job.evaluation or ""}


def _draft(fields: Form) -> Draft:
    return Draft({name: str(value) for name, value in fields.items()})


def _wanted(draft: Draft) -> JobCreate:
    """Raises InvalidRequest."""
    given = {name: draft.values.get(name) or None for name in ("model", "dataset", "evaluation")}
    if given["model"] is None:
        raise InvalidRequest("No model is chosen.", hint="Upload one, or choose one that is there; a refused file is none.")
    try:
        return JobCreate.model_validate({**given, "recipe": draft.recipe(), "name": draft.values.get("name", "")})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidRequest(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}.", hint="Correct it and submit again."
        ) from error


def _page(request: Request, store: Store, draft: Draft, refusal: str = "", followed: tuple[Job, str] | None = None) -> Response:
    return render(
        request,
        "new.html",
        refusal=refusal,
        followed=followed,
        blocks={name: draft.block(name) for name in BLOCKS},
        catalogue=catalogue(),
        goals=GOALS,
        presets=PRESETS,
        models=store.assets.page(AssetKind.MODEL, limit=LISTED).items,
        datasets=store.assets.page(AssetKind.DATASET, limit=LISTED).items,
        key=draft.values.get("key") or uuid4().hex,
        **_preview(request, store, draft),
    )


def _preview(request: Request, store: Store, draft: Draft) -> dict[str, Any]:
    model = _model(store, draft.values.get("model", ""))
    recipe = draft.recipe()
    named = {"model": model.sha256 if model else "SHA256", "dataset": draft.values.get("dataset"), "recipe": recipe}
    body = {**named, "evaluation": draft.values.get("evaluation"), "name": draft.values.get("name")}
    same = spell_request(request, store, body)
    pictures = _fractals(request, draft, recipe, model)
    return {"draft": draft, "model": model, "equivalents": same, "fractals": pictures, "expected": expected(draft, model)}


def expected(draft: Draft, model: Asset | None) -> Forecast | None:
    """What the job would come to; None while the recipe is not complete, or the model not inspected."""
    if draft.faults or model is None or model.inspection is None:
        return None
    try:
        return foresee(model.inspection, Recipe.model_validate(draft.recipe()), data=bool(draft.values.get("dataset")))
    except (ValidationError, FractuneError):  # the form says so beside the knob, or on submission
        return None


def _model(store: Store, sha256: str) -> Asset | None:
    try:
        return store.assets.get(AssetKind.MODEL, sha256) if sha256 else None
    except NotFound:
        return None


def _fractals(request: Request, draft: Draft, recipe: JsonObject, model: Asset | None) -> str | None:
    """The address of the sheet of images that the job will see; None where it sees none."""
    calibration = recipe.get("calibration", {})
    source = calibration.get("source") or ("dataset" if draft.values.get("dataset") else "fractals")
    inputs = (model.inspection or {}).get("inputs", []) if model else []
    size = image_size(inputs[0].get("shape", []), recipe.get("preprocessing", {}).get("layout")) if len(inputs) == 1 else None
    seed = calibration.get("seed", recipe.get("seed", 0))
    if source != "fractals" or size is None or not isinstance(seed, int):
        return None
    height, width, channels = size
    return address(request, "fractals.png", seed=seed, height=height, width=width, channels=channels)


def image_size(shape: list[int], layout: str | None) -> tuple[int, int, int] | None:
    """Height, width and channels of an input that takes images of a size that is fixed."""
    if len(shape) != 4 or min(shape[1:]) < 1:
        return None
    first = layout == "NCHW" if layout else shape[1] <= 4 or shape[3] > 4
    height, width, channels = (shape[2], shape[3], shape[1]) if first else (shape[1], shape[2], shape[3])
    fits = 8 <= min(height, width) and max(height, width) <= 1024 and channels <= 4
    return (height, width, channels) if fits else None
