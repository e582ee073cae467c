"""`RunSetup`: parameters, seed and schedule of a new run, or of an earlier run that is resumed."""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from chronoflux.errors import ChronofluxError, UsageError
from chronoflux.model.params import Params
from chronoflux.model.schedule import Action, Schedule
from chronoflux.model.simulation import Simulation
from chronoflux.node.options import NodeOptions
from chronoflux.node.schedule_loader import open_schedule, recall_schedule, schedule_metadata
from chronoflux.node.warm_up import warm_up
from chronoflux.notebook.kernel import in_notebook
from chronoflux.replay.past_run import PastRun
from chronoflux.replay.recompute import Continuation
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.write.phase_writer import PhaseLog, PhaseOptions


class RunSetup:
    """Makes a run's simulation and log.

    Raises
    ------
    UsageError, ParameterError, LogError
        When there is no run to resume, or the options contradict it.
    """

    options: NodeOptions
    """The options given; for a resumed run with its room, name and kind."""
    params: Params
    """The parameters at the start."""
    seed: int
    """The run's seed."""
    schedule: Schedule
    """The run's schedule."""
    manifest: Mapping[str, object]
    """The manifest of the run that is resumed; empty for a new run."""
    remaining: list[Action]
    """Actions of the schedule that a resumed run still has to carry out at its first tick."""

    def __init__(self, options: NodeOptions) -> None:
        self._past = None if options.resume is None else PastRun(options.resume)
        seed = options.seed
        if self._past is None:
            self.manifest, self.params = {}, options.swarm_params or Params()
        else:
            facts = self._past.facts
            self.manifest, self.params, seed = facts, self._past.params, self._past.seed
            known = {"room": "room", "node_id": "node", "kind": "kind"}
            options = replace(options, **{name: facts[key] for name, key in known.items() if key in facts})
        self.options = options
        self.seed = random.SystemRandom().getrandbits(63) if seed is None else seed
        if self._past is None:
            self.schedule = open_schedule(
                options.schedule, self.seed, self.params, room=options.room, start=options.schedule_start
            )
        else:
            self.schedule = recall_schedule(self.manifest, self.seed, self.params)
        self.remaining = []
        self._continuation: Continuation | None = None
        self._phases = self._phases_of(options)

    def _phases_of(self, options: NodeOptions) -> PhaseOptions | None:
        """Return which phases are recorded: those of the options, or of the run that is resumed."""
        wanted, past = options.wanted_phases, PhaseOptions.from_manifest(self.manifest.get("phases"))
        if wanted is not None and past is not None and wanted != past:
            raise UsageError(f"resume takes the phases from the run: leave out phases, or give {past}")
        phases = wanted or past
        if phases is not None:
            phases.check(self.params)
        return phases

    @property
    def resumes(self) -> bool:
        """Whether an earlier run is resumed."""
        return self._past is not None

    @property
    def record_pending(self) -> bool:
        """Whether the telemetry of a resumed run's first tick is not on record yet."""
        return self._continuation is not None and self._continuation.record_pending

    def new_log(self, log_dir: Path, *, room: str, node: str, kind: str, **extra: object) -> RunLog:
        """Make the folder and the log of a new run; `extra` goes into its manifest."""
        log = RunLog(
            log_dir,
            room=room,
            node=node,
            kind=kind,
            params=self.params,
            seed=self.seed,
            schedule=self.schedule.name,
            extra=schedule_metadata(self.schedule) | extra,
        )
        return self._with_phases(log, 0)

    def _with_phases(self, log: RunLog, tick: int) -> RunLog:
        """Add a phase recorder from `tick` on to the log, which is closed if that fails. Return the log."""
        if self._phases is not None:
            try:
                log.phases = PhaseLog(log.path, self._phases, self.params, self.seed, tick, log.flush)
            except ChronofluxError:
                log.close("interrupted", _last_tick(self.manifest))
                raise
            log.update(phases=self._phases._asdict())
        return log

    def build(self) -> Simulation:
        """Return the simulation; of a resumed run at the tick where it ended. Takes long: up to minutes."""
        importlib.import_module("pandas")  # `peers` and `telemetry` need it on the event loop
        warm_up(self.params, pictures=in_notebook())
        if self._past is None:
            return Simulation(self.params, seed=self.seed)
        self._continuation = self._past.continuation()
        self.params = self._continuation.simulation.params
        return self._continuation.simulation

    def old_log(self) -> RunLog:
        """Open the log of the run that is resumed, after `build`."""
        assert self._past is not None
        found = self._continuation
        assert found is not None
        log = RunLog.resume(self._past.path, self._past.facts, seq=found.seq, inputs=found.inputs)
        return self._with_phases(log, found.simulation.tick)

    def resume(self, log: RunLog) -> dict[str, object]:
        """Return the data of the ``resume`` record, and set `remaining`; after `old_log`."""
        found = self._continuation
        assert found is not None
        dt, world = self.params.dt, self.params.world
        now = round(found.simulation.t, 9)
        if self.schedule.start is None:  # otherwise mesh time says where the schedule stands
            self.remaining = self.schedule.resume(now - dt / 2, now, world, found.done)
        gap = None if found.t_wall is None else round(time.time() - found.t_wall / 1000, 3)
        return found.facts | {"number": log.position["resumed"], "gap_s": gap, "torn_bytes": log.torn}


def _last_tick(manifest: Mapping[str, object]) -> int | None:
    tick = manifest.get("last_tick")
    return tick if isinstance(tick, int) else None
