"""The dashboard in a real browser: two API processes, a path prefix, no network, a real worker."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from service.access.sessions import issue_ticket
from service.client import Client
from service.dashboard.draft import PRESETS
from tests.end_to_end.browser import END_MS, MODEL, QUICK, sign_in, visit
from tests.installation import Installation
from workers.jobs.records import Role

pytestmark = pytest.mark.timeout(300)


def test_the_root_leads_to_a_login_that_leads_where_one_was_going(context: BrowserContext, service: Installation) -> None:
    page = context.new_page()
    page.goto(f"{service.url}/")
    page.get_by_label("API key").fill("fr_wrong_key")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("is not valid")
    page.get_by_label("API key").fill(service.keys[Role.VIEWER])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    [cookie] = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/tools/fractune/")
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{service.url}/ui/workers")
    expect(page.get_by_label("API key")).to_be_visible()


def test_a_printed_link_signs_in_once(context: BrowserContext, service: Installation) -> None:
    ticket = issue_ticket(service.store, service.keys[Role.ADMIN].split("_")[1])
    link = f"{service.url}/ui/login#once_{ticket}"
    page = context.new_page()
    page.goto(link)
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.goto("about:blank")
    page.goto(link)
    expect(page.get_by_role("alert")).to_contain_text("used before")


def test_a_job_from_its_upload_to_its_end(enter: Callable[..., Page], service: Installation) -> None:
    page = enter("new?preset=Prune%20half")
    page.locator("#file-model").set_input_files(MODEL)
    expect(page.locator("#model-facts")).to_contain_text("Parameters", timeout=END_MS)
    image = page.locator("#fractals img")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    page.get_by_label("Sparsity level").fill("0.6")
    page.locator("summary", has_text="Calibration samples").click()
    page.locator("#calibration-count").fill("32")
    page.get_by_text("original and compressed, in turns").click()
    page.locator("#benchmark").select_option("off")
    page.get_by_label("Another step").select_option("uniform")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("fieldset.step")).to_have_count(2)
    page.get_by_role("button", name="Remove uniform").click()
    expect(page.locator("fieldset.step")).to_have_count(1)  # what is typed into the page before would be lost with it
    expect(page.locator("#recipe-json")).to_contain_text('"sparsity_level": 0.6')
    page.get_by_label("Sparsity level").fill("7")
    expect(page.locator("#preview")).to_contain_text("should be less than 1")
    page.get_by_label("Sparsity level").fill("0.6")
    expect(page.locator("#preview")).not_to_contain_text("should be less than 1")
    expect(page.get_by_label("What to expect")).to_contain_text("12 changed")
    page.get_by_label("Name", exact=True).fill("from the browser")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile(r"/ui/jobs/[0-9a-f]{32}$"))
    expect(page.locator("#standing .badge")).to_have_text("Succeeded", timeout=END_MS)
    for heading in ("Before and after", "Answers", "Samples", "Calibration", "Provenance"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("60 % of the weights are zero")
    for picture in (page.locator("img.sheet"), page.locator(".pictures img").first):
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 20
    with page.expect_download() as download:
        page.get_by_role("link", name="Model, OpenVINO IR").click()
    assert download.value.path().read_bytes()[:2] == b"PK"


def test_a_running_job_is_seen_to_be_canceled(enter: Callable[..., Page], client: Client) -> None:
    page = enter()
    recipe = {"steps": [{"method": "inq"}], "calibration": {"count": 100_000}}
    job = client.submit(client.upload_model(MODEL), recipe, name="endless")
    row = page.locator(f"#job-{job['id']}")
    expect(row.locator(".badge")).to_have_text("Running", timeout=END_MS)
    expect(row.locator("svg.progress")).to_be_visible(timeout=END_MS)
    row.get_by_label("Cancel endless", exact=True).click()
    row.get_by_role("button", name="Cancel the job").click()
    expect(row.locator(".badge")).to_have_text("Canceled", timeout=END_MS)


def test_a_failure_is_explained(enter: Callable[..., Page], jobs: dict[str, str]) -> None:
    page = enter()
    page.get_by_role("link", name="astray").click()
    failure = page.locator(".failure")
    expect(failure).to_contain_text("nowhere")
    expect(failure).to_contain_text("SCOPE_UNMATCHED")
    expect(failure).to_contain_text("ignored_scope.validate")
    page.get_by_role("link", name="Change and run").click()
    expect(page.locator("#ignored_scope-names")).to_have_value("nowhere")


def test_two_results_are_compared(enter: Callable[..., Page], jobs: dict[str, str]) -> None:
    page = enter()
    for name in ("half", "most"):
        page.locator(f"#pick-{jobs[name]}").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    figures = page.get_by_role("region", name="Figures")
    expect(figures.get_by_role("link", name=re.compile("half|most"))).to_have_count(2)
    expect(page.get_by_role("region", name="Differences")).to_contain_text("steps[1].sparsity_level0.90.5")
    page.get_by_role("link", name="Trade-off").click()
    expect(page.get_by_role("link", name=re.compile("of the size"))).not_to_have_count(0)


def test_changed_samples_are_filtered(enter: Callable[..., Page], jobs: dict[str, str]) -> None:
    page = enter(f"jobs/{jobs['most']}")
    page.locator("summary", has_text="changed sample").click()
    shown = page.get_by_label("Changed samples").locator("tbody tr").filter(visible=True)
    every = shown.count()
    assert every > 0
    sample = shown.first.get_by_role("rowheader").inner_text()
    page.get_by_label("Show those with").fill(sample)
    expect(shown.first).to_contain_text(sample)
    page.get_by_label("Show those with").fill("no such class")
    expect(shown).to_have_count(0)
    page.get_by_label("Show those with").fill("")
    expect(shown).to_have_count(every)


def test_results_that_were_judged_on_other_samples_are_told_apart(
    enter: Callable[..., Page], jobs: dict[str, str], client: Client
) -> None:
    recipe = {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.5}], **QUICK}
    other = client.wait(client.submit(client.upload_model(MODEL), recipe, name="unjudged")["id"])["id"]
    page = enter(f"compare?job={jobs['half']}&job={other}")
    expect(page.get_by_role("note")).to_contain_text("not measured on the same samples")
    page.goto(page.url.replace(other, jobs["most"]))
    expect(page.get_by_role("heading", name="Figures")).to_be_visible()
    expect(page.get_by_role("note")).to_have_count(0)


def test_a_dataset_is_looked_into(enter: Callable[..., Page], jobs: dict[str, str], service: Installation) -> None:
    page = enter("datasets")
    row = page.get_by_role("row", name="digits.npz")
    expect(row).to_contain_text("600 samples, a class each")
    row.get_by_role("link", name="digits.npz").click()
    expect(page.get_by_role("heading", name="digits.npz")).to_be_visible()
    expect(page.get_by_label("Contents")).to_contain_text("8 × 8 × 1 uint8")
    expect(page.get_by_role("region", name="Classes").get_by_role("row")).to_have_count(11)  # ten digits below the heading
    expect(page.get_by_role("link", name="half")).to_be_visible()
    sheet = page.get_by_role("img", name="32 of its pictures")
    sheet.scroll_into_view_if_needed()
    expect(sheet).to_have_js_property("complete", True)
    assert sheet.evaluate("image => image.naturalWidth") > 0
    digest = page.url.rpartition("/")[2]
    with service.http(Role.VIEWER) as http:
        assert http.get(f"/v1/datasets/{digest}").json()["inspection"]["classes"]["3"] > 0
        assert http.get(f"/v1/datasets/{digest}/thumbnails.png").content.startswith(b"\x89PNG")
        assert http.get(f"/v1/datasets/{'0' * 64}/thumbnails.png").status_code == 404
    page.get_by_role("link", name="Calibrate on it").click()
    expect(page.locator("#dataset")).to_have_value(digest)


def test_a_dataset_is_refused_at_its_upload(enter: Callable[..., Page], tmp_path: Path) -> None:
    broken = tmp_path / "broken.npz"
    np.savez(broken, x=np.full((4, 32, 32, 1), np.nan, np.float32))
    page = enter("datasets")
    page.locator("#file-dataset").set_input_files(broken)
    expect(page.get_by_role("heading", name="broken.npz")).to_be_visible()
    expect(page.get_by_label("Contents")).to_contain_text("DATA_NOT_FINITE", timeout=END_MS)
    expect(page.get_by_role("link", name="Calibrate on it")).to_have_count(0)


def test_what_a_figure_means_is_a_click_away(enter: Callable[..., Page], jobs: dict[str, str]) -> None:
    page = enter(f"jobs/{jobs['half']}")
    page.get_by_role("button", name="What this means: KL divergence").click()
    meaning = page.get_by_role("note", name="KL divergence")
    expect(meaning).to_be_in_viewport()
    expect(meaning).to_contain_text("in nats")
    meaning.get_by_role("link", name="More").click()
    expect(page.get_by_text("It sees changes of confidence")).to_be_in_viewport()


def test_what_was_assumed_is_said_before_and_after(enter: Callable[..., Page], client: Client) -> None:
    model = client.upload_model(MODEL)
    page = enter(f"new?model={model}")
    expect(page.get_by_role("note").filter(has_text="Assumed: pixels are divided by 255")).to_be_visible()
    recipe = {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.5}], **QUICK}
    job = client.wait(client.submit(model, recipe, name="assuming")["id"])
    page.goto(page.url.replace(f"new?model={model}", f"jobs/{job['id']}"))
    expect(page.get_by_role("listitem").filter(has_text="Assumed: pixels are divided by 255")).to_be_visible()


def test_a_session_that_ends_elsewhere_is_said(enter: Callable[..., Page]) -> None:
    page = enter()
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("Your session has ended: this page")).to_be_visible()
    page.get_by_role("link", name="Sign in again").click()
    expect(page.get_by_label("API key")).to_be_visible()


def test_what_destroys_asks_first(enter: Callable[..., Page], client: Client, tmp_path: Path) -> None:
    unwanted = tmp_path / "unwanted.npz"
    np.savez(unwanted, x=np.zeros((4, 32, 32, 1), np.uint8))
    client.upload_dataset(unwanted)
    page = enter("datasets")
    page.get_by_label("Remove unwanted.npz", exact=True).click()
    row = page.get_by_role("row", name="unwanted.npz")
    expect(row.get_by_text("The file goes for good")).to_be_visible()
    expect(page.get_by_role("rowheader", name="unwanted.npz")).to_be_visible()
    page.get_by_role("button", name="Remove for good unwanted.npz").click()
    expect(page.get_by_role("rowheader", name="unwanted.npz")).to_have_count(0)


def test_a_viewer_is_offered_only_what_it_may_do(enter: Callable[..., Page]) -> None:
    page = enter(role=Role.VIEWER)
    expect(page.get_by_role("link", name="Jobs", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="New job")).to_have_count(0)


def test_a_page_that_is_not_there_keeps_the_navigation(enter: Callable[..., Page]) -> None:
    page = enter()
    page.goto(page.url + "nothing/here")
    expect(page.get_by_role("link", name="Models")).to_be_visible()


def test_many_jobs_are_canceled_and_removed_at_once_after_a_question(enter: Callable[..., Page], client: Client) -> None:
    model = client.upload_model(MODEL)
    endless = {"steps": [{"method": "inq"}], "calibration": {"count": 100_000}}
    names = ("busy", "first", "second")
    ids = {name: client.submit(model, endless, name=f"bulk {name}")["id"] for name in names}
    page = enter("?q=bulk")
    row = page.locator(f"#job-{ids['second']}")
    expect(row).to_contain_text("number")
    page.goto(page.url.replace("?q=bulk", f"jobs/{ids['second']}"))
    page.get_by_label("Priority").select_option("high")
    page.get_by_role("button", name="Set").click()
    expect(page.locator("#standing")).to_contain_text("Priority high.")
    for action, question, gone in (("Cancel …", "Cancel: 3 jobs", "Canceled"), ("Remove …", "Remove for good: 3 jobs", "")):
        page.goto(page.url.partition("/ui/")[0] + "/ui/?q=bulk")
        for name in names:
            page.get_by_label(f"Tick bulk {name}").check()
        page.get_by_role("button", name=action).click()
        expect(page.get_by_role("heading", name=question)).to_be_visible()
        page.get_by_role("button", name=action.removesuffix(" …")).click()
        page.goto(page.url + "?q=bulk")
        for name in names:
            row = page.locator(f"#job-{ids[name]}")
            expect(row.locator(".badge")).to_have_text(gone, timeout=END_MS) if gone else expect(row).to_have_count(0)


def test_the_table_is_had_as_a_file_and_with_other_columns(enter: Callable[..., Page], jobs: dict[str, str]) -> None:
    page = enter("?q=half")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    heading, *rows = csv.reader(download.value.path().read_text().splitlines())
    assert heading[:3] == ["id", "name", "model"]
    assert [row[:3] for row in rows if row[0] == jobs["half"]] == [[jobs["half"], "half", "digits.onnx"]]
    expect(page.get_by_role("columnheader", name="Owner")).not_to_be_visible()
    page.get_by_text("Columns", exact=True).first.click()
    page.get_by_role("group", name="Columns").get_by_label("Owner").check()
    page.reload()
    expect(page.get_by_role("columnheader", name="Owner")).to_be_visible()


def test_both_files_of_an_ir_are_dropped_together(enter: Callable[..., Page], tmp_path: Path) -> None:
    ov.save_model(ov.Core().read_model(MODEL), tmp_path / "pair.xml")
    page = enter("models")
    page.locator("#file-model").set_input_files(tmp_path / "pair.xml")
    expect(page.get_by_role("alert").filter(has_text="together")).to_be_visible()
    page.locator("#file-model").set_input_files([tmp_path / "pair.bin", tmp_path / "pair.xml"])
    expect(page.get_by_role("heading", name="pair.zip")).to_be_visible()
    expect(page.get_by_role("region", name="Facts")).to_contain_text("Parameters", timeout=END_MS)


def test_an_onnx_file_is_dropped_with_its_weights(enter: Callable[..., Page], tmp_path: Path) -> None:
    model, path = onnx.load(MODEL), tmp_path / "net.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    page = enter("models")
    page.locator("#file-model").set_input_files([tmp_path / "net.onnx.data", tmp_path / "net.onnx"])
    expect(page.get_by_role("heading", name="net.zip")).to_be_visible()
    expect(page.get_by_role("region", name="Facts")).to_contain_text("Parameters", timeout=END_MS)


def test_the_form_is_kept_when_the_session_ends_or_the_connection_breaks(
    enter: Callable[..., Page], context: BrowserContext, service: Installation
) -> None:
    page = enter("new?preset=Prune%20half")
    context.set_offline(True)
    page.get_by_label("Sparsity level").fill("0.61")
    expect(page.get_by_text("The connection to the service is lost. What")).to_be_visible()
    context.set_offline(False)
    context.clear_cookies()
    page.get_by_label("Sparsity level").fill("0.62")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("Your session has ended.")).to_be_visible()
    expect(page.get_by_label("Sparsity level")).to_have_value("0.62")
    page.get_by_role("link", name="sign in again").click()
    page.get_by_label("API key").fill(service.keys[Role.OPERATOR])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Sparsity level")).to_have_value("0.62")
    expect(page.locator("#recipe-json")).to_contain_text("0.62")


def test_results_of_other_samples_are_not_mixed_on_the_plane(
    enter: Callable[..., Page], jobs: dict[str, str], client: Client
) -> None:
    model = client.upload_model(MODEL)
    recipe = {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.55}], **QUICK}
    client.wait(client.submit(model, recipe, name="on fractals")["id"])
    page = enter(f"pareto?model={model}&max_drop=100")
    names = {jobs["half"]: "half", jobs["most"]: "most"}
    for judge, seen in (("digits.npz", True), ("made-up samples", False)):
        choice = page.get_by_label("Judged on")
        choice.select_option(choice.locator("option", has_text=judge).get_attribute("value"))
        page.get_by_role("button", name="Show").click()
        table = page.get_by_role("region", name="Results")
        expect(table.get_by_role("link", name=names[jobs["half"]], exact=True)).to_have_count(int(seen))
        expect(table.get_by_role("link", name="on fractals")).to_have_count(int(not seen))
        expect(page.get_by_text("Left out:")).to_be_visible()
        expect(table.get_by_text("the smallest within the limit")).to_have_count(1)


def test_every_preset_opens(enter: Callable[..., Page], service: Installation) -> None:
    page = enter("new")
    links = [link.get_attribute("href") for link in page.locator(".presets a").all()]
    assert len(links) == len(PRESETS)
    for link in links:
        page.goto(f"{page.url.split('/ui/')[0].removesuffix('/tools/fractune')}{link}")
        expect(page.locator("fieldset.step")).not_to_have_count(0)


def test_a_goal_is_chosen_first_and_told_of_in_the_end(
    enter: Callable[..., Page], jobs: dict[str, str], client: Client
) -> None:
    page = enter(f"new?model={client.upload_model(MODEL)}")
    expect(page.get_by_role("button", name="Faster")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("fieldset.step")).not_to_be_visible()
    page.get_by_role("button", name="Within my limit").click()
    page.get_by_label("Max drop").fill("0.02")
    expect(page.locator("#preview")).to_contain_text("needs samples to judge by")
    page.get_by_role("button", name="No data").click()
    expect(page.locator("#recipe-json")).to_contain_text('"goal": "data_free"')
    page.get_by_text("every knob behind the goal").click()
    page.get_by_text("original and compressed, in turns").click()
    page.locator("#benchmark").select_option("off")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile(r"/ui/jobs/[0-9a-f]{32}$"))
    expect(page.locator("#standing .badge")).to_have_text("Succeeded", timeout=END_MS)
    expect(page.get_by_role("main")).to_contain_text("Goal: No data.")
    advice = page.get_by_role("listitem").filter(has_text="with labels, the report gives accuracy")
    choose = advice.get_by_role("link", name="Choose the samples")
    expect(choose).to_have_attribute("href", re.compile(r"/new\?from=\w+#evaluation$"))
    page.get_by_role("listitem").filter(has_text="For faster inference").get_by_role("link", name="Set up this job").click()
    expect(page.get_by_role("button", name="Faster")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#model")).not_to_have_value("")


def test_zeros_lead_to_int8_by_one_click(enter: Callable[..., Page], jobs: dict[str, str]) -> None:
    page = enter(f"jobs/{jobs['half']}")
    page.get_by_role("listitem").filter(has_text="for speed, add int8").get_by_role("link", name="Set up this job").click()
    expect(page.locator("fieldset.step legend")).to_have_text([re.compile("layerwise_pruning"), re.compile("int8")])
    expect(page.locator("#evaluation")).not_to_have_value("")
    expect(page.get_by_role("note").filter(has_text="suggests")).to_contain_text("for speed, add int8")
    page.goto(page.url.replace("/advice/", "/advice/9"))
    expect(page.get_by_role("main")).to_contain_text("suggests no such recipe")


def test_jobs_are_searched_and_sorted(enter: Callable[..., Page], jobs: dict[str, str]) -> None:
    page = enter()
    page.get_by_label("Search").fill("mos")
    page.get_by_label("Search").press("Enter")
    expect(page.locator("#rows tr")).to_have_count(1)
    page.goto(page.url.partition("?")[0] + "?state=succeeded&sort=size")
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Smaller")
    names = page.locator("#rows th a").all_inner_texts()
    assert names.index("most") < names.index("half")


def test_it_can_be_read_and_used_without_scripts(chrome: Browser, service: Installation, jobs: dict[str, str]) -> None:
    with visit(chrome, java_script_enabled=False) as context:
        page = sign_in(context, service)
        page.get_by_role("link", name="half").click()
        expect(page.get_by_role("heading", name="Before and after")).to_be_visible()
        page.get_by_role("button", name="Retry").click()
        expect(page.locator("#standing")).to_be_visible()
        page.locator("summary", has_text="Cancel").click()
        page.get_by_role("button", name="Cancel the job").click()
        page.goto(f"{service.url}/ui/new")
        page.get_by_text("every knob behind the goal").click()
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.locator("fieldset.step")).to_have_count(2)


def test_the_keyboard_reaches_the_content_first(enter: Callable[..., Page]) -> None:
    page = enter()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault_of_accessibility(
    chrome: Browser, service: Installation, jobs: dict[str, str], scheme: str
) -> None:
    compared = "&".join(f"job={jobs[name]}" for name in ("half", "most"))
    with service.http(Role.ADMIN) as http:
        model, dataset = (http.get(f"/v1/{kind}").json()["items"][0]["sha256"] for kind in ("models", "datasets"))
    pages = (
        "",
        "new",
        f"new?model={model}",
        "pareto",
        "models",
        f"models/{model}",
        "datasets",
        f"datasets/{dataset}",
        "workers",
        "access",
        "help",
        "nothing",
        "new?goal=limit",
        f"new?from={jobs['astray']}",
        "?q=no+such+job",
        "compare",
    )
    with visit(chrome, color_scheme=scheme) as context:
        page = sign_in(context, service, role=Role.ADMIN)
        for path in (*pages, f"compare?{compared}", f"jobs/{jobs['half']}", f"jobs/{jobs['astray']}"):
            page.goto(f"{service.url}/ui/{path}")
            assert serious(page) == {}, path
        page.get_by_role("button", name="Sign out").click()
        assert serious(page) == {}


def serious(page: Page) -> dict[str, list[str]]:
    """Rules of axe-core that the page breaks, with the elements that do."""
    found = Axe().run(page).response["violations"]
    return {rule["id"]: [node["html"] for node in rule["nodes"]] for rule in found if rule["impact"] in ("serious", "critical")}
