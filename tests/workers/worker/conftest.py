"""A house for every test of workers, with and without its broker."""

from collections.abc import Iterator

import pytest

from tests.servers import folder, valkey
from tests.workers.worker.house import House


@pytest.fixture
def house() -> Iterator[House]:
    with folder() as home:
        yield House(home)


@pytest.fixture
def running(house: House) -> Iterator[House]:
    with valkey(house.settings.data_dir / "broker.sock"):
        yield house
