"""`RoomAdapter`: passes events, mean fields and records between a swarm and its room."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from chronoflux.errors import ChronofluxError
from chronoflux.mesh import gossip, messages
from chronoflux.mesh.clock import MeshClock, ReferenceChange
from chronoflux.mesh.gossip import Event
from chronoflux.mesh.messages import FIELD_LIMIT, Field, Telemetry
from chronoflux.mesh.peer import Peer, own_order
from chronoflux.mesh.peer_telemetry import PAIRINGS
from chronoflux.model.events import EventKind, World
from chronoflux.model.schedule import Action
from chronoflux.node.runner import Runner, Surroundings
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.format.records import rounded
from chronoflux.version import VERSION

if TYPE_CHECKING:
    from chronoflux.mesh.mesh import Mesh

log: logging.Logger = logging.getLogger(__name__)
PULSE_LIFE = 5.0  # s after which the strongest pulse has faded
LIVE_PULSES = 256  # live pulses from which remote ones are refused
FIRED = 64  # latest ids that a new event may not have; more than events can be fired at one moment


class RoomAdapter:
    """The participant of the mesh, and the listener of the runner; called on the event loop.

    Parameters
    ----------
    node_id, kind
        The node's name, and what it is.
    clock
        Mesh time.
    log
        The run's log.
    world
        Returns width and height in px.
    fire, change
        Fire an event, and change parameters, as the schedule asks.
    """

    runner: Runner
    """The runner; set as soon as it exists."""
    mesh: Mesh | None = None
    """The mesh; None before it exists, and for a node alone."""
    sent: int
    """Number of events fired here."""
    received: int
    """Number of events of peers that were applied here."""
    problem: str | None
    """Why the mean field is not sent; None: it is."""

    def __init__(
        self,
        node_id: str,
        kind: str,
        clock: MeshClock,
        log: RunLog,
        *,
        world: Callable[[], World],
        fire: Callable[..., str],
        change: Callable[[Mapping[str, object]], None],
    ) -> None:
        self.sent = self.received = 0
        self.problem = None
        self._node_id, self._kind, self._clock, self._log = node_id, kind, clock, log
        self._world, self._fire, self._change = world, fire, change
        self._pulses: list[Event] = []
        self._firing, self._fired = threading.Lock(), deque[str](maxlen=FIRED)
        self._reported = 0  # records sent to the room

    @property
    def world(self) -> World:
        """Width and height in px."""
        return self._world()

    @property
    def peer_id(self) -> str:
        """The node's id in the room; its own name before it has joined."""
        return (self.mesh.id if self.mesh else "") or self._node_id

    @property
    def peers(self) -> list[Peer]:
        """The peers in the room."""
        return list(self.mesh.peers.values()) if self.mesh else []

    # -- events ----------------------------------------------------------------------------------------

    def _time_for(self, kind: EventKind) -> float:
        """Return mesh time for an event fired now; a standing event is later than the one it replaces."""
        now = self._clock.now()
        standing = self.mesh.gossip.standing(kind.name, now) if self.mesh else None
        return now if standing is None else max(now, standing.at + 0.001)

    def fired(self, kind: EventKind, data: Mapping[str, object]) -> Event:
        """Return a new event of this node, to be published; from any thread."""
        with self._firing:
            event = gossip.fired(
                kind,
                data,
                self.mesh.origin if self.mesh else self.peer_id,
                self._time_for(kind),
                world=self.world,
                taken=self._fired.__contains__,
            )
            self._fired.append(event.id)
        return event

    def publish(self, event: Event) -> None:
        """Apply an event of this node here and send it to every peer."""
        self.sent += 1
        self._apply(event, own=True)
        if self.mesh is not None:
            self.mesh.publish(event)

    def _apply(self, event: Event, *, own: bool) -> None:
        self.runner.commands.fire(event, own=own)
        if event.kind.name == "intent":
            self._pulses = [*self._alive(), event]

    def _alive(self) -> list[Event]:
        """Return the intents whose pulses have not faded yet."""
        now = self._clock.now()
        return [pulse for pulse in self._pulses if now - pulse.at < PULSE_LIFE * 1000]

    # -- called by the mesh and the runner -------------------------------------------------------------

    def hello(self) -> Mapping[str, object]:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        who = {"version": VERSION, "nodeId": self._node_id, "kind": self._kind}
        return {**who, "features": messages.FEATURES}

    def _gate(self) -> Event | None:
        """Return the latest lion gate of the room."""
        return self.mesh.gossip.standing("lion_gate", self._clock.now()) if self.mesh else None

    def greeting(self) -> Mapping[str, object]:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        gate, alive = self._gate(), self._alive()
        snapshot = self.runner.snapshot()
        portal = bool(gate.data["on"]) if gate else snapshot.portal
        if not self._clock.settled:  # anything with a time waits until mesh time is known
            gate, alive, portal = None, [], False
        return {
            "nodes": self.runner.params.oscillators,
            "portal": portal,
            "t": snapshot.t,
            "portalAt": gate.at if gate else None,
            "portalOrigin": gate.origin if gate else None,
            "intents": [_reported(event) for event in alive],
            "world": list(self.world),
        }

    def on_event(self, event: Event) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        if event.kind.name == "intent" and len(self._alive()) >= LIVE_PULSES:
            log.debug("%s: a peer's intent was refused: there are %d live pulses", self._node_id, LIVE_PULSES)
            return
        self.received += 1
        if self.runner.params.boundary == "torus":
            event = replace(event, data=event.kind.wrapped(event.data, self.world))
        self._apply(event, own=False)

    def on_missed(self, facts: Mapping[str, object]) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        by_peer = "peer" in facts
        who = f"by peer {facts['peer']!s:.8}" if by_peer else f"here, of {facts['origin']!s:.8}"
        log.info("%s: %s events were missed %s", self._node_id, facts["count"], who)
        self.runner.commands.record("missed", facts)

    def on_field(self, peer: str, field: Field) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        self.runner.commands.hear(peer, field)

    def on_telemetry(self, peer: Peer, message: Telemetry) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`. Only recorders use it."""

    def on_joined(self, peer_id: str) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        self._log.update(peer_id=peer_id)

    def on_peer(self, peer: Peer, change: str, reason: str) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        log.info("%s: peer %s %s%s", self._node_id, peer.name, change, f" ({reason})" if reason else "")
        if change == "gone":
            self.runner.commands.forget(peer.id)
        data = {"id": peer.id, "name": peer.name, "change": change, "reason": reason}
        self.runner.commands.record("peer", data)

    def on_clock(self, change: ReferenceChange) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        if change.step is not None:
            by = change.step
            self._pulses = [pulse.shifted(by) for pulse in self._pulses]
            for peer in self.peers:
                self.runner.commands.forget(peer.id)
        moved = "" if change.step is None else f", moved by {change.step:+.3f} ms"
        log.info("%s: mesh time follows %s%s", self._node_id, change.reference[:8], moved)
        self.runner.commands.follow(change)

    def on_mean_field(self, field: Field) -> None:
        """See :class:`~chronoflux.node.runner.Listener`."""
        if self.mesh is None:
            return
        if abs(field.omega) <= FIELD_LIMIT:
            self.problem = None
            self.mesh.send_field(field)
        else:
            self.problem = (
                f"mean field not sent: omega = {field.omega:.0f} rad/s, and peers accept at most "
                f"{FIELD_LIMIT:g}; choose a lower speed or frequency"
            )

    def on_scheduled(self, action: Action) -> None:
        """See :class:`~chronoflux.node.runner.Listener`."""
        try:
            if action.event is None:
                self._change(action.data)
            else:
                self._fire(action.event, **action.data)
        except ChronofluxError as error:
            log.warning("%s: the schedule's action at %g s was left out: %s", self._node_id, action.t, error)

    def surroundings(self, at: float, own: Field) -> Surroundings:
        """See :class:`~chronoflux.node.runner.Listener`: ``peers`` is the number of live ones, ``H_mesh`` the
        order of all oscillators of the room."""
        live = [peer for peer in self.peers if peer.state == "live" and peer.has_swarm]
        total, weight = own_order(own) * own.n, own.n
        for peer in live:
            theirs = peer.order(at)
            if theirs is not None and peer.field_ is not None:
                total += peer.field_.n * theirs
                weight += peer.field_.n
        peerings = [rounded(peer.pairing(own, at)) for peer in live if peer.order(at) is not None]
        return Surroundings({"peers": len(live), "H_mesh": abs(total) / weight}, peerings)

    def on_record(
        self, at: float, metrics: Mapping[str, float], peerings: Sequence[Mapping[str, object]]
    ) -> None:
        """See :class:`~chronoflux.node.runner.Listener`."""
        if self.mesh is None:
            return
        pulses = [event.data for event in self._alive()]
        intents = [{"x": pulse["x"], "y": pulse["y"], "E": pulse["E"]} for pulse in pulses[-3:]]
        shown = {name: value for name, value in metrics.items() if value == value}
        telemetry = {**shown, "t": self.runner.snapshot().t, "intents": intents}
        gate = self._gate() if self._clock.settled else None
        message = Telemetry(
            telemetry,
            at=at,
            seq=self._reported,
            portal=bool(gate and gate.data["on"]),
            portal_at=gate.at if gate else None,
            portal_origin=gate.origin if gate else None,
        )
        more: dict[str, object] = {"nodeId": self._node_id, "tick": self.runner.tick}
        more["peerings"] = peerings[:PAIRINGS]
        # Old clients may receive it, too: they expect a list of intents. Their number is sent beside it.
        count = {"pulses": shown["intents"]} if "intents" in shown else {}
        self.mesh.send_telemetry(message, {**telemetry, **count, "at": at, "seq": self._reported, **more})
        self._reported += 1


def _reported(pulse: Event) -> dict[str, object]:
    """Return a live pulse as its origin sent it, so that a newcomer can check its id."""
    content = pulse.content or {}
    placed: Mapping[str, object] = content.get(pulse.kind.nested or "", pulse.data)
    world = {"world": content["world"]} if "world" in content else {}
    return {**placed, **world, **pulse.envelope}
