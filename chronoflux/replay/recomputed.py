"""`RecomputedRun`: the swarm of a run at any tick, recomputed, and whether it agrees with the record."""

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
from chronoflux.replay.recompute import Moment, Replayer
from chronoflux.telemetry.format.records import Record
from chronoflux.telemetry.read.history import START

MEMORY = 64 << 20
"""Bytes of states kept in memory, so that a jump has not far to compute."""
CLOSEST = 20.0
"""Simulated seconds between two of them, at least."""
SETTLED = 3.0
"""Seconds before the last record of a run that is still written, up to which it is complete on disk."""


@dataclass(frozen=True)
class Agreement:
    """How far the record agrees with what was computed again.

    ``share``: the part of the run that was checked so far, 0 to 1. ``records``, ``states``: how many were
    compared. ``differences``: their number, and ``first`` of them in words.
    """

    share: float
    records: int
    states: int
    differences: int
    first: str

    def __bool__(self) -> bool:
        return self.share >= 1 and not self.differences

    def __str__(self) -> str:
        if self.differences:
            return f"{self.differences:,} differences from the record; the first: {self.first}"
        if not self.records:
            return "not compared with the record yet"
        compared = f"{self.records:,} records and {self.states:,} saved states"
        if self.share < 1:
            return f"agrees with the record so far ({100 * self.share:.0f} % checked)"
        return f"agrees bit for bit with the record: {compared}"


class RecomputedRun:
    """A run computed again, from whatever is known next before the tick that is asked for.

    `tick` and `simulation` are where it stands. Not for use by two threads at once.

    Raises
    ------
    LogError
        When the log cannot be read.
    """

    end: int

    def __init__(self, past: PastRun, *, growing: bool) -> None:
        self._past, self._growing = past, growing
        self._kept: list[tuple[int, dict[str, Any], dict[str, int]]] = []
        self._record: Record | None = None  # the next, looked at and not done
        self._load()
        self._begin(Simulation(past.params, seed=past.seed), START)
        self.check: Verifier = Verifier(past, self._story)

    def _load(self) -> None:
        self._story = self._past.story()
        self._states = [
            state for state in self._past.states() if state[0] <= self._story.end and state[0] != sys.maxsize
        ]
        margin = SETTLED / self._past.params.dt if self._growing else 0
        self.end = max(0, self._story.end - math.ceil(margin))
        """The last tick that can be computed."""

    def refresh(self, *, growing: bool) -> None:
        """Take in what was written since."""
        self._growing = growing
        position = self._course.position
        if self._record is not None:
            position["seq"] = self._record.seq or 0
        self._load()
        self._begin(self.simulation, position)
        self.check.go_on(self._story)

    @property
    def tick(self) -> int:
        """Where it stands."""
        return self.simulation.tick

    @property
    def simulation(self) -> Simulation:
        """The swarm there; to be looked at only."""
        return self._course.found.simulation

    def seek(self, tick: int, stop: Callable[[], bool] = lambda: False) -> bool:
        """Compute until `tick`, or until `stop` says so between two records; whether it is there."""
        tick = min(tick, self.end)
        self._approach(tick)
        while self._record is not None and (self._record.tick or 0) < tick:
            self._course.take(self._record)
            self._keep(self._course)
            self._record = next(self._records, None)
            if stop():
                return False
        self._course.go(tick)
        return True

    def check_on(self, seconds: float) -> bool:
        """Go on comparing the run with its record for so long; whether anything is left to compare."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._growing and self.check.simulation.tick >= self.end:
                return False
            if not self.check.step():
                return False
            self._keep(self.check.course)
        return True

    @property
    def agreement(self) -> Agreement:
        """What the check has found so far."""
        found, end = self.check.found, max(self._story.end, 1)
        done = self.check.done or (self._growing and self.check.simulation.tick >= self.end)
        share = 1.0 if done else min(self.check.simulation.tick / end, 0.99)
        first = found.differences[0] if found.differences else ""
        return Agreement(share, found.records, found.keyframes, found.different, first)

    # -- where to begin --------------------------------------------------------------------------------

    def _approach(self, tick: int) -> None:
        """Stand at the last state known up to `tick`, if that is nearer than where it stands."""
        here = self.tick if self.tick <= tick else -1
        place = bisect.bisect_right(self._kept, tick, key=lambda kept: kept[0]) - 1
        kept = self._kept[place] if place >= 0 else None
        for when, path in reversed(self._states):
            if when > tick or when <= max(here, kept[0] if kept else -1):
                continue
            try:
                moment = Moment.load(path)
            except LogError:  # damaged: an earlier one will do; the check tells of it
                continue
            if not self._story.revoked.covers(moment.position):
                return self._begin(moment.simulation, moment.position)
        if kept is not None and kept[0] > here:
            self._begin(Simulation.load(kept[1]), kept[2])
        elif here < 0:
            self._begin(Simulation(self._past.params, seed=self._past.seed), START)

    def _begin(self, simulation: Simulation, position: dict[str, int]) -> None:
        self._course = Replayer(simulation, self._story, position)
        self._records = self._course.records()
        self._record = next(self._records, None)

    def _keep(self, course: Replayer) -> None:
        """Keep the state a course has come to, where none is known within some seconds."""
        simulation = course.found.simulation
        dt, n = simulation.params.dt, simulation.params.oscillators
        seconds = max(CLOSEST, self._story.end * dt * (48 * n + 8192) / MEMORY)
        place = bisect.bisect_right(self._kept, simulation.tick, key=lambda kept: kept[0])
        near = self._kept[max(place - 1, 0) : place + 1]
        if all(abs(kept[0] - simulation.tick) * dt >= seconds for kept in near):
            self._kept.insert(place, (simulation.tick, simulation.save(), course.position))
