"""Access control for web pages, by the ``Origin`` and ``Host`` of a request. No I/O."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple

from chronoflux.errors import UsageError, shorten
from chronoflux.signal.validation import clean

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
DEFAULT_PORTS = {"http": "80", "https": "443"}

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[^/\s@?#:\[\]]+)(:(?P<port>\d{1,5}))?"
)
_HOST = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^/\s@?#:\[\],]+)(:(?P<port>\d{0,5}))?")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


class Refusal(NamedTuple):
    """Why a request is refused: a short code for the counters and a text for the user."""

    code: str
    text: str


class Access:
    """Decides which web pages may use the server.

    Pages of other sites are refused: their scripts would act in the name of the person who views them. The
    ``Origin`` that a browser sends with a WebSocket must be this server's own, a page on this machine's
    loopback, or one of `origins`. ``null``, the origin of every sandboxed frame, must be among `origins`.

    DNS rebinding would bypass this check: an attacker points the page's own host name to this server, so
    that page and server share one origin. The ``Host`` of the request is then still the page's name.
    ``Host`` must therefore be an address, ``localhost``, the machine's own name `own_name` (alone or with
    ``.local``), or one of `host_names`. A WebSocket without ``Origin`` does not come from a browser; its
    ``Host`` is not checked.

    Raises
    ------
    UsageError
        If an origin or a host name could never match.
    """

    def __init__(
        self, *, origins: Sequence[str], host_names: Sequence[str], own_name: str, tls: bool
    ) -> None:
        self._origins = frozenset(map(_checked_origin, origins))
        own = own_name.rstrip(".").lower()
        short = own.partition(".")[0]
        own_names = {own, short, f"{short}.local"} if short else set()
        self._hosts = frozenset(("localhost", *own_names, *map(_checked_name, host_names)))
        self._schemes = ("https",) if tls else ("http", "https")  # a reverse proxy may terminate TLS

    def refusal(self, *, hosts: Sequence[str], origins: Sequence[str], websocket: bool) -> Refusal | None:
        """Return why a request with these ``Host`` and ``Origin`` headers is refused, or None."""
        if websocket and not origins:
            return None
        for host in hosts or ("",):
            if not self._is_own(host):
                text = f"{clean(host) or 'An empty host'} is not a known name of this server"
                return Refusal("host", f"{text}; start it with --host-name.")
        for origin in origins if websocket else ():
            if not self._is_allowed(origin.lower(), hosts[0]):
                text = f"Pages of {clean(origin)} may not use this server"
                return Refusal("origin", f"{text}; to allow them, start it with --origin.")
        return None

    def _is_own(self, host: str) -> bool:
        """Return whether ``Host`` is a name of this server that another site cannot choose."""
        found = _HOST.fullmatch(host.lower())
        return found is not None and (_is_address(found["host"]) or found["host"].rstrip(".") in self._hosts)

    def _is_allowed(self, origin: str, host: str) -> bool:
        if origin in self._origins:
            return True
        found = _ORIGIN.fullmatch(origin)
        if found is None or found["scheme"] not in ("http", "https"):
            return False
        if found["host"] in LOOPBACK_NAMES:
            return True
        # The origin of the server's own page is the host and port of this request.
        asked = _HOST.fullmatch(host.lower())
        default = DEFAULT_PORTS[found["scheme"]]
        return (
            asked is not None
            and found["scheme"] in self._schemes
            and (asked["host"], asked["port"] or default) == (found["host"], found["port"] or default)
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _checked_origin(origin: str) -> str:
    """Return an origin in the lower-case form that browsers send: ``null`` or ``scheme://host[:port]``."""
    if origin.lower() == "null":
        return "null"
    found = _ORIGIN.fullmatch(origin.lower())
    if found is None:
        raise UsageError(
            f"origin {shorten(origin)} is not valid: use the form that browsers send, https://example.org"
        )
    default = found["port"] is not None and found["port"] == DEFAULT_PORTS.get(found["scheme"])
    return f"{found['scheme']}://{found['host']}" if default else found[0]  # browsers omit the default port


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name.rstrip(".").lower()) is None:
        raise UsageError(
            f"host name {shorten(name)} is not valid: give it without scheme and port, lab.example.org"
        )
    return name.rstrip(".").lower()
