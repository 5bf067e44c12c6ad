"""Talking to a service: which one, and with which key."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import httpx
import typer

from service.client import Client
from service.embedded import local_service
from service.terminal import exit_codes
from service.terminal.console import messages
from service.terminal.progress import StageProgress
from workers.errors import Unavailable

Url = Annotated[
    str | None, typer.Option(envvar="FRACTUNE_URL", help="Of the service; the one that `fractune serve` runs here when absent.")
]
Key = Annotated[
    str | None, typer.Option("--api-key", envvar="FRACTUNE_API_KEY", help="API key; that of the local service when absent.")
]
Job = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job, or as many of its first letters as tell it from others.")]
PATIENCE_S = 5.0  # for a service that is being restarted
SHORT = 8  # letters of an id that listings show


def service_address(url: str | None) -> str:
    """Of the service: the one named, or the one on this machine."""
    return (url or local_service.read_local_service(local_service.data_dir()).url).rstrip("/")


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


def tell_queued(job_id: str, url: str | None) -> None:
    """Say first of all which job it is and where it can be watched."""
    messages.print(f"Job {job_id[:SHORT]}  {service_address(url)}/ui/jobs/{job_id}", highlight=False, markup=False)


def wait(client: Client, job_id: str, quiet: bool) -> dict[str, Any]:
    """The job once it has ended, with its progress shown meanwhile. Ctrl-C ends the waiting, and not the job."""
    try:
        with StageProgress(quiet) as progress:
            return client.wait(job_id, on_event=lambda event: progress.show({"event": event["type"], **event["data"]}))
    except KeyboardInterrupt:
        name = job_id[:SHORT]
        messages.print(
            f"The job goes on. `fractune report {name}` shows its result, `fractune cancel {name}` ends it.", markup=False
        )
        raise typer.Exit(exit_codes.ExitCode.INTERRUPTED) from None


def short_ids(ids: list[str]) -> dict[str, str]:
    """The first letters of each id, as many as tell them from one another, SHORT at the least."""
    return {each: next(each[:n] for n in range(SHORT, len(each) + 1) if _alone(each[:n], ids)) for each in ids}


def _alone(begins: str, ids: list[str]) -> bool:
    return sum(other.startswith(begins) for other in ids) == 1
