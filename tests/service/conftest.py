from collections.abc import Iterator

import httpx
import pytest

from tests.installation import Installation, installation
from workers.jobs.records import Role


@pytest.fixture(scope="module")
def service() -> Iterator[Installation]:
    """An API with store and queue, without workers."""
    with installation() as service:
        yield service


@pytest.fixture
def http(service: Installation) -> Iterator[httpx.Client]:
    """An operator."""
    with service.http(Role.OPERATOR) as http:
        yield http


@pytest.fixture
def admin(service: Installation) -> Iterator[httpx.Client]:
    with service.http(Role.ADMIN) as http:
        yield http
