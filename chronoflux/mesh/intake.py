"""`Intake`: what peers say, checked against this node's world and the room's events, handed on once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from chronoflux.errors import ParameterError, ProtocolError
from chronoflux.mesh import messages
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.gossip import FUTURE, TOLD, Event, Gossip, old_id
from chronoflux.mesh.messages import Envelope, EventMessage, Field, Telemetry, UnknownEvent
from chronoflux.mesh.peer import Peer
from chronoflux.model.events import EVENTS, World


class Listener(Protocol):
    """Whoever applies what is let in."""

    @property
    def world(self) -> World:
        """Width and height in px."""

    def on_event(self, event: Event) -> None:
        """A remote event to apply, checked and heard for the first time."""

    def on_field(self, peer: str, field: Field) -> None:
        """A peer's mean field."""

    def on_telemetry(self, peer: Peer, message: Telemetry) -> None:
        """A peer's telemetry; in a partial mesh also that of others, when they tell the whole room. May raise
        ProtocolError."""


class Intake:
    """See the module.

    ``id`` is this node's own: what comes back from it is not news. ``hops`` is the server's limit: with 0,
    a full mesh, nobody passes on what others fired; with more, `spread` is called with what is to be told
    to everybody but the peer it came from and its origin.
    """

    def __init__(
        self,
        listener: Listener,
        gossip: Gossip,
        clock: MeshClock,
        spread: Callable[[dict[str, Any], Peer, str], None],
    ) -> None:
        self.id, self.hops = "", 0
        self._spread = spread
        self._listener, self._gossip, self._clock = listener, gossip, clock

    def take(self, peer: Peer, message: messages.Message) -> None:
        """Take a message of a peer.

        Raises
        ------
        ProtocolError, ParameterError
            When it is refused.
        """
        match message:
            case EventMessage():
                self._event(peer, message)
            case UnknownEvent():
                self._unknown_event(peer, message)
            case Field():
                if objection := self._clock.objection(peer.id):
                    peer.doubt = objection
                    raise ProtocolError("field", objection)
                late = self._clock.now() - message.at
                if abs(late) > FUTURE:
                    peer.doubt = f"its clock and ours are {abs(late) / 1000:.0f} s apart"
                    raise ProtocolError("field", peer.doubt)
                peer.doubt = ""
                if peer.field_ is None or message.at > peer.field_.at:
                    peer.field_ = message
                    self._listener.on_field(peer.id, message)
            case Telemetry():
                self._listener.on_telemetry(peer, message)
                self._portal(peer, message.portal, message.portal_at, message.portal_origin)
            case messages.Hello():
                peer.greeted(message.node_id, message.kind, message.features)
                peer.tick_ms = message.tick_ms
            case messages.Greeting():
                self._greeting(peer, message)

    def _event(self, peer: Peer, message: EventMessage, *, told: bool = False) -> None:
        """Check an event and hand it on; `told` as part of a greeting, so by others than its origin."""
        envelope = message.envelope
        origin = self._origin(peer, envelope, told=told)
        if origin == self.id or (envelope.id and self._gossip.seen(envelope.id)):
            return
        now = self._clock.now()
        at = now if envelope.at is None else envelope.at
        if not told and not peer.allows_event(origin, at, now):
            raise ProtocolError(message.kind.wire, "more than 20 events/s")
        data = self._fit(peer, message)
        event = Event(
            message.kind, data, envelope.id or old_id(peer.id, message.kind, message.data), origin, at
        )
        if self._gossip.accept(event, now, told=told):
            self._listener.on_event(event)
            if not told:
                self._pass_on(peer, event.message(envelope.hops + 1), origin)

    def _origin(self, peer: Peer, envelope: Envelope, *, told: bool = False) -> str:
        """Who fired it: the peer itself, unless it is told or passed on, which happens in a partial mesh."""
        passed_on = told or (envelope.hops > 0 and self.hops > 0)
        return envelope.origin if envelope.origin and passed_on else peer.id

    def _unknown_event(self, peer: Peer, message: UnknownEvent) -> None:
        """Nothing to apply here, but others may know it."""
        envelope = message.envelope
        origin, key, now = self._origin(peer, envelope), envelope.id or "", self._clock.now()
        if not self.hops or origin == self.id or self._gossip.seen(key):
            return
        at = now if envelope.at is None else envelope.at
        if not peer.allows_event(origin, at, now):
            raise ProtocolError(message.type, "more than 20 events/s")
        if self._gossip.news(message.type, key, at, now):
            more = {"origin": origin, "at": at, "hops": envelope.hops + 1}
            self._pass_on(peer, {**message.message, **more}, origin)

    def _pass_on(self, peer: Peer, message: dict[str, Any], origin: str) -> None:
        """Tell the other neighbours, within the hop limit.

        What somebody who is no neighbour broadcast, everybody heard already.
        """
        if message["hops"] <= self.hops and (peer.in_room or peer.linked):
            self._spread(message, peer, origin)

    def _fit(self, peer: Peer, message: EventMessage) -> dict[str, Any]:
        """The event's data in px of this node's world, checked; positions may lie outside of it.

        The world of an old client is its window, whose size it does not tell: its px are taken for ours.
        """
        kind, world = message.kind, self._listener.world
        whole = kind.check(message.data, peer.world, beyond=True)
        return kind.scale(whole, peer.world or world, world)

    def _portal(self, peer: Peer, on: bool, at: float | None, origin: str | None) -> None:
        """Take over the room's portal mode, as the event it came from; old clients only say that it is on."""
        if not on and at is None:
            return
        at, origin = at or 0.0, origin or peer.id
        event = Event(EVENTS["lion_gate"], {"on": on}, f"{TOLD}{origin[:32]}:{at:.3f}", origin, at)
        if origin == self.id or self._gossip.seen(event.id):
            return
        if not peer.gates.take(1, time.monotonic()):
            raise ProtocolError("portal", "changed more than once a second; it will be told again")
        if self._gossip.accept(event, self._clock.now(), lasting=True):
            self._listener.on_event(event)

    def _greeting(self, peer: Peer, state: messages.Greeting) -> None:
        """Take over portal and live pulses, each as the event it came from."""
        if not peer.greetings.take(1, time.monotonic()):
            raise ProtocolError("state", "more than one every 2 s")
        peer.world = state.world
        self._portal(peer, state.portal, state.portal_at, state.portal_origin)
        for pulse in state.intents:
            data = {"x": pulse.x, "y": pulse.y, "E": pulse.E}
            if pulse.sigma is not None:
                data["sigma"] = pulse.sigma
            envelope = messages.Envelope(id=pulse.id, origin=pulse.origin, at=pulse.at)
            told = EventMessage(EVENTS["intent"], envelope, data)
            try:
                self._event(peer, told, told=True)
            except (ProtocolError, ParameterError) as error:
                peer.refuse(error)  # the others may still be good
