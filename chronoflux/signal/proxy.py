"""Which proxy stands between this machine and a signaling server: the environment's, or none."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from websockets.proxy import get_proxy
from websockets.uri import parse_uri

NEAR = ("localhost", ".localhost", ".local", ".lan", ".home.arpa", ".internal")
"""How names end that no public name server knows."""


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names (``HTTPS_PROXY``, ``HTTP_PROXY``, … but not for ``NO_PROXY``).

    None where no proxy is wanted: for servers on this machine and on private networks, as most are.
    """
    return None if is_near(url) else get_proxy(parse_uri(url))


def is_near(url: str) -> bool:
    """Whether a server's address is not one of the public internet: this machine's, private (10.0.0.0/8, …),
    shared (100.64.0.0/10: carriers, and overlay networks such as Tailscale), link-local, or a local name."""
    host = (urlsplit(url).hostname or "").partition("%")[0]
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.rstrip(".").endswith(NEAR)


def shown(proxy: str) -> str:
    """A proxy's URL without the name and password that may be in it."""
    scheme, separator, rest = proxy.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
