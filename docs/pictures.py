"""The pictures in these pages, taken anew from a service with a worker: python docs/pictures.py [--every FOLDER].

With --every, each page is taken in its states, at 1440 and 390 pixels, light and dark, to be looked at; pages that are wider
than the window are told.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from playwright.sync_api import Browser, Page

from service.client import Client
from tests.end_to_end.browser import browser, chromium, published
from tests.installation import Installation
from workers.errors import FractuneError
from workers.jobs.records import Role

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits.onnx"
IMAGES = ROOT / "docs" / "images"
PREPROCESSING = {"mean_values": [80.0], "scale_values": [96.0], "layout": "NCHW", "resize": 32}
SCHEMES = ("light", "dark")
WIDTHS = (1440, 390)
Act = Callable[[Page], object]


def recipes() -> Iterator[tuple[dict[str, Any], bool]]:
    """What is done to the digits, and whether they judge it."""
    for level, limit in (0.5, 0.02), (0.7, 0.02), (0.9, 0.02), (0.95, 0.01):
        steps = [{"method": "layerwise_pruning", "sparsity_level": level}]
        yield {"steps": steps, "constraint": {"metric": "accuracy", "max_drop": limit}}, True
    yield {"steps": [{"method": "uniform", "bits": 4}]}, True
    yield {"goal": "speed"}, True
    yield {"goal": "data_free"}, False
    yield {"steps": [{"method": "inq"}], "ignored_scope": {"names": ["nowhere"]}}, True


def furnish(client: Client) -> dict[str, Any]:
    """Jobs that have ended well, missed their limit, were judged by nothing, and failed; the last one runs on."""
    model, digits = client.upload_model(DIGITS), client.upload_dataset(DIGITS.with_suffix(".npz"))
    ids = [
        client.submit(model, {"preprocessing": PREPROCESSING, **recipe}, evaluation=digits if judged else None)["id"]
        for recipe, judged in recipes()
    ]
    for job_id in ids:
        client.wait(job_id)
    endless = {"steps": [{"method": "inq"}], "calibration": {"count": 100_000}}
    running = [client.submit(model, endless)["id"] for _ in range(2)]
    return {"model": model, "digits": digits, "jobs": ids, "running": running}


def refuse(client: Client, folder: Path) -> str | None:
    """A picture for a model: its page says what is wrong with it."""
    picture = folder / "picture.onnx"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500))
    try:
        return client.upload_model(picture)
    except FractuneError:
        return None


def pages(known: Mapping[str, Any]) -> dict[str, tuple[str, Act | None]]:
    """Name, address and what is done there before the picture is taken."""
    *done, astray = known["jobs"]
    chosen = f"new?model={known['model']}"
    return {
        "jobs": ("", None),
        "jobs-none": ("?q=nothing+fits", None),
        "jobs-question": ("", lambda page: page.locator("details.confirm summary").first.click()),
        "new": (chosen, None),
        "new-limit": (f"{chosen}&goal=limit", None),
        "new-knobs": ("new?preset=Prune%20half", None),
        "new-fault": ("new?preset=Prune%20half", lambda page: page.get_by_label("Sparsity level").fill("7")),
        "job": (f"jobs/{done[1]}", None),
        "job-missed": (f"jobs/{done[3]}", None),
        "job-unjudged": (f"jobs/{done[-1]}", None),
        "job-failed": (f"jobs/{astray}", None),
        "job-running": (f"jobs/{known['running'][0]}", None),
        "job-queued": (f"jobs/{known['running'][1]}", None),
        "job-meaning": (f"jobs/{done[1]}", lambda page: page.get_by_role("button", name="Size, zipped").first.click()),
        "compare": ("compare?" + "&".join(f"job={job}" for job in done[1:6:2]), None),
        "compare-mixed": (f"compare?job={done[0]}&job={done[-1]}", None),
        "pareto": ("pareto?max_drop=2", None),
        "models": ("models", None),
        "model": (f"models/{known['model']}", None),
        **({"model-refused": (f"models/{known['refused']}", None)} if known.get("refused") else {}),
        "datasets": ("datasets", None),
        "dataset": (f"datasets/{known['digits']}", None),
        "workers": ("workers", None),
        "access": ("access", None),
        "help": ("help", None),
        "nowhere": ("nothing/here", None),
    }


@contextmanager
def signed_in(chrome: Browser, service: Installation, width: int, scheme: Any) -> Iterator[Page]:
    """A window of an administrator."""
    size = {"width": width, "height": 900}
    with chrome.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce") as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{service.url}/ui/")
        page.get_by_label("API key").fill(service.keys[Role.ADMIN])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{service.url}/ui/")
        yield page


def take(page: Page, url: str, path: str, act: Act | None, file: Path, *, whole: bool = True) -> None:
    """One picture; tells when the page is wider than its window."""
    page.goto(f"{url}/ui/{path}")
    if act:
        act(page)
    page.wait_for_timeout(500)
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        typer.echo(f"{file.name}: wider than its window")
    page.screenshot(path=file, full_page=whole)


def main(every: Annotated[Path | None, typer.Option(help="Take all pages into this folder instead.")] = None) -> None:
    """Start, furnish, take."""
    with ExitStack() as stack:
        chrome = stack.enter_context(browser(chromium() or "chromium"))
        service = stack.enter_context(published())
        if every:
            every.mkdir(parents=True, exist_ok=True)
            for width, scheme in ((width, scheme) for width in WIDTHS for scheme in SCHEMES):
                with signed_in(chrome, service, width, scheme) as page:
                    for name in ("", "new", "pareto", "models", "datasets"):
                        take(page, service.url, name, None, every / f"empty-{name or 'jobs'}-{width}-{scheme}.png")
        client = stack.enter_context(Client(service.url, service.keys[Role.OPERATOR]))
        known = furnish(client)
        known["refused"] = refuse(client, service.settings.data_dir)
        if every:
            _take_every(chrome, service, known, every)
        else:
            _take_few(chrome, service, known)
        for job_id in known["running"]:
            client.cancel(job_id)


def _take_every(chrome: Browser, service: Installation, known: Mapping[str, Any], folder: Path) -> None:
    for width, scheme in ((width, scheme) for width in WIDTHS for scheme in SCHEMES):
        with signed_in(chrome, service, width, scheme) as page:
            for name, (path, act) in pages(known).items():
                take(page, service.url, path, act, folder / f"{name}-{width}-{scheme}.png")


def _take_few(chrome: Browser, service: Installation, known: Mapping[str, Any]) -> None:
    addresses = pages(known)
    with signed_in(chrome, service, 1280, "light") as page:
        for name in ("jobs", "new", "job", "compare", "pareto"):
            path, act = addresses[name]
            take(page, service.url, path, act, IMAGES / f"{name}.png", whole=False)
    with signed_in(chrome, service, 390, "dark") as page:
        take(page, service.url, "", None, IMAGES / "jobs-narrow.png", whole=False)


if __name__ == "__main__":
    if shutil.which("chromium") is None:
        raise SystemExit("There is no chromium on PATH.")
    typer.run(main)
