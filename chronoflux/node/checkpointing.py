"""`Checkpointer`: what a run saves of its swarm besides records: checkpoint, keyframes, phases, snapshots."""

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
    """Return the first tick after the current one at a whole multiple of `period` (simulated s)."""
    done = int((simulation.t + 1e-9) // period)
    return first_tick((done + 1) * period, simulation.params.dt)


class Checkpointer:
    """Saves the swarm's state in the run's folder, between two ticks, on the worker thread.

    A keyframe is saved every `keyframe` simulated s, a row of phases as often as the log asks for, the
    checkpoint every `checkpoint` real s, and at most `snapshots` snapshots in all.
    """

    def __init__(
        self, simulation: Simulation, log: RunLog, *, keyframe: float, checkpoint: float, snapshots: int
    ) -> None:
        self._simulation, self._log = simulation, log
        self._keyframe, self._checkpoint = keyframe, checkpoint
        self._checkpointed = time.monotonic()
        self._allowance = Allowance(log.path / SNAPSHOTS, snapshots)
        self._next_keyframe = next_tick(simulation, keyframe)
        self._next_phases = self._tick_of_phases()

    @property
    def next(self) -> float:
        """The next tick at which something is saved."""
        return min(self._next_keyframe, self._next_phases)

    def _tick_of_phases(self) -> float:
        """Return the tick of the next row of phases; infinity without phases."""
        phases = self._log.phases
        return math.inf if phases is None else next_tick(self._simulation, phases.period)

    def save_due(self) -> None:
        """Save what is due at the current tick."""
        tick = self._simulation.tick
        if tick >= self._next_keyframe:
            self._next_keyframe = next_tick(self._simulation, self._keyframe)
            self._save(f"{KEYFRAMES}/{tick}.npz")
        if tick >= self._next_phases and self._log.phases is not None:
            self._next_phases = self._tick_of_phases()
            self._log.phases.add(tick, self._simulation.t, self._simulation.state.phi)
        if time.monotonic() - self._checkpointed >= self._checkpoint:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Save the state from which the run can be resumed."""
        self._checkpointed = time.monotonic()
        self._save(CHECKPOINT)

    def snapshot(self, event: str, *, remote: bool) -> bool:
        """Save the swarm and have its picture drawn; an event may still wait to be applied.

        Return False when this run has reached its limit of snapshots.
        """
        if not self._allowance.take(time.monotonic(), remote=remote):
            return False
        name = f"{SNAPSHOTS}/{self._simulation.tick}-{event}"
        self._save(f"{name}.npz")
        shown = self._simulation.snapshot()
        self._log.keep(f"{name}.png", lambda: picture_png(shown))
        return True

    def _save(self, name: str) -> None:
        self._log.keep(name, pack_simulation(self._simulation, self._log.position))
