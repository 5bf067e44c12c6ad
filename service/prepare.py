"""`python -m service.prepare`: bring the data folder up to date before the service starts; prints the local key if it is new.

A process of its own, so that the supervisor stays small and the command line starts fast.
"""

import sys
from contextlib import closing

from service import local_service
from service.auth import issue, verify
from workers.errors import Unauthenticated
from workers.jobs.records import Role
from workers.jobs.store import Store
from workers.settings import Settings


def prepare(settings: Settings) -> str | None:
    """Create or migrate the store, and see to it that this machine has an administrator's key; the key if it is new."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(Store(settings.database)) as store:
        store.migrate()
        if not settings.auth or _opens(store, local_service.read(settings.data_dir).key):
            return None
        _, key = issue(store, "local", Role.ADMIN, created_by="fractune serve")
    local_service.update(settings.data_dir, key=key)
    return key


def _opens(store: Store, key: str | None) -> bool:
    try:
        verify(store, key or "")
    except Unauthenticated:
        return False
    return True


if __name__ == "__main__":
    sys.stdout.write(prepare(Settings()) or "")
