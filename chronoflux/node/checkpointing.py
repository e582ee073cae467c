"""What a run keeps of its swarm besides records: checkpoint, keyframes, and snapshots of events."""

from __future__ import annotations

import math
import time

from chronoflux.model.schedule import first_tick
from chronoflux.model.simulation import Simulation
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.format.layout import CHECKPOINT, KEYFRAMES
from chronoflux.telemetry.format.saved_state import pack_simulation
from chronoflux.telemetry.format.snapshots import SNAPSHOTS, Allowance, picture_png


def next_tick(simulation: Simulation, period: float) -> int:
    """The first tick after the current one at a whole number of periods of simulated seconds."""
    done = int((simulation.t + 1e-9) // period)
    return first_tick((done + 1) * period, simulation.params.dt)


class Checkpointer:
    """Has a run's log keep its swarm: a keyframe every `keyframe` simulated s, phases as often as its log
    wants them, the checkpoint every `checkpoint` real s, and at most `snapshots` snapshots. All on the
    worker, between two ticks."""

    def __init__(
        self, simulation: Simulation, log: RunLog, *, keyframe: float, checkpoint: float, snapshots: int
    ) -> None:
        self._simulation, self._log = simulation, log
        self._keyframe, self._checkpoint = keyframe, checkpoint
        self._kept = time.monotonic()
        self._allowance = Allowance(log.path / SNAPSHOTS, snapshots)
        self._next_keyframe = next_tick(simulation, keyframe)
        self._next_phases = self._after(simulation)

    @property
    def next(self) -> float:
        """The tick at which something is to be kept next."""
        return min(self._next_keyframe, self._next_phases)

    def _after(self, simulation: Simulation) -> float:
        """The tick of the next row of phases."""
        phases = self._log.phases
        return math.inf if phases is None else next_tick(simulation, phases.period)

    def look(self) -> None:
        """Keep what is due."""
        tick = self._simulation.tick
        if tick >= self._next_keyframe:
            self._next_keyframe = next_tick(self._simulation, self._keyframe)
            self._keep(f"{KEYFRAMES}/{tick}.npz")
        if tick >= self._next_phases and self._log.phases is not None:
            self._next_phases = self._after(self._simulation)
            self._log.phases.add(tick, self._simulation.t, self._simulation.state.phi)
        if time.monotonic() - self._kept >= self._checkpoint:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Keep what the run goes on from."""
        self._kept = time.monotonic()
        self._keep(CHECKPOINT)

    def snapshot(self, event: str, *, remote: bool) -> bool:
        """Keep the swarm as it is, with an event still to be applied, and have its picture made.

        False: this run has as many as it may have.
        """
        if not self._allowance.take(time.monotonic(), remote=remote):
            return False
        name = f"{SNAPSHOTS}/{self._simulation.tick}-{event}"
        self._keep(f"{name}.npz")
        shown = self._simulation.snapshot()
        self._log.keep(f"{name}.png", lambda: picture_png(shown))
        return True

    def _keep(self, name: str) -> None:
        self._log.keep(name, pack_simulation(self._simulation, self._log.position))
