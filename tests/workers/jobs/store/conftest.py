from collections.abc import Callable, Iterator
from hashlib import sha256

import pytest

from workers.jobs.store import Store


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all tests of a module, which keep to rows of their own."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('store')}/fractune.db"
    else:
        create: Callable[[], str] = request.getfixturevalue("postgres")
        url = create()
    store = Store(url)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> str:
    """A word of this test's own."""
    return sha256(request.node.nodeid.encode()).hexdigest()[:12]
