"""`NonNeighbours`: members of a partial mesh that are no neighbours of this node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chronoflux.errors import ProtocolError
from chronoflux.mesh import messages
from chronoflux.mesh.inbound import InboundMessages
from chronoflux.mesh.peer import Peer

MOST = 256  # that are told apart, as many as a room has


class NonNeighbours:
    """See the module; `hear` takes a message that one of them told the room.

    Events of old clients, which come in no other way, are heard; ours come from neighbours too. Telemetry is
    for recorders, to whom it matters what everybody says.
    """

    def __init__(self, intake: InboundMessages, hear: Callable[[Peer, messages.Message], object]) -> None:
        self._inbound, self._hear = intake, hear
        self._known: dict[str, Peer] = {}

    def hear(self, sender: str, data: Mapping[str, Any]) -> None:
        """Take what somebody told the whole room; what is refused is counted and goes no further."""
        if not self._inbound.hops:
            return
        if sender not in self._known and len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        stranger = self._known.setdefault(sender, Peer(sender, name=sender[:8], kind="", in_room=False))
        try:
            message = messages.parse(dict(data))
        except ProtocolError as error:
            stranger.refuse(error)
            return
        old_event = isinstance(message, messages.EventMessage) and not message.envelope.id
        if old_event or isinstance(message, messages.Telemetry):
            self._hear(stranger, message)
