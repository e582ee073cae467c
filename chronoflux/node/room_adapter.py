"""`RoomAdapter`: speaks for a swarm in its room, and for the room to the swarm."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chronoflux.errors import ChronofluxError
from chronoflux.mesh import gossip, messages
from chronoflux.mesh.clock import Followed, MeshClock
from chronoflux.mesh.gossip import Event
from chronoflux.mesh.messages import FIELD_LIMIT, Field, Telemetry
from chronoflux.mesh.peer import Peer, own_order
from chronoflux.mesh.peer_telemetry import PAIRINGS
from chronoflux.model.events import EventKind, World
from chronoflux.model.schedule import Action
from chronoflux.node.runner import Runner
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.format.records import rounded
from chronoflux.version import VERSION

if TYPE_CHECKING:
    from chronoflux.mesh.mesh import Mesh

log: logging.Logger = logging.getLogger(__name__)
PULSE_LIFE = 5.0  # s; a pulse of the strongest kind has faded by then
LIVE_PULSES = 256
FIRED = 64  # ids of events of this node's that another may not have: more than can be fired at one moment


class RoomAdapter:
    """What a node's runner and mesh tell each other, on the event loop.

    ``runner`` and ``mesh`` are given as soon as they are there; without a room there is no mesh.
    ``world`` gives the node's width and height in px; ``fire`` and ``change`` do what the schedule says.
    """

    runner: Runner
    mesh: Mesh | None = None
    sent: int
    received: int

    def __init__(
        self,
        node_id: str,
        kind: str,
        clock: MeshClock,
        log: RunLog,
        *,
        world: Callable[[], World],
        fire: Callable[..., str],
        change: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.sent = self.received = 0
        self.problem: str | None = None
        self._node_id, self._kind, self._clock, self._log = node_id, kind, clock, log
        self._world, self._fire, self._change = world, fire, change
        self._pulses: list[Event] = []
        self._firing, self._fired = threading.Lock(), deque[str](maxlen=FIRED)
        self._told = 0  # records told the room of

    @property
    def world(self) -> World:
        """Width and height in px."""
        return self._world()

    @property
    def peer_id(self) -> str:
        """The node's id in the room; its own name as long as there is none."""
        return (self.mesh.id if self.mesh else "") or self._node_id

    @property
    def peers(self) -> list[Peer]:
        """Who is in the room."""
        return list(self.mesh.peers.values()) if self.mesh else []

    # -- events ----------------------------------------------------------------------------------------

    def _time_for(self, kind: EventKind) -> float:
        """Mesh time for an event fired now; a standing one comes after the one it replaces."""
        now = self._clock.now()
        held = self.mesh.gossip.standing(kind.name, now) if self.mesh else None
        return now if held is None else max(now, held.at + 0.001)

    def fired(self, kind: EventKind, data: Mapping[str, Any]) -> Event:
        """An event of this node's, fired now, to be published; from any thread."""
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
        """Have an event of this node's happen here and at every peer."""
        self.sent += 1
        self._apply(event, own=True)
        if self.mesh is not None:
            self.mesh.publish(event)

    def _apply(self, event: Event, *, own: bool) -> None:
        self.runner.fire(event, own=own)
        if event.kind.name == "intent":
            self._pulses = [*self._alive(), event]

    def _alive(self) -> list[Event]:
        """The intents whose pulses have not faded yet."""
        now = self._clock.now()
        return [pulse for pulse in self._pulses if now - pulse.at < PULSE_LIFE * 1000]

    # -- what the runner and the mesh tell -------------------------------------------------------------

    def hello(self) -> Mapping[str, Any]:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        who = {"version": VERSION, "nodeId": self._node_id, "kind": self._kind}
        return {**who, "features": messages.FEATURES}

    def _gate(self) -> Event | None:
        """The lion gate that holds in the room."""
        return self.mesh.gossip.standing("lion_gate", self._clock.now()) if self.mesh else None

    def greeting(self) -> Mapping[str, Any]:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        gate, alive = self._gate(), self._alive()
        snapshot = self.runner.snapshot()
        portal = bool(gate.data["on"]) if gate else snapshot.portal
        if not self._clock.settled:  # what has a time is told when the room's is known
            gate, alive, portal = None, [], False
        return {
            "nodes": self.runner.params.oscillators,
            "portal": portal,
            "t": snapshot.t,
            "portalAt": gate.at if gate else None,
            "portalOrigin": gate.origin if gate else None,
            "intents": [_told(event) for event in alive],
            "world": list(self.world),
        }

    def on_event(self, event: Event) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        if event.kind.name == "intent" and len(self._alive()) >= LIVE_PULSES:
            log.debug("%s: an intent was refused: there are %d live pulses", self._node_id, LIVE_PULSES)
            return
        self.received += 1
        if self.runner.params.boundary == "torus":
            event = replace(event, data=event.kind.wrapped(event.data, self.world))
        self._apply(event, own=False)

    def on_missed(self, facts: Mapping[str, Any]) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        whose = f"peer {facts['peer'][:8]} did not get" if "peer" in facts else f"of {facts['origin'][:8]}"
        log.info("%s: %d events missed (%s)", self._node_id, facts["count"], whose)
        self.runner.put(lambda simulation: self.runner.note("missed", data=facts))

    def on_field(self, peer: str, field: Field) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        self.runner.hear(peer, field)

    def on_telemetry(self, peer: Peer, message: Telemetry) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`: numbers for recorders."""

    def on_joined(self, peer_id: str) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        self._log.update(peer_id=peer_id)

    def on_peer(self, peer: Peer, change: str, reason: str) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        runner, facts = self.runner, {"id": peer.id, "name": peer.name, "change": change, "reason": reason}
        log.info("%s: %s %s%s", self._node_id, peer.name, change, f" ({reason})" if reason else "")

        if change == "gone":
            runner.forget(peer.id)
        runner.put(lambda simulation: runner.note("peer", data=facts))

    def on_clock(self, change: Followed) -> None:
        """See :class:`~chronoflux.mesh.participant.Participant`."""
        if change.step is not None:
            by = change.step
            self._pulses = [pulse.moved(by) for pulse in self._pulses]
            for peer in self.peers:
                self.runner.forget(peer.id)
        moved = "" if change.step is None else f", moved by {change.step:+.3f} ms"
        log.info("%s: mesh time follows %s%s", self._node_id, change.reference[:8], moved)
        self.runner.put(lambda simulation: self.runner.follow(change))

    def on_mean_field(self, field: Field) -> None:
        """See :class:`~chronoflux.node.runner.Listener`."""
        if self.mesh is None:
            return
        if abs(field.omega) <= FIELD_LIMIT:
            self.problem = None
            self.mesh.send_field(field)
        else:
            self.problem = f"mean field not sent: {field.omega:.0f} rad/s, peers take at most {FIELD_LIMIT:g}"

    def on_scheduled(self, action: Action) -> None:
        """See :class:`~chronoflux.node.runner.Listener`."""
        try:
            if action.event is None:
                self._change(action.data)
            else:
                self._fire(action.event, **action.data)
        except ChronofluxError as error:
            log.warning("%s: the schedule's entry for %g s was left out: %s", self._node_id, action.t, error)

    def surroundings(self, at: float, own: Field) -> dict[str, Any]:
        """See :class:`~chronoflux.node.runner.Listener`: `H_mesh`, the number of live peers, the pairs."""
        live = [peer for peer in self.peers if peer.state == "live" and peer.has_swarm]
        total, weight = own_order(own) * own.n, own.n
        for peer in live:
            theirs = peer.order(at)
            if theirs is not None and peer.field_ is not None:
                total += peer.field_.n * theirs
                weight += peer.field_.n
        peerings = [rounded(peer.pairing(own, at)) for peer in live if peer.order(at) is not None]
        return {"metrics": {"peers": len(live), "H_mesh": abs(total) / weight}, "peerings": peerings}

    def on_record(self, at: float, metrics: Mapping[str, Any], peerings: Sequence[Mapping[str, Any]]) -> None:
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
            seq=self._told,
            portal=bool(gate and gate.data["on"]),
            portal_at=gate.at if gate else None,
            portal_origin=gate.origin if gate else None,
        )
        more = {"nodeId": self._node_id, "tick": self.runner.tick, "peerings": peerings[:PAIRINGS]}
        # Old clients may hear it, too: they want a list of intents. How many there are is said beside it.
        count = {"pulses": shown["intents"]} if "intents" in shown else {}
        self.mesh.send_telemetry(message, {**telemetry, **count, "at": at, "seq": self._told, **more})
        self._told += 1


def _told(pulse: Event) -> dict[str, Any]:
    """A live pulse as a newcomer is told of it: as its origin told it, so that it can be checked."""
    content = pulse.content or {}
    placed: Mapping[str, Any] = content.get(pulse.kind.nested or "", pulse.data)
    world = {"world": content["world"]} if "world" in content else {}
    return {**placed, **world, **pulse.envelope}
