"""fractune serve, fractune api and fractune worker: the processes of the service."""

import os
import signal
import sys
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from service.embedded import processes
from service.extras import require
from service.terminal.console import messages
from workers.settings import read_settings


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8080,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; each runs one job at a time.")] = 1,
    data_dir: Annotated[Path | None, typer.Option(file_okay=False, help="FRACTUNE_DATA_DIR, ~/.fractune when absent.")] = None,
) -> None:
    """Run broker, worker and API on this machine until Ctrl-C. Needs no root, no Docker, no network."""
    require("all" if workers else "server")
    settings = read_settings(**({"data_dir": data_dir} if data_dir else {}))
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    processes.run_processes(settings, host=host, port=port, workers=workers, say=_say, ready=_announce, stop=stop)


def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8080,
) -> None:
    """Run the API alone in this process, with broker and workers elsewhere; settings come from FRACTUNE_* variables."""
    key, _ = processes.prepare_data_folder({})
    if key:
        messages.print(f"The administrator's key, shown this once: {key}", highlight=False, soft_wrap=True)
    os.execv(sys.executable, [sys.executable, "-m", "service.api", "--host", host, "--port", str(port)])


def worker() -> None:
    """Run one worker in this process; settings come from FRACTUNE_* variables."""
    os.execv(sys.executable, [sys.executable, "-m", "workers.worker"])


def _say(what: str) -> None:
    messages.print(what, style="yellow", highlight=False)


def _announce(service: processes.Announcement) -> None:
    messages.print(f"Fractune is ready at [bold]{service.url}[/]  (Ctrl-C ends it)", highlight=False)
    messages.print(f"Dashboard: [link={service.dashboard}]{service.dashboard}[/link]", highlight=False, soft_wrap=True)
    if service.key:
        messages.print(f"Its administrator's key, shown this once: [bold]{service.key}[/]", highlight=False)
