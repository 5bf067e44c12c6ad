"""Jobs over HTTP without workers: they wait."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from service.http.errors import pointer
from tests.installation import RECIPE, Installation, installation
from workers.jobs.records import Role


@pytest.fixture
def empty() -> Iterator[httpx.Client]:
    with installation() as service, service.http(Role.OPERATOR) as http:
        yield http


@pytest.fixture(scope="module")
def model(service: Installation) -> str:
    with service.http() as http:
        sha256: str = http.post("/v1/models", content=b"a model").json()["sha256"]
        return sha256


def submit(http: httpx.Client, model: str, **body: Any) -> httpx.Response:
    return http.post("/v1/jobs", json={"model": model, "recipe": RECIPE} | body)


def test_a_job_is_accepted(http: httpx.Client, model: str) -> None:
    response = submit(http, model, name="nightly", labels={"team": "vision"})
    job = response.json()
    assert (response.status_code, response.headers["Location"]) == (202, f"/v1/jobs/{job['id']}")
    assert int(response.headers["Retry-After"]) > 0
    assert (job["state"], job["methods"], job["labels"]) == ("QUEUED", "layerwise_pruning", {"team": "vision"})
    assert http.get(response.headers["Location"]).json() == job


def test_the_recipe_comes_back_as_it_was_understood(http: httpx.Client, model: str) -> None:
    recipe = submit(http, model).json()["recipe"]
    assert recipe["steps"][0]["sparsity_level"] == 0.5
    assert recipe["ignored_scope"]["validate"] is True
    assert submit(http, model, recipe=recipe).json()["recipe"] == recipe


def test_a_goal_is_enough_of_a_recipe(http: httpx.Client, model: str) -> None:
    job = submit(http, model, recipe={"goal": "speed"}).json()
    assert (job["recipe"]["goal"], job["methods"]) == ("speed", "int8")
    refused = submit(http, model, recipe={"goal": "limit"})
    assert (refused.status_code, refused.json()["code"]) == (422, "RECIPE_INVALID")
    assert "needs samples to judge by" in refused.json()["detail"]


def test_many_clients_with_one_key_make_one_job(http: httpx.Client, model: str) -> None:
    def send(_: int) -> httpx.Response:
        return http.post("/v1/jobs", json={"model": model, "recipe": RECIPE}, headers={"Idempotency-Key": "once"})

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(send, range(8)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1


def test_a_key_stands_for_one_request(http: httpx.Client, admin: httpx.Client, model: str) -> None:
    headers = {"Idempotency-Key": "mine"}
    first = http.post("/v1/jobs", json={"model": model, "recipe": RECIPE}, headers=headers)
    other = http.post("/v1/jobs", json={"model": model, "recipe": RECIPE, "name": "other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_MISMATCH")
    elsewhere = admin.post("/v1/jobs", json={"model": model, "recipe": RECIPE, "name": "other"}, headers=headers)
    assert (elsewhere.status_code, elsewhere.json()["id"] != first.json()["id"]) == (202, True), "keys belong to API keys"


def test_pages_show_every_job_once_while_others_come_in(empty: httpx.Client) -> None:
    model = empty.post("/v1/models", content=b"m").json()["sha256"]
    ids = [submit(empty, model).json()["id"] for _ in range(7)]
    found, cursor = [], ""
    while cursor is not None:
        page = empty.get("/v1/jobs", params={"limit": 3, "kind": "compress", **({"cursor": cursor} if cursor else {})}).json()
        found += [job["id"] for job in page["items"]]
        cursor = page["cursor"]
        submit(empty, model)
    assert found == ids[::-1]


def test_a_made_up_cursor_is_refused(http: httpx.Client) -> None:
    response = http.get("/v1/jobs", params={"cursor": "AAAA"})
    assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")


def test_filters_join(empty: httpx.Client) -> None:
    model = empty.post("/v1/models", content=b"m").json()["sha256"]
    both = RECIPE | {"steps": [*RECIPE["steps"], {"method": "inq"}]}
    first = submit(empty, model, name="Night 50%", labels={"team": "a", "run": "1"}).json()["id"]
    second = submit(empty, model, name="day", labels={"team": "a"}, recipe=both).json()["id"]
    empty.post(f"/v1/jobs/{second}:cancel")

    def ids(**params: Any) -> list[str]:
        return [job["id"] for job in empty.get("/v1/jobs", params={"kind": "compress", **params}).json()["items"]]

    assert ids() == [second, first]
    assert ids(state="QUEUED") == [first]
    assert ids(id=first[:12]) == [first]
    assert ids(id="0" * 12) == []
    assert ids(label=["team:a", "run:1"]) == [first]
    assert ids(label="team:b") == []
    assert ids(name="NIGHT 50%") == [first]
    assert ids(name="%") == [first], "it is a percent sign"
    assert ids(method="inq") == [second]
    assert ids(method="in") == []
    assert ids(model=model, state="CANCELED", label="team:a") == [second]
    assert ids(model="0" * 64) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"recipe": {"steps": []}}, "/recipe/steps"),
        ({"recipe": {"steps": [{"method": "magic"}]}}, "/recipe/steps/0"),
        ({"recipe": {"steps": [{"method": "layerwise_pruning", "sparsity": 0.5}]}}, "/recipe/steps/0/sparsity"),
        ({"recipe": RECIPE | {"calibration": {"cuont": 5}}}, "/recipe/calibration/cuont"),
        ({"labels": {"team": "a\nb"}}, "/labels/team"),
        ({"model": "resnet"}, "/model"),
        ({"priority": 5}, "/priority"),
    ],
)
def test_a_fault_is_pointed_at(http: httpx.Client, model: str, change: dict[str, Any], where: str) -> None:
    response = http.post("/v1/jobs", json={"model": model, "recipe": RECIPE} | change)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert where in [fault["pointer"] for fault in response.json()["errors"]]


@pytest.mark.parametrize(
    ("change", "meant"),
    [
        ({"model": "resnet"}, "upload the file, and take the `sha256` of the answer"),
        ({"recipe": {"steps": [{"method": "int"}]}}, "there is no method 'int'. Did you mean `int8`? There are "),
        ({"recipe": {"steps": [{"method": "inq", "bit": 5}]}}, "there is no such knob. Did you mean `bits`"),
        ({"recipe": RECIPE | {"calibration": {"cuont": 5}}}, "Did you mean `count`"),
    ],
)
def test_a_fault_tells_what_may_be_meant(http: httpx.Client, model: str, change: dict[str, Any], meant: str) -> None:
    refused = http.post("/v1/jobs", json={"model": model, "recipe": RECIPE} | change).json()
    assert meant in refused["detail"]
    assert any(meant in fault["message"] for fault in refused["errors"])


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1e999"])
def test_numbers_that_are_none_are_refused(http: httpx.Client, model: str, number: str) -> None:
    body = (
        f'{{"model": "{model}", "recipe": {{"steps": [{{"method": "inq"}}], "preprocessing": {{"mean_values": [{number}]}}}}}}'
    )
    response = http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422


def test_what_is_missing_is_named(http: httpx.Client, model: str) -> None:
    response = submit(http, model, dataset="0" * 64)
    assert (response.status_code, response.json()["hint"]) == (404, "Upload it with POST /v1/datasets.")
    recipe = RECIPE | {"calibration": {"source": "dataset"}}
    assert submit(http, model, recipe=recipe).json()["code"] == "RECIPE_INVALID"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decoder": "decoder.onnx"}, "neither a head nor the SHA-256"),
        ({"constraint": {"metric": "custom", "max_drop": 1}}, "no code of users runs in the service"),
    ],
)
def test_what_no_worker_could_do_is_not_queued(http: httpx.Client, model: str, change: dict[str, Any], said: str) -> None:
    for path in ("/v1/jobs", "/v1/jobs:validate"):
        refused = http.post(path, json={"model": model, "recipe": RECIPE | change})
        assert (refused.status_code, refused.json()["code"]) == (422, "RECIPE_INVALID")
        assert said in refused.json()["detail"]


def test_cancel_is_repeatable(http: httpx.Client, model: str) -> None:
    job = submit(http, model).json()["id"]
    for _ in range(2):
        response = http.post(f"/v1/jobs/{job}:cancel")
        assert (response.status_code, response.json()["state"]) == (202, "CANCELED")


def test_a_waiting_job_is_neither_retried_nor_removed(http: httpx.Client, model: str) -> None:
    job = submit(http, model).json()["id"]
    assert http.post(f"/v1/jobs/{job}:retry").status_code == 409
    assert http.delete(f"/v1/jobs/{job}").status_code == 409
    http.post(f"/v1/jobs/{job}:cancel")
    assert http.delete(f"/v1/jobs/{job}").status_code == 204
    assert http.get(f"/v1/jobs/{job}").status_code == 404


def test_without_a_broker_jobs_are_taken_in_all_the_same(empty: httpx.Client, service: Installation, model: str) -> None:
    with installation() as alone:
        alone.settings.data_dir.joinpath("broker.sock").unlink()
        with alone.http() as http:
            model = http.post("/v1/models", content=b"m").json()["sha256"]
            assert submit(http, model).status_code == 202


@pytest.mark.parametrize("path", ["/v1/jobs/" + "0" * 32 + "/layers", "/v1/jobs/" + "0" * 32 + "/events", "/v1/nothing"])
def test_what_is_not_there_is_a_problem(http: httpx.Client, path: str) -> None:
    response = http.get(path)
    assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")
    assert response.headers["content-type"] == "application/problem+json"


def test_a_wrong_method_is_told_the_right_ones(http: httpx.Client) -> None:
    response = http.patch("/v1/models/" + "0" * 64)
    assert (response.status_code, response.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"] == "GET, HEAD, PUT, DELETE"


def test_a_body_that_is_no_file_has_a_limit(http: httpx.Client) -> None:
    response = http.post("/v1/jobs", content=b" " * (1 << 20) + b"{}", headers={"Content-Type": "application/json"})
    assert response.status_code == 413


def test_the_catalogue_describes_every_knob(http: httpx.Client) -> None:
    methods = {method["name"]: method for method in http.get("/v1/methods").json()}
    assert {"layerwise_pruning", "inq"} <= methods.keys()
    knob = methods["layerwise_pruning"]["parameters"]["properties"]["sparsity_level"]
    assert knob["description"]


@pytest.mark.parametrize(
    ("location", "body", "expected"),
    [
        (("body", "a", "b"), {"a": {"b": 1}}, "/a/b"),
        (("body", "a", 0, "tag", "b"), {"a": [{"b": 1}]}, "/a/0/b"),
        (("body", "a", "b"), {"a": {}}, "/a/b"),
        (("body", "a/b~c"), {"a/b~c": 1}, "/a~1b~0c"),
        (("body",), None, "/"),
        (("query", "limit"), None, "limit"),
    ],
)
def test_pointers_follow_the_body(location: tuple[int | str, ...], body: Any, expected: str) -> None:
    assert pointer(location, body) == expected


def test_listings_carry_summaries(http: httpx.Client, service: Installation) -> None:
    model = http.post("/v1/models?name=m.onnx", content=b"listed").json()["sha256"]
    job = http.post("/v1/jobs", json={"model": model, "recipe": RECIPE}).json()
    assert job["recipe"]["steps"]
    [listed] = [each for each in http.get(f"/v1/jobs?model={model}&kind=compress").json()["items"] if each["id"] == job["id"]]
    assert "recipe" not in listed
    assert all("inspection" not in each for each in http.get("/v1/models").json()["items"])
    assert "inspection" in http.get(f"/v1/models/{model}").json()


@pytest.mark.parametrize(
    "change",
    [
        {"steps": RECIPE["steps"] * 17},
        {"ignored_scope": {"patterns": ["a" * 1001]}},
        {"ignored_scope": {"patterns": ["a"] * 101}},
        {"shapes": {f"input {n}": [1] for n in range(257)}},
    ],
    ids=["steps", "a long pattern", "many patterns", "shapes"],
)
def test_recipes_are_bounded(http: httpx.Client, change: dict[str, object]) -> None:
    refused = http.post("/v1/jobs", json={"model": "0" * 64, "recipe": RECIPE | change})
    assert (refused.status_code, refused.json()["code"]) == (422, "RECIPE_INVALID")


@pytest.mark.parametrize("query", ["name=a&name=b", "limit=1&limit=2", "label=a:b&state=QUEUED&state=FAILED"])
def test_a_parameter_of_which_one_value_counts_comes_once(http: httpx.Client, query: str) -> None:
    answer = http.get(f"/v1/jobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_REQUEST")
    assert query.rpartition("&")[2].partition("=")[0] in answer.json()["detail"]


def test_labels_may_come_several_times(http: httpx.Client) -> None:
    assert http.get("/v1/jobs?label=a:b&label=c:d").status_code == 200
