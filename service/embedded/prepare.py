"""`python -m service.embedded.prepare`: bring the data folder up to date before the service starts; prints what opens it.

A process of its own, so that the supervisor stays small and the command line starts fast.
"""

import json
import sys
from contextlib import closing

from service.access.authentication import issue, verify_key
from service.access.sessions import issue_ticket
from service.embedded import local_service
from service.embedded.data_folder import make_private
from workers.errors import FractuneError, Unauthenticated
from workers.jobs.records import Role
from workers.jobs.store import Store
from workers.settings import Settings, read_settings


def prepare(settings: Settings) -> tuple[str | None, str | None]:
    """Create or migrate the store, and see to it that this machine has an administrator's key.

    Returns the key and what a link that signs in carries, both only when the key is new: logs are kept, and read by others.
    """
    make_private(settings.data_dir)
    with closing(Store(settings.database)) as store:
        store.migrate()
        if not settings.auth:
            return None, None
        if _opened(store, local_service.read_local_service(settings.data_dir).key):
            return None, None
        key, new = issue(store, "local", Role.ADMIN, created_by="fractune serve")
        local_service.update(settings.data_dir, key=new)
        return new, issue_ticket(store, key.id)


def _opened(store: Store, key: str | None) -> bool:
    """Whether the key is valid."""
    try:
        verify_key(store, key or "")
    except Unauthenticated:
        return False
    return True


if __name__ == "__main__":
    try:
        json.dump(prepare(read_settings()), sys.stdout)
    except FractuneError as error:
        sys.exit(f"{error.message} {error.hint}")
