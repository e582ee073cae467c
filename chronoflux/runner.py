"""`Runner`: keeps a simulation in step with mesh time and its log in step with the simulation.

All access to the simulation goes through the runner's one worker thread, so that neither a long step
nor compilation ever holds up the event loop. What others want of it comes as *inputs*, applied between
ticks in the order in which they arrived, and on record with their tick.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from chronoflux.errors import ChronofluxError
from chronoflux.keeping import Keeping, next_tick
from chronoflux.mesh.clock import Followed, MeshClock
from chronoflux.mesh.gossip import Event
from chronoflux.mesh.messages import Field
from chronoflux.model import raster
from chronoflux.model.params import Params
from chronoflux.model.schedule import Action, Schedule, first_tick
from chronoflux.model.simulation import Simulation, Snapshot
from chronoflux.pace import STALL, Pace
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.inputs import single, widened
from chronoflux.telemetry.snapshots import MOST

log = logging.getLogger(__name__)

FIELD_PERIOD = 0.1  # s between mean fields told
RECORD_PERIOD = 1.0  # s between records: simulated while playing, real while paused
WAITING = 1_000  # events kept while the swarm is paused
LARGE = 5_000  # oscillators from which events are recorded with the last second's slow metrics
CHECKPOINT_PERIOD = 60.0  # real s between checkpoints
KEYFRAME_PERIOD = 300  # simulated s between keyframes

Input = Callable[[Simulation], None]


class Listener(Protocol):
    """Whoever wants to hear of the run. Called on the event loop."""

    def on_mean_field(self, field: Field) -> None:
        """Ten times a second."""

    def on_record(self, at: float, metrics: Mapping[str, Any], peerings: Sequence[Mapping[str, Any]]) -> None:
        """Once a second, with what was just recorded."""

    def surroundings(self, at: float, own: Field) -> dict[str, Any]:
        """What a record says of the peers: ``metrics`` to add, and ``peerings``."""

    def on_scheduled(self, action: Action) -> None:
        """The schedule wants this done."""


class Runner:
    """Runs one simulation; see the module. `run` is the loop; `put` and `snapshot` work from any thread."""

    def __init__(
        self,
        simulation: Simulation,
        log: RunLog,
        clock: MeshClock,
        listener: Listener,
        worker: ThreadPoolExecutor,
        *,
        schedule: Schedule,
        pace: Pace,
        duration: float = math.inf,
        snapshots: int = MOST,
    ) -> None:
        self.playing = self._moving = True  # as asked for; as it is between two ticks
        self.metrics: dict[str, Any] = {}
        self._simulation, self._log, self._clock = simulation, log, clock
        self._listener, self._worker = listener, worker
        self._schedule, self._pace = schedule, pace
        self._end = simulation.t + duration
        self._inputs: deque[Input] = deque()
        self._events: deque[tuple[Event, bool]] = deque(maxlen=WAITING)
        self._busy = threading.Lock()
        self._snapshot = simulation.snapshot()
        self._told_field = self._recorded = -math.inf
        self._next_record = next_tick(simulation, RECORD_PERIOD)
        self._keeping = Keeping(
            simulation, log, keyframe=KEYFRAME_PERIOD, checkpoint=CHECKPOINT_PERIOD, snapshots=snapshots
        )
        self._surroundings: dict[str, Any] = {}
        self._moment: tuple[int, Params] | None = None
        self._metrics: dict[str, float] = {}
        self._unrecorded: dict[str, Any] | None = None  # measured for a record that is not written yet
        self.field: Field | None = None

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

    def snapshot(self) -> Snapshot:
        """The swarm as it is; as it was shown last when a step is just being computed. Never waits."""
        if self._busy.acquire(blocking=False):
            try:
                self._snapshot = self._simulation.snapshot()
            finally:
                self._busy.release()
        return self._snapshot

    # -- inputs ----------------------------------------------------------------------------------------

    def fire(self, event: Event, *, own: bool) -> None:
        """Apply an event at the next tick, which while paused is the first after; from any thread."""
        self._events.append((event, own))

    def _apply(self, event: Event, own: bool) -> None:
        """On the worker: hand an event to the swarm, as old as it is, and put it on record."""
        late = 0.0 if own else max(0.0, self._simulation.mesh_time() - event.at)
        self._simulation.fire(event.kind.name, age=late / 1000 * self._pace.speed, **event.data)
        self._note_event(event, own)
        if event.kind.significant:
            self._keeping.snapshot(event.kind.name if own else f"remote_{event.kind.name}", remote=not own)
        if event.kind.name == "pacemaker_flip":
            self._told_field = -math.inf

    def _note_event(self, event: Event, own: bool) -> None:
        kind = event.kind.name if own else f"remote_{event.kind.name}"
        self.note(kind, data=dict(event.data), id=event.id, origin=event.origin, at=event.at)

    def hear(self, peer: str, field: Field) -> None:
        """A peer's mean field, rounded to what is put on record: float32, and its time to a µs."""
        values = {"R": min(field.R, 1.0), "psi": field.psi, "omega": field.omega}
        short = {name: single(value) for name, value in values.items()}
        at = round(field.at, 3)

        def apply(simulation: Simulation) -> None:
            simulation.hear(peer, at, **{name: widened(value) for name, value in short.items()})
            self._log.write_input(simulation.tick, peer=peer, at=at, **short)

        self.put(apply)

    def forget(self, peer: str) -> None:
        """A peer is gone: its field pulls no more."""

        def apply(simulation: Simulation) -> None:
            simulation.forget(peer)
            self._log.write_input(simulation.tick, peer=peer)

        self.put(apply)

    def end(self, reason: str) -> None:
        """The run's last record and checkpoint; what was due and events that still waited go with both."""
        if self._unrecorded is not None:
            self.note("telemetry", metrics=self._unrecorded)
        while self._events:
            self._guarded(self._apply, *self._events.popleft())
        self._keeping.checkpoint()
        self.note("end", data={"reason": reason})

    def note(
        self,
        kind: str,
        *,
        metrics: Mapping[str, Any] | None = None,
        at: float | None = None,
        **more: Any,
    ) -> None:
        """Write a record of this moment; `at` only when it is about another one."""
        simulation = self._simulation
        if metrics is None:
            metrics = self._now() if simulation.tick else self.metrics
        if at is None:
            at = simulation.mesh_time() if self._moving else self._clock.now()
        self._log.write(kind, tick=simulation.tick, t=round(simulation.t, 9), at=at, metrics=metrics, **more)

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
            self._moving = playing
            if playing:
                self._anchor("play")
            self.note("play" if playing else "pause")

        self.put(apply)

    def change(self, params: Params) -> None:
        """Set the parameters between two ticks; from any thread."""

        def apply(simulation: Simulation) -> None:
            before = simulation.params
            changes = before.changes(params)
            if not changes:
                return
            simulation.params = params
            self.note("reset" if before.needs_reset(params) else "params", data=changes)

        self.put(apply)

    # -- the loop --------------------------------------------------------------------------------------

    def begin(self, resumed: Mapping[str, Any] | None = None, *, owed: bool = False) -> None:
        """Tie the first tick to mesh time, on record; before that what is `resumed`, if anything is.

        `owed`: this tick's telemetry is not on record yet.
        """
        if resumed is not None:
            self.note("resume", data=resumed)
        self._anchor("start" if resumed is None else "resume")
        if owed:
            self._record(self._measured())

    async def run(self) -> None:
        """Keep the swarm in step with its pace, until cancelled or until its time is over."""
        loop = asyncio.get_running_loop()
        while self._simulation.tick < self._last_tick:
            if self._inputs or (self._moving and self._pace.ready(self._simulation)):
                metrics = await loop.run_in_executor(self._worker, self._work)
                if metrics is not None:
                    self._record(metrics)
                self._follow_schedule()
            elif not self._moving and time.monotonic() - self._recorded >= RECORD_PERIOD:
                self._record(await loop.run_in_executor(self._worker, self._measured))
            self._tell_field()
            await asyncio.sleep(self._pace.wait(self._simulation) if self._moving else 0.02)

    @property
    def _last_tick(self) -> float:
        """The tick at which the run is over."""
        return self._end if self._end == math.inf else first_tick(self._end, self.params.dt)

    def _work(self) -> dict[str, Any] | None:
        """On the worker: inputs, events, then ticks; the metrics when a record is due after them."""
        simulation = self._simulation
        with self._busy:
            for _ in range(len(self._inputs)):
                self._guarded(self._inputs.popleft(), simulation)
            ticks = self._due() if self._moving else 0
            for _ in range(len(self._events) if ticks else 0):
                self._guarded(self._apply, *self._events.popleft())
            if ticks:
                simulation.advance(ticks)
                self._keeping.look()
            if simulation.tick < self._next_record:
                return None
            self._next_record = next_tick(simulation, RECORD_PERIOD)
            self._unrecorded = self._measured()
            return self._unrecorded

    @staticmethod
    def _guarded(change: Callable[..., None], *arguments: Any) -> None:
        try:
            change(*arguments)
        except ChronofluxError as error:
            log.warning("an input was refused: %s", error)

    def _measured(self) -> dict[str, Any]:
        """All metrics of this moment, measured once a tick."""
        simulation = self._simulation
        moment = (simulation.tick, simulation.params)
        if self._moment != moment:
            self._moment, self._metrics = moment, simulation.metrics()
        return {
            **self._metrics,
            "nodes": simulation.params.oscillators,
            "intents": len(simulation.pulses),
            "portal": simulation.portal,
            **self._surroundings.get("metrics", {"peers": 0}),
        }

    def _now(self) -> dict[str, Any]:
        """The metrics for a record in between; in a large swarm `tau` and `H_local` are the last second's."""
        simulation = self._simulation
        if simulation.params.oscillators < LARGE or not self.metrics:
            return self._measured()
        R, psi, omega = simulation.mean_field()
        fresh = {"H": R, "psi": psi, "omega": omega, "portal": simulation.portal}
        return self.metrics | fresh | {"intents": len(simulation.pulses)}

    def _due(self) -> int:
        """How many ticks to compute now: as the pace has it, up to the next record or scheduled event."""
        simulation = self._simulation
        due = self._pace.due(simulation)
        if due.why:
            self._anchor(due.why)
        if due.lost:
            self.note("stall", data={"ms": round(due.lost, 3)})
        dt = simulation.params.dt
        pace = dt / (1.0 if self._schedule.start is None else self._pace.speed)
        to_schedule = min(self._schedule.next - self._schedule_time(), due.ticks * pace)
        to_keep = min(self._next_record, self._keeping.next, self._last_tick) - simulation.tick
        return int(min(due.ticks, max(1, to_keep), max(1, first_tick(to_schedule, pace))))

    def _schedule_time(self) -> float:
        """Second of the schedule now: simulated time; with a start on mesh time, what has passed since."""
        simulation, start = self._simulation, self._schedule.start
        seconds = simulation.t if start is None else (simulation.mesh_time() - start) / 1000
        return round(seconds, 9)  # tick · dt may be a rounding short of the second it stands for

    def _follow_schedule(self) -> None:
        """Have done what is due. On mesh time it may be long under way: then take it up where it is."""
        now = self._schedule_time()
        late = now - self._schedule.next > STALL / 1000
        if self._schedule.start is not None and late and (changes := self._schedule.seek(now)):
            self._listener.on_scheduled(Action(now, None, changes))
        for action in self._schedule.due(now, self.params.world):
            self._listener.on_scheduled(action)

    def follow(self, change: Followed) -> None:
        """Mesh time has another reference, or was moved: on record, and tied to it again if it was.

        Otherwise the swarm goes on in the time it has, to the last bit, though the record is an anchor.
        """
        if change.step is not None:
            self._anchor("moved", step_ms=change.step)
        else:
            self._anchor("reference", at=self._simulation.mesh_time() if self._moving else None)

    def _anchor(self, why: str, *, at: float | None = None, **more: Any) -> None:
        """Tie the current tick to mesh time: to `at`, or to now."""
        self._pace.tied()
        self._simulation.anchor(self._clock.now() if at is None else at, self._pace.speed)
        reference, stratum, _ = self._clock.standing()
        self.note(
            "clock",
            data={"why": why, "speed": self._pace.speed, "reference": reference, "stratum": stratum, **more},
        )

    def _record(self, metrics: dict[str, Any]) -> None:
        self._recorded, self._unrecorded = time.monotonic(), None
        field = self._mean_field()
        self._surroundings = self._listener.surroundings(field.at, field)
        self.metrics = metrics | self._surroundings["metrics"]
        peerings = self._surroundings["peerings"]
        self.note("telemetry", metrics=self.metrics, **({"peerings": peerings} if peerings else {}))
        self._listener.on_record(field.at, self.metrics, peerings)

    def _mean_field(self) -> Field:
        R, psi, omega = self._simulation.mean_field()
        turning = omega * self._pace.speed if self._moving and omega == omega else 0.0
        at = self._simulation.mesh_time() if self._moving else self._clock.now()
        return Field(at=at, R=min(R, 1.0), psi=psi, omega=turning, n=self.params.oscillators)

    def _tell_field(self) -> None:
        now = time.monotonic()
        if now - self._told_field < FIELD_PERIOD or self._simulation.tick == 0:
            return
        if self._pace.loose:
            return  # the swarm's time is not the room's until it is tied to it again
        self._told_field = now
        self.field = self._mean_field()
        self._listener.on_mean_field(self.field)


def warm_up(params: Params, *, pictures: bool = False) -> None:
    """Compile the kernels on a swarm that is thrown away (seconds when they are not in the cache yet)."""
    if pictures:
        raster.warm_up()
    small = params.replace(oscillators=min(params.oscillators, 16))
    simulation = Simulation(small, seed=0)
    simulation.anchor(0.0)
    simulation.hear("nobody", 0.0, 0.5, 0.0, 1.0)
    simulation.intent(x=0.0, y=0.0)
    simulation.advance(2)
    simulation.metrics()
    simulation.snapshot()
