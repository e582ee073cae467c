"""`Runner`: keeps a simulation in step with mesh time and its log in step with the simulation.

All access to the simulation goes through the runner's one worker thread, so that neither a long step
nor compilation ever holds up the event loop. What others want of it comes as orders, see
:mod:`chronoflux.node.commands`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, Protocol

from chronoflux.errors import ChronofluxError
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.messages import Field
from chronoflux.model.engine.thread_pool import alone
from chronoflux.model.schedule import Action, Schedule, first_tick
from chronoflux.model.simulation import Simulation, Snapshot
from chronoflux.model.stillness import EARLIEST, REMEDY, Stillness
from chronoflux.node.checkpointing import Checkpointer, next_tick
from chronoflux.node.commands import CommandQueue
from chronoflux.node.pacing import MAX_BATCH, STALL, Pace
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.format.snapshots import MOST

log: logging.Logger = logging.getLogger(__name__)

FIELD_PERIOD = 0.1  # s between mean fields told
RECORD_PERIOD = 1.0  # s between records: simulated while playing, real while paused
CHECKPOINT_PERIOD = 60.0  # real s between checkpoints
SEEN = 400_000  # steps of an oscillator after which the swarm is shown to whoever asked: some 30 ms
KEYFRAME_PERIOD = 300  # simulated s between keyframes


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


class Runner(CommandQueue):
    """Runs one simulation; see the module. `run` is the loop; orders and `snapshot` work from any thread."""

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
        keeping = Checkpointer(
            simulation, log, keyframe=KEYFRAME_PERIOD, checkpoint=CHECKPOINT_PERIOD, snapshots=snapshots
        )
        super().__init__(simulation, log, clock, pace=pace, keeping=keeping)
        self._listener, self._worker, self._schedule = listener, worker, schedule
        self._end = simulation.t + duration
        self._began, self._stillness, self._told_still = simulation.t, Stillness(), False
        self._busy = threading.Lock()
        self._snapshot = simulation.snapshot()
        self._changed = self._asked = False  # the simulation, since the snapshot; for one, meanwhile
        self._recorded = -math.inf
        self._next_record = next_tick(simulation, RECORD_PERIOD)
        self._unrecorded: dict[str, Any] | None = None  # measured for a record that is not written yet
        self.field: Field | None = None

    def snapshot(self) -> Snapshot:
        """The swarm as it is; as it was shown last when a step is just being computed. Never waits.

        In the latter case the worker takes another one soon, for whoever asks again.
        """
        if self._busy.acquire(blocking=False):
            try:
                if self._changed:
                    self._show()
            finally:
                self._busy.release()
        else:
            self._asked = True
        return self._snapshot

    def _show(self) -> None:
        self._snapshot, self._changed, self._asked = self._simulation.snapshot(), False, False

    # -- the loop --------------------------------------------------------------------------------------

    def begin(self, resumed: Mapping[str, Any] | None = None, *, owed: bool = False) -> None:
        """Tie the first tick to mesh time, on record; before that what is `resumed`, if anything is.

        `owed`: this tick's telemetry is not on record yet.
        """
        if resumed is not None:
            self.note("resume", data=resumed)
        self._anchor("start" if resumed is None else "resume")
        if owed:
            self._record(self._measuring.all())

    def end(self, reason: str) -> None:
        """The run's last record and checkpoint; what was due and events that still waited go with both."""
        if self._unrecorded is not None:
            self.note("telemetry", metrics=self._unrecorded)
        while self._events:
            self._guarded(self._do, self._events.popleft())
        self._keeping.checkpoint()
        self.note("end", data={"reason": reason})

    async def run(self) -> None:
        """Keep the swarm in step with its pace, until cancelled or until its time is over."""
        loop = asyncio.get_running_loop()
        while self._simulation.tick < self._last_tick:
            if self._inputs or self._steps or (self._moving and self._pace.ready(self._simulation)):
                if self._moving and self._pace.brief(self._simulation):
                    metrics = self._work()
                else:
                    metrics = await loop.run_in_executor(self._worker, self._work)
                if metrics is not None:
                    self._record(metrics)
                self._follow_schedule()
            elif not self._moving and time.monotonic() - self._recorded >= RECORD_PERIOD:
                self._record(await loop.run_in_executor(self._worker, self._measuring.all))
            self._tell_field()
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        """Seconds until there may be something to do."""
        if self._moving:
            return self._pace.wait(self._simulation)
        return 0.0 if self._steps else 0.02

    @property
    def _last_tick(self) -> float:
        """The tick at which the run is over."""
        return self._end if self._end == math.inf else first_tick(self._end, self.params.dt)

    def _work(self) -> dict[str, Any] | None:
        """On the worker: inputs, events, then ticks; the metrics when a record is due after them."""
        simulation = self._simulation
        with self._busy:
            self._changed = True
            for _ in range(len(self._inputs)):
                self._guarded(self._inputs.popleft(), simulation)
            ticks, hurry = self._due() if self._moving else (self._at_most(min(self._steps, MAX_BATCH)), True)
            for _ in range(len(self._events) if ticks else 0):
                self._guarded(self._do, self._events.popleft())
            if ticks:
                with nullcontext() if hurry else alone():
                    self._advance(ticks)
                self._keeping.look()
            if ticks and not self._moving:
                self._steps -= ticks
                self._stepped += ticks
                if not self._steps:
                    self._tell_steps()
            if simulation.tick < self._next_record:
                return None
            self._next_record = next_tick(simulation, RECORD_PERIOD)
            self._unrecorded = self._measuring.all()
            return self._unrecorded

    def _advance(self, ticks: int) -> None:
        """Compute so many ticks; in between the swarm is shown to whoever asked to see it."""
        piece = max(1, SEEN // self.params.oscillators)
        for done in range(0, ticks, piece):
            self._simulation.advance(min(piece, ticks - done))
            self._changed = True
            if self._asked:
                self._show()

    @staticmethod
    def _guarded(change: Callable[..., None], *arguments: Any) -> None:
        try:
            change(*arguments)
        except ChronofluxError as error:
            log.warning("an input was refused: %s", error)

    def _due(self) -> tuple[int, bool]:
        """How many ticks to compute now, as the pace has it, and whether in a hurry."""
        due = self._pace.due(self._simulation)
        if due.why:
            self._anchor(due.why)
        if due.lost:
            self.note("stall", data={"ms": round(due.lost, 3)})
        return self._at_most(due.ticks), due.hurry

    def _at_most(self, ticks: int) -> int:
        """So many ticks, but only up to the next record or scheduled event."""
        simulation = self._simulation
        dt = simulation.params.dt
        pace = dt / (1.0 if self._schedule.start is None else self._pace.speed)
        to_schedule = min(self._schedule.next - self._schedule_time(), ticks * pace)
        to_keep = min(self._next_record, self._keeping.next, self._last_tick) - simulation.tick
        return int(min(ticks, max(1, to_keep), max(1, first_tick(to_schedule, pace))))

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

    def _record(self, metrics: dict[str, Any]) -> None:
        self._recorded, self._unrecorded = time.monotonic(), None
        field = self._mean_field()
        found = self._listener.surroundings(field.at, field)
        peerings = found["peerings"]
        self._measuring.around = found["metrics"]
        self._measuring.last = metrics | found["metrics"]
        self.note("telemetry", metrics=self.metrics, **({"peerings": peerings} if peerings else {}))
        self._listener.on_record(field.at, self.metrics, peerings)
        if self._moving and not self._told_still:
            self._look_for_rest(metrics)

    def _look_for_rest(self, metrics: Mapping[str, Any]) -> None:
        """Say once, after five minutes, when nothing moves any more: of a flat line nothing can be asked."""
        t = self._simulation.t
        self._stillness.look(t, metrics["H"], metrics["H_local"], metrics["omega"])
        if t - self._began < EARLIEST or not self._stillness.lasts:
            return
        self._told_still = True
        text = (
            f"nothing has moved since {self._stillness.since:.0f} s: H, H_local and omega stay the same, and "
            f"a flat line answers no question; for a livelier run: {REMEDY}"
        )
        log.warning("%s: %s", self._log.path.name, text)
        self.note("note", data={"text": text})

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
