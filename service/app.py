"""The application: wiring only."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.datastructures import State

from service.access.audit import Auditor
from service.access.authentication import Recognition
from service.access.openid import Provider
from service.access.throttle import Throttle, Turnstile
from service.dashboard.app import PATH, create_dashboard
from service.http import errors
from service.http.deadline import Deadline
from service.http.dependencies import single_values
from service.http.headers import Careful
from service.http.metrics import Metrics, Stopwatch
from service.http.prefix import Prefixed
from service.http.readiness import Readiness
from service.http.shared import Current, Shared
from service.periodic_tasks import PeriodicTasks
from service.routes import assets, health, jobs, keys, methods, results, uploads, webhooks, workers
from service.webhooks.delivery import Messenger
from service.webhooks.targets import Allowed
from workers.errors import Unavailable
from workers.jobs.artifacts import Artifacts
from workers.jobs.blob_store import blob_store_of
from workers.jobs.reconciler import reconcile
from workers.jobs.retention import remove_old
from workers.jobs.store import Store
from workers.settings import Settings
from workers.worker import broker

log = structlog.get_logger(__name__)
ROUTERS = (
    *(assets.models, assets.datasets, uploads.router, jobs.router, results.router),
    *(methods.router, workers.router, keys.router, webhooks.router, health.router),
)
JSON_BYTES = 1 << 20  # a body that is no file
STANDING_S = 0.4  # how old the standing of a job may be that a stream tells
ANNOUNCE_S = 0.8  # that a broker may cost an upload or a job
FAILURES_PER_MINUTE = 600  # wrong keys from one address


def create_app(settings: Settings) -> FastAPI:
    """The API over the store and the queue that `settings` name."""
    celery = broker.make_celery(settings)
    store = Store(settings.database)
    depth, enqueue = partial(broker.depth, celery), partial(broker.announce_job, celery, store)
    allowed = Allowed(settings.webhook_targets)
    tasks = background_tasks(settings, store, depth, enqueue, Messenger(store, allowed))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store.migrate()
        app.state.artifacts = Artifacts(settings.data_dir, blob_store_of(settings))
        with tasks.running():
            yield
        store.close()
        celery.close()

    app = FastAPI(
        title="Fractune",
        version=version("fractune"),
        summary="Compress trained networks for OpenVINO, without training and without data where there is none.",
        lifespan=lifespan,
        responses=errors.RESPONSES,
        redoc_url=None,
        docs_url=None,
    )
    app.state.settings = settings
    app.state.store = store
    app.state.announce = partial(announce_or_wait, enqueue, Deadline("broker", ANNOUNCE_S))
    app.state.allowed = allowed
    app.state.metrics = metrics = Metrics(store, depth, tasks.failures)
    app.state.readiness = Readiness(settings, store, depth, tasks.check)
    share(app.state, store)
    admit(app.state, settings)
    errors.install_handlers(app)
    app.add_middleware(Auditor, store=store)
    app.add_middleware(Stopwatch, requests=metrics.requests)
    app.add_middleware(Careful)
    app.add_middleware(Prefixed, root_path=settings.root_path)
    for router in ROUTERS:
        app.include_router(router, max_body_size=JSON_BYTES, dependencies=[Depends(single_values)])
    app.mount(PATH, create_dashboard(app.state))
    app.add_api_route("/", to_dashboard, include_in_schema=False)
    return app


def share(state: State, store: Store) -> None:
    """What many ask for at a time, the store is asked once."""
    state.recognition = Recognition(store)
    state.job = Current(store.version, lambda scope, job_id: store.seen_by(scope).jobs.get(job_id))
    state.queue = Current(store.version, store.jobs.queue)
    state.standing = Shared(store.jobs.get, STANDING_S)


def admit(state: State, settings: Settings) -> None:
    """Who comes in, how often, and how many at a time."""
    state.turnstile = Turnstile(settings.connections.per_key)
    state.requests = Throttle(settings.rate_limit)
    state.failures = Throttle(FAILURES_PER_MINUTE)
    state.provider = Provider(settings.oidc) if settings.oidc and settings.auth else None


def background_tasks(
    settings: Settings, store: Store, depth: Callable[[str | None], int], enqueue: Callable[[str], None], messenger: Messenger
) -> PeriodicTasks:
    """What the process does beside answering."""

    def mend() -> None:
        reconcile(
            store, enqueue, depth, max_attempts=settings.max_attempts, requeue_s=settings.requeue_s, lease_s=settings.lease_s
        )

    def clean() -> None:
        remove_old(store, Artifacts(settings.data_dir, blob_store_of(settings)), settings.retention_s)

    return PeriodicTasks(
        {
            "reconcile": (settings.heartbeat_s, mend),
            "webhooks": (1.0, messenger),
            "retention": (3600.0, clean),
        }
    )


def to_dashboard(request: Request) -> RedirectResponse:
    """Whoever comes with a browser is shown the dashboard."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}{PATH}/", 303)


def announce_or_wait(enqueue: Callable[[str], None], deadline: Deadline, job_id: str) -> None:
    """Send the message; without a broker, or with one that hangs, the job waits for the reconciler."""
    try:
        deadline(partial(enqueue, job_id))
    except Unavailable as error:
        log.warning("job not announced", job_id=job_id, reason=error.message)
