"""fractune report and download: what a job of a service found and made."""

import json
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from service.client import Client
from service.terminal import exit_codes, remote
from service.terminal.console import complain, messages, output
from service.terminal.summary import summary
from workers.errors import Conflict
from workers.jobs.job import Failure


def report(
    job: remote.Job,
    html: Annotated[Path | None, typer.Option(dir_okay=False, help="Save the page for people here.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    as_json: remote.AsJson = False,
    url: remote.Url = None,
    key: remote.Key = None,
) -> None:
    """Show what JOB found; exit status as of optimize."""
    with remote.connect(url, key) as client:
        ended = _ended(client, job)
        if show and html is None:
            html = Path(tempfile.mkdtemp(prefix="fractune-")) / "report.html"  # stays: the browser reads it after we are gone
        if html:
            client.download(job, "report.html", html)
        if show and html:
            webbrowser.open(html.resolve().as_uri())
        if not as_json:
            raise typer.Exit(tell_end(client, ended, quiet=html is not None))
        output.print_json(json.dumps(client.report(job)))


def download(
    job: remote.Job,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for the results; JOB when absent.")] = None,
    url: remote.Url = None,
    key: remote.Key = None,
) -> None:
    """Save the results of JOB, laid out as optimize does."""
    folder = out or Path(job)
    with remote.connect(url, key) as client:
        client.download_all(job, folder)
    messages.print(f"Results in {folder}", highlight=False)


def tell_end(client: Client, job: dict[str, Any], quiet: bool) -> exit_codes.ExitCode:
    """Show how a job ended; the exit status that says the same."""
    if job["state"] == "SUCCEEDED":
        if not quiet:
            output.print(summary(client.report(job["id"])))
        return exit_codes.of_constraint(job["constraint"])
    failure = job["failure"]
    if failure is None:
        messages.print(job["state"])
        return exit_codes.ExitCode.BROKEN
    complain(Failure(**failure))
    return exit_codes.of_failure(failure["code"])


def _ended(client: Client, job_id: str) -> dict[str, Any]:
    job = client.job(job_id)
    if job["ended_at"] is None:
        raise Conflict(f"Job {job_id} has not ended; it is {job['state']}.", hint="Wait for it, or see `fractune job`.")
    return job
