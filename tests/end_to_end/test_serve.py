"""`fractune serve`: every process of the embedded service, started, killed and ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from tests import servers
from tests.end_to_end.embedded import ROOT, Service, alive, running_service
from tests.waiting import PATIENCE_S, until

PARTS = ("valkey-server", "-m workers.worker", "service.api")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One for all tests after which it still runs."""
    with running_service() as running:
        yield running


@pytest.fixture
def own_service() -> Iterator[Service]:
    """One to end."""
    with running_service() as running:
        yield running


def test_it_is_ready_when_it_says_so(service: Service) -> None:
    assert service.ready()


def test_its_data_are_ours_alone(service: Service) -> None:
    assert (service.data_dir / "broker.sock").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_and_leaves_nothing(own_service: Service, number: signal.Signals) -> None:
    family = own_service.family()
    own_service.process.send_signal(number)
    own_service.process.communicate(timeout=PATIENCE_S)
    assert own_service.process.returncode == 0
    assert not any(map(alive, family))


def test_a_second_one_is_refused(service: Service) -> None:
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(service.data_dir)]
    second = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert second.returncode == 1
    assert str(service.process.pid) in second.stderr
    assert service.ready()


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_killed_is_started_again(service: Service, name: str) -> None:
    before = service.part(name)
    before.kill()

    def restarted() -> bool:
        try:
            return service.part(name).pid != before.pid and service.ready()
        except (ValueError, psutil.Error):  # there is none at the moment
            return False

    until(restarted)


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_nothing_survives_when_it_is_killed(own_service: Service) -> None:
    family = own_service.family()
    own_service.process.kill()
    until(lambda: not any(map(alive, family)))


def test_a_port_that_is_taken_is_named(service: Service) -> None:
    port = service.url.rpartition(":")[2]
    with servers.folder() as data_dir:
        command = [sys.executable, "-m", "service", "serve", "--port", port, "--data-dir", str(data_dir)]
        second = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=PATIENCE_S
        )
    assert second.returncode == 1
    assert port in second.stderr
