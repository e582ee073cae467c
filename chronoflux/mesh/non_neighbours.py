"""`NonNeighbours`: messages to the room from members that are not neighbours of this node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chronoflux.errors import ProtocolError
from chronoflux.mesh import messages
from chronoflux.mesh.inbound import InboundMessages
from chronoflux.mesh.peer import Peer

MOST = 256  # most members tracked, as many as a room has


class NonNeighbours:
    """Filters messages to the room from non-neighbours in a partial mesh; `on_accepted` gets the accepted.

    Events of old clients are accepted, because they arrive in no other way; other events also arrive from
    neighbours. Telemetry is accepted for recorders, which record all members.
    """

    def __init__(
        self, inbound: InboundMessages, on_accepted: Callable[[Peer, messages.Message], object]
    ) -> None:
        self._inbound, self._on_accepted = inbound, on_accepted
        self._known: dict[str, Peer] = {}

    def handle(self, sender: str, data: Mapping[str, Any]) -> None:
        """Take a message to the whole room. A refused message is counted and dropped."""
        if not self._inbound.hops:
            return
        if sender not in self._known and len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        peer = self._known.setdefault(sender, Peer(sender, name=sender[:8], kind="", in_room=False))
        try:
            message = messages.parse(dict(data))
        except ProtocolError as error:
            peer.refuse(error)
            return
        old_event = isinstance(message, messages.EventMessage) and not message.envelope.id
        if old_event or isinstance(message, messages.Telemetry):
            self._on_accepted(peer, message)
