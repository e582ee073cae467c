"""`Participant`: whoever takes part in a room, as its mesh sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from chronoflux.mesh.clock import Followed
from chronoflux.mesh.inbound import Listener
from chronoflux.mesh.peer import Peer


class Participant(Listener, Protocol):
    """The node, as the mesh sees it. Called on the event loop."""

    def hello(self) -> Mapping[str, Any]:
        """The fields of ``hello``."""

    def greeting(self) -> Mapping[str, Any]:
        """The fields of ``state``: what a newcomer takes over."""

    def on_joined(self, peer_id: str) -> None:
        """This node is in the room, under this id."""

    def on_peer(self, peer: Peer, change: str, reason: str) -> None:
        """A peer changed: ``linked``, ``unlinked``, ``relayed``, ``quiet``, ``live``, ``gone``;
        ``server``: it is an old client that only the server reaches; or its clock is ``distrusted``, or
        ``trusted`` again."""

    def on_clock(self, change: Followed) -> None:
        """Mesh time has another reference, or was moved."""

    def on_missed(self, facts: Mapping[str, Any]) -> None:
        """Events were missed: this node lacks those of an ``origin``, or a ``peer`` those of this node;
        ``from`` and ``to``, their numbers, and how many (``count``)."""
