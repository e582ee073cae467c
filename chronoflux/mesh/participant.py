"""`Participant`: the interface of a node that its mesh calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from chronoflux.mesh.clock import ReferenceChange
from chronoflux.mesh.inbound import Listener
from chronoflux.mesh.peer import Peer


class Participant(Listener, Protocol):
    """The interface of a node that its mesh calls, on the event loop."""

    def hello(self) -> Mapping[str, Any]:
        """Return the fields of ``hello``."""

    def greeting(self) -> Mapping[str, Any]:
        """Return the fields of ``state``, which a newcomer adopts."""

    def on_joined(self, peer_id: str) -> None:
        """Handle this node's join of the room under the id `peer_id`."""

    def on_peer(self, peer: Peer, change: str, reason: str) -> None:
        """Handle a change of a peer, with a reason as text.

        `change` is ``linked``, ``unlinked``, ``relayed``, ``quiet``, ``live`` or ``gone``; ``server`` for an
        old client that only the server reaches; ``distrusted`` or ``trusted`` for its clock.
        """

    def on_clock(self, change: ReferenceChange) -> None:
        """Handle a new reference or a step of mesh time."""

    def on_missed(self, facts: Mapping[str, Any]) -> None:
        """Handle missed events.

        `facts` holds ``origin`` if this node lacks events of that origin, or ``peer`` if that peer lacks
        events of this node. ``from`` and ``to`` are the first and last number, ``count`` is how many.
        """
