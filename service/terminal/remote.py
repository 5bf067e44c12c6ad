"""Talking to a service: which one, and with which key."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import httpx
import typer

from service.client import Client
from service.embedded import local_service
from service.terminal.progress import StageProgress
from workers.errors import Unavailable

Url = Annotated[
    str | None, typer.Option(envvar="FRACTUNE_URL", help="Of the service; the one that `fractune serve` runs here when absent.")
]
Key = Annotated[
    str | None, typer.Option("--api-key", envvar="FRACTUNE_API_KEY", help="API key; that of the local service when absent.")
]
Job = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PATIENCE_S = 5.0  # for a service that is being restarted


@contextmanager
def connect(url: str | None, key: str | None) -> Iterator[Client]:
    """A client of the service named, or of the one on this machine. The local key goes to the local service only.

    Raises Unavailable when the service does not answer.
    """
    local = local_service.read_local_service(local_service.data_dir())
    key = key or (local.key if url in (None, local.url) else None)
    with Client(url or local.url, key, patience_s=PATIENCE_S) as client:
        try:
            yield client
        except httpx.TransportError as error:
            raise Unavailable(
                f"The service does not answer: {error}.", hint="Start one with `fractune serve`, or name it with --url."
            ) from error


def wait(client: Client, job_id: str, quiet: bool) -> dict[str, Any]:
    """The job once it has ended, with its progress shown meanwhile."""
    with StageProgress(quiet) as progress:
        return client.wait(job_id, on_event=lambda event: progress.show({"event": event["type"], **event["data"]}))
