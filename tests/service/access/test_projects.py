"""Projects: whose models, datasets and jobs somebody sees, on every route and page."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from service.access.authentication import issue
from service.access.sessions import COOKIE, FORGERY_HEADER, forgery_token, open_session
from tests.installation import RECIPE, Installation
from tests.waiting import until
from workers.jobs.database.scope import COMMON
from workers.jobs.records import Role
from workers.jobs.store.jobs import JobQuery

Keys = dict[str, str]


@pytest.fixture(scope="module")
def keys(service: Installation) -> Keys:
    return {project: issue(service.store, project, Role.OPERATOR, "test", project=project)[1] for project in ("red", "blue")}


@contextmanager
def client(service: Installation, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as http:
        yield http


def upload(http: httpx.Client, content: bytes) -> str:
    response = http.post("/v1/models?name=m.onnx", content=content)
    assert response.is_success
    return str(response.json()["sha256"])


def submit(http: httpx.Client, model: str, **recipe: object) -> httpx.Response:
    return http.post("/v1/jobs", json={"model": model, "recipe": RECIPE | recipe})


@pytest.fixture
def job(service: Installation, keys: Keys) -> tuple[str, str]:
    """A model and a job of the red project."""
    with client(service, keys["red"]) as red:
        model = upload(red, os.urandom(16))
        return model, submit(red, model).json()["id"]


def test_another_project_sees_nothing_of_it(service: Installation, keys: Keys, job: tuple[str, str]) -> None:
    model, job_id = job
    with client(service, keys["blue"]) as blue:
        for path in ("", "/events", "/history", "/layers", "/logs", "/artifacts", "/artifacts/report.json", "/report.json"):
            assert blue.get(f"/v1/jobs/{job_id}{path}").status_code == 404
        assert blue.get(f"/v1/models/{model}").status_code == 404
        assert job_id not in blue.get("/v1/jobs").text
        assert model not in blue.get("/v1/models").text
        for verb in (":cancel", ":retry", ":share"):
            assert blue.post(f"/v1/jobs/{job_id}{verb}").status_code == 404
        assert blue.delete(f"/v1/jobs/{job_id}").status_code == 404
        assert blue.delete(f"/v1/models/{model}").status_code == 404
        assert submit(blue, model).status_code == 404


def test_a_decoder_is_found_by_those_who_find_it_as_a_model(service: Installation, keys: Keys) -> None:
    with client(service, keys["red"]) as red, client(service, keys["blue"]) as blue:
        content = os.urandom(16)
        model, decoder = upload(blue, os.urandom(16)), upload(red, content)
        foreign = submit(blue, decoder)
        refused = submit(blue, model, decoder=decoder)
        assert (refused.status_code, refused.json()["detail"]) == (404, foreign.json()["detail"])
        unknown = submit(blue, model, decoder="0" * 64)
        assert unknown.json() == refused.json() | {"detail": refused.json()["detail"].replace(decoder, "0" * 64)}
        body = {"model": model, "recipe": RECIPE | {"decoder": decoder}}
        assert blue.post("/v1/jobs:validate", json=body).status_code == 404
        assert upload(blue, content) == decoder
        assert submit(blue, model, decoder=decoder).status_code == 202
        assert blue.delete(f"/v1/models/{decoder}").status_code == 409


@pytest.mark.parametrize("use", ["dataset", "evaluation"])
def test_data_is_found_by_those_who_find_it_as_a_dataset(service: Installation, keys: Keys, use: str) -> None:
    with client(service, keys["red"]) as red, client(service, keys["blue"]) as blue:
        content = os.urandom(16)
        data, model = red.post("/v1/datasets", content=content).json()["sha256"], upload(blue, os.urandom(16))
        body = {"model": model, "recipe": RECIPE, use: data}
        assert blue.post("/v1/jobs", json=body).status_code == 404
        assert blue.post("/v1/jobs:validate", json=body).status_code == 404
        assert blue.get(f"/v1/datasets/{data}").status_code == 404
        assert blue.post(f"/v1/datasets/{data}:share").status_code == 404
        assert blue.post("/v1/datasets", content=content).status_code in (200, 201)
        assert blue.post("/v1/jobs", json=body).status_code == 202


def test_nor_on_the_dashboard(service: Installation, keys: Keys, job: tuple[str, str]) -> None:
    model, job_id = job
    session = open_session(service.store, keys["blue"].split("_")[1])
    with httpx.Client(base_url=service.url, cookies={COOKIE: session}) as blue:
        assert job_id not in blue.get("/ui/").text
        for path in (f"jobs/{job_id}", f"live/jobs/{job_id}", f"models/{model}", f"new?from={job_id}"):
            assert blue.get(f"/ui/{path}").status_code == 404
        for path in ("models", "new", "compare", f"compare?job={job_id}", "tradeoff", "workers"):
            assert model not in blue.get(f"/ui/{path}").text
        canceled = blue.post(f"/ui/jobs/{job_id}/cancel", data={"csrf": forgery_token(session)})
        assert canceled.status_code == 404


def test_its_own_project_and_administrators_do(service: Installation, keys: Keys, job: tuple[str, str]) -> None:
    model, job_id = job
    for key in (keys["red"], service.keys[Role.ADMIN]):
        with client(service, key) as http:
            assert http.get(f"/v1/jobs/{job_id}").json()["project"] == "red"
            assert http.get(f"/v1/models/{model}").is_success
            assert job_id in http.get("/v1/jobs?limit=200").text


def test_what_is_shared_is_seen_but_not_changed(service: Installation, keys: Keys, job: tuple[str, str]) -> None:
    model, job_id = job
    with client(service, keys["red"]) as red:
        assert red.post(f"/v1/jobs/{job_id}:share").json()["project"] == COMMON
        assert red.post(f"/v1/models/{model}:share").is_success
    with client(service, keys["blue"]) as blue:
        assert blue.get(f"/v1/jobs/{job_id}").is_success
        assert blue.get(f"/v1/models/{model}").is_success
        assert submit(blue, model).status_code == 202
        assert blue.post(f"/v1/jobs/{job_id}:cancel").status_code == 403
        assert blue.delete(f"/v1/models/{model}").status_code == 403


def test_a_file_that_two_projects_upload_belongs_to_both(service: Installation, keys: Keys) -> None:
    content = os.urandom(16)
    with client(service, keys["red"]) as red, client(service, keys["blue"]) as blue:
        model = upload(red, content)
        assert blue.get(f"/v1/models/{model}").status_code == 404
        assert upload(blue, content) == model
        for inspection in service.store.jobs.page(wanted=JobQuery(model=model)).items:
            service.store.jobs.cancel(inspection.id, 0)
        assert red.delete(f"/v1/models/{model}").status_code == 204
        assert red.get(f"/v1/models/{model}").status_code == 404
        assert blue.get(f"/v1/models/{model}").is_success
        assert blue.delete(f"/v1/models/{model}").status_code == 204
    assert not list((service.settings.data_dir / "models").glob(model))


@pytest.mark.parametrize("end", ["revoke", "sign out"])
def test_a_stream_ends_with_what_opened_it(service: Installation, keys: Keys, job: tuple[str, str], end: str) -> None:
    key, text = issue(service.store, "watcher", Role.VIEWER, "test", project="red")
    session = open_session(service.store, key.id)
    credentials: dict[str, Any] = (
        {"headers": {"Authorization": f"Bearer {text}"}} if end == "revoke" else {"cookies": {COOKIE: session}}
    )
    with (
        httpx.Client(base_url=service.url, timeout=60, **credentials) as http,
        http.stream("GET", f"/v1/jobs/{job[1]}/events") as events,
    ):
        lines = events.iter_lines()
        assert next(lines)
        if end == "revoke":
            service.store.keys.revoke(key.id)
        else:
            with httpx.Client(base_url=service.url, cookies={COOKIE: session}) as browser:
                browser.post("/ui/logout", data={"csrf": forgery_token(session)})
        for _ in lines:  # until it ends; the timeout of the client is what fails
            pass


def test_the_last_administrator_stays(service: Installation) -> None:
    with service.http() as admin:
        mine = admin.get("/v1/whoami").json()["id"]
        short = admin.post("/v1/apikeys", json={"name": "x", "role": "admin", "expires_in_s": 60}).json()["id"]
        refused = admin.delete(f"/v1/apikeys/{mine}")
        assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
        assert admin.delete(f"/v1/apikeys/{short}").is_success
        other = admin.post("/v1/apikeys", json={"name": "y", "role": "admin"}).json()["id"]
        assert admin.delete(f"/v1/apikeys/{other}").is_success


def test_sign_ins_refusals_and_forgeries_are_in_the_audit(service: Installation) -> None:
    viewer = service.keys[Role.VIEWER]

    def noted(action: str, status: int, actor: str) -> bool:
        entries = service.store.audit.page(limit=200)
        return any((entry.action, entry.status, entry.actor) == (action, status, actor) for entry in entries)

    key_id = viewer.split("_")[1]
    with httpx.Client(base_url=service.url) as http:
        shown = http.get("/ui/login").text.partition('name="csrf" value="')[2].partition('"')[0]
        assert http.post("/ui/login", data={"csrf": shown, "key": "wrong"}).status_code == 401
        assert http.post("/ui/login", data={"csrf": shown, "key": viewer}).status_code == 303
        assert http.post("/v1/jobs/" + "0" * 32 + ":cancel", headers={FORGERY_HEADER: "no"}).status_code == 403
        assert http.get("/v1/audit").status_code == 403
    with service.http(None) as stranger:
        assert stranger.get("/v1/jobs", headers={"Authorization": "Bearer fr_000000000000_x"}).status_code == 401
    until(lambda: noted("GET /v1/jobs", 401, "unknown"))
    assert noted("POST /login", 401, "unknown")
    assert noted("POST /login", 303, key_id)
    assert noted("POST /v1/jobs/{job_id}:cancel", 403, key_id)
    assert noted("GET /v1/audit", 403, key_id)
