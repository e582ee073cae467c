"""Addresses: of this machine for others to use, and of those who connect."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence

from chronoflux.errors import UsageError, shorten

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LOCAL_ORIGIN = re.compile(r"null|https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s@?#]+", re.IGNORECASE)


def is_local_origin(origin: str) -> bool:
    """Whether a browser's ``Origin`` is ``null`` or a page served by this machine to itself."""
    return _LOCAL_ORIGIN.fullmatch(origin) is not None


def check_origin(origin: str) -> str:
    """A web origin as browsers send it, in lower case: a scheme, a host, perhaps a port.

    Raises
    ------
    UsageError
        When it is none, since it could never match.
    """
    if _ORIGIN.fullmatch(origin) is None:
        raise UsageError(
            f"origin {shorten(origin)} is none: give one as browsers send it, https://example.org"
        )
    return origin.lower()


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(host: str) -> bool:
    """Whether `host` means every interface of this machine."""
    return host in ("", "0.0.0.0", "::")


def in_url(host: str) -> str:
    """`host` as it is written in a URL."""
    return f"[{host}]" if ":" in host else host


def lan_address(*, ipv6: bool = False) -> str | None:
    """This machine's address on the network it would send over; None without a network. Sends nothing."""
    family, target = (socket.AF_INET6, "2001:db8::1") if ipv6 else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            address: str = probe.getsockname()[0]
    except OSError:
        return None
    return None if ipaddress.ip_address(address).is_loopback else address


def parse_networks(texts: Sequence[str]) -> list[Network]:
    """Addresses or networks (``10.0.0.0/8``) as given by a user.

    Raises
    ------
    UsageError
        Naming what is neither.
    """
    try:
        return [ipaddress.ip_network(text) for text in texts]
    except ValueError as error:
        raise UsageError(f"{shorten(error.args[0])}: give an address or a network") from None


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Whom a connection from `peer` counts for: an IPv4 address or an IPv6 /64 network.

    Behind a `trusted` proxy it is the last address in the ``X-Forwarded-For`` headers (`forwarded`)
    that is not a trusted proxy's itself: those before it are anybody's word.
    """
    chain = [part.strip() for header in forwarded for part in header.split(",")]
    address = _parse(peer)
    while chain and address is not None and any(address in network for network in trusted):
        before = _parse(chain.pop())
        if before is None:
            break
        address = before
    if address is None:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
