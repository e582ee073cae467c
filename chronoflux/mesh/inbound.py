"""`InboundMessages`: checks messages of peers, and passes on each event, field and record once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from chronoflux.errors import ParameterError, ProtocolError
from chronoflux.mesh import event_id, messages
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.gossip import FROM_STATE, FUTURE, OLD, Event, Gossip, content_of, old_id
from chronoflux.mesh.messages import Envelope, EventMessage, Field, Telemetry, UnknownEvent, check_passable
from chronoflux.mesh.missed_events import MissedEvents
from chronoflux.mesh.origins import AnyEvent, Origins
from chronoflux.mesh.peer import Peer
from chronoflux.mesh.roster import Roster
from chronoflux.model.events import EVENTS, World


class Listener(Protocol):
    """The receiver of accepted messages."""

    @property
    def world(self) -> World:
        """Width and height of this node's world, px."""

    def on_event(self, event: Event) -> None:
        """Apply a remote event, which is checked and new."""

    def on_field(self, peer: str, field: Field) -> None:
        """Take the mean field of the peer with the id `peer`."""

    def on_telemetry(self, peer: Peer, message: Telemetry) -> None:
        """Take a peer's telemetry; in a partial mesh also that of non-neighbours to the whole room.

        May raise ProtocolError.
        """


class _Route(NamedTuple):
    """The origin, id (`key`) and mesh time (`at`, ms) of an event, and whether it was forwarded (`relayed`).

    `provable`: other nodes can check its id, which covers its origin.
    """

    origin: str
    key: str
    at: float
    relayed: bool
    provable: bool


