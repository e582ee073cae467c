"""What a run begins with: parameters, seed and schedule of its own, or an earlier run to go on with."""

from __future__ import annotations

import importlib
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from chronoflux.errors import ChronofluxError, UsageError
from chronoflux.model.params import Params
from chronoflux.model.schedule import Action, Schedule
from chronoflux.model.simulation import Simulation
from chronoflux.node.options import NodeOptions
from chronoflux.node.schedule_loader import facts_of, open_schedule, recall_schedule
from chronoflux.node.warm_up import warm_up
from chronoflux.notebook.kernel import in_notebook
from chronoflux.replay.past_run import PastRun
from chronoflux.replay.recompute import Continuation
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.write.phase_writer import PhaseLog, PhaseOptions


class RunSetup:
    """Params, seed and schedule of a run; from them its simulation and its log.

    ``options``: those given; of a run to go on with, with its room, name and kind. ``facts``: of that run's
    manifest; empty for a new one. ``left``: what its schedule still has to do at the tick it goes on from;
    ``owed``: whether that tick's telemetry is not on record.

    Raises
    ------
    UsageError, ParameterError, LogError
        When the options do not fit the run to go on with, or there is no such run.
    """

    def __init__(self, options: NodeOptions) -> None:
        self._past = None if options.resume is None else PastRun(options.resume)
        self.facts: dict[str, Any] = {}
        seed = options.seed
        if self._past is None:
            self.params: Params = options.swarm_params or Params()
        else:
            self.params, seed, self.facts = self._past.params, self._past.seed, self._past.facts
            known = {"room": "room", "node_id": "node", "kind": "kind"}
            options = replace(
                options, **{name: self.facts[key] for name, key in known.items() if key in self.facts}
            )
        self.options: NodeOptions = options
        self.seed: int = random.SystemRandom().getrandbits(63) if seed is None else seed
        if self._past is None:
            self.schedule: Schedule = open_schedule(
                options.schedule, self.seed, self.params, room=options.room, start=options.schedule_start
            )
        else:
            self.schedule = recall_schedule(self.facts, self.seed, self.params)
        self.left: list[Action] = []
        self._found: Continuation | None = None
        self._phases = self._phases_of(options)

    def _phases_of(self, options: NodeOptions) -> PhaseOptions | None:
        """Which phases are recorded: those of the options, or of the run that goes on."""
        wanted, past = options.wanted_phases, PhaseOptions.from_manifest(self.facts.get("phases"))
        if wanted is not None and past is not None and wanted != past:
            raise UsageError(f"resume goes on with what the run began with: leave out phases, or say {past}")
        phases = wanted or past
        if phases is not None:
            phases.check(self.params)
        return phases

    @property
    def resumes(self) -> bool:
        """Whether an earlier run goes on."""
        return self._past is not None

    @property
    def owed(self) -> bool:
        """See the class."""
        return self._found is not None and self._found.owed

    def new_log(self, log_dir: Path, *, room: str, node: str, kind: str, **extra: Any) -> RunLog:
        """A folder and a log for a new run; `extra` are facts for its manifest."""
        log = RunLog(
            log_dir,
            room=room,
            node=node,
            kind=kind,
            params=self.params,
            seed=self.seed,
            schedule=self.schedule.name,
            extra=facts_of(self.schedule) | extra,
        )
        return self._with_phases(log, 0)

    def _with_phases(self, log: RunLog, tick: int) -> RunLog:
        """The log, closed again should there be no way to record phases from `tick` on."""
        if self._phases is not None:
            try:
                log.phases = PhaseLog(log.path, self._phases, self.params, self.seed, tick, log.flush)
            except ChronofluxError:
                log.close("interrupted", self.facts.get("last_tick"))
                raise
            log.update(phases=self._phases._asdict())
        return log

    def build(self) -> Simulation:
        """The simulation, computed up to where the run goes on. Everything that takes long."""
        importlib.import_module("pandas")  # for `peers` and `telemetry`, which are asked for on the loop
        warm_up(self.params, pictures=in_notebook())
        if self._past is None:
            return Simulation(self.params, seed=self.seed)
        self._found = self._past.continuation()
        self.params = self._found.simulation.params
        return self._found.simulation

    def old_log(self) -> RunLog:
        """The log of the run that goes on, opened again."""
        assert self._past is not None
        assert self._found is not None
        log = RunLog.resume(self._past.path, self.facts, seq=self._found.seq, inputs=self._found.inputs)
        return self._with_phases(log, self._found.simulation.tick)

    def go_on(self, log: RunLog) -> dict[str, Any]:
        """Facts for the ``resume`` record; what the schedule has left for this tick is found."""
        found = self._found
        assert found is not None
        dt, world = self.params.dt, self.params.world
        now = round(found.simulation.t, 9)
        if self.schedule.start is None:  # else it is taken up where mesh time has it
            self.left = self.schedule.resume(now - dt / 2, now, world, found.done)
        gap = None if found.t_wall is None else round(time.time() - found.t_wall / 1000, 3)
        return found.facts | {"number": log.position["resumed"], "gap_s": gap, "torn_bytes": log.torn}
