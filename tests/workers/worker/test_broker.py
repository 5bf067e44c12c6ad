"""A broker behind a password and TLS, as it stands on another machine."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest
import redis

from tests import servers
from workers.errors import Unavailable
from workers.settings import Settings
from workers.worker.broker import depth, enqueue, make_celery

PASSWORD = "p@ss/w:rd"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Where a TLS server's key and certificate are."""
    servers.need("TLS TO THE BROKER IS", "redis-server", "openssl")
    with servers.folder() as home:
        subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout", "key", "-out", "crt")
        subprocess.run([*new, *subject], cwd=home, check=True, capture_output=True)
        yield home


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """Host and port of the server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    tls = ("--tls-port", str(port), "--tls-cert-file", "crt", "--tls-key-file", "key", "--tls-auth-clients", "no")
    command = ["redis-server", "--port", "0", *tls, "--requirepass", PASSWORD, "--save", ""]

    def ready() -> bool:
        try:
            with redis.Redis(port=port, password=PASSWORD, ssl=True, ssl_ca_certs=str(home / "crt")) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    with servers.process(command, ready=ready, cwd=home):
        yield f"127.0.0.1:{port}"


def settings(address: str, home: Path, password: str = PASSWORD, **query: str) -> Settings:
    url = f"rediss://{address}/0?{urlencode(query)}"
    return Settings.model_validate({"data_dir": home, "broker_url": url, "broker_password": password})


def test_a_message_passes_tls_and_a_password_of_any_letters(address: str, home: Path) -> None:
    with closing(make_celery(settings(address, home, ssl_ca_certs=str(home / "crt")))) as celery:
        before = depth(celery)
        enqueue(celery, "a job")
        assert depth(celery) == before + 1


def test_a_wrong_password_is_told(address: str, home: Path) -> None:
    with closing(make_celery(settings(address, home, "wrong", ssl_ca_certs=str(home / "crt")))) as celery:
        with pytest.raises(Unavailable):
            depth(celery)


@pytest.mark.parametrize("query", [{}, {"ssl_cert_reqs": "none"}], ids=["by default", "though asked not to look"])
def test_a_certificate_of_nobody_is_refused(address: str, home: Path, query: dict[str, str]) -> None:
    with closing(make_celery(settings(address, home, **query))) as celery:
        with pytest.raises(Unavailable, match="(?i)certificate"):
            depth(celery)
