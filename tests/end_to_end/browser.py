"""A real browser, and the service as it stands in production: two API processes behind a proxy with a path prefix."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.installation import ROOT, Installation, settings_in
from tests.proxy import proxy
from tests.servers import folder, process, valkey
from tests.waiting import PATIENCE_S
from workers.jobs.records import Role

MODEL = ROOT / "examples" / "digits.onnx"
QUICK = {"benchmark": None, "calibration": {"count": 32, "inversion_steps": 0}}
END_MS = 1000 * PATIENCE_S  # until a job has ended
CHILD = (sys.executable, "-m", "workers.run.child")
SWITCHES = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # there is nothing else to reach
)
NOWHERE = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")} | {
    "no_proxy": "127.0.0.1"
}


def chromium() -> str | None:
    """The system's browser."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def browser(executable: str) -> Iterator[Browser]:
    expect.set_options(timeout=1000 * PATIENCE_S)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=list(SWITCHES))
        yield started
        started.close()


@contextmanager
def published() -> Iterator[Installation]:
    """A service with a real worker; `url` is the proxy's."""
    with ExitStack() as stack:
        home = stack.enter_context(folder())
        stack.enter_context(valkey(home / "broker.sock"))
        service = Installation(settings_in(home, child_command=CHILD))
        ports = [_free_port() for _ in range(2)]
        for port in ports:
            stack.enter_context(_api(service, port))
        service.url = stack.enter_context(proxy(ports, "/tools/fractune"))
        stack.enter_context(service.worker())
        yield service
        service.store.close()


@contextmanager
def _api(service: Installation, port: int) -> Iterator[None]:
    variables = {"FRACTUNE_DATA_DIR": str(service.settings.data_dir), "FRACTUNE_MIN_FREE_BYTES": "1", "PYTHONPATH": str(ROOT)}

    def ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz").is_success
        except httpx.TransportError:
            return False

    command = [sys.executable, "-m", "service.api", "--port", str(port)]
    with process(command, ready=ready, env=os.environ | NOWHERE | variables, cwd=ROOT):
        yield


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def visit(browser: Browser, **options: object) -> Iterator[BrowserContext]:
    """A browser of its own, without cookies. Whatever goes wrong on a page is an error."""
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(1000 * PATIENCE_S)
    faults: list[str] = []
    context.on("weberror", lambda error: faults.append(str(error.error)))
    context.on("console", lambda message: faults.append(message.text) if "Content Security Policy" in message.text else None)
    context.on(
        "request",
        lambda request: None if request.url.startswith(("http://127.0.0.1:", "data:", "blob:")) else faults.append(request.url),
    )
    yield context
    context.close()
    assert faults == []


def sign_in(context: BrowserContext, service: Installation, path: str = "", role: Role = Role.OPERATOR) -> Page:
    page = context.new_page()
    page.goto(f"{service.url}/ui/{path}")
    page.get_by_label("API key").fill(service.keys[role])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{service.url}/ui/{path}")
    return page
