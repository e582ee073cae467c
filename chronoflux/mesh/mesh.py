"""`Mesh`: the peers of a room, the paths to them, and the messages over these paths.

The server announces peers that join and leave, and the joining side dials. Messages from links, the server's
relay and broadcasts are merged and checked here, and each is passed to the node once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from chronoflux.errors import ParameterError, ProtocolError
from chronoflux.mesh import messages
from chronoflux.mesh.clock import MeshClock, ReferenceChange, TrustChange, monotonic_ms
from chronoflux.mesh.clock_sync import ClockSync
from chronoflux.mesh.gossip import Event, Gossip
from chronoflux.mesh.ice import Ice
from chronoflux.mesh.inbound import InboundMessages
from chronoflux.mesh.link import Link
from chronoflux.mesh.messages import RT_CHANNEL, Field
from chronoflux.mesh.missed_events import MissedEvents
from chronoflux.mesh.negotiation import Negotiation
from chronoflux.mesh.non_neighbours import NonNeighbours
from chronoflux.mesh.origins import OriginQueries, Origins
from chronoflux.mesh.outgoing import Outgoing
from chronoflux.mesh.participant import Participant
from chronoflux.mesh.peer import Peer
from chronoflux.mesh.resending import EventResender
from chronoflux.mesh.roster import Roster
from chronoflux.signal import protocol
from chronoflux.signal.client import SignalClient

log: logging.Logger = logging.getLogger(__name__)

WATCH_PERIOD = 0.1  # s between checks of the peers, and between two resent events
BYE_DEADLINE = 1.0  # s
CROSSING = 3.0  # s after our greeting within which the hello of a peer may have crossed it
MAX_PENDING = 128  # most timed messages kept until this node knows the room's time
LATE = 1.0  # s of delay of the watch itself, beyond which silence of peers is excused
PEER_TO_PEER = messages.FIXED.keys() - {"telemetry"}  # types that are never sent to a whole room
MAX_PEERS = 4096  # most peers; further announcements of a server are ignored
PROBES = ("probe", "probe-reply")  # types of messages from members that are not neighbours
UNLISTED_FOR = 90.0  # s to keep a link to a member that the server does not list as a neighbour
STALL = 5.0  # s of delay after which links may be dead without a sign


class Mesh:
    """A node's connections to a room. :meth:`run` maintains them until cancelled; :meth:`leave` ends them."""

    client: SignalClient
    clock: MeshClock

    def __init__(
        self,
        client: SignalClient,
        node: Participant,
        clock: MeshClock,
        ice: Ice,
    ) -> None:
        self.client, self.clock = client, clock
        self.peers: dict[str, Peer] = {}
        self.gossip: Gossip = Gossip()
        self.roster: Roster = Roster()
        self._node = node
        self._missed_events = MissedEvents()
        self._outgoing = out = Outgoing(client, self.peers, self.roster)
        self._resender = EventResender(self.gossip, clock, self._missed_events, out.send, node.on_missed)
        origins = Origins(self.roster, self.peers)
        self._inbound = InboundMessages(node, self.gossip, clock, self._forward, origins, self._missed_events)
        self._origin_queries = OriginQueries(self.roster, self._ask_who, self._dispatch)
        self._inbound.hold = self._origin_queries.hold
        self._non_neighbours = NonNeighbours(self._inbound, self._dispatch)
        self._clock_sync = ClockSync(
            clock, self.peers, out.send_perishable, self._on_clock, self.roster, out.send_member
        )
        self._pending: deque[tuple[Peer, messages.Message, float]] = deque(
            maxlen=MAX_PENDING
        )  # and when it came
        self._unsent: deque[str] = deque(maxlen=MAX_PENDING)
        self._negotiation = Negotiation(
            self,
            lambda to, signal: client.send(protocol.SendSignal(to=to, signal=signal)),
            ice,
        )
        self._acks: dict[str, asyncio.Event] = {}
        self._leaving = False
        self._may_greet = True
        self._joins = 0

    @property
    def id(self) -> str:
        """This node's id in the room; empty until the server assigned or confirmed it."""
        return self._inbound.id

    @property
    def origin(self) -> str:
        """The origin of events fired here: this node's id, also before the server confirmed it."""
        return self.id or self.client.own_id

    # -- life ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Stay in the room until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.client.run(), name="signaling")
                tasks.create_task(self._watch(), name="mesh watch")
                tasks.create_task(self._clock_sync.run(), name="mesh probing")
        finally:
            await self._negotiation.close("this node ended")

    async def leave(self, reason: str = "left") -> None:
        """Say goodbye to every peer, wait at most `BYE_DEADLINE` for their answers, and leave the room."""
        self._leaving = True
        now = time.monotonic()
        text = messages.encode(messages.Bye(reason[:64]))
        for peer in self.peers.values():
            if peer.linked and peer.ours and self._outgoing.send_direct(peer, text):
                self._acks[peer.id] = asyncio.Event()
            elif peer.ours and peer.via(now) == "relay":
                self._outgoing.send_relay(peer, messages.Bye(reason[:64]))
        if self._acks:
            waits = [asyncio.create_task(ack.wait()) for ack in self._acks.values()]
            _, late = await asyncio.wait(waits, timeout=BYE_DEADLINE)
            for task in late:
                task.cancel()
        await self._negotiation.close(reason)
        await self.client.close()

    # -- what the node sends ---------------------------------------------------------------------------

    def publish(self, event: Event) -> None:
        """Send an event fired here to the room. A newcomer defers it until it knows the room's time."""
        event = self.gossip.add_own(event)
        if self.clock.settled:
            self._outgoing.send_event(event.message(0), self._outgoing.present())
        else:
            self._unsent.append(event.id)

    def send_field(self, field: Field) -> None:
        """Send our mean field, if the room's time is known."""
        if self.clock.settled:
            self._outgoing.send_field(field)

    def send_telemetry(self, message: messages.Telemetry, whole: Mapping[str, Any] | None = None) -> None:
        """Send the telemetry of the last second; recorders get `whole` instead, if given."""
        latest = self.gossip.count - 1
        numbered = msgspec.structs.replace(message, n=latest)
        to_recorders = numbered if whole is None else messages.Telemetry({**whole, "n": latest})
        self._outgoing.send_telemetry(numbered, to_recorders)

    def keep_alive(self) -> None:
        """Send empty telemetry to peers of ours, so that a participant without a swarm counts as live."""
        self._outgoing.keep_alive()

    def _forward(self, message: dict[str, Any], sender: Peer, origin: str) -> None:
        """Forward a message of a peer to the other neighbours; see :class:`InboundMessages`."""
        others = (peer for peer in self._outgoing.present() if peer is not sender and peer.id != origin)
        self._outgoing.send_event(message, [peer for peer in others if peer.accepts_from(origin)])

    # -- messages of the server ------------------------------------------------------------------------

    def on_signaling(self, message: protocol.ServerMessage) -> None:
        """Handle a message of the signaling server."""
        if self._leaving:
            return
        match message:
            case protocol.RoomPeers():
                self._on_room(message)
            case protocol.PeerJoinedRoom():
                self._announce(message)
            case protocol.PeerLeft():
                self._on_left(message.peer_id)
            case protocol.Roster():
                self._on_roster(message)
            case protocol.Who():
                self.roster.apply_answer(message)
                self._origin_queries.poll()
            case protocol.Signal():
                self._on_signal(message.from_, message.signal)
            case protocol.Relay():
                self._on_relayed(message.from_, message.data)
            case protocol.Broadcast():
                self._on_broadcast(message.from_, message.data)
            case protocol.Telemetry():
                self._on_broadcast(message.from_, {"type": "telemetry", "telemetry": message.telemetry})
            case protocol.IceServers():
                self._take_ice_servers(message.ice_servers)
            case protocol.Unlink():
                self.clock.unlink(message.peer_id)
                if (peer := self.peers.get(message.peer_id)) is not None:
                    self._drop(peer, "no longer a neighbour")

    def _on_room(self, message: protocol.RoomPeers) -> None:
        own_id = message.peer_id or self.client.peer_id or ""
        self._inbound.hops, self._outgoing.recorded = message.hops, message.recorded is True
        rejoined, self._joins = self.client.joins != self._joins, self.client.joins
        if rejoined:
            self.roster.joined(available=self.client.server is not None and self.client.server.rosters)
        if self.id and own_id != self.id:
            # A server that does not know secrets assigned a new id: for the others this node is a new peer.
            for peer in self.peers.values():
                self._negotiation.retire(peer, "rejoined under another id")
        self._inbound.id = own_id
        self._node.on_joined(own_id)
        if message.ice_servers:
            self._take_ice_servers(message.ice_servers)
        present = {entry.id for entry in message.peers}
        for peer in list(self.peers.values()):
            if rejoined and peer.id not in present:  # later ones only add
                self._on_left(peer.id)
        for entry in message.peers:
            if entry.id == self.id:
                continue
            named = self._announce(entry)
            if named is None or named.unanswered:
                continue
            named.dials = named.dials or named.link is None
            if not named.direct(time.monotonic()):
                self._negotiation.dial(named)
        rosters = self.client.server is not None and self.client.server.rosters
        if self.roster.available or not rosters:  # else the roster follows, and determines the reference
            self._clock_sync.on_joined(self.id, self._since(own_id, message.joined))

    def _announce(self, entry: protocol.RoomPeer | protocol.PeerJoinedRoom) -> Peer | None:
        peer_id = entry.id if isinstance(entry, protocol.RoomPeer) else entry.peer_id
        peer = self.peers.get(peer_id)
        if peer is None and len(self.peers) >= MAX_PEERS:
            log.debug("mesh: %s is ignored: there are too many peers", peer_id[:8])
            return None
        if peer is not None and peer.left:
            self._negotiation.retire(peer, "returned")
        if peer is None or peer.left:
            peer = self.peers[peer_id] = Peer(peer_id, name=peer_id[:8])
        peer.in_room, peer.joined = True, self._since(peer_id, entry.joined)
        peer.set_metadata(entry.metadata, lasting=entry.lasting)
        peer.hears = None if entry.hears is None else frozenset(entry.hears or ())
        self._missed_events.on_peer_present(peer_id, self.gossip.count - 1)
        return peer

    def _on_roster(self, message: protocol.Roster) -> None:
        """Handle a roster: members joined or left, or a restarted server corrected when they joined."""
        self.roster.apply(message)
        for entry in message.members:
            if (peer := self.peers.get(entry.id)) is not None:
                peer.joined = self._since(entry.id, entry.joined)
            elif entry.id == self.id:
                self._clock_sync.on_joined(self.id, self._since(entry.id, entry.joined))

    def _since(self, id_: str, joined: int | None) -> int | None:
        """Return when a member joined: the earlier of the server's time and that from before its restart."""
        known = self.roster.member(id_)
        return joined if joined is None or known is None else min(joined, known.joined)

    def add_recovery(self, join: protocol.JoinRoom) -> protocol.JoinRoom:
        """Return the join with what restores a restarted server: the earliest members and our links."""
        if not self.roster.available:
            return join
        known, links = self.roster.known(self.id), sum(peer.in_room for peer in self.peers.values())
        return msgspec.structs.replace(join, known=known, hops=self._inbound.hops, links=links)

    def _on_left(self, peer_id: str) -> None:
        """Handle a peer that left the room.

        A node of ours keeps its working link, because perhaps only its socket to the server broke. The link
        of an old client is dropped: it returns under another id, and does not dial peers that it still has
        links to.
        """
        peer = self.peers.get(peer_id)
        if peer is None:
            return
        peer.in_room = False
        if not peer.direct(time.monotonic()) or not peer.ours:
            self._drop(peer, peer.reason or "left the room")

    def _take_ice_servers(self, servers: Sequence[protocol.IceServer]) -> None:
        self._negotiation.take_ice_servers([messages.to_object(server) for server in servers])

    def _on_signal(self, sender: str, payload: Mapping[str, Any]) -> None:
        peer = self.peers.get(sender)
        if peer is None:
            log.debug("mesh: a signal from %s, who is not in the room", sender[:8])
            return
        try:
            self._negotiation.on_signal(peer, dict(payload), self.id)
        except ProtocolError as error:
            peer.refuse(error)

    # -- messages of peers -----------------------------------------------------------------------------

    def on_open(self, peer: Peer, link: Link) -> None:
        """Greet a peer whose link opened."""
        peer.opened, peer.reason = time.monotonic(), ""
        self._outgoing.send_direct(peer, messages.encode(self._hello(peer)))
        self._outgoing.send_direct(peer, messages.encode({"type": "state", **self._node.greeting()}))
        self._resender.queue_recent(peer)
        self._node.on_peer(peer, "linked", "")

    def on_closed(self, peer: Peer, link: Link) -> None:
        """Plan a new link to a peer whose link ended, unless the peer left."""
        now = time.monotonic()
        if peer.in_room and not peer.left and peer.leaves_offers_unanswered(now):
            peer.unanswered, peer.reason = True, ""
            self._node.on_peer(peer, "server", peer.path_problem(now))
            return
        if not peer.left:
            peer.reason = link.reason
            self._node.on_peer(peer, "unlinked", link.reason)
        if peer.left or not peer.in_room:
            self._drop(peer, peer.reason)
        elif (peer.dials or not peer.ours) and not self._leaving:  # an old client does not redial
            peer.plan_redial(now)

    def on_full(self, peer: Peer, reason: str) -> None:
        """Tell a peer that its offer is refused, so that it need not wait for its deadline."""
        if self._outgoing.can_relay(peer):
            self._outgoing.send_relay(peer, messages.Refused(reason))

    def on_message(self, peer: Peer, data: str | bytes) -> None:
        """Handle a message that arrived over a link."""
        peer.last_direct = time.monotonic()
        self._receive(peer, lambda: messages.decode(data))

    def _on_relayed(self, sender: str, data: Mapping[str, Any]) -> None:
        peer = self.peers.get(sender)
        if peer is None and data.get("type") in PROBES:
            try:
                self._clock_sync.on_relayed(sender, messages.parse(dict(data)))
            except ProtocolError as error:
                log.debug("refused from %s: %s", sender[:8], error)
        if peer is not None and not peer.left:
            peer.last_relayed = time.monotonic()
            self._receive(peer, lambda: messages.parse(dict(data)))

    def _on_broadcast(self, sender: str, data: Mapping[str, Any]) -> None:
        """Handle a message to the whole room: an event or telemetry. Other types are refused."""
        if (peer := self.peers.get(sender)) is not None and str(data.get("type")) in PEER_TO_PEER:
            peer.refuse(ProtocolError("broadcast", "this type is not sent to a whole room"))
        elif peer is not None:
            self._on_relayed(sender, data)
        else:
            self._non_neighbours.handle(sender, data)

    def _receive(self, peer: Peer, decode: Callable[[], messages.Message]) -> None:
        """Decode and handle a message. A refused message is counted and dropped."""
        try:
            message = decode()
        except (ProtocolError, ParameterError) as error:
            peer.refuse(error)
        else:
            self._dispatch(peer, message)

    def _dispatch(self, peer: Peer, message: messages.Message) -> None:
        """Handle a message. A refused message is counted and dropped."""
        try:
            if peer.left and not isinstance(message, messages.ByeAck):
                return
            match message:
                case messages.Bye():
                    self._outgoing.send(peer, messages.ByeAck())
                    peer.left, peer.in_room, peer.left_at = True, False, time.monotonic()
                    peer.reason = f"left: {message.reason}" if message.reason else "left"
                    if not peer.linked:
                        self._drop(peer, peer.reason)
                case messages.ByeAck():
                    if peer.id in self._acks:
                        self._acks[peer.id].set()
                case messages.Refused():
                    self._negotiation.on_refused(peer, message.reason)
                case messages.Probe():
                    self._clock_sync.on_probe(peer, message)
                case messages.ProbeReply():
                    self._clock_sync.on_reply(peer, message)
                case messages.EventMessage() | messages.Greeting() if not self.clock.settled:
                    self._pending.append((peer, message, monotonic_ms()))
                case messages.Field() if not self.clock.settled:
                    pass  # the next one suffices
                case messages.Telemetry() if not self.clock.settled:
                    pass  # likewise; its portal state may wait here as an event
                case messages.Hello():
                    self._inbound.handle(peer, message)
                    self._greet_again(peer, message)
                    self._resender.on_hello(peer, message)
                    self._clock_sync.start_burst(peer)
                    if peer.link is not None and RT_CHANNEL in message.features:
                        peer.link.open_rt()
                case _:
                    self._inbound.handle(peer, message)
        except (ProtocolError, ParameterError) as error:
            peer.refuse(error)

    # -- mesh time -------------------------------------------------------------------------------------

    def _on_clock(self, changes: Sequence[ReferenceChange | TrustChange]) -> None:
        """Handle changes of mesh time. Once it is settled, process what waited for it."""
        for change in changes:
            if isinstance(change, TrustChange):
                if (peer := self.peers.get(change.peer)) is not None:
                    peer.clock_problem = change.reason
                    self._node.on_peer(peer, "trusted" if change.trusted else "distrusted", change.reason)
                continue
            if change.step is not None:
                self._shift(change.step)
            self._node.on_clock(change)
        self._process_pending()

    def _process_pending(self) -> None:
        """Send and process messages that waited until this node knew the room's time."""
        if not self.clock.settled or not (self._unsent or self._pending):
            return
        for event in self.gossip.recent(self.clock.now()):
            if event.id in self._unsent:
                self._outgoing.send_event(event.message(0), self._outgoing.present())
        self._unsent.clear()
        held, self._pending = self._pending, deque(maxlen=MAX_PENDING)
        for peer, message, came in held:
            at = self.clock.now() - (monotonic_ms() - came)
            self._dispatch(peer, _dated(message, at))

    def _shift(self, by: float) -> None:
        """Adjust stored times after a step of mesh time by `by` ms, and discard outdated fields."""
        self.gossip.shift(by)
        for peer in self.peers.values():
            peer.field_ = None
        self._resender.on_clock_step(self.peers.values())

    # -- the watch -------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Check the peers, redial broken links, greet over the relay, and resend events."""
        last = monotonic_ms() / 1000
        while not self._leaving:
            now, late = time.monotonic(), monotonic_ms() / 1000 - last - WATCH_PERIOD
            last += late + WATCH_PERIOD
            if late > LATE:
                self._excuse_silence(now, stalled=late > STALL)
            self._may_greet = True
            if self.client.state != "joined":
                self.roster.server_lost()
            for peer in list(self.peers.values()):
                self._check_peer(peer, now)
            self._origin_queries.poll()
            self._process_pending()  # a node that finds no reference settles by a timeout
            self._resender.report_missed()
            await asyncio.sleep(WATCH_PERIOD)

    def _excuse_silence(self, now: float, *, stalled: bool) -> None:
        """Excuse the silence of peers after this node slept or its loop was blocked: messages are unread.

        After a long stall (`stalled`) links may be dead without a sign, so they are checked soon.
        """
        self.client.check_connection()
        for peer in self.peers.values():
            if peer.linked:
                peer.opened = now
                if stalled:
                    peer.woke_at = now

    def _check_peer(self, peer: Peer, now: float) -> None:
        if peer.left and now - peer.left_at > BYE_DEADLINE:
            self._drop(peer, peer.reason)
            return
        if self._is_unlisted(peer, now):
            self._drop(peer, "no longer a neighbour")
            return
        self._negotiation.check(peer, now, self.id, joined=self.client.state == "joined")
        relaying = not peer.direct(now) and self._outgoing.relaying(peer, now)
        if relaying and peer.greeted_by_relay is None and self._may_greet:
            self._may_greet = False  # one for each check: greetings are long, and the server limits bytes
            self._outgoing.send_relay(peer, self._hello(peer))
            self._outgoing.send_relay(peer, {"type": "state", **self._node.greeting()})
            self._resender.queue_recent(peer)
            self._node.on_peer(peer, "relayed", peer.reason or "no link yet")
            peer.greeted_by_relay = now
        elif not relaying:
            peer.greeted_by_relay = None
        if peer.unsent and self.clock.settled:
            self._resender.send_next(peer)
        self._update_state(peer, now)

    def _is_unlisted(self, peer: Peer, now: float) -> bool:
        """Return whether the server has not listed a linked member as a neighbour for `UNLISTED_FOR` s.

        A restarted server may link other pairs. A peer that is not in the room may have lost only its socket
        to the server, and keeps its link.
        """
        here = self.client.state == "joined" and peer.id in self.roster.members
        if peer.in_room or not here:
            peer.unlisted_since = None
        elif peer.unlisted_since is None:
            peer.unlisted_since = now
        return peer.unlisted_since is not None and now - peer.unlisted_since > UNLISTED_FOR

    def _hello(self, peer: Peer) -> dict[str, Any]:
        """Return the first message to a peer on a new path, with the numbers of its events that arrived."""
        return {
            "type": "hello",
            **self._node.hello(),
            "tick_ms": self.clock.tick,
            **self._resender.hello_fields(peer),
        }

    def _greet_again(self, peer: Peer, hello: messages.Hello) -> None:
        """Greet a peer again if its hello shows that it lost our relayed greeting.

        A peer loses it if it was away from the server at that moment. Greetings that cross do not count.
        """
        greeted = peer.greeted_by_relay
        lost = peer.hello_received or (greeted is not None and time.monotonic() - greeted > CROSSING)
        if hello.heard is None and lost:
            peer.greeted_by_relay = None
        peer.hello_received = True

    def _ask_who(self, ids: list[str]) -> None:
        """Ask the server which of these ids are in the room."""
        self.client.send(protocol.SendWho(ids=ids))

    def _update_state(self, peer: Peer, now: float) -> None:
        before, peer.state = peer.state, peer.current_state(now)
        if peer.state == before:
            return
        if peer.state == "gone":
            self._node.on_peer(peer, "gone", peer.reason or f"silent for {peer.silence(now):.0f} s")
            if not peer.in_room:
                self._drop(peer, peer.reason)
        elif before != "connecting" or peer.state != "live":
            if peer.state == "quiet":
                self.client.check_connection()  # our own network may have failed
            self._node.on_peer(peer, peer.state, peer.reason)

    def _drop(self, peer: Peer, reason: str) -> None:
        """Close the link of a peer and forget the peer."""
        self._negotiation.retire(peer, reason)
        if self.peers.get(peer.id) is peer:
            del self.peers[peer.id]
            if peer.state != "gone":
                peer.state = "gone"
                self._node.on_peer(peer, "gone", reason)


def _dated(message: messages.Message, at: float) -> messages.Message:
    """Return a message received at mesh time `at`; an event of an old client without a time gets `at`."""
    if not isinstance(message, messages.EventMessage) or message.envelope.at is not None:
        return message
    return replace(message, envelope=msgspec.structs.replace(message.envelope, at=at))
