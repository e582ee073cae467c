"""`Runner`: keeps a simulation in step with mesh time, and its log in step with the simulation.

The simulation is only used on the runner's one worker thread, so that neither a long step nor compilation
blocks the event loop. Changes from outside reach it as commands: see :mod:`chronoflux.node.commands`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol

from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.messages import Field
from chronoflux.model.engine import single_threaded
from chronoflux.model.params import Params
from chronoflux.model.schedule import Action, Schedule, first_tick
from chronoflux.model.simulation import Simulation, Snapshot
from chronoflux.model.stillness import EARLIEST, REMEDY, Stillness
from chronoflux.node.checkpointing import Checkpointer, next_tick
from chronoflux.node.commands import CommandQueue
from chronoflux.node.metrics_cache import MetricsCache
from chronoflux.node.pacing import MAX_BATCH, STALL, Pace
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.format.snapshots import MOST

log: logging.Logger = logging.getLogger(__name__)

FIELD_PERIOD = 0.1  # s between two mean fields sent
RECORD_PERIOD = 1.0  # s between two records: simulated while the swarm moves, real while it is paused
CHECKPOINT_PERIOD = 60.0  # real s between two checkpoints
SHOW_EVERY = 400_000  # oscillator ticks (about 30 ms) after which a snapshot is taken if one was asked for
KEYFRAME_PERIOD = 300  # simulated s between two keyframes


class Surroundings(NamedTuple):
    """What a record says of the peers: metrics to add, and one entry per pair."""

    metrics: Mapping[str, float]
    peerings: Sequence[Mapping[str, object]]


class Listener(Protocol):
    """What a runner reports to. Called on the event loop."""

    def on_mean_field(self, field: Field) -> None:
        """Handle the swarm's mean field; called ten times a second."""

    def on_record(
        self, at: float, metrics: Mapping[str, float], peerings: Sequence[Mapping[str, object]]
    ) -> None:
        """Handle the record that was just written; called once a second."""

    def surroundings(self, at: float, own: Field) -> Surroundings:
        """Return what a record at mesh time `at` says of the peers; `own` is the swarm's mean field."""

    def on_scheduled(self, action: Action) -> None:
        """Carry out an action of the schedule."""