class InboundMessages:
    """Checks messages of peers, and passes each accepted event, field and record to a `Listener` once.

    ``id`` is this node's own id; its own events that return are ignored. ``hops`` is the server's hop limit.
    With 0, in a full mesh, events of others are not forwarded. Otherwise `send_on` is called with each event
    that must go to all peers except its sender and its origin. ``hold`` takes an event for whose origin the
    server must be asked; without ``hold`` such an event is refused.
    """

    id: str
    hops: int

    def __init__(
        self,
        listener: Listener,
        gossip: Gossip,
        clock: MeshClock,
        send_on: Callable[[dict[str, Any], Peer, str], None],
        origins: Origins | None = None,
        missing: MissedEvents | None = None,
    ) -> None:
        self.id, self.hops = "", 0
        self.hold: Callable[[Peer, str, AnyEvent], None] | None = None
        self._send_on = send_on
        self._origins = Origins(Roster(), {}) if origins is None else origins
        self._missing = MissedEvents() if missing is None else missing
        self._listener, self._gossip, self._clock = listener, gossip, clock

    def handle(self, peer: Peer, message: messages.Message) -> None:
        """Check a message of a peer and pass it on.

        Raises
        ------
        ProtocolError, ParameterError
            If the message is refused.
        """
        match message:
            case EventMessage():
                self._event(peer, message)
            case UnknownEvent():
                self._unknown_event(peer, message)
            case Field():
                if objection := self._clock.objection(peer.id):
                    peer.clock_problem = objection
                    raise ProtocolError("field", objection)
                late = self._clock.now() - message.at
                if abs(late) > FUTURE:
                    peer.clock_problem = f"its clock and ours are {abs(late) / 1000:.0f} s apart"
                    raise ProtocolError("field", peer.clock_problem)
                peer.clock_problem = ""
                if peer.field_ is None or message.at > peer.field_.at:
                    peer.field_ = message
                    self._listener.on_field(peer.id, message)
            case Telemetry():
                self._missing.on_reported(peer.id, message.latest)
                self._listener.on_telemetry(peer, message)
                self._portal(peer, message.portal, message.portal_at, message.portal_origin)
            case messages.Hello():
                peer.on_hello(message.node_id, message.kind, message.features)
                peer.tick_ms = message.tick_ms
                self._missing.on_reported(peer.id, message.n, session=message.session)
            case messages.Greeting():
                self._greeting(peer, message)

    def _event(self, peer: Peer, message: EventMessage, *, from_state: bool = False) -> None:
        """Check an event and pass it on; `from_state`: it is part of a greeting, perhaps of another node."""
        way = self._route(peer, message, from_state=from_state)
        if way is None:
            return
        data = self._scaled_data(peer, message, way.key)
        content = self._content(peer, message, way)
        envelope = message.envelope
        event = Event(message.kind, data, way.key, way.origin, way.at, envelope.n, content, envelope.stamp)
        is_new = self._gossip.accept(event, self._clock.now(), relayed=way.relayed, from_state=from_state)
        self._missing.on_received(way.origin, envelope.n, direct=not way.relayed)
        if is_new:
            self._listener.on_event(event)
            if not from_state:
                self._forward(peer, event.message(envelope.hops + 1), way)

    def _unknown_event(self, peer: Peer, message: UnknownEvent) -> None:
        """Forward an event of an unknown kind, which other nodes may know."""
        if not self.hops or (way := self._route(peer, message)) is None:
            return
        envelope, now = message.envelope, self._clock.now()
        is_new = self._gossip.is_new(message.type, way.origin, way.key, way.at, now, relayed=way.relayed)
        self._missing.on_received(way.origin, envelope.n, direct=not way.relayed)
        if is_new:
            more = {"origin": way.origin, "at": way.at, "hops": envelope.hops + 1}
            self._forward(peer, {**message.message, **more}, way)

    def _route(self, peer: Peer, message: AnyEvent, *, from_state: bool = False) -> _Route | None:
        """Return the origin and path of an event; None if it is a duplicate, our own, or on hold.

        Raises
        ------
        ProtocolError
            If its origin is not in the room, its id does not match its content, or it exceeds a rate.
        """
        envelope, now = message.envelope, self._clock.now()
        claimed = envelope.origin or peer.id
        forwarded = from_state or (envelope.hops > 0 and self.hops > 0)
        origin = claimed if forwarded else peer.id
        if origin == self.id:
            return None
        relayed = origin != peer.id
        if relayed and not self._is_admitted(peer, origin, message, from_state=from_state):
            return None
        key = envelope.id or _old_id(peer.id, message)
        at = now if envelope.at is None else envelope.at
        self._check_id(claimed, origin, key, at, message, relayed=relayed)
        if self._gossip.seen(origin, key) or self._gossip.seen(claimed, key):
            self._missing.on_received(origin, envelope.n, direct=not relayed)
            return None
        if not from_state:
            if not peer.allows_event(origin, at, now):
                raise ProtocolError(message.type, "more than 20 events/s")
            if relayed and not peer.allows_forwarding(self._origins.size, time.monotonic()):
                raise ProtocolError(message.type, "more forwarded events than a room of this size may have")
        return _Route(origin, key, at, relayed, claimed == origin)

    def _is_admitted(self, peer: Peer, origin: str, message: AnyEvent, *, from_state: bool) -> bool:
        """Return True if the origin is accepted, False if the event is on hold; raise if it is refused."""
        admitted = self._origins.admits(origin)
        if admitted is None and not from_state and self.hold is not None:
            self.hold(peer, origin, message)
            return False
        if not admitted:
            raise ProtocolError(message.type, "its origin is not in the room")
        return True

    def _check_id(
        self, claimed: str, origin: str, key: str, at: float, message: AnyEvent, *, relayed: bool
    ) -> None:
        """Raise ProtocolError unless the id is the one that its `claimed` origin makes for this event.

        Earlier versions use random ids, and the first receiver makes the ids of old clients' events. Both
        forms are refused from an `origin` that is known to make its ids otherwise.
        """
        stamp = message.envelope.stamp
        if message.envelope.id is None:
            return
        if stamp is not None and stamp != at and relayed and not self._origins.newcomer(origin):
            raise ProtocolError(message.type, "its time was changed on the way")
        if key.startswith(OLD):
            if self._origins.keeps_ids(origin) or key != (_old_id(origin, message) or key):
                raise ProtocolError(message.type, "its id is not that of an old client's event")
            return
        if not event_id.must_match(key) and not self._origins.hashes(origin):
            return
        try:
            content = event_id.content_of(message.message)
            right = event_id.event_id(claimed, message.type, at if stamp is None else stamp, content)
        except ValueError:
            right = ""
        if key != right:
            raise ProtocolError(message.type, "its id is not the hash of its content")

    def _content(self, peer: Peer, message: EventMessage, way: _Route) -> dict[str, Any]:
        """Return the content to forward: what the id covers, as received; for an old client, its data.

        An event of an earlier version gets the world of its positions, which only its neighbours know.
        """
        if way.key.startswith(OLD):
            return content_of(message.kind, message.data)
        check_passable(message.message, message.type)
        content = event_id.content_of(message.message)
        if "world" not in content and peer.world and not event_id.must_match(way.key) and message.kind.placed:
            content["world"] = list(peer.world)
        return content

    def _forward(self, peer: Peer, message: dict[str, Any], way: _Route) -> None:
        """Forward an event to the other neighbours, within the hop limit.

        Broadcasts of non-neighbours are not forwarded, because all members have received them.
        """
        if message["hops"] <= self.hops and (peer.in_room or peer.linked) and way.provable:
            self._send_on(message, peer, way.origin)

    def _scaled_data(self, peer: Peer, message: EventMessage, key: str) -> dict[str, Any]:
        """Return the event's checked data in px of this node's world; positions may lie outside of it.

        The world of an old client is its window, whose size is unknown, so its px are used unscaled.
        """
        kind, world = message.kind, self._listener.world
        source = None if key.startswith(OLD) else message.envelope.world or peer.world
        whole = kind.check(message.data, source, beyond=True)
        return kind.scale(whole, source or world, world)

    def _portal(self, peer: Peer, on: bool, at: float | None, origin: str | None) -> None:
        """Adopt the room's portal mode as the event that set it; old clients send only that it is on.

        If the stated origin is not in the room, the sender counts as the origin.
        """
        if not on and at is None:
            return
        at, origin = at or 0.0, origin or peer.id
        if origin == self.id:
            return
        if origin != peer.id and not self._origins.admits(origin):
            origin = peer.id
        event = Event(EVENTS["lion_gate"], {"on": on}, f"{FROM_STATE}{origin[:32]}:{at:.3f}", origin, at)
        now = self._clock.now()
        held = self._gossip.standing("lion_gate", now)
        if held is not None and held.rank >= event.rank:
            return
        if not peer.gates.take(1, time.monotonic()):
            raise ProtocolError("portal", "changed more than once a second; it will be sent again")
        if self._gossip.adopt(event, now):
            self._listener.on_event(event)

    def _greeting(self, peer: Peer, state: messages.Greeting) -> None:
        """Adopt portal mode and active pulses, each as the event that caused it."""
        if not peer.greetings.take(1, time.monotonic()):
            raise ProtocolError("state", "more than one every 2 s")
        peer.world = state.world
        self._portal(peer, state.portal, state.portal_at, state.portal_origin)
        for pulse in state.intents:
            try:
                self._event(peer, _pulse_event(pulse), from_state=True)
            except (ProtocolError, ParameterError) as error:
                peer.refuse(error)  # the others may be valid


def _pulse_event(pulse: messages.LivePulse) -> EventMessage:
    """Return the event that caused a pulse of a greeting."""
    data = {"x": pulse.x, "y": pulse.y, "E": pulse.E}
    if pulse.sigma is not None:
        data["sigma"] = pulse.sigma
    message: dict[str, Any] = {"type": "intent", "intent": data}
    if pulse.world is not None:
        message["world"] = list(pulse.world)
    envelope = Envelope(
        id=pulse.id, origin=pulse.origin, at=pulse.at, n=pulse.n, stamp=pulse.stamp, world=pulse.world
    )
    return EventMessage(EVENTS["intent"], envelope, data, message)


def _old_id(origin: str, message: AnyEvent) -> str:
    """Return the id made for an old client's event without one; empty for an unknown kind."""
    return old_id(origin, message.kind, message.data) if isinstance(message, EventMessage) else ""
