"""What somebody meets who has nothing yet: the empty table, the sample that the service carries, and the help."""

import hashlib
import json

import httpx

from service.dashboard.views.sample import SAMPLE
from tests.installation import ROOT, Installation
from tests.service.dashboard.test_sessions import signed_in, token
from workers.errors import error_kinds
from workers.jobs.job import Kind, State
from workers.jobs.records import Role
from workers.report.terms import TERMS


def digest(name: str) -> str:
    return hashlib.sha256((ROOT / "examples" / name).read_bytes()).hexdigest()


def test_a_sample_makes_the_first_job_by_one_click(service: Installation, http: httpx.Client) -> None:
    with signed_in(service, Role.OPERATOR) as browser:
        empty = browser.get("/ui/")
        assert "Try it with a sample" in empty.text
        begun = [browser.post("/ui/sample", data={"csrf": token(empty)}) for _ in range(2)]
        assert [answer.status_code for answer in begun] == [303, 303]
        ids = [answer.headers["location"].rpartition("/")[2] for answer in begun]
        assert "Try it with a sample" not in browser.get("/ui/").text
    first, second = (http.get(f"/v1/jobs/{job_id}").json() for job_id in ids)
    assert first["name"] == "digits · prune 70 %"
    assert (first["model"], first["evaluation"]) == (digest("digits.onnx"), digest("digits.npz"))
    assert (
        first["recipe"]["preprocessing"]["mean_values"]
        == json.loads((SAMPLE / "recipe.json").read_text())["preprocessing"]["mean_values"]
    )
    assert (second["model"], second["id"] == first["id"]) == (first["model"], False)


def test_a_form_without_a_model_says_so(service: Installation) -> None:
    with signed_in(service, Role.OPERATOR) as browser:
        form = browser.get("/ui/new")
        fields = {"csrf": token(form), "action": "submit", "steps.0.method": "int8"}
        assert "No model is chosen. Upload one" in browser.post("/ui/new", data=fields).text


def test_a_form_says_that_no_sample_may_calibrate_and_judge(service: Installation) -> None:
    with signed_in(service, Role.OPERATOR) as browser:
        form = browser.get("/ui/new")
        fields = {"csrf": token(form), "action": "update", "steps.0.method": "int8", "dataset": "a" * 64}
        assert "no sample may do both" not in browser.post("/ui/new", data=fields).text
        assert "no sample may do both" in browser.post("/ui/new", data=fields | {"evaluation": "a" * 64}).text


def test_a_viewer_is_not_offered_it(service: Installation) -> None:
    with signed_in(service, Role.VIEWER) as browser:
        page = browser.get("/ui/?q=nothing+fits")
        assert "No job fits." in page.text
        refused = browser.post("/ui/sample", data={"csrf": token(page)})
        assert refused.status_code == 403


def test_the_help_has_every_figure_and_every_failure(service: Installation) -> None:
    with signed_in(service, Role.VIEWER) as browser:
        page = browser.get("/ui/help").text
    assert all(f'<div id="{name}"' in page for name in TERMS)
    assert [kind.code for kind in error_kinds() if f'<tr id="{kind.code}"' not in page] == ["INTERNAL"]
    assert "<code>benchmark.infer_precision</code>" in page
    assert "`" not in page


def test_files_go_by_their_names_on_the_command_line(service: Installation, http: httpx.Client) -> None:
    model = http.post("/v1/models?name=net.onnx", content=b"a net").json()["sha256"]
    held_out = http.post("/v1/datasets?name=held-out.npz", content=b"samples").json()["sha256"]
    recipe = {"steps": [{"method": "inq"}]}
    job = http.post("/v1/jobs", json={"model": model, "evaluation": held_out, "recipe": recipe}).json()["id"]
    with signed_in(service, Role.OPERATOR) as browser:
        page = browser.get(f"/ui/jobs/{job}").text
    assert "fractune submit net.onnx --recipe recipe.json --eval held-out.npz --wait" in page


def test_what_waits_is_not_said_to_be_looked_at(service: Installation, http: httpx.Client) -> None:
    model = http.post("/v1/models?name=waits.onnx", content=b"waits").json()["sha256"]
    with signed_in(service, Role.OPERATOR) as browser:
        assert "It waits for a worker" in browser.get(f"/ui/models/{model}").text
        workers = browser.get("/ui/workers").text
    counts = service.store.figures.jobs()
    inspections = sum(count for (kind, _), count in counts.items() if kind != Kind.COMPRESS)
    assert f"<b>{counts[Kind.COMPRESS, State.QUEUED]}</b>waiting<small>and {inspections} inspections" in workers