class Runner:
    """Runs one simulation: `run` is its loop. `commands` and `snapshot` may be used from any thread."""

    commands: CommandQueue
    """Everything that is done to the swarm."""
    field: Field | None
    """The mean field that was sent last."""

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
        self._simulation, self._log = simulation, log
        self._listener, self._worker, self._schedule, self._pace = listener, worker, schedule, pace
        self._checkpointer = Checkpointer(
            simulation, log, keyframe=KEYFRAME_PERIOD, checkpoint=CHECKPOINT_PERIOD, snapshots=snapshots
        )
        self._metrics = MetricsCache(simulation)
        self.commands = CommandQueue(
            simulation, log, clock, pace=pace, checkpointer=self._checkpointer, metrics=self._metrics
        )
        self._start, self._end = simulation.t, simulation.t + duration
        self._stillness, self._stillness_reported = Stillness(), False
        self._busy = threading.Lock()
        self._snapshot = simulation.snapshot()
        # Whether the simulation changed since the snapshot, and whether one was asked for meanwhile.
        self._changed = self._asked = False
        self._recorded = -math.inf  # when the last record was written, monotonic s
        self._next_record = next_tick(simulation, RECORD_PERIOD)
        self._unrecorded: dict[str, float] | None = None  # metrics of a record that is not written yet
        self._field_sent = -math.inf  # when the mean field was sent last, monotonic s
        self.field = None

    # -- the state of the swarm ------------------------------------------------------------------------

    @property
    def metrics(self) -> Mapping[str, float]:
        """The metrics of the last record."""
        return self._metrics.last

    @property
    def params(self) -> Params:
        """The parameters in force."""
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

    def snapshot(self) -> Snapshot:
        """Return the current state of the swarm; while a step is computed, the latest one taken. Never waits.

        In that case the worker thread takes another one soon.
        """
        if self._busy.acquire(blocking=False):
            try:
                if self._changed:
                    self._take_snapshot()
            finally:
                self._busy.release()
        else:
            self._asked = True
        return self._snapshot

    def _take_snapshot(self) -> None:
        self._snapshot, self._changed, self._asked = self._simulation.snapshot(), False, False

    # -- the loop --------------------------------------------------------------------------------------

    def begin(self, resumed: Mapping[str, object] | None = None, *, record_pending: bool = False) -> None:
        """Synchronise the first tick to mesh time and record it.

        `resumed` is the data of a ``resume`` record to write before; `record_pending` says that the telemetry
        of this tick is not on record yet.
        """
        if resumed is not None:
            self.commands.note("resume", data=resumed)
        self.commands.anchor("start" if resumed is None else "resume")
        if record_pending:
            self._record(self._metrics.all())

    def end(self, reason: str) -> None:
        """Write what is due, apply the events that still wait, and write the last record and checkpoint."""
        if self._unrecorded is not None:
            self.commands.note("telemetry", metrics=self._unrecorded)
        self.commands.apply_events()
        self._checkpointer.checkpoint()
        self.commands.note("end", data={"reason": reason})

    async def run(self) -> None:
        """Keep the swarm in step with its pace, until cancelled or until its duration is over."""
        loop, commands = asyncio.get_running_loop(), self.commands
        while self._simulation.tick < self._last_tick:
            moving = commands.moving
            if commands.waiting or (moving and self._pace.ready(self._simulation)):
                if moving and self._pace.runs_inline(self._simulation):
                    metrics = self._work()
                else:
                    metrics = await loop.run_in_executor(self._worker, self._work)
                if metrics is not None:
                    self._record(metrics)
                self._follow_schedule()
            elif not moving and time.monotonic() - self._recorded >= RECORD_PERIOD:
                self._record(await loop.run_in_executor(self._worker, self._metrics.all))
            self._send_field()
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        """Return the seconds until there may be something to do."""
        if self.commands.moving:
            return self._pace.wait(self._simulation)
        return 0.0 if self.commands.steps else 0.02

    @property
    def _last_tick(self) -> float:
        """The tick at which the run is over."""
        return self._end if self._end == math.inf else first_tick(self._end, self.params.dt)

    def _work(self) -> dict[str, float] | None:
        """Apply commands and compute ticks, on the worker. Return the metrics when a record is due."""
        simulation, commands = self._simulation, self.commands
        with self._busy:
            self._changed = True
            commands.apply_changes()
            moving = commands.moving
            if moving:
                ticks, use_all_threads = self._due()
            else:
                ticks, use_all_threads = self._at_most(min(commands.steps, MAX_BATCH)), True
            if ticks:
                commands.apply_events()
                with nullcontext() if use_all_threads else single_threaded():
                    self._advance(ticks)
                self._checkpointer.save_due()
                if not moving:
                    commands.stepped(ticks)
            if simulation.tick < self._next_record:
                return None
            self._next_record = next_tick(simulation, RECORD_PERIOD)
            self._unrecorded = self._metrics.all()
            return self._unrecorded

    def _advance(self, ticks: int) -> None:
        """Compute `ticks` ticks; in between, take a snapshot if one was asked for."""
        piece = max(1, SHOW_EVERY // self.params.oscillators)
        for done in range(0, ticks, piece):
            self._simulation.advance(min(piece, ticks - done))
            self._changed = True
            if self._asked:
                self._take_snapshot()

    def _due(self) -> tuple[int, bool]:
        """Return how many ticks the pace wants computed now, and whether by all threads."""
        due = self._pace.due(self._simulation)
        if due.why:
            self.commands.anchor(due.why)
        if due.lost:
            self.commands.note("stall", data={"ms": round(due.lost, 3)})
        return self._at_most(due.ticks), due.use_all_threads

    def _at_most(self, ticks: int) -> int:
        """Return `ticks`, or fewer: up to the next record, scheduled action or saved state."""
        simulation = self._simulation
        dt = simulation.params.dt
        pace = dt / (1.0 if self._schedule.start is None else self._pace.speed)
        to_action = min(self._schedule.next - self._schedule_time(), ticks * pace)
        to_stop = min(self._next_record, self._checkpointer.next, self._last_tick) - simulation.tick
        return int(min(ticks, max(1, to_stop), max(1, first_tick(to_action, pace))))

    def _schedule_time(self) -> float:
        """Return the time of the schedule, s: simulated time, or mesh time since the schedule's start."""
        simulation, start = self._simulation, self._schedule.start
        seconds = simulation.t if start is None else (simulation.mesh_time() - start) / 1000
        return round(seconds, 9)  # tick · dt may be less than the time it stands for by a rounding error

    def _follow_schedule(self) -> None:
        """Carry out what is due. A schedule on mesh time that began long ago is taken up where it stands."""
        now = self._schedule_time()
        late = now - self._schedule.next > STALL / 1000
        if self._schedule.start is not None and late and (changes := self._schedule.seek(now)):
            self._listener.on_scheduled(Action(now, None, changes))
        for action in self._schedule.due(now, self.params.world):
            self._listener.on_scheduled(action)

    def _record(self, metrics: dict[str, float]) -> None:
        """Write the record of a second and report it."""
        self._recorded, self._unrecorded = time.monotonic(), None
        field = self._mean_field()
        of_peers, peerings = self._listener.surroundings(field.at, field)
        self._metrics.of_peers = of_peers
        self._metrics.last = {**metrics, **of_peers}
        columns: dict[str, Any] = {"peerings": peerings} if peerings else {}
        self.commands.note("telemetry", metrics=self.metrics, **columns)
        self._listener.on_record(field.at, self.metrics, peerings)
        if self.commands.moving and not self._stillness_reported:
            self._report_stillness(metrics)

    def _report_stillness(self, metrics: Mapping[str, float]) -> None:
        """Warn once, after five minutes, when the metrics stay constant: there is nothing to analyse."""
        t = self._simulation.t
        self._stillness.look(t, metrics["H"], metrics["H_local"], metrics["omega"])
        if t - self._start < EARLIEST or not self._stillness.lasts:
            return
        self._stillness_reported = True
        text = (
            f"nothing has moved since {self._stillness.since:.0f} s: H, H_local and omega are constant, so "
            f"there is nothing to analyse; for a livelier run: {REMEDY}"
        )
        log.warning("%s: %s", self._log.path.name, text)
        self.commands.note("note", data={"text": text})

    def _mean_field(self) -> Field:
        R, psi, omega = self._simulation.mean_field()
        turning = omega * self._pace.speed if self.commands.moving and omega == omega else 0.0
        at = self.commands.mesh_time()
        return Field(at=at, R=min(R, 1.0), psi=psi, omega=turning, n=self.params.oscillators)

    def _send_field(self) -> None:
        """Report the mean field, if it is due."""
        now = time.monotonic()
        if now - self._field_sent < FIELD_PERIOD and not self.commands.field_changed:
            return
        if self._simulation.tick == 0 or self._pace.unsynchronised:
            return  # an unsynchronised swarm's time is not the room's
        self._field_sent, self.commands.field_changed = now, False
        self.field = self._mean_field()
        self._listener.on_mean_field(self.field)
