"""`python -m service.embedded.prepare`: bring the data folder up to date before the service starts; prints what opens it.

A process of its own, so that the supervisor stays small and the command line starts fast.
"""

import json
import sys
from contextlib import closing

from service.access.authentication import issue, verify_key
from service.access.sessions import TICKET_S, open_session
from service.embedded import local_service
from workers.errors import FractuneError, Unauthenticated
from workers.jobs.records import Role
from workers.jobs.store import Store
from workers.settings import Settings, read_settings


def prepare(settings: Settings) -> tuple[str | None, str | None]:
    """Create or migrate the store, and see to it that this machine has an administrator's key.

    Returns the key if it is new, and the token of a session of it that is short, for a link that signs in.
    """
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(Store(settings.database)) as store:
        store.migrate()
        if not settings.auth:
            return None, None
        new, key_id = None, _opened(store, local_service.read_local_service(settings.data_dir).key)
        if key_id is None:
            key, new = issue(store, "local", Role.ADMIN, created_by="fractune serve")
            key_id = key.id
            local_service.update(settings.data_dir, key=new)
        return new, open_session(store, key_id, TICKET_S)


def _opened(store: Store, key: str | None) -> str | None:
    """The id of a key that is valid."""
    try:
        return verify_key(store, key or "").id
    except Unauthenticated:
        return None


if __name__ == "__main__":
    try:
        json.dump(prepare(read_settings()), sys.stdout)
    except FractuneError as error:
        sys.exit(f"{error.message} {error.hint}")
