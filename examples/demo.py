"""`make demo`: the carried network through the whole service, over REST.

Starts the embedded service in demo/, uploads the network and its evaluation split, compresses it with fractal images for data,
shows what became of it, and leaves the service running until Ctrl-C. With DEMO_EXIT=1 it ends after the table.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from service.client import Client
from service.commands import results
from service.embedded import local_service
from service.embedded.processes import SOCKET_PATH_BYTES
from service.terminal import remote
from service.terminal.console import messages

HERE = Path(__file__).resolve().parent
DEMO = HERE.parent / "demo"
PORT = 8080
START_S = 60


def main() -> int:
    """Returns the exit status: that of `fractune submit --wait`."""
    with served(data_folder(), free_port()) as (server, client):
        job = run(client)
        status = results.tell_end(client, job, quiet=False)
        if job["state"] == "SUCCEEDED":
            fetch(client, job["id"])
        if not os.environ.get("DEMO_EXIT"):
            messages.print("The service goes on running, and so does the dashboard: its link stands above. Ctrl-C ends it.")
            server.wait()
    return int(status)


def run(client: Client) -> dict[str, object]:
    """Upload, submit, wait."""
    messages.print("Uploading a network that reads handwritten digits, and 600 digits to test it on", highlight=False)
    model = client.upload_model(HERE / "digits.onnx")
    digits = client.upload_dataset(HERE / "digits.npz")
    recipe = json.loads((HERE / "recipe.json").read_text())
    messages.print("Compressing it without data: 70 % of the weights go, fractal images stand in for digits", highlight=False)
    job = client.submit(model, recipe, evaluation=digits, name="demo")
    return remote.wait(client, job["id"], quiet=False)


def fetch(client: Client, job_id: str) -> None:
    """Save the results in demo/result."""
    folder = DEMO / "result"
    client.download_all(job_id, folder)
    for what, path in ("Model", folder / "1" / "model.xml"), ("Report", folder / "report.html"):
        messages.print(f"{what:<7} {path}", highlight=False)


@contextmanager
def served(data_dir: Path, port: int) -> Iterator[tuple["subprocess.Popen[bytes]", Client]]:
    """The embedded service, once it is ready; ended at the end of the block."""
    messages.print("Starting the service: a broker, a worker and the API", highlight=False)
    command = [sys.executable, "-m", "service", "serve", "--port", str(port), "--data-dir", str(data_dir)]
    with subprocess.Popen(command) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(server, url)
            with Client(url, local_service.read_local_service(data_dir).key) as client:
                yield server, client
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            server.send_signal(signal.SIGINT)


def wait_until_ready(server: "subprocess.Popen[bytes]", url: str) -> None:
    """Leaves with the service's own exit status when it cannot start; it has said why."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(server.returncode)
        try:
            if httpx.get(f"{url}/readyz", timeout=2).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    sys.exit(f"The service is not ready after {START_S} s; see {DEMO}.")


def data_folder() -> Path:
    """demo/data, or a temporary folder where the path would be too long for a socket."""
    folder = DEMO / "data"
    fits = len(os.fsencode(folder / "broker.sock")) <= SOCKET_PATH_BYTES
    return folder if fits else Path(tempfile.mkdtemp(prefix="fractune-demo-"))


def free_port() -> int:
    """PORT, or another one when it is taken."""
    for port in (PORT, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as server:
                return int(server.getsockname()[1])
        except OSError:
            continue
    sys.exit("There is no free port.")


if __name__ == "__main__":
    sys.exit(main())
