"""The API as a process: `python -m service.api [--host HOST] [--port PORT] [--fd FD]`."""

import socket
from typing import Annotated

import typer
import uvicorn

from service.app import create_app
from workers.logs import configure
from workers.settings import read_settings


def api(
    host: str = "127.0.0.1",
    port: int = 8080,
    fd: Annotated[int | None, typer.Option(help="A socket that listens already, instead of host and port.")] = None,
) -> None:
    """Serve the API until told to end. Settings come from FRACTUNE_* variables."""
    settings = read_settings()
    configure(settings.log_format)
    config = uvicorn.Config(
        create_app(settings),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,  # event streams never end by themselves
    )
    sockets = [socket.socket(fileno=fd)] if fd is not None else None
    uvicorn.Server(config).run(sockets=sockets)


if __name__ == "__main__":
    typer.run(api)
