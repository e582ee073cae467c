"""Parsing and classification of hosts and addresses: the server's own and its clients'."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from chronoflux.errors import UsageError, shorten

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_address(host: str) -> bool:
    """Return whether `host` is an IP address and not a name."""
    return _parse(host) is not None


def is_loopback(host: str) -> bool:
    """Return whether a server bound to `host` can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(host: str) -> bool:
    """Return whether `host` means every interface of this machine."""
    return host in ("", "0.0.0.0", "::")


def in_url(host: str) -> str:
    """Return `host` as it is written in a URL."""
    return f"[{host}]" if ":" in host else host


def parse_networks(texts: Sequence[str]) -> list[Network]:
    """Parse addresses or networks (``10.0.0.0/8``) that a user gave.

    Raises
    ------
    UsageError
        If a text is neither; the message names it.
    """
    try:
        return [ipaddress.ip_network(text) for text in texts]
    except ValueError as error:
        raise UsageError(f"{shorten(error.args[0])}: give an address or a network") from None


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> Address | None:
    """Return the address of the client that connected from `peer`; None if `peer` is not an address.

    Behind a `trusted` proxy it is the last address in the ``X-Forwarded-For`` headers (`forwarded`) that is
    not a trusted proxy's. Earlier addresses are ignored, because any client can forge them.
    """
    chain = [part.strip() for header in forwarded for part in header.split(",")]
    address = _parse(peer)
    while chain and address is not None and is_within(address, trusted):
        before = _parse(chain.pop())
        if before is None:
            break
        address = before
    return address


def limit_key(address: Address | None) -> str:
    """Return what a client counts under: its IPv4 address, or its IPv6 /64 network (one customer)."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return "" if address is None else str(address)


def is_within(address: Address | None, networks: Sequence[Network]) -> bool:
    """Return whether one of the networks contains the address."""
    return address is not None and any(address in network for network in networks)


def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
