"""`CommandQueue`: commands to a running swarm, applied between two ticks in order of arrival and recorded.

Everything that moves a swarm comes this way, with the tick it took effect at: so a run can be computed again.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from chronoflux.mesh.clock import Followed, MeshClock
from chronoflux.mesh.gossip import Event
from chronoflux.mesh.messages import Field
from chronoflux.model.commands import Anchor, Change, Command, Fire, Forget, Hear, Reset
from chronoflux.model.events import EVENTS
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.node.checkpointing import Checkpointer
from chronoflux.node.metrics_cache import MetricsCache
from chronoflux.node.pacing import Pace
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.recent import RecentRecord

log: logging.Logger = logging.getLogger(__name__)

WAITING = 1_000  # events kept while the swarm is paused

Input = Callable[[Simulation], None]


class CommandQueue:
    """See the module. What is public may be called from any thread; the rest is the worker's."""

    playing: bool

    def __init__(
        self, simulation: Simulation, log: RunLog, clock: MeshClock, *, pace: Pace, keeping: Checkpointer
    ) -> None:
        self.playing = self._moving = True  # as asked for; as it is between two ticks
        self._simulation, self._log, self._clock = simulation, log, clock
        self._pace, self._keeping, self._measuring = pace, keeping, MetricsCache(simulation)
        self._inputs: deque[Input] = deque()
        self._events: deque[Fire] = deque(maxlen=WAITING)
        self._steps = self._stepped = 0  # ticks to compute while held; and done of them
        self.recent = RecentRecord()
        """What was put on record lately."""
        self._told_field = -math.inf  # when the mean field was told; long ago: tell it now

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The latest metrics on record."""
        return self._measuring.last

    @property
    def params(self) -> Params:
        """The parameters in force, or about to be."""
        return self._simulation.params

    @property
    def tick(self) -> int:
        """The current tick."""
        return self._simulation.tick

    @property
    def t(self) -> float:
        """Simulated time of the current tick, s."""
        return self._simulation.t

    @property
    def mesh_time(self) -> float:
        """Mesh time of the current tick, ms; NaN before :meth:`begin`."""
        return self._simulation.mesh_time()

    def put(self, change: Input) -> None:
        """Have a change made to the simulation between two ticks; from any thread."""
        self._inputs.append(change)

    def fire(self, event: Event, *, own: bool) -> None:
        """Apply an event at the next tick, which while paused is the first after; from any thread."""
        self._events.append(Fire(event.kind.name, event.data, event.at, own, event.id, event.origin))

    def _do(self, command: Command) -> None:
        """On the worker: apply a command and put it on record, with what follows from it."""
        command.apply(self._simulation)
        match command:
            case Hear() | Forget():
                self._log.write_input(self._simulation.tick, **command.line())
            case Fire():
                entry = command.entry()
                self.note(entry.type, data=entry.data, id=entry.id, origin=entry.origin, at=entry.at)
                if EVENTS[command.name].significant:
                    self._keeping.snapshot(command.type, remote=not command.own)
                    self._told_field = -math.inf
            case Reset() | Change(renews=True):
                self._measuring.renewed()
                self._note(command)
                self._keeping.snapshot("reset", remote=False)  # nothing before leads to the new state
                self._told_field = -math.inf
            case _:
                self._note(command)

    def _note(self, command: Anchor | Change | Reset) -> None:
        entry = command.entry()
        self.note(entry.type, data=entry.data, at=entry.at)

    def hear(self, peer: str, field: Field) -> None:
        """A peer's mean field, rounded to what is put on record."""
        heard = Hear.rounded(peer, field.at, min(field.R, 1.0), field.psi, field.omega)
        self.put(lambda simulation: self._do(heard))

    def forget(self, peer: str) -> None:
        """A peer is gone: its field pulls no more."""
        self.put(lambda simulation: self._do(Forget(peer)))

    def take_snapshot(self) -> None:
        """Keep the swarm and its picture in the run's folder, on request; from any thread."""

        def apply(simulation: Simulation) -> None:
            if not self._keeping.snapshot("request", remote=False):
                log.warning("no snapshot was kept: this run has as many as it may have")

        self.put(apply)

    def play(self, playing: bool) -> None:
        """Go on, or hold the swarm; from any thread."""
        if playing == self.playing:
            return
        self.playing = playing

        def apply(simulation: Simulation) -> None:
            self._tell_steps()
            self._moving = playing
            if playing:
                self._anchor("play")
            self.note("play" if playing else "pause")

        self.put(apply)

    def step(self, ticks: int) -> None:
        """Hold the swarm, if it is not held, and compute so many ticks; from any thread."""
        self.play(False)

        def apply(simulation: Simulation) -> None:
            if not self._moving:
                self._anchor("step")
                self._steps += ticks

        self.put(apply)

    def reset(self, seed: int | None) -> None:
        """Draw a new swarm, at the tick and in the mesh time of the old one; from any thread."""
        self.put(lambda simulation: self._do(Reset(seed)))

    def go_at(self, speed: float) -> None:
        """Let the swarm run at another speed, from the tick and the mesh time of then; from any thread."""

        def apply(simulation: Simulation) -> None:
            self._pace.speed = speed
            self._anchor("speed")
            self._told_field = -math.inf

        self.put(apply)

    def change(self, params: Params) -> None:
        """Set the parameters between two ticks; from any thread."""

        def apply(simulation: Simulation) -> None:
            if changes := simulation.params.changes(params):
                self._do(Change(changes))

        self.put(apply)

    def follow(self, change: Followed) -> None:
        """Mesh time has another reference, or was moved: on record, and tied to it again if it was.

        Otherwise the swarm goes on in the time it has, to the last bit, though the record is an anchor.
        """
        if change.step is not None:
            self._anchor("moved", step_ms=change.step)
        else:
            self._anchor("reference", at=self._simulation.mesh_time() if self._moving else None)

    # -- on record --------------------------------------------------------------------------------------

    def note(
        self,
        kind: str,
        *,
        metrics: Mapping[str, Any] | None = None,
        at: float | None = None,
        data: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Write a record of this moment; `at` only when it is about another one."""
        if data is not None:
            more["data"] = data
        simulation = self._simulation
        if metrics is None:
            metrics = self._measuring.quick()
        self.recent.add(kind, data or {}, metrics)
        if at is None:
            at = simulation.mesh_time() if self._moving else self._clock.now()
        self._log.write(kind, tick=simulation.tick, t=round(simulation.t, 9), at=at, metrics=metrics, **more)

    def _anchor(self, why: str, *, at: float | None = None, **more: Any) -> None:
        """Tie the current tick to mesh time: to `at`, or to now."""
        self._pace.tied()
        reference, stratum, _ = self._clock.standing()
        facts = {"reference": reference, "stratum": stratum, **more}
        self._do(Anchor(self._clock.now() if at is None else at, self._pace.speed, why, facts))

    def _tell_steps(self) -> None:
        """Put on record how many ticks were computed while the swarm was held."""
        if self._stepped:
            self.note("step", data={"ticks": self._stepped})
        self._steps = self._stepped = 0
