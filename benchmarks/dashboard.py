"""How soon a browser shows the table of jobs when there are a thousand: first paint and whole load, in headless Chromium.

python benchmarks/dashboard.py --jobs 1000 --out benchmarks/results/dashboard.json
"""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from playwright.sync_api import Page, sync_playwright

from service.access.sessions import COOKIE, open_session
from tests.installation import Installation, installation
from workers.jobs.job import Kind, Progress, Stage
from workers.jobs.records import AssetKind, Request, Role
from workers.machine import fingerprint

METHODS = ("layerwise_pruning", "inq", "mcq", "slq", "ec2t")
MODELS = ("resnet50.onnx", "mobilenet_v2.onnx", "bert_base.onnx")
ADDRESSES = {"table": "", "sorted by size": "?sort=size", "searched": "?q=resnet", "last page": "?page=20"}
MEASURE = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  if (!paint || !page.loadEventEnd) return null;
  return {first_paint_ms: paint.startTime, server_ms: page.responseStart, load_ms: page.loadEventEnd};
}"""


def fill(service: Installation, count: int, rng: np.random.Generator) -> None:
    """Jobs as a busy month leaves them: most ended well, some failed, some run or wait."""
    store = service.store
    for index, name in enumerate(MODELS):
        store.assets.add(AssetKind.MODEL, f"{index:064x}", name, 1, "me", lambda: None)
    for number in range(count):
        steps = [{"method": str(rng.choice(METHODS))}]
        request = Request(Kind.COMPRESS, f"{rng.integers(len(MODELS)):064x}", {"steps": steps}, name=f"night build {number}")
        job, _ = store.jobs.submit(request, "me")
        if number >= count - 10:
            continue
        store.leases.claim(job.id, "worker", 3600)
        store.leases.progress(job.id, 1, Progress(Stage.COMPRESS, int(rng.integers(54)), 54, "layer"), 60.0)
        if number < count - 15:
            low, value, high = sorted(rng.uniform(0.9, 1.0, 3).tolist())
            sizes = {"original_zip_bytes": 1e8, "zip_bytes": float(rng.uniform(1e7, 9e7))}
            agreement = {"agreement": value, "agreement_low": low, "agreement_high": high, "ratio": float(rng.uniform(0.9, 4))}
            store.leases.publish(job.id, 1, [], summary={**sizes, **agreement}, constraint={"met": "unverified"})


def measure(page: Page, url: str) -> dict[str, float]:
    """One load."""
    page.goto(url, wait_until="load")
    timing: dict[str, float] = page.wait_for_function(MEASURE).json_value()
    return timing


def summary(timings: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median and worst of every quantity."""
    values = {name: [timing[name] for timing in timings] for name in timings[0]}
    return {name: {"median": float(np.median(found)), "worst": max(found)} for name, found in values.items()}


def main(
    jobs: Annotated[int, typer.Option(help="How many are in the store.")] = 1000,
    loads: Annotated[int, typer.Option(help="Of each address, each in a browser without a cache.")] = 10,
    out: Path | None = None,
) -> None:
    """Fill a store, load the table again and again, tell how long it took."""
    results: dict[str, Any] = {"jobs": jobs, "loads": loads, "machine": fingerprint().model_dump(mode="json")}
    with installation() as service, sync_playwright() as playwright:
        fill(service, jobs, np.random.default_rng(0))
        session = open_session(service.store, service.keys[Role.VIEWER].split("_")[1])
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for name, query in ADDRESSES.items():
            timings = []
            for _ in range(loads + 1):
                with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
                    context.add_cookies([{"name": COOKIE, "value": session, "url": service.url}])
                    timings.append(measure(context.new_page(), f"{service.url}/ui/{query}"))
            results[name] = summary(timings[1:])  # the first load finds nothing compiled
        browser.close()
    text = json.dumps(results, indent=1)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")
    typer.echo(text)


if __name__ == "__main__":
    typer.run(main)
