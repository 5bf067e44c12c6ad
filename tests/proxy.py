"""A reverse proxy as services have in front: takes a path prefix off, and asks several servers in turn."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle

DROPPED = {"connection", "transfer-encoding", "keep-alive"}


@contextmanager
def proxy(ports: list[int], prefix: str, idle_s: float | None = None) -> Iterator[str]:
    """The URL under which the servers at `ports` of this machine are published; answers are cut after `idle_s` of silence."""
    turn, lock = cycle(ports), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            with lock:
                port = next(turn)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            upstream = HTTPConnection("127.0.0.1", port, timeout=idle_s)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in DROPPED}
            upstream.request(self.command, self.path.removeprefix(prefix), body, headers | {"X-Forwarded-Prefix": prefix})
            try:
                self.answer(upstream.getresponse())
            except (BrokenPipeError, ConnectionResetError, IncompleteRead, TimeoutError):
                pass  # the browser has left the page, or the server; or nothing came for long
            finally:
                upstream.close()

        def answer(self, response: HTTPResponse) -> None:
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in {*DROPPED, "server", "date"}:
                    self.send_header(name, value)
            self.end_headers()  # HTTP/1.0: the end of the connection ends the body
            while chunk := response.read1(1 << 16):
                self.wfile.write(chunk)
                self.wfile.flush()

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_PATCH = forward

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}{prefix}"
        finally:
            server.shutdown()
            thread.join()
