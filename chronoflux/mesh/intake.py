"""`Intake`: what peers say, checked against this node's world and the room's events, handed on once."""

from __future__ import annotations

import time
from typing import Any, Protocol

from chronoflux.errors import ParameterError, ProtocolError
from chronoflux.mesh import messages
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.gossip import FUTURE, Event, Gossip, old_id
from chronoflux.mesh.messages import EventMessage, Field
from chronoflux.mesh.peer import Peer
from chronoflux.model.events import EVENTS, World

APART = "its clock and ours are"


class Listener(Protocol):
    """Whoever applies what is let in."""

    @property
    def world(self) -> World:
        """Width and height in px."""

    def on_event(self, event: Event) -> None:
        """A remote event to apply, checked and heard for the first time."""

    def on_field(self, peer: str, field: Field) -> None:
        """A peer's mean field."""


class Intake:
    """See the module.

    ``id`` is this node's own: what comes back from it is not news. ``hops`` is the server's limit: with 0,
    a full mesh, nobody passes on what others fired.
    """

    def __init__(self, listener: Listener, gossip: Gossip, clock: MeshClock) -> None:
        self.id, self.hops = "", 0
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
            case Field():
                late = self._clock.now() - message.at
                if abs(late) > FUTURE:
                    peer.reason = f"{APART} {abs(late) / 1000:.0f} s apart"
                    raise ProtocolError("field", peer.reason)
                if peer.reason.startswith(APART):
                    peer.reason = ""  # that one was only late: one of us had been asleep
                if peer.field_ is None or message.at > peer.field_.at:
                    peer.field_ = message
                    self._listener.on_field(peer.id, message)
            case messages.Telemetry():
                peer.metrics = message.telemetry
                self._portal(peer, message.portal, message.portal_at, message.portal_origin)
            case messages.Hello():
                peer.ours = True
                peer.describe({"nodeId": message.node_id, "kind": message.kind})
            case messages.Greeting():
                self._greeting(peer, message)

    def _event(self, peer: Peer, message: EventMessage, *, told: bool = False) -> None:
        """Check an event and hand it on; `told` as part of a greeting, so by others than its origin."""
        envelope = message.envelope
        passed_on = told or (envelope.hops > 0 and self.hops > 0)
        origin = envelope.origin if envelope.origin and passed_on else peer.id
        if origin == self.id or (envelope.id and self._gossip.seen(envelope.id)):
            return
        now = self._clock.now()
        at = now if envelope.at is None else envelope.at
        if not told and not peer.allows_event(origin, at, now):
            raise ProtocolError(message.kind.wire, "more than 20 events/s")
        data = self._fit(peer, message)
        event = Event(message.kind, data, envelope.id or old_id(peer.id, message.kind, data), origin, at)
        if self._gossip.accept(event, now):
            self._listener.on_event(event)

    def _fit(self, peer: Peer, message: EventMessage) -> dict[str, Any]:
        """The event's data in px of this node's world, checked."""
        kind, world = message.kind, self._listener.world
        source = peer.world or world
        return kind.scale(kind.check(message.data, source), source, world)

    def _portal(self, peer: Peer, on: bool, at: float | None, origin: str | None) -> None:
        """Take over the room's portal mode, as the event it came from; old clients only say that it is on."""
        if not on and at is None:
            return
        at, origin = at or 0.0, origin or peer.id
        event = Event(EVENTS["lion_gate"], {"on": on}, f"state:{origin[:32]}:{at:.3f}", origin, at)
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
