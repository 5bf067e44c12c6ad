"""fractune jobs, job, cancel and retry: the queue of a service; and fractune signin, the way to its dashboard."""

from itertools import islice
from typing import Annotated, Any
from urllib.parse import urljoin

import typer
from rich.markup import escape
from rich.table import Table

from service.terminal import options, remote
from service.terminal.console import output, print_json
from workers.jobs.job import Kind, State


def jobs(
    state: Annotated[State | None, typer.Option(case_sensitive=False, help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show so many, the newest.")] = 20,
    as_json: options.AsJson = False,
    url: remote.Url = None,
    key: remote.Key = None,
) -> None:
    """List jobs, newest first."""
    filters = {"kind": Kind.COMPRESS.value, **({"state": state.value} if state else {})}
    with remote.connect(url, key) as client:
        found = list(islice(client.jobs(**filters), limit))
    if as_json:
        print_json(found)
        return
    table = Table("job", "state", "", "model", "methods", "created", box=None, pad_edge=False)
    short = remote.short_ids([job["id"] for job in found])
    for job in found:
        table.add_row(short[job["id"]], job["state"], _standing(job), job["name"], job["methods"], job["created_at"][:19])
    output.print(table)


def job(
    job: remote.Job,
    log: Annotated[bool, typer.Option("--log", help="Print the log of its latest attempt.")] = False,
    as_json: options.AsJson = False,
    url: remote.Url = None,
    key: remote.Key = None,
) -> None:
    """Show JOB as it stands, or its log."""
    with remote.connect(url, key) as client:
        job_id = client.find_job(job)
        if log:
            output.out(client.log(job_id), highlight=False)
            return
        found = client.job(job_id)
    if as_json:
        print_json(found)
    else:
        output.print(_facts(found, url))


def _facts(job: dict[str, Any], url: str | None) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    facts = {
        "job": job["id"],
        "name": job["name"],
        "steps": job["methods"].replace("+", " + "),
        "state": f"{job['state']} {_standing(job)}",
        "place": job["place"] and f"{job['place']} in the queue, priority {job['priority']}",
        "created": job["created_at"][:19],
        "ended": (job["ended_at"] or "")[:19],
        "worker": job["worker"] and f"{job['worker']}, attempt {job['attempt']}",
        "failure": job["failure"] and f"{job['failure']['message']} {job['failure']['hint']}",
        "page": f"{remote.service_address(url)}/ui/jobs/{job['id']}",
    }
    for name, value in facts.items():
        if value:
            table.add_row(name, escape(value))
    return table


def cancel(job: remote.Job, as_json: options.AsJson = False, url: remote.Url = None, key: remote.Key = None) -> None:
    """End JOB."""
    with remote.connect(url, key) as client:
        ended = client.cancel(client.find_job(job))
    if as_json:
        print_json(ended)
    else:
        output.print(ended["state"])


def retry(job: remote.Job, as_json: options.AsJson = False, url: remote.Url = None, key: remote.Key = None) -> None:
    """Do JOB again; prints the id of the new job."""
    with remote.connect(url, key) as client:
        new = client.retry(client.find_job(job))
    remote.tell_queued(new["id"], url)
    if as_json:
        print_json(new)
    else:
        output.print(new["id"])


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


def signin(as_json: options.AsJson = False, url: remote.Url = None, key: remote.Key = None) -> None:
    """Print a link that opens the dashboard in a browser, once and within ten minutes."""
    with remote.connect(url, key) as client:
        link = urljoin(f"{remote.service_address(url)}/", client.signin_path())
    if as_json:
        print_json({"link": link})
    else:
        output.print(link, highlight=False, soft_wrap=True)
