"""The API as a process: `python -m service.api [--host HOST] [--port PORT] [--fd FD]`."""

import resource
import socket
from math import ceil
from typing import Annotated, Any

import typer
import uvicorn

from service.app import create_app
from service.http.protocol import guarded
from workers.logs import configure
from workers.settings import Settings, read_settings

MOST_DESCRIPTORS = 65536
BACKLOG = 2048  # connections that wait to be taken in
AT_ONCE = 8  # of them, before the loop looks at anything else
RESERVED = 64  # descriptors that are for files, the store and the queue, not for connections


def api(
    host: str = "127.0.0.1",
    port: int = 8080,
    fd: Annotated[int | None, typer.Option(help="A socket that listens already, instead of host and port.")] = None,
) -> None:
    """Serve the API until told to end. Settings come from FRACTUNE_* variables."""
    settings = read_settings()
    configure(settings.log_format)
    config = configuration(settings, descriptors() - RESERVED, host=host, port=port)
    sockets = [socket.socket(fileno=fd)] if fd is not None else [config.bind_socket()]
    HttpServer(config).run(sockets=sockets)


class HttpServer(uvicorn.Server):
    """uvicorn's, taking in a few connections at a time: those that are there are served before the next ones."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(BACKLOG)  # the loop takes one number for how many may wait and how many it takes at once


def configuration(settings: Settings, connections: int, **options: Any) -> uvicorn.Config:
    """How uvicorn serves the API, over at most so many connections."""
    limits, proxies = settings.connections, settings.trusted_proxies
    return uvicorn.Config(
        create_app(settings),
        http=guarded(limits, connections, proxies),
        timeout_keep_alive=ceil(limits.idle_s),
        forwarded_allow_ips=[str(network) for network in proxies],
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=AT_ONCE,
        timeout_graceful_shutdown=2,  # event streams never end by themselves
        **options,
    )


def descriptors() -> int:
    """How many this process may have open, once it has asked for all that it can get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(wanted, soft)


if __name__ == "__main__":
    typer.run(api)
