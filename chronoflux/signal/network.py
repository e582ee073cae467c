"""Addresses: of this machine for others to use, and of those who connect."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from chronoflux.errors import UsageError, shorten

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_address(host: str) -> bool:
    """Whether `host` is an IP address and not a name."""
    return _parse(host) is not None


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


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> Address | None:
    """The address of the client that connected from `peer`; None when that is none.

    Behind a `trusted` proxy it is the last address in the ``X-Forwarded-For`` headers (`forwarded`)
    that is not a trusted proxy's itself: those before it are anybody's word.
    """
    chain = [part.strip() for header in forwarded for part in header.split(",")]
    address = _parse(peer)
    while chain and address is not None and is_within(address, trusted):
        before = _parse(chain.pop())
        if before is None:
            break
        address = before
    return address


def counted_as(address: Address | None) -> str:
    """What a client is counted under: its IPv4 address, or its IPv6 /64 network, which is one customer's."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return "" if address is None else str(address)


def is_within(address: Address | None, networks: Sequence[Network]) -> bool:
    """Whether one of the networks contains the address."""
    return address is not None and any(address in network for network in networks)


def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
