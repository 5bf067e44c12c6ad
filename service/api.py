"""The API as a process: `python -m service.api [--host HOST] [--port PORT] [--fd FD]`."""

import asyncio
import gc
import resource
import socket
import sys
from math import ceil
from typing import Annotated, Any

import typer
import uvicorn
from anyio.to_thread import current_default_thread_limiter

from service.app import create_app
from service.http.protocol import guarded
from workers.logs import configure
from workers.settings import Settings, read_settings

MOST_DESCRIPTORS = 65536
BACKLOG = 2048  # connections that wait to be taken in
AT_ONCE = 32  # of them, before the loop looks at anything else
THREADS = 16  # that ask the store and write files; each more makes the loop wait longer for its turn
PAUSE_S = 0.5  # without taking in anybody, when no descriptor is free
SWITCH_S = 0.0002  # after which a thread lets others go on: for one query it has to wait for the interpreter ten times
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
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()  # what is there now stays; to look through it again would hold up everybody for a quarter of a second
    HttpServer(config).run(sockets=sockets)


class HttpServer(uvicorn.Server):
    """uvicorn's, that takes in whoever waits before it goes on.

    Its event loop would take in one at a time, and a flood would stand in that queue before everybody else.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        current_default_thread_limiter().total_tokens = THREADS
        for listener in sockets or []:
            listener.setblocking(False)
            listener.listen(BACKLOG)
        await super().startup([])
        self._protocol_class: Any = self.config.http_protocol_class
        self._taken_in: set[asyncio.Task[Any]] = set()
        for listener in sockets or []:
            self._listen(listener)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nobody in any more, and end."""
        for listener in sockets or []:
            asyncio.get_running_loop().remove_reader(listener)
        await super().shutdown(sockets)

    def _listen(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listener, self._take_in, listener)

    def _take_in(self, listener: socket.socket) -> None:
        """Those who wait to be connected."""
        loop = asyncio.get_running_loop()
        try:
            for _ in range(AT_ONCE):
                task = loop.create_task(loop.connect_accepted_socket(self._protocol, listener.accept()[0]))
                self._taken_in.add(task)
                task.add_done_callback(self._taken_in.discard)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:  # no descriptor is free
            loop.remove_reader(listener)
            loop.call_later(PAUSE_S, self._listen, listener)

    def _protocol(self) -> asyncio.Protocol:
        values = {"server_state": self.server_state, "app_state": self.lifespan.state}
        made: asyncio.Protocol = self._protocol_class(config=self.config, **values)
        return made


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
