"""What happens to every upload, however it comes in: room is made sure of, the file placed, the model inspected."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.access.authentication import Operator, StoreDep
from service.http.dependencies import AnnounceDep, ArtifactsDep, SettingsDep
from workers.errors import InvalidRequest, TooLarge
from workers.jobs.artifacts import Artifacts
from workers.jobs.incoming import Incoming
from workers.jobs.records import Asset, AssetKind
from workers.jobs.store import Store
from workers.jobs.store.assets import check_quota
from workers.settings import Settings

NAME_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes files in for one API key."""

    settings: Settings
    store: Store
    artifacts: Artifacts
    announce: AnnounceDep
    owner: str

    def make_room(self, size: int) -> None:
        """Raises TooLarge, QuotaExceeded."""
        if size > self.settings.max_upload_bytes:
            raise TooLarge(f"The upload is larger than {self.settings.max_upload_bytes} bytes.")
        check_quota(self.store.assets.stored_bytes(self.owner), size, self.settings.quota_bytes)

    @contextmanager
    def receiving(self) -> Iterator[Incoming]:
        """A file to receive; gone at the end of the block unless it was admitted."""
        with self.artifacts.incoming(self.settings.max_upload_bytes, self.settings.min_free_bytes) as incoming:
            try:
                yield incoming
            finally:
                incoming.path.unlink(missing_ok=True)

    def admit(self, incoming: Incoming, kind: AssetKind, sha256: str, name: str) -> tuple[Asset, bool]:
        """Keep a finished file, and have a model inspected; True when it was not there yet. Raises QuotaExceeded."""
        if incoming.size == 0:
            raise InvalidRequest("The upload is empty.", hint="Send the file as the body of the request.")
        name = "".join(letter for letter in name if letter.isprintable())[-NAME_LENGTH:] or kind.value
        asset, new, job = self.store.assets.add(
            kind,
            sha256,
            name,
            incoming.size,
            self.owner,
            lambda: self.artifacts.place(incoming.path, kind, sha256, name),
            self.settings.quota_bytes,
        )
        if job is not None:
            self.announce(job.id)
        return asset, new


def _intake(
    settings: SettingsDep,
    store: StoreDep,
    artifacts: ArtifactsDep,
    announce: AnnounceDep,
    principal: Operator,
    request: Request,
) -> Intake:
    intake = Intake(settings, store, artifacts, announce, principal.id)
    declared = request.headers.get("content-length", "0")
    intake.make_room(int(declared) if declared.isdecimal() else 0)
    return intake


IntakeDep = Annotated[Intake, Depends(_intake)]
