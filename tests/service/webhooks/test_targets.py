"""Where webhooks may go: by name, by network, and never where a name should not lead."""

import base64
import hashlib
import hmac
import socket
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import pytest

from service.webhooks.delivery import SECRET_PREFIX, new_secret, signature
from service.webhooks.targets import Allowed, Target
from workers.errors import Forbidden, InvalidRequest

PUBLIC = "93.184.216.34"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what the system's resolver answers for any name."""

    def answer(*addresses: str) -> None:
        def getaddrinfo(host: str, port: int, **options: Any) -> list[Any]:
            if not addresses:
                raise socket.gaierror(-2, "Name or service not known")
            return [(None, None, 6, "", (address, port)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return answer


def allowed(*entries: Any) -> Allowed:
    return Allowed(entries)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://hooks.example.com/x?y=1", ("https", "hooks.example.com", 443)),
        ("HTTP://HOOKS.example.com.:8080/", ("http", "hooks.example.com", 8080)),
        ("https://deep.down.corp.example/", ("https", "deep.down.corp.example", 443)),
    ],
)
def test_names_that_were_allowed(names: Callable[..., None], url: str, target: tuple[str, str, int]) -> None:
    names(PUBLIC)
    assert allowed("Hooks.Example.com", "*.corp.example").resolve(url) == Target(*target, ip_address(PUBLIC))


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "evilhooks.example.com",
        "hooks.example.com.evil.org",
        "corp.example",
        "xcorp.example",
        "localhost",
        PUBLIC,
    ],
)
def test_names_that_were_not(names: Callable[..., None], host: str) -> None:
    names(PUBLIC)
    with pytest.raises(Forbidden, match=f"may not go to {host}") as refused:
        allowed("hooks.example.com", "*.corp.example").resolve(f"https://{host}/")
    assert "FRACTUNE_WEBHOOK_TARGETS" in refused.value.hint


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "169.254.169.254",  # the metadata service of most clouds
        "100.100.100.200",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1%eth0",
        "ff02::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",  # 127.0.0.1 behind a translator
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",  # 127.0.0.1 through a tunnel
        "2002:a9fe:a9fe::1",
        "::127.0.0.1",
    ],
)
def test_an_allowed_name_does_not_lead_to_this_machine_or_its_link(names: Callable[..., None], address: str) -> None:
    names(address)
    with pytest.raises(Forbidden):
        allowed("hooks.example.com").resolve("https://hooks.example.com/")


def test_of_several_addresses_the_first_that_may_be_is_taken(names: Callable[..., None]) -> None:
    names("127.0.0.1", PUBLIC)
    assert allowed("hooks.example.com").resolve("https://hooks.example.com/").address == ip_address(PUBLIC)


def test_networks_are_allowed_whatever_leads_there(names: Callable[..., None]) -> None:
    networks = allowed(IPv4Network("10.1.0.0/16"), IPv6Network("fd00::/8"), IPv4Network("127.0.0.0/8"))
    for address in ("10.1.2.3", "fd00::5", "127.0.0.1", "::ffff:10.1.2.3"):
        names(address)
        assert networks.resolve("http://inside/").host == "inside"
    names("10.2.0.1")
    with pytest.raises(Forbidden):
        networks.resolve("http://inside/")


@pytest.mark.parametrize("url", ["http://10.1.2.3:81/", "http://[fd00::5]/"])
def test_an_address_in_the_url_is_its_own(url: str) -> None:
    found = allowed(IPv4Network("10.1.0.0/16"), IPv6Network("fd00::/8")).resolve(url)
    assert str(found.address) == found.host


def test_a_name_that_nobody_knows_leads_nowhere(names: Callable[..., None]) -> None:
    names()
    with pytest.raises(Forbidden):
        allowed("hooks.example.com").resolve("https://hooks.example.com/")
    with pytest.raises(Forbidden):
        allowed().resolve("https://" + "x" * 300 + ".example/")


@pytest.mark.parametrize(
    "url",
    ["ftp://hooks.example.com/", "hooks.example.com", "https://", "https:///x", "https://user@hooks.example.com/"]
    + [
        "https://u:p@hooks.example.com/",
        "https://hooks.example.com/#x",
        "https://hooks.example.com:99999/",
        "https://[::1/",
        "",
    ]
    + ["javascript:alert(1)", "//hooks.example.com/"],
)
def test_what_is_no_plain_url_is_refused(names: Callable[..., None], url: str) -> None:
    names(PUBLIC)
    with pytest.raises(InvalidRequest):
        allowed("hooks.example.com").resolve(url)


# signatures


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's reference library."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    found = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_random_and_long_enough() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    key = base64.b64decode(first.removeprefix(SECRET_PREFIX))
    assert len(key) == 32
    expected = base64.b64encode(hmac.digest(key, b"m.1.x", hashlib.sha256)).decode()
    assert signature(first, "m", 1, b"x") == f"v1,{expected}"
    assert signature(first, "m", 2, b"x") != signature(first, "m", 1, b"x") != signature(first, "n", 1, b"x")
