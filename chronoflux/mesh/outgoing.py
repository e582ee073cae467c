"""`Outgoing`: sends messages to peers over every path that works."""

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

RELAY_FIELD = 0.5  # least s between fields over the relay
RELAY_FIELDS, RELAY_TELEMETRIES = 20.0, 10.0  # most messages/s over the relay; the server allows 60 in total


class Outgoing:
    """Sends messages to peers over links, the server's relay, or a broadcast to the room.

    ``recorded``: a recorder is in the room that is not a neighbour of every member.
    """

    def __init__(self, client: SignalClient, peers: Mapping[str, Peer], roster: Roster) -> None:
        self._client, self._peers, self._roster = client, peers, roster
        self._room_telemetry = RoomTelemetry()
        self.recorded = False

    # -- messages to one peer --------------------------------------------------------------------------

    def can_relay(self, peer: Peer) -> bool:
        """Return whether the server relays messages to this peer."""
        there = self._client.state == "joined" and self._client.server is not None
        return there and peer.ours and peer.in_room

    def send(self, peer: Peer, message: messages.Outgoing, text: str = "") -> bool:
        """Send over every path that may work. Return whether one took it. `text`: the encoded message."""
        taken = peer.linked and self.send_direct(peer, text or messages.encode(message))
        if not peer.direct(time.monotonic()) and self.can_relay(peer):
            taken |= self.send_relay(peer, message)
        return taken

    def send_perishable(self, peer: Peer, message: messages.Outgoing) -> bool:
        """Send a perishable message, over the link if it works, else over the relay."""
        if peer.direct(now := time.monotonic()):
            return self.send_direct(peer, messages.encode(message), perishable=True)
        return self.relaying(peer, now) and self.send_relay(peer, message)

    def send_direct(
        self, peer: Peer, text: str, *, perishable: bool = False, droppable: bool = False
    ) -> bool:
        """Send over the link, if there is one; see :meth:`Link.send`."""
        return peer.link is not None and peer.link.send(text, perishable=perishable, droppable=droppable)

    def send_member(self, to: str, message: messages.Outgoing) -> bool:
        """Send through the server to a member, neighbour or not."""
        if self._client.state != "joined" or self._client.server is None:
            return False
        return self._client.send(protocol.SendRelay(to=to, data=messages.to_object(message)))

    def send_relay(self, peer: Peer, message: messages.Outgoing) -> bool:
        """Send over the server's relay."""
        return self._client.send(protocol.SendRelay(to=peer.id, data=messages.to_object(message)))

    def relaying(self, peer: Peer, now: float) -> bool:
        """Return whether fields and telemetry go over the relay: the link was missing or silent for 1.5 s."""
        return self.can_relay(peer) and now - max(peer.since, peer.last_direct) > RELAY_AFTER

    # -- messages to all -------------------------------------------------------------------------------

    def present(self) -> list[Peer]:
        """Return the peers that are in the room or linked, and have not said goodbye."""
        return [peer for peer in self._peers.values() if (peer.in_room or peer.linked) and not peer.left]

    def send_event(self, message: dict[str, Any], peers: Sequence[Peer]) -> None:
        """Send an event to these peers, by a broadcast if no other path reaches one of them."""
        text = messages.encode(message)
        unreached = [peer for peer in peers if not self.send(peer, message, text)]
        if unreached:
            # Runners of the first ChronoFlux, and peers on a server without relay, get events only this way.
            self._client.send(protocol.SendBroadcast(data=message))

    def send_field(self, field: Field) -> None:
        """Send our mean field; it is dropped where it would be late."""
        now, text = time.monotonic(), messages.encode(field)
        period = max(RELAY_FIELD, self._relayed_peers(now) / RELAY_FIELDS)
        for peer in self.present():
            if not peer.ours:
                continue
            if peer.direct(now):
                self.send_direct(peer, text, perishable=True)
            elif now - peer.relayed_field >= period and self.relaying(peer, now):
                peer.relayed_field = now
                self.send_relay(peer, field)

    def send_telemetry(self, message: messages.Telemetry, to_recorders: messages.Telemetry) -> None:
        """Send the telemetry of the last second; also through the server, for recorders and old clients."""
        now, present = time.monotonic(), self.present()
        period = self._relayed_peers(now) / RELAY_TELEMETRIES
        for peer in present:
            telemetry = to_recorders if peer.kind == "recorder" else message
            self._send_telemetry_to(peer, telemetry, now, period)
        if (self.recorded or self._has_old_clients()) and self._room_telemetry.due(self._size(), now):
            telemetry = to_recorders if self.recorded else message
            self._client.send(protocol.SendTelemetry(telemetry=telemetry.telemetry))

    def _has_old_clients(self) -> bool:
        """Return whether an old client is in the room; it gets telemetry only from the server."""
        members = self._roster.members.values()
        return any(not peer.ours for peer in self.present()) or any(not member.lasting for member in members)

    def _size(self) -> int:
        """Return the known number of members of the room, this node included."""
        return max(self._roster.size, len(self.present()) + 1)

    def keep_alive(self) -> None:
        """Send empty telemetry to peers of ours, so that a participant without a swarm counts as live."""
        now = time.monotonic()
        period = self._relayed_peers(now) / RELAY_TELEMETRIES
        for peer in self.present():
            if peer.ours:
                self._send_telemetry_to(peer, messages.Telemetry({}), now, period)

    def _send_telemetry_to(self, peer: Peer, message: messages.Telemetry, now: float, period: float) -> None:
        if peer.linked:
            self.send_direct(peer, messages.encode(message), droppable=True)
        late = now - peer.relayed_telemetry >= period
        if late and peer.ours and not peer.direct(now) and self.relaying(peer, now):
            peer.relayed_telemetry = now
            self.send_relay(peer, message)

    def _relayed_peers(self, now: float) -> int:
        """Return the number of peers on the relay; they share the rate of one connection to the server."""
        return sum(peer.ours and not peer.direct(now) for peer in self.present())
