"""The dashboard's service, a browser, and jobs that have ended, once for a module."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from service.client import Client
from tests.end_to_end.browser import MODEL, QUICK, browser, chromium, published, sign_in, visit
from tests.installation import Installation
from workers.jobs.records import Role


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    executable = chromium()
    if executable is None:
        message = "THE DASHBOARD IS NOT TESTED: found no chromium on PATH; install it to test in a real browser"
        print(f"\n{message}", file=sys.__stderr__)
        pytest.skip(message)
    with browser(executable) as started:
        yield started


@pytest.fixture(scope="module")
def service(chrome: Browser) -> Iterator[Installation]:
    with published() as service:
        yield service


@pytest.fixture(scope="module")
def client(service: Installation) -> Iterator[Client]:
    with Client(service.url, service.keys[Role.OPERATOR]) as client:
        yield client


@pytest.fixture(scope="module")
def jobs(client: Client) -> dict[str, str]:
    """Ids of ended jobs by name."""
    model = client.upload_model(MODEL)
    digits = client.upload_dataset(MODEL.with_suffix(".npz"))
    preprocessing = {"mean_values": [80.0], "scale_values": [96.0], "layout": "NCHW", "resize": 32}
    recipes: dict[str, dict[str, Any]] = {
        "half": {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.5}], "preprocessing": preprocessing, **QUICK},
        "most": {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.9}], "preprocessing": preprocessing, **QUICK},
        "astray": {"steps": [{"method": "inq"}], "ignored_scope": {"names": ["nowhere"]}, **QUICK},
    }
    ids = {name: client.submit(model, recipe, evaluation=digits, name=name)["id"] for name, recipe in recipes.items()}
    for job_id in ids.values():
        client.wait(job_id)
    return ids


@pytest.fixture
def context(chrome: Browser) -> Iterator[BrowserContext]:
    with visit(chrome) as context:
        yield context


@pytest.fixture
def enter(context: BrowserContext, service: Installation) -> Callable[..., Page]:
    """Sign in and go to a page."""
    return lambda path="", role=Role.OPERATOR: sign_in(context, service, path, role)
