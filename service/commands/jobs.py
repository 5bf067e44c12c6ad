"""fractune jobs, job, cancel and retry: the queue of a service."""

import json
from itertools import islice
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from service.terminal import remote
from service.terminal.console import output
from workers.jobs.job import Kind, State


def jobs(
    state: Annotated[State | None, typer.Option(case_sensitive=False, help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show so many, the newest.")] = 20,
    as_json: remote.AsJson = False,
    url: remote.Url = None,
    key: remote.Key = None,
) -> None:
    """List jobs, newest first."""
    filters = {"kind": Kind.COMPRESS.value, **({"state": state.value} if state else {})}
    with remote.connect(url, key) as client:
        found = list(islice(client.jobs(**filters), limit))
    if as_json:
        output.print_json(json.dumps(found))
        return
    table = Table(Column("job", min_width=32), "state", "", "model", "methods", "created", box=None, pad_edge=False)
    for job in found:
        table.add_row(job["id"], job["state"], _standing(job), job["name"], job["methods"], job["created_at"][:19])
    output.print(table)


def job(
    job: remote.Job,
    log: Annotated[bool, typer.Option("--log", help="Print the log of its latest attempt.")] = False,
    url: remote.Url = None,
    key: remote.Key = None,
) -> None:
    """Show JOB as it stands, as JSON, or its log."""
    with remote.connect(url, key) as client:
        if log:
            output.out(client.log(job), highlight=False)
        else:
            output.print_json(json.dumps(client.job(job)))


def cancel(job: remote.Job, url: remote.Url = None, key: remote.Key = None) -> None:
    """End JOB."""
    with remote.connect(url, key) as client:
        output.print(client.cancel(job)["state"])


def retry(job: remote.Job, url: remote.Url = None, key: remote.Key = None) -> None:
    """Do JOB again; prints the id of the new job."""
    with remote.connect(url, key) as client:
        output.print(client.retry(job)["id"])


def _standing(job: dict[str, Any]) -> str:
    """Where a running job is, why a failed one failed, what a finished one says of its constraint."""
    if job["failure"]:
        return str(job["failure"]["code"])
    if job["constraint"] and job["ended_at"]:
        met = job["constraint"]["met"]
        return {True: "constraint met", False: "CONSTRAINT NOT MET"}.get(met, "constraint unverified")
    progress = job["progress"]
    if progress is None or job["ended_at"]:
        return ""
    return f"{progress['stage']} {progress['done']}/{progress['total']}" if progress["total"] else str(progress["stage"])
