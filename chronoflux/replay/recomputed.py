"""`RecomputedRun`: recomputes a run up to any tick, and compares it with the record."""

from __future__ import annotations

import bisect
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chronoflux.errors import LogError
from chronoflux.model.simulation import Simulation
from chronoflux.replay.past_run import PastRun, Verifier
from chronoflux.replay.recompute import Moment, Replayer, engines_note
from chronoflux.telemetry.format.records import Record
from chronoflux.telemetry.read.history import START

MEMORY = 64 << 20
"""Bytes of states kept in memory, so that a seek has little to compute."""
CLOSEST = 20.0
"""Least simulated seconds between two of these states."""
SETTLED = 3.0
"""A live run is complete on disk up to this many seconds before its last record."""


@dataclass(frozen=True)
class Agreement:
    """Whether the record agrees with the recomputed run.

    ``share``: the fraction of the run checked so far, 0 to 1. ``records``, ``states``: how many were
    compared. ``differences``: their number; ``first``: the first one, in words. ``engines``: names the
    engines if another one recorded the run; otherwise empty.
    """

    share: float
    records: int
    states: int
    differences: int
    first: str
    engines: str = ""

    def __bool__(self) -> bool:
        return self.share >= 1 and not self.differences

    def __str__(self) -> str:
        engines = f"; {self.engines}" if self.engines else ""
        if self.differences:
            return f"{self.differences:,} differences from the record; the first: {self.first}{engines}"
        if not self.records:
            return "not compared with the record yet"
        compared = f"{self.records:,} records and {self.states:,} saved states"
        if self.share < 1:
            return f"agrees with the record so far ({100 * self.share:.0f} % checked){engines}"
        return f"agrees{'' if engines else ' bit for bit'} with the record: {compared}{engines}"


class RecomputedRun:
    """A run that is recomputed up to the tick asked for, from the last known state before it.

    `tick` and `simulation` are its present position. Not for use by two threads at once.

    Raises
    ------
    LogError
        When the log cannot be read.
    """

    end: int

    def __init__(self, past: PastRun, *, growing: bool) -> None:
        self._past, self._growing = past, growing
        self._kept: list[tuple[int, dict[str, Any], dict[str, int]]] = []
        self._record: Record | None = None  # the next one, not applied yet
        self._load()
        self._begin(Simulation(past.params, seed=past.seed), START)
        self.check: Verifier = Verifier(past, self._history)

    def _load(self) -> None:
        self._history = self._past.history()
        self._states = [
            state
            for state in self._past.states()
            if state[0] <= self._history.end and state[0] != sys.maxsize
        ]
        margin = SETTLED / self._past.params.dt if self._growing else 0
        self.end = max(0, self._history.end - math.ceil(margin))
        """The last tick that can be computed."""

    def refresh(self, *, growing: bool) -> None:
        """Read what was written since."""
        self._growing = growing
        position = self._replayer.position
        if self._record is not None:
            position["seq"] = self._record.seq or 0
        self._load()
        self._begin(self.simulation, position)
        self.check.extend(self._history)

    @property
    def tick(self) -> int:
        """The present tick."""
        return self.simulation.tick

    @property
    def simulation(self) -> Simulation:
        """The swarm at the present tick; not to be changed."""
        return self._replayer.found.simulation

    def seek(self, tick: int, stop: Callable[[], bool] = lambda: False) -> bool:
        """Compute up to `tick`, or until `stop()` between two records; return whether `tick` was reached."""
        tick = min(tick, self.end)
        self._approach(tick)
        while self._record is not None and (self._record.tick or 0) < tick:
            self._replayer.apply(self._record)
            self._keep(self._replayer)
            self._record = next(self._records, None)
            if stop():
                return False
        self._replayer.advance_to(tick)
        return True

    def check_for(self, seconds: float) -> bool:
        """Compare the run with its record for some seconds; return whether anything is left to compare."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._growing and self.check.simulation.tick >= self.end:
                return False
            if not self.check.step():
                return False
            self._keep(self.check.replayer)
        return True

    @property
    def agreement(self) -> Agreement:
        """The result of the comparison so far."""
        found, end = self.check.found, max(self._history.end, 1)
        done = self.check.done or (self._growing and self.check.simulation.tick >= self.end)
        share = 1.0 if done else min(self.check.simulation.tick / end, 0.99)
        first = found.differences[0] if found.differences else ""
        engines = engines_note(self._past.engine, self.simulation.engine)
        return Agreement(share, found.records, found.keyframes, found.different, first, engines)

    # -- where to begin --------------------------------------------------------------------------------

    def _approach(self, tick: int) -> None:
        """Start from the last known state up to `tick`, if it is nearer than the present one."""
        here = self.tick if self.tick <= tick else -1
        place = bisect.bisect_right(self._kept, tick, key=lambda kept: kept[0]) - 1
        kept = self._kept[place] if place >= 0 else None
        for when, path in reversed(self._states):
            if when > tick or when <= max(here, kept[0] if kept else -1):
                continue
            try:
                moment = Moment.load(path)
            except LogError:  # damaged: use an earlier one; the check reports it
                continue
            if not self._history.revoked.covers(moment.position):
                return self._begin(moment.simulation, moment.position)
        if kept is not None and kept[0] > here:
            self._begin(Simulation.load(kept[1]), kept[2])
        elif here < 0:
            self._begin(Simulation(self._past.params, seed=self._past.seed), START)

    def _begin(self, simulation: Simulation, position: dict[str, int]) -> None:
        self._replayer = Replayer(simulation, self._history, position)
        self._records = self._replayer.records()
        self._record = next(self._records, None)

    def _keep(self, replayer: Replayer) -> None:
        """Keep the present state of a replayer, unless one within some seconds is known."""
        simulation = replayer.found.simulation
        dt, n = simulation.params.dt, simulation.params.oscillators
        seconds = max(CLOSEST, self._history.end * dt * (48 * n + 8192) / MEMORY)
        place = bisect.bisect_right(self._kept, simulation.tick, key=lambda kept: kept[0])
        near = self._kept[max(place - 1, 0) : place + 1]
        if all(abs(kept[0] - simulation.tick) * dt >= seconds for kept in near):
            self._kept.insert(place, (simulation.tick, simulation.save(), replayer.position))
