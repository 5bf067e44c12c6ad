"""Whatever is asked of a page or sent in a form, the answer is no fault of ours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.datastructures import State

from service.access.sessions import COOKIE, forgery_token, open_session
from service.dashboard.app import create_dashboard
from service.dashboard.views.job import ANSWERS
from tests.installation import RECIPE, Installation, settings_in
from tests.waiting import PATIENCE_S
from workers.jobs.records import Role

LIVE = "/live/"  # never ends; see test_access.py
PAGES = create_dashboard(State({"settings": settings_in(Path("/nowhere"))})).openapi()["paths"]
OPERATIONS = [(method, path) for path, item in PAGES.items() for method in item if LIVE not in path and path != "/logout"]
TEXTS = st.one_of(
    st.sampled_from(
        ["", "0", "-1", "1e999", "NaN", "null", "\x00", "\x1b[31m", "../../etc/passwd", "%00", "{{7*7}}", "[]", "{}"]
    ),
    st.text(max_size=20),
    st.integers().map(str),
)
FIELDS = st.dictionaries(
    st.one_of(
        st.sampled_from(
            ["action", "add", "key", "model", "dataset", "name", "role", "project", "expires_in_s", "step.0.method"]
        ),
        st.text(min_size=1, max_size=8),
    ),
    TEXTS,
    max_size=6,
)


@pytest.fixture(scope="module")
def known(service: Installation) -> dict[str, str]:
    """What is there, for the parameters of paths."""
    with service.http() as http:
        model = http.post("/v1/models", content=b"x").json()["sha256"]
        job = http.post("/v1/jobs", json={"model": model, "recipe": RECIPE}).json()["id"]
    return {"sha256": model, "job_id": job, "key_id": "0" * 12, "name": "report.css", "kind": "models"}


@pytest.fixture(scope="module")
def browser(service: Installation) -> Iterator[httpx.Client]:
    token = open_session(service.store, service.keys[Role.ADMIN].split("_")[1])
    with httpx.Client(base_url=f"{service.url}/ui", cookies={COOKIE: token}, timeout=PATIENCE_S) as http:
        yield http


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_page_has_a_fault(browser: httpx.Client, known: dict[str, str], method: str, path: str) -> None:
    declared = PAGES[path][method].get("parameters", [])
    places = [entry["name"] for entry in declared if entry["in"] == "path"]
    names = [entry["name"] for entry in declared if entry["in"] == "query"] or ["x"]
    queries = st.lists(st.tuples(st.sampled_from(names), TEXTS), max_size=4)
    values = {name: st.one_of(st.just(known.get(name, "x")), TEXTS.filter(bool)) for name in places}

    @settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.fixed_dictionaries(values), queries, FIELDS)
    def ask(where: dict[str, str], query: list[tuple[str, str]], fields: dict[str, str]) -> None:
        address = path
        for name, value in where.items():
            quoted = str(httpx.QueryParams({"x": value}))[2:].replace("+", "%20")
            address = address.replace(f"{{{name}}}", quoted).replace(f"{{{name}:path}}", quoted)
        form: dict[str, Any] = {"csrf": forgery_token(browser.cookies[COOKIE]), **fields}
        response = browser.request(method, address, params=urlencode(query), data=form if method == "post" else None)
        assert response.status_code < 500, (address, query, fields, response.text[-2000:])

    ask()


@pytest.mark.parametrize("told", [b"{}", b"[1]", b'[{"original": "x"}]', b"[" * 10_000, b"\xff", b"[" + b"{}," * 300 + b"{}]"])
def test_samples_that_a_job_has_made_up_are_not_shown(told: bytes) -> None:
    with pytest.raises(ValidationError):
        ANSWERS.validate_json(told)
