"""How fast a run goes: in step with mesh time, or as fast as the machine and its disk allow.

A pace says how many ticks are due. Ticks are counted against mesh time from the last anchor on and never
summed up, so nothing drifts, however long a run is.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Literal, NamedTuple, Protocol

from chronoflux.errors import UsageError, shorten
from chronoflux.mesh.clock import MeshClock
from chronoflux.model.simulation import Simulation
from chronoflux.telemetry import RunLog

log: logging.Logger = logging.getLogger(__name__)

MAX_BATCH = 16  # ticks computed before others are listened to again,
SHARE = 100.0  # or those of so many ms, where that is more
HURRY = 50.0  # ms late from which all processors are used
STALL = 5_000.0  # ms late after which the lost time is given up instead of caught up
TELL_PERIOD = 60.0  # s between two words about a machine that is too slow
AHEAD = 250.0  # ms ahead of mesh time (a clock set back) after which the anchor is moved
SETTLE = 1.0  # s between two waits for the disk at full speed
DISK = 0.5  # s of waiting for the disk before others are listened to again
BRIEF = 20_000  # ticks of an oscillator that take less than a few handings-over between threads

Speed = float | Literal["max"]


class Due(NamedTuple):
    """What a pace wants done: `ticks` to compute; first, with a `why`, the swarm tied to mesh time anew,
    `lost` ms of which are given up. `hurry`: all processors may be used."""

    ticks: int
    why: str = ""
    lost: float = 0.0
    hurry: bool = True


class Pace(Protocol):
    """How fast a run goes."""

    speed: float
    """Simulated seconds in a second of mesh time."""

    @property
    def loose(self) -> bool:
        """Whether mesh time was moved, and the swarm is not tied to it again yet."""

    def tied(self) -> None:
        """The swarm was tied to mesh time."""

    def ready(self, simulation: Simulation) -> bool:
        """Whether :meth:`due` has something to do; at once."""

    def due(self, simulation: Simulation) -> Due:
        """What to do now. May wait for the disk: called on the worker, unless it is brief."""

    def brief(self, simulation: Simulation) -> bool:
        """Whether what is due waits for nothing, and is done sooner than it is handed to the worker."""

    def wait(self, simulation: Simulation) -> float:
        """Seconds until there is something to do, as far as can be foreseen."""


class RealTime:
    """In step with mesh time, `speed` simulated seconds a second.

    A machine that was too slow for a while catches up, a bounded number of ticks at a time; what is lost
    for more than `STALL` ms is given up, and the log (of ``logging``) says so in the name of `name`.
    """

    def __init__(self, clock: MeshClock, speed: float = 1.0, name: str = "swarm") -> None:
        self.speed = speed
        self._clock, self._steps, self._name = clock, clock.steps, name
        self._lost = 0.0  # s given up so far
        self._told = -math.inf

    @property
    def loose(self) -> bool:
        """See :class:`Pace`."""
        return self._clock.steps != self._steps

    def tied(self) -> None:
        """See :class:`Pace`."""
        self._steps = self._clock.steps

    def _tick(self, simulation: Simulation) -> float:
        """Length of a tick in ms of mesh time."""
        return 1000 * simulation.params.dt / self.speed

    def _late(self, simulation: Simulation) -> float:
        return self._clock.now() - simulation.mesh_time()

    def ready(self, simulation: Simulation) -> bool:
        """See :class:`Pace`."""
        late = self._late(simulation)
        return not self.loose and not -AHEAD <= late < self._tick(simulation)

    def due(self, simulation: Simulation) -> Due:
        """See :class:`Pace`."""
        late, tick = self._late(simulation), self._tick(simulation)
        if self.loose:
            return Due(0)  # the input that ties the swarm to mesh time again is on its way
        if late > STALL + tick:
            self._tell(late, simulation.params.oscillators)
            return Due(1, "stall", late)
        if late < -AHEAD:
            return Due(0, "clock set back")
        # As long as one thread is quick enough, the others are for pictures, and the page that shows them.
        ticks = max(0, min(int(late // tick), max(MAX_BATCH, int(SHARE // tick))))
        return Due(ticks, hurry=late - tick > HURRY)

    def _tell(self, late: float, oscillators: int) -> None:
        """Say now and then what was given up."""
        self._lost += late / 1000
        if (now := self._clock.mono() / 1000) - self._told < TELL_PERIOD:
            return
        self._told = now
        log.warning(
            "%s: %.1f s late, given up instead of caught up (%.1f s since the start): this machine slept, "
            "or is too slow for %d oscillators at this speed",
            *(self._name, late / 1000, self._lost, oscillators),
        )

    def brief(self, simulation: Simulation) -> bool:
        """See :class:`Pace`. Never: pictures and links are not to wait for it."""
        return False

    def wait(self, simulation: Simulation) -> float:
        """See :class:`Pace`."""
        ahead = self._tick(simulation) - self._late(simulation)
        return min(max(ahead / 1000, 0.0), 0.1)


class FullSpeed:
    """As fast as it goes; mesh time is what has passed in the swarm.

    Where the disk is slower than the swarm, or cannot be written, the swarm waits: nothing presses it, and
    so nothing is missing in the log.
    """

    speed: float = 1.0
    loose = False

    def __init__(self, log: RunLog) -> None:
        self._log, self._settled = log, time.monotonic()

    def tied(self) -> None:
        """See :class:`Pace`."""

    def ready(self, simulation: Simulation) -> bool:
        """See :class:`Pace`."""
        return True

    def due(self, simulation: Simulation) -> Due:
        """See :class:`Pace`."""
        if self._log.phases is not None and not self._log.phases.keeps_up(DISK):
            return Due(0)
        if time.monotonic() - self._settled >= SETTLE:
            if not self._log.flush(DISK):
                return Due(0)
            self._settled = time.monotonic()
        return Due(simulation.batch)

    def brief(self, simulation: Simulation) -> bool:
        """See :class:`Pace`. A second of a small swarm, at the end of which its record is due, is."""
        waits = self._log.phases is not None or time.monotonic() - self._settled >= SETTLE
        return not waits and simulation.params.oscillators < BRIEF * simulation.params.dt

    def wait(self, simulation: Simulation) -> float:
        """See :class:`Pace`."""
        return 0.0


def checked_speed(speed: object, *, alone: bool) -> Speed:
    """A speed as a user gave it.

    Raises
    ------
    UsageError
        When it is neither a number > 0 nor ``"max"``, or ``"max"`` in a room.
    """
    if speed == "max":
        if not alone:
            raise UsageError(
                'speed = "max" is for a swarm alone, for peers share the time of their room: say --offline '
                "(server=None), or leave the speed out"
            )
        return "max"
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 < speed < math.inf:
        raise UsageError(f'speed = {shorten(speed)}: give simulated seconds per second, > 0, or "max"')
    return float(speed)


def checked_duration(duration: object) -> float:
    """Simulated seconds as a user gave them; UsageError unless it is a number > 0."""
    if isinstance(duration, bool) or not isinstance(duration, int | float) or not duration > 0:
        raise UsageError(f"duration = {shorten(duration)}: give simulated seconds, > 0")
    return duration
