"""Choice of the proxy for a signaling server: the one that the environment names, or none."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from websockets.proxy import get_proxy
from websockets.uri import parse_uri

NEAR = ("localhost", ".localhost", ".local", ".lan", ".home.arpa", ".internal")
"""Suffixes of host names that public DNS does not resolve."""


def proxy_for(url: str) -> str | None:
    """Return the proxy that ``HTTPS_PROXY``, ``HTTP_PROXY``, … and ``NO_PROXY`` name, or None.

    Also None for servers on this machine and on private networks, where most servers are.
    """
    return None if is_near(url) else get_proxy(parse_uri(url))


def is_near(url: str) -> bool:
    """Return whether a server's address is outside the public internet.

    Such addresses are loopback, private (10.0.0.0/8, …), link-local, or shared (100.64.0.0/10, used by
    carriers and by overlay networks such as Tailscale). Local names count too.
    """
    host = (urlsplit(url).hostname or "").partition("%")[0]
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.rstrip(".").endswith(NEAR)


def shown(proxy: str) -> str:
    """Return a proxy's URL without user name and password."""
    scheme, separator, rest = proxy.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
