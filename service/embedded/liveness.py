"""Signs of life that the supervisor asks its processes for. A process may live and yet answer nobody."""

import socket
from pathlib import Path

import httpx

ANSWER_S = 5.0


def api_answers(url: str) -> bool:
    """Whether the API answers at all, be it that it is not ready."""
    try:
        return httpx.get(f"{url}/healthz", timeout=ANSWER_S, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def broker_answers(path: Path) -> bool:
    """Whether a Redis-protocol server answers at a socket, which may also have been removed."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(ANSWER_S)
            line.connect(str(path))
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith(b"+PONG")
    except OSError:
        return False
