"""`Outgoing`: what this node tells its peers, over whichever ways to them work."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from chronoflux.mesh import messages
from chronoflux.mesh.messages import Field
from chronoflux.mesh.peer import RELAY_AFTER, Peer
from chronoflux.mesh.room_telemetry import RoomTelemetry
from chronoflux.mesh.roster import Roster
from chronoflux.signal import protocol
from chronoflux.signal.client import SignalClient

RELAY_FIELD = 0.5  # s between fields over the relay
RELAY_FIELDS, RELAY_TELEMETRIES = 20.0, 10.0  # messages/s over the relay at most, of the server's 60


class Outgoing:
    """See the module. A peer is reached directly, by the server's relay, or by a broadcast to the room.

    ``recorded``: whether a recorder is in the room that is no neighbour of everybody.
    """

    def __init__(self, client: SignalClient, peers: Mapping[str, Peer], roster: Roster) -> None:
        self._client, self._peers, self._roster = client, peers, roster
        self._room_telemetry = RoomTelemetry()
        self.recorded = False

    # -- messages to one peer --------------------------------------------------------------------------

    def can_relay(self, peer: Peer) -> bool:
        """Whether the server passes messages on to this peer."""
        there = self._client.state == "joined" and self._client.server is not None
        return there and peer.ours and peer.in_room

    def send(self, peer: Peer, message: messages.Outgoing, text: str = "") -> bool:
        """Send over every way that may work; True when one took it. `text`: the message encoded, if it is."""
        taken = peer.linked and self.send_direct(peer, text or messages.encode(message))
        if not peer.direct(time.monotonic()) and self.can_relay(peer):
            taken |= self.send_relay(peer, message)
        return taken

    def send_perishable(self, peer: Peer, message: messages.Outgoing) -> bool:
        """Send what is worthless when late, over the one way that works."""
        if peer.direct(now := time.monotonic()):
            return self.send_direct(peer, messages.encode(message), perishable=True)
        return self.relaying(peer, now) and self.send_relay(peer, message)

    def send_direct(
        self, peer: Peer, text: str, *, perishable: bool = False, droppable: bool = False
    ) -> bool:
        """Send over the link, if there is one; see :meth:`Link.send`."""
        return peer.link is not None and peer.link.send(text, perishable=perishable, droppable=droppable)

    def send_member(self, to: str, message: messages.Outgoing) -> bool:
        """Send through the server to a member that need not be a neighbour."""
        if self._client.state != "joined" or self._client.server is None:
            return False
        return self._client.send(protocol.SendRelay(to=to, data=messages.to_object(message)))

    def send_relay(self, peer: Peer, message: messages.Outgoing) -> bool:
        """Send by way of the server."""
        return self._client.send(protocol.SendRelay(to=peer.id, data=messages.to_object(message)))

    def relaying(self, peer: Peer, now: float) -> bool:
        """Whether fields and telemetry go through the relay: no link since a while, or a silent one."""
        return self.can_relay(peer) and now - max(peer.since, peer.heard_direct) > RELAY_AFTER

    # -- messages to all -------------------------------------------------------------------------------

    def present(self) -> list[Peer]:
        """Who is in the room or linked, and has not said goodbye."""
        return [peer for peer in self._peers.values() if (peer.in_room or peer.linked) and not peer.left]

    def tell(self, message: dict[str, Any], peers: Sequence[Peer]) -> None:
        """Tell an event to these peers; to those who cannot be reached by a broadcast."""
        text = messages.encode(message)
        unreached = [peer for peer in peers if not self.send(peer, message, text)]
        if unreached:
            # The first ChronoFlux's runner, and anybody on a server without relay, hears events only so.
            self._client.send(protocol.SendBroadcast(data=message))

    def send_field(self, field: Field) -> None:
        """Tell our mean field; it is dropped where it would come late."""
        now, text = time.monotonic(), messages.encode(field)
        period = max(RELAY_FIELD, self._relayed(now) / RELAY_FIELDS)
        for peer in self.present():
            if not peer.ours:
                continue
            if peer.direct(now):
                self.send_direct(peer, text, perishable=True)
            elif now - peer.relayed_field >= period and self.relaying(peer, now):
                peer.relayed_field = now
                self.send_relay(peer, field)

    def send_telemetry(self, message: messages.Telemetry, to_recorders: messages.Telemetry) -> None:
        """Tell the second's telemetry; through the server too, for recorders and old clients."""
        now, present = time.monotonic(), self.present()
        period = self._relayed(now) / RELAY_TELEMETRIES
        for peer in present:
            told = to_recorders if peer.kind == "recorder" else message
            self._tell_telemetry(peer, told, now, period)
        if (self.recorded or self._old_ears()) and self._room_telemetry.due(self._size(), now):
            told = to_recorders if self.recorded else message
            self._client.send(protocol.SendTelemetry(telemetry=told.telemetry))

    def _old_ears(self) -> bool:
        """Whether a client of the first ChronoFlux is here: it hears telemetry from the server only."""
        members = self._roster.members.values()
        return any(not peer.ours for peer in self.present()) or any(not member.lasting for member in members)

    def _size(self) -> int:
        """How many are in the room, this node included, as far as it is known."""
        return max(self._roster.size, len(self.present()) + 1)

    def keep_alive(self) -> None:
        """Be heard, as a participant without a swarm, which has nothing to tell; by peers of ours only."""
        now = time.monotonic()
        period = self._relayed(now) / RELAY_TELEMETRIES
        for peer in self.present():
            if peer.ours:
                self._tell_telemetry(peer, messages.Telemetry({}), now, period)

    def _tell_telemetry(self, peer: Peer, message: messages.Telemetry, now: float, period: float) -> None:
        if peer.linked:
            self.send_direct(peer, messages.encode(message), droppable=True)
        late = now - peer.relayed_telemetry >= period
        if late and peer.ours and not peer.direct(now) and self.relaying(peer, now):
            peer.relayed_telemetry = now
            self.send_relay(peer, message)

    def _relayed(self, now: float) -> int:
        """How many peers hear us through the server only; they share what it takes from one connection."""
        return sum(peer.ours and not peer.direct(now) for peer in self.present())
