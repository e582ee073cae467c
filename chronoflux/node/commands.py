"""`CommandQueue`: commands to a running swarm, applied between two ticks in order of arrival and recorded.

Everything that changes a swarm from outside passes through this queue and is recorded with the tick at which
it took effect, so that a run can be recomputed.
"""

from __future__ import annotations

import functools
import logging
from collections import deque
from collections.abc import Callable, Mapping

from chronoflux.errors import ChronofluxError
from chronoflux.mesh.clock import MeshClock, ReferenceChange
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

MAX_EVENTS = 1_000  # events kept while the swarm is paused


class CommandQueue:
    """The queue of one run.

    From any thread: ``playing``, ``recent`` and the methods that queue a command, from `fire` to `follow`.
    Everything else is for the runner, which applies what is queued while nothing else uses the simulation.
    """

    playing: bool
    """Whether the swarm is to move, by the last `play` or `pause`."""
    moving: bool
    """Whether the swarm moves at present; changes between two ticks."""
    steps: int
    """Ticks still to compute while the swarm is paused."""
    field_changed: bool
    """Whether a command changed the mean field, so that peers need it at once; reset by the runner."""
    recent: RecentRecord
    """The latest records, for views."""

    def __init__(
        self,
        simulation: Simulation,
        log: RunLog,
        clock: MeshClock,
        *,
        pace: Pace,
        checkpointer: Checkpointer,
        metrics: MetricsCache,
    ) -> None:
        self._simulation, self._log, self._clock = simulation, log, clock
        self._pace, self._checkpointer, self._metrics = pace, checkpointer, metrics
        self.playing = self.moving = self.field_changed = True
        self.steps = 0
        self._stepped = 0  # ticks computed while paused that are not on record yet
        self._changes: deque[Callable[[], None]] = deque()
        self._events: deque[Fire] = deque(maxlen=MAX_EVENTS)
        self.recent = RecentRecord()

    # -- from any thread -------------------------------------------------------------------------------

    def fire(self, event: Event, *, own: bool) -> None:
        """Apply an event at the start of the next tick; while paused it waits for that tick."""
        self._events.append(Fire(event.kind.name, event.data, event.at, own, event.id, event.origin))

    def hear(self, peer: str, field: Field) -> None:
        """Apply a peer's mean field, rounded to what is recorded."""
        heard = Hear.rounded(peer, field.at, min(field.R, 1.0), field.psi, field.omega)
        self._changes.append(lambda: self._apply(heard))

    def forget(self, peer: str) -> None:
        """Remove the mean field of a peer that has left."""
        self._changes.append(lambda: self._apply(Forget(peer)))

    def record(self, kind: str, data: Mapping[str, object]) -> None:
        """Write a record between two ticks."""
        self._changes.append(lambda: self.note(kind, data=data))

    def take_snapshot(self) -> None:
        """Save the swarm and its picture in the run's folder."""

        def apply() -> None:
            if not self._checkpointer.snapshot("request", remote=False):
                log.warning("no snapshot was saved: this run has reached its limit (option snapshots)")

        self._changes.append(apply)

    def play(self) -> None:
        """Start or continue the swarm."""
        self._set_playing(True)

    def pause(self) -> None:
        """Pause the swarm."""
        self._set_playing(False)

    def _set_playing(self, playing: bool) -> None:
        if playing == self.playing:
            return
        self.playing = playing

        def apply() -> None:
            self._record_steps()
            self.moving = playing
            if playing:
                self.anchor("play")
            self.note("play" if playing else "pause")

        self._changes.append(apply)

    def step(self, ticks: int) -> None:
        """Pause the swarm, if it moves, and compute `ticks` ticks."""
        self.pause()

        def apply() -> None:
            if not self.moving:
                self.anchor("step")
                self.steps += ticks

        self._changes.append(apply)

    def reset(self, seed: int | None) -> None:
        """Draw a new swarm; tick and mesh time stay."""
        self._changes.append(lambda: self._apply(Reset(seed)))

    def set_speed(self, speed: float) -> None:
        """Run at another speed, from the tick and the mesh time at which this is applied."""

        def apply() -> None:
            self._pace.speed = speed
            self.anchor("speed")
            self.field_changed = True

        self._changes.append(apply)

    def set_params(self, params: Params) -> None:
        """Set the parameters."""

        def apply() -> None:
            if changes := self._simulation.params.changes(params):
                self._apply(Change(changes))

        self._changes.append(apply)

    def follow(self, change: ReferenceChange) -> None:
        """Record a new reference of mesh time, or a step of it; after a step, synchronise the swarm to it.

        With a new reference only, the swarm keeps its time to the last bit, although the record is an anchor.
        """

        def apply() -> None:
            if change.step is not None:
                self.anchor("moved", step_ms=change.step)
            else:
                self.anchor("reference", at=self._simulation.mesh_time() if self.moving else None)

        self._changes.append(apply)

    # -- for the runner --------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Whether there is something to do even if the swarm does not move. Events wait for a tick."""
        return bool(self._changes) or self.steps > 0

    def apply_changes(self) -> None:
        """Apply everything that is queued by now, but for events."""
        for _ in range(len(self._changes)):
            _refusing(self._changes.popleft())

    def apply_events(self) -> None:
        """Apply the events that are queued by now: at the start of a tick, or at the end of the run."""
        for _ in range(len(self._events)):
            _refusing(functools.partial(self._apply, self._events.popleft()))

    def stepped(self, ticks: int) -> None:
        """Count `ticks` ticks computed while paused; when all requested ones are done, record them."""
        self.steps -= ticks
        self._stepped += ticks
        if not self.steps:
            self._record_steps()

    def anchor(self, why: str, *, at: float | None = None, **facts: object) -> None:
        """Synchronise the current tick to mesh time: to `at`, or to now."""
        self._pace.on_resynchronised()
        reference, stratum, _ = self._clock.status()
        known = {"reference": reference, "stratum": stratum, **facts}
        self._apply(Anchor(self._clock.now() if at is None else at, self._pace.speed, why, known))

    def note(
        self,
        kind: str,
        *,
        metrics: Mapping[str, float] | None = None,
        at: float | None = None,
        data: Mapping[str, object] | None = None,
        **columns: object,
    ) -> None:
        """Write a record of this moment; `at` (mesh time, ms) only when it is about another one."""
        if data is not None:
            columns["data"] = data
        if metrics is None:
            metrics = self._metrics.quick()
        self.recent.add(kind, data or {}, metrics)
        if at is None:
            at = self.mesh_time()
        tick, t = self._simulation.tick, round(self._simulation.t, 9)
        self._log.write(kind, tick=tick, t=t, at=at, metrics=metrics, **columns)

    def mesh_time(self) -> float:
        """Mesh time of this moment, ms: of the current tick, or of the clock while the swarm is paused."""
        return self._simulation.mesh_time() if self.moving else self._clock.now()

    # -- inside ----------------------------------------------------------------------------------------

    def _apply(self, command: Command) -> None:
        """Apply a command and record it, with what follows from it."""
        command.apply(self._simulation)
        match command:
            case Hear() | Forget():
                self._log.write_input(self._simulation.tick, **command.line())
            case Fire():
                entry = command.entry()
                self.note(entry.type, data=entry.data, id=entry.id, origin=entry.origin, at=entry.at)
                if EVENTS[command.name].significant:
                    self._checkpointer.snapshot(command.type, remote=not command.own)
                    self.field_changed = True
            case Reset() | Change(renews=True):
                self._metrics.invalidate()
                self._note_command(command)
                # The new state cannot be computed from anything before it.
                self._checkpointer.snapshot("reset", remote=False)
                self.field_changed = True
            case _:
                self._note_command(command)

    def _note_command(self, command: Anchor | Change | Reset) -> None:
        entry = command.entry()
        self.note(entry.type, data=entry.data, at=entry.at)

    def _record_steps(self) -> None:
        """Record how many ticks were computed while the swarm was paused."""
        if self._stepped:
            self.note("step", data={"ticks": self._stepped})
        self.steps = self._stepped = 0


def _refusing(change: Callable[[], None]) -> None:
    """Apply a change; one that is invalid is logged and left out."""
    try:
        change()
    except ChronofluxError as error:
        log.warning("a command was refused: %s", error)
