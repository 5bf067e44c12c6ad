"""Where files are kept so that every machine finds them: in the data folder itself, or in S3-compatible object storage.

A name is that of the file below the data folder. With object storage, the data folder of a machine is its cache.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from workers.errors import Unavailable
from workers.settings import Settings

BLOCK = 8 << 20  # bytes


class BlobStore(Protocol):
    """Keeps files that are complete and never change."""

    cached: bool  # whether what is in the data folder may go, since it can be fetched again

    def put(self, name: str) -> None:
        """The file is complete: keep it. Raises Unavailable."""

    def fetch(self, prefix: str) -> None:
        """See to it that all that is kept under `prefix`, a file or a folder, is in the data folder. Raises Unavailable."""

    def remove(self, prefix: str) -> None:
        """Forget a file or a folder. Raises Unavailable."""


class SharedFolder:
    """The data folder is one file system, which every machine mounts: everything is in place already."""

    cached = False

    def put(self, name: str) -> None:
        """Nothing to do."""

    def fetch(self, prefix: str) -> None:
        """Nothing to do."""

    def remove(self, prefix: str) -> None:
        """Nothing to do: whoever owns the data folder removes it there."""


class ObjectStore:
    """A bucket, or a part of one, beside the data folder `root`."""

    cached = True

    def __init__(self, root: Path, settings: Settings) -> None:
        """Connects at first use."""
        self._root = root.resolve()
        secret = settings.storage_secret_key
        options = {
            "endpoint": settings.storage_endpoint,
            "region": settings.storage_region,
            "access_key_id": settings.storage_access_key,
            "secret_access_key": secret and secret.get_secret_value(),
        }
        given = {key: value for key, value in options.items() if value is not None}
        plain = (settings.storage_endpoint or "").startswith("http://")
        self._store = S3Store.from_url(settings.storage_url or "", config=given, client_options={"allow_http": plain})  # type: ignore[arg-type]

    def put(self, name: str) -> None:
        """Upload the file."""
        with object_store_errors():
            obstore.put(self._store, name, self._root / name)

    def fetch(self, prefix: str) -> None:
        """Download what is missing; each file appears when it is whole."""
        with object_store_errors():
            for name in self._names(prefix):
                path = self._root / name
                if not path.exists():
                    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    self._download(name, path)

    def remove(self, prefix: str) -> None:
        """Delete the objects."""
        with object_store_errors():
            names = list(self._names(prefix))
            if names:
                obstore.delete(self._store, names)

    def _names(self, prefix: str) -> Iterator[str]:
        """The objects called `prefix`, or below it."""
        for page in obstore.list(self._store, prefix):  # matches whole parts of a path, and so never a file by its own name
            yield from (entry["path"] for entry in page)
        try:
            obstore.head(self._store, prefix)
            yield prefix
        except FileNotFoundError:
            pass

    def _download(self, name: str, path: Path) -> None:
        part = self._root / "incoming" / uuid4().hex
        try:
            with part.open("wb") as file:
                for block in obstore.get(self._store, name).stream(min_chunk_size=BLOCK):
                    file.write(block)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def blob_store_of(settings: Settings) -> BlobStore:
    """The blobs that the settings name."""
    return ObjectStore(settings.data_dir, settings) if settings.storage_url else SharedFolder()


@contextmanager
def object_store_errors() -> Iterator[None]:
    """Whatever keeps us from the object storage, as Unavailable."""
    try:
        yield
    except (BaseError, FileNotFoundError) as error:  # obstore says the latter of a bucket as well
        reason = str(error).strip().partition("\n")[0]
        raise Unavailable(f"The object storage does not do as asked: {reason}", hint="See FRACTUNE_STORAGE_URL.") from error
