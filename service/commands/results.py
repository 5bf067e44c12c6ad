"""fractune report and download: what a job of a service found and made."""

import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from service.client import Client
from service.terminal import exit_codes, options, remote
from service.terminal.console import complain, messages, print_json
from service.terminal.summary import show_result
from workers.errors import Conflict
from workers.jobs.job import Failure


def report(
    job: remote.Job,
    html: Annotated[Path | None, typer.Option(dir_okay=False, help="Save the page for people here.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    as_json: options.AsJson = False,
    url: remote.Url = None,
    key: remote.Key = None,
) -> None:
    """Show what JOB found; exit status as of optimize."""
    with remote.connect(url, key) as client:
        ended = _ended(client, client.find_job(job))
        if show and html is None:
            html = Path(tempfile.mkdtemp(prefix="fractune-")) / "report.html"  # stays: the browser reads it after we are gone
        if html:
            client.download(ended["id"], "report.html", html)
        if show and html:
            webbrowser.open(html.resolve().as_uri())
        raise typer.Exit(tell_end(client, ended, html is not None and not as_json, as_json))


def download(
    job: remote.Job,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for the results; JOB when absent.")] = None,
    point: Annotated[str | None, typer.Option(help="Of a front the model at this setting alone, such as 0.7.")] = None,
    as_json: options.AsJson = False,
    url: remote.Url = None,
    key: remote.Key = None,
) -> None:
    """Save the results of JOB, laid out as optimize does."""
    folder = out or Path(job)
    with remote.connect(url, key) as client:
        job_id = client.find_job(job)
        client.download_all(job_id, folder, point)
        if as_json:
            print_json({"job": job_id, "folder": str(folder), "files": client.artifacts(job_id)})
            return
    messages.print(f"Results in {folder}", highlight=False)


def tell_end(client: Client, job: dict[str, Any], quiet: bool, as_json: bool = False) -> exit_codes.ExitCode:
    """Show how a job ended, as JSON its report; the exit status that says the same."""
    if job["state"] == "SUCCEEDED":
        if as_json:
            print_json(client.report(job["id"]))
        elif not quiet:
            show_result(client.report(job["id"]))
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
