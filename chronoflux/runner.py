"""`Runner`: keeps a simulation in step with mesh time and its log in step with the simulation.

All access to the simulation goes through the runner's one worker thread, so that neither a long step
nor compilation ever holds up the event loop. What others want of it comes as *inputs*, applied between
ticks in the order in which they arrived, and on record with their tick.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from chronoflux.errors import ChronofluxError
from chronoflux.mesh.clock import Followed, MeshClock
from chronoflux.mesh.gossip import Event
from chronoflux.mesh.messages import FIELD_LIMIT, Field
from chronoflux.model.params import Params
from chronoflux.model.schedule import Action, Schedule, first_tick
from chronoflux.model.simulation import Simulation, Snapshot
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.folder import CHECKPOINT, KEYFRAMES
from chronoflux.telemetry.inputs import single, widened
from chronoflux.telemetry.saved import pack_simulation
from chronoflux.telemetry.snapshots import MOST, SNAPSHOTS, Allowance, picture_png

log = logging.getLogger(__name__)

MAX_BATCH = 16  # ticks computed before others are listened to again
FIELD_PERIOD = 0.1  # s between mean fields told
RECORD_PERIOD = 1.0  # s between records: simulated while playing, real while paused
WAITING = 1_000  # events kept while the swarm is paused
LARGE = 5_000  # oscillators from which events are recorded with the last second's slow metrics
STALL = 5_000.0  # ms late after which the lost time is given up instead of caught up
CHECKPOINT_PERIOD = 60.0  # real s between checkpoints
KEYFRAME_PERIOD = 300  # simulated s between keyframes
AHEAD = 250.0  # ms ahead of mesh time (a clock set back) after which the anchor is moved

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
        speed: float = 1.0,
        snapshots: int = MOST,
    ) -> None:
        self.playing = self._moving = True  # as asked for; as it is between two ticks
        self.metrics: dict[str, Any] = {}
        self.problem: str | None = None
        self._simulation, self._log, self._clock = simulation, log, clock
        self._listener, self._worker = listener, worker
        self._schedule, self._speed = schedule, speed
        self._steps = clock.steps
        self._inputs: deque[Input] = deque()
        self._events: deque[tuple[Event, bool]] = deque(maxlen=WAITING)
        self._busy = threading.Lock()
        self._snapshot = simulation.snapshot()
        self._told_field = self._recorded = -1e9
        self._next_record = self._next(RECORD_PERIOD)
        self._next_keyframe = self._next(KEYFRAME_PERIOD)
        self._kept = time.monotonic()
        self._allowance = Allowance(log.path / SNAPSHOTS, snapshots)
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

    def _next(self, period: float) -> int:
        """The first tick after this one at a whole number of periods of simulated seconds."""
        simulation = self._simulation
        done = int((simulation.t + 1e-9) // period)
        return first_tick(round((done + 1) * period), simulation.params.dt)

    # -- inputs ----------------------------------------------------------------------------------------

    def fire(self, event: Event, *, own: bool) -> None:
        """Apply an event at the next tick, which while paused is the first after; from any thread."""
        self._events.append((event, own))

    def _apply(self, event: Event, own: bool) -> None:
        """On the worker: hand an event to the swarm, as old as it is, and put it on record."""
        late = 0.0 if own else max(0.0, self._simulation.mesh_time() - event.at)
        self._simulation.fire(event.kind.name, age=late / 1000 * self._speed, **event.data)
        self._note_event(event, own)
        if event.kind.significant and self._allowance.take(time.monotonic(), remote=not own):
            self._keep_snapshot(event.kind.name if own else f"remote_{event.kind.name}")
        if event.kind.name == "pacemaker_flip":
            self._told_field = -1e9

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
        self._keep(CHECKPOINT)
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
            if self._allowance.take(time.monotonic(), remote=False):
                self._keep_snapshot("request")
            else:
                log.warning("no snapshot was kept: this run has as many as it may have")

        self.put(apply)

    def _keep_snapshot(self, event: str) -> None:
        """Keep the swarm as it is, with the event still to be applied, and have its picture made."""
        name = f"{SNAPSHOTS}/{self._simulation.tick}-{event}"
        self._log.keep(f"{name}.npz", pack_simulation(self._simulation, self._log.position))
        shown = self._simulation.snapshot()
        self._log.keep(f"{name}.png", lambda: picture_png(shown))

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
        """Keep the swarm in step with mesh time until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if self._inputs or (self._moving and self._due()):
                metrics = await loop.run_in_executor(self._worker, self._work)
                if metrics is not None:
                    self._record(metrics)
                self._follow_schedule()
            elif not self._moving and time.monotonic() - self._recorded >= RECORD_PERIOD:
                self._record(await loop.run_in_executor(self._worker, self._measured))
            self._tell_field()
            await asyncio.sleep(self._wait())

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
                self._keep_due()
            if simulation.tick < self._next_record:
                return None
            self._next_record = self._next(RECORD_PERIOD)
            self._unrecorded = self._measured()
            return self._unrecorded

    def _keep_due(self) -> None:
        """On the worker: keep the swarm as keyframe and as checkpoint when it is time."""
        tick = self._simulation.tick
        if tick >= self._next_keyframe:
            self._next_keyframe = self._next(KEYFRAME_PERIOD)
            self._keep(f"{KEYFRAMES}/{tick}.npz")
        if time.monotonic() - self._kept >= CHECKPOINT_PERIOD:
            self._keep(CHECKPOINT)

    def _keep(self, name: str) -> None:
        if name == CHECKPOINT:
            self._kept = time.monotonic()
        self._log.keep(name, pack_simulation(self._simulation, self._log.position))

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
        """How many ticks to compute now: up to mesh time, the next record or the next scheduled event."""
        simulation = self._simulation
        late = self._clock.now() - simulation.mesh_time()
        if self._clock.steps != self._steps:
            return 0  # mesh time was moved; the input that ties the swarm to it again is on its way
        if late > STALL:
            self._anchor("stall")
            self.note("stall", data={"ms": round(late, 3)})
            return 1
        if late < -AHEAD:
            self._anchor("clock set back")
            return 0
        ticks = int(late // self._tick_ms)
        pace = simulation.params.dt / (1.0 if self._schedule.start is None else self._speed)
        to_schedule = min(self._schedule.next - self._schedule_time(), MAX_BATCH * pace)
        to_keep = min(self._next_record, self._next_keyframe) - simulation.tick
        return max(0, min(ticks, MAX_BATCH, max(1, to_keep), max(1, first_tick(to_schedule, pace))))

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

    @property
    def _tick_ms(self) -> float:
        return 1000 * self.params.dt / self._speed

    def _wait(self) -> float:
        """Seconds until the next tick is due."""
        if not self._moving:
            return 0.02
        ahead = self._simulation.mesh_time() + self._tick_ms - self._clock.now()
        return min(max(ahead / 1000, 0.0), 0.1)

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
        self._steps = self._clock.steps
        self._simulation.anchor(self._clock.now() if at is None else at, self._speed)
        reference, stratum, _ = self._clock.standing()
        self.note(
            "clock",
            data={"why": why, "speed": self._speed, "reference": reference, "stratum": stratum, **more},
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
        turning = omega * self._speed if self._moving and omega == omega else 0.0
        at = self._simulation.mesh_time() if self._moving else self._clock.now()
        return Field(at=at, R=min(R, 1.0), psi=psi, omega=turning, n=self.params.oscillators)

    def _tell_field(self) -> None:
        now = time.monotonic()
        if now - self._told_field < FIELD_PERIOD or self._simulation.tick == 0:
            return
        if self._clock.steps != self._steps:
            return  # the swarm's time is not the room's until it is tied to it again
        self._told_field = now
        self.field = field = self._mean_field()
        if abs(field.omega) <= FIELD_LIMIT:
            self.problem = None
            self._listener.on_mean_field(field)
        else:
            self.problem = f"mean field not sent: {field.omega:.0f} rad/s, peers take at most {FIELD_LIMIT:g}"


def warm_up(params: Params) -> None:
    """Compile the kernels on a swarm that is thrown away (seconds when they are not in the cache yet)."""
    small = params.replace(oscillators=min(params.oscillators, 16))
    simulation = Simulation(small, seed=0)
    simulation.anchor(0.0)
    simulation.hear("nobody", 0.0, 0.5, 0.0, 1.0)
    simulation.intent(x=0.0, y=0.0)
    simulation.advance(2)
    simulation.metrics()
    simulation.snapshot()
