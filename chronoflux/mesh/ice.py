"""`Ice`: with whose help links find their way: STUN and TURN servers, and what may be used of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from chronoflux.errors import UsageError, shorten

Policy = Literal["all", "relay"]
SCHEMES = ("stun:", "stuns:", "turn:", "turns:")
KEYS = {"urls", "username", "credential"}


@dataclass(frozen=True)
class Ice:
    """STUN and TURN servers, as a browser's ``RTCPeerConnection`` takes them.

    ``relay_only``: nothing but a TURN server may connect two nodes (``iceTransportPolicy: "relay"``), for
    who must not show its address. ``fixed``: the user named the servers; the signaling server's do not count.
    """

    servers: Sequence[Mapping[str, Any]] = ()
    relay_only: bool = False
    fixed: bool = False

    @classmethod
    def wanted(cls, servers: Sequence[Mapping[str, Any]] | None, policy: Policy) -> Ice:
        """What a user asked for, checked.

        Raises
        ------
        UsageError
            When a server is not like ``{"urls": "turn:host:3478", "username": …, "credential": …}``, or the
            policy not "all" or "relay".
        """
        if policy not in ("all", "relay"):
            raise UsageError(f'ice_transport_policy = {shorten(policy)}: give "all" or "relay"')
        if servers is None:
            return cls(relay_only=policy == "relay")
        if isinstance(servers, str | Mapping) or not isinstance(servers, Sequence):
            raise UsageError(f"ice_servers = {type(servers).__name__}: give a list of servers")
        for server in servers:
            urls = server.get("urls") if isinstance(server, Mapping) and set(server) <= KEYS else None
            listed = [urls] if isinstance(urls, str) else urls
            if not isinstance(listed, list) or not listed or not all(map(_is_url, listed)):
                # Without its values: a credential must not end up in a log.
                shown = sorted(map(str, server)) if isinstance(server, Mapping) else type(server).__name__
                raise UsageError(
                    f"an ICE server with {shown} cannot be used: give it as "
                    '{"urls": "turn:host:3478", "username": …, "credential": …}'
                )
        return cls(tuple(servers), policy == "relay", fixed=True)

    def told(self, servers: Sequence[Mapping[str, Any]]) -> Ice:
        """The same with the signaling server's word on STUN and TURN, unless the user's stands."""
        return self if self.fixed else replace(self, servers=tuple(servers))


def _is_url(text: object) -> bool:
    return isinstance(text, str) and text.startswith(SCHEMES) and text.isprintable() and " " not in text
