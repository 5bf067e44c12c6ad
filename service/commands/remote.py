"""Talking to a service: which one, with which key, and in which form files travel."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import typer

from service import local_service
from service.client import Client
from service.commands.progress import StageProgress
from workers.errors import UnreadableModel
from workers.settings import Settings

Url = Annotated[
    str | None, typer.Option(envvar="FRACTUNE_URL", help="Of the service; the one that `fractune serve` runs here when absent.")
]
Key = Annotated[
    str | None, typer.Option("--api-key", envvar="FRACTUNE_API_KEY", help="API key; that of the local service when absent.")
]
Job = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PATIENCE_S = 5.0  # for a service that is being restarted


def connect(url: str | None, key: str | None) -> Client:
    """A client of the service named, or of the one on this machine. The local key goes to the local service only."""
    local = local_service.read(Settings().data_dir)
    return Client(url or local.url, key or (local.key if url in (None, local.url) else None), patience_s=PATIENCE_S)


def wait(client: Client, job_id: str, quiet: bool) -> dict[str, Any]:
    """The job once it has ended, with its progress shown meanwhile."""
    with StageProgress(quiet) as progress:
        return client.wait(job_id, on_event=lambda event: progress.show({"event": event["type"], **event["data"]}))


@contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """`path` as one file: a folder, or an IR with its weights, as a zip. The same content gives the same bytes."""
    if path.is_file() and path.suffix != ".xml":
        yield path
        return
    with TemporaryDirectory() as folder:
        packed = Path(folder) / f"{path.stem}.zip"
        files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else sorted(path.rglob("*"))
        missing = [file for file in files if not file.exists()]
        if missing:
            raise UnreadableModel(f"{missing[0]} is missing.", hint="Give the .xml with its .bin beside it.")
        root = path.parent if path.is_file() else path
        with ZipFile(packed, "w") as archive:
            for file in files:
                if file.is_file():
                    _add(archive, file, file.relative_to(root).as_posix())
        yield packed


def _add(archive: ZipFile, file: Path, name: str) -> None:
    entry = ZipInfo(name)  # dated 1980, whatever the file's date
    entry.compress_type = ZIP_DEFLATED
    with file.open("rb") as source, archive.open(entry, "w", force_zip64=os.path.getsize(file) >= 2**31) as target:
        while block := source.read(1 << 20):
            target.write(block)
