"""Where webhooks may go: where the operator allowed it, at the address that was checked, not at a later answer of DNS."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from workers.errors import Forbidden, InvalidRequest

Address = IPv4Address | IPv6Address
PORTS = {"http": 80, "https": 443}
TRANSLATED = IPv6Network("64:ff9b::/96")  # NAT64, RFC 6052
METADATA = frozenset(map(ip_address, ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")))  # of clouds
HINT = "An administrator allows targets with FRACTUNE_WEBHOOK_TARGETS (host names and networks)."


@dataclass(frozen=True, slots=True)
class Target:
    """A host that was allowed, at the address that was checked."""

    scheme: str
    host: str
    port: int
    address: Address


class Allowed:
    """The allow-list: host names, `*.domain` for all below one, and networks such as 10.1.0.0/16."""

    def __init__(self, entries: Sequence[IPv4Network | IPv6Network | str]) -> None:
        self._networks = [entry for entry in entries if not isinstance(entry, str)]
        self._names = {entry.lower() for entry in entries if isinstance(entry, str)}

    def resolve(self, url: str) -> Target:
        """The target behind `url`. Raises InvalidRequest, Forbidden."""
        scheme, host, port = _parts(url)
        named = self._lists(host)
        for address in _addresses(host, port):
            if any(address in network for network in self._networks) or (named and not _is_special(address)):
                return Target(scheme, host, port, address)
        raise Forbidden(f"Webhooks may not go to {host}.", hint=HINT)

    def _lists(self, host: str) -> bool:
        parents = host.split(".")[1:]
        return host in self._names or any(f"*.{'.'.join(parents[n:])}" in self._names for n in range(len(parents)))


def _parts(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequest(f"The URL cannot be read: {error}") from error
    if scheme not in PORTS or not host or parts.username or parts.password or parts.fragment:
        raise InvalidRequest("A webhook's URL is http:// or https:// with a host, without user, password or fragment.")
    return scheme, host.rstrip(".").lower(), port or PORTS[scheme]


def _addresses(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [_plain(ip_address(str(entry[4][0]).partition("%")[0])) for entry in found]


def _plain(address: Address) -> Address:
    """An IPv4 address that wears IPv6 clothes, or is reached through a translator or tunnel, counts as what it is."""
    if isinstance(address, IPv4Address):
        return address
    translated = IPv4Address(int(address) & 0xFFFFFFFF) if address in TRANSLATED else None
    return address.ipv4_mapped or address.sixtofour or translated or address


def _is_special(address: Address) -> bool:
    """This machine, its link (and with it the metadata services of clouds), and what is no host: never by name alone."""
    if address in METADATA:
        return True
    flags = (address.is_loopback, address.is_link_local, address.is_multicast, address.is_unspecified, address.is_reserved)
    return any(flags)
