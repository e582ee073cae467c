"""`Ice`: the STUN and TURN servers that links use, and the transport policy."""

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
    """STUN and TURN servers, in the form of a browser's ``RTCPeerConnection``.

    ``relay_only``: only a TURN server may connect two nodes (``iceTransportPolicy: "relay"``), so that a node
    does not reveal its address. ``fixed``: the user named the servers; those of the signaling server are
    ignored.
    """

    servers: Sequence[Mapping[str, Any]] = ()
    relay_only: bool = False
    fixed: bool = False

    @classmethod
    def from_options(cls, servers: Sequence[Mapping[str, Any]] | None, policy: Policy) -> Ice:
        """Check the settings of a user, and return them.

        Raises
        ------
        UsageError
            If a server is not of the form ``{"urls": "turn:host:3478", "username": …, "credential": …}``, or
            the policy is not "all" or "relay".
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
                # The message omits the values: a credential must not reach a log.
                shown = sorted(map(str, server)) if isinstance(server, Mapping) else type(server).__name__
                raise UsageError(
                    f"an ICE server with {shown} cannot be used: give it as "
                    '{"urls": "turn:host:3478", "username": …, "credential": …}'
                )
        return cls(tuple(servers), policy == "relay", fixed=True)

    def with_servers(self, servers: Sequence[Mapping[str, Any]]) -> Ice:
        """Return a copy with the signaling server's servers, unless the user named the servers."""
        return self if self.fixed else replace(self, servers=tuple(servers))


def _is_url(text: object) -> bool:
    return isinstance(text, str) and text.startswith(SCHEMES) and text.isprintable() and " " not in text
