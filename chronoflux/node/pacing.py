"""How fast a run goes: in step with mesh time, or as fast as the machine and its disk allow.

A pace says how many ticks are due. Ticks are counted against mesh time from the last anchor, not summed up,
so the swarm does not drift, however long a run is.
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

MAX_BATCH = 16  # most ticks computed without a break,
MAX_BATCH_TIME = 100.0  # or those of so many ms of mesh time, where that is more
ALL_THREADS = 50.0  # ms late from which all processors are used
STALL = 5_000.0  # ms late after which the lost time is skipped instead of caught up
WARN_PERIOD = 60.0  # s between two warnings about a machine that is too slow
AHEAD = 250.0  # ms ahead of mesh time (after a clock was set back) from which the anchor is moved
FLUSH_PERIOD = 1.0  # s between two waits for the disk at full speed
FLUSH_TIMEOUT = 0.5  # s of one wait for the disk
INLINE = 20_000  # oscillator ticks that take less time than handing work to another thread

Speed = float | Literal["max"]


class Due(NamedTuple):
    """What a pace wants done: `ticks` to compute, by all threads or by one.

    With a `why`, the swarm is first synchronised to mesh time again, and `lost` ms are skipped.
    """

    ticks: int
    why: str = ""
    lost: float = 0.0
    use_all_threads: bool = True


class Pace(Protocol):
    """How fast a run goes."""

    speed: float
    """Simulated seconds per second of mesh time."""

    @property
    def unsynchronised(self) -> bool:
        """Whether mesh time was stepped and the swarm is not synchronised to it again yet."""

    def on_resynchronised(self) -> None:
        """Handle that the swarm was synchronised to mesh time."""

    def ready(self, simulation: Simulation) -> bool:
        """Return at once whether :meth:`due` has something to do."""

    def due(self, simulation: Simulation) -> Due:
        """Return what to do now. May wait for the disk: called on the worker, unless `runs_inline`."""

    def runs_inline(self, simulation: Simulation) -> bool:
        """Return whether what is due waits for nothing and takes less time than handing it to the worker."""

    def wait(self, simulation: Simulation) -> float:
        """Return the expected seconds until there is something to do."""


class RealTime:
    """In step with mesh time, `speed` simulated seconds per second.

    A machine that was too slow for a while catches up, a bounded number of ticks at a time. What is late by
    more than `STALL` ms is skipped, with a warning in the name of `name`.
    """

    def __init__(self, clock: MeshClock, speed: float = 1.0, name: str = "swarm") -> None:
        self.speed = speed
        self._clock, self._steps, self._name = clock, clock.steps, name
        self._lost = 0.0  # s skipped so far
        self._warned = -math.inf

    @property
    def unsynchronised(self) -> bool:
        """See :class:`Pace`."""
        return self._clock.steps != self._steps

    def on_resynchronised(self) -> None:
        """See :class:`Pace`."""
        self._steps = self._clock.steps

    def _tick(self, simulation: Simulation) -> float:
        """Return the length of a tick in ms of mesh time."""
        return 1000 * simulation.params.dt / self.speed

    def _late(self, simulation: Simulation) -> float:
        """Return how far the swarm is behind mesh time, ms."""
        return self._clock.now() - simulation.mesh_time()

    def ready(self, simulation: Simulation) -> bool:
        """See :class:`Pace`."""
        late = self._late(simulation)
        return not self.unsynchronised and not -AHEAD <= late < self._tick(simulation)

    def due(self, simulation: Simulation) -> Due:
        """See :class:`Pace`."""
        late, tick = self._late(simulation), self._tick(simulation)
        if self.unsynchronised:
            return Due(0)  # the command that synchronises the swarm again is in the queue
        if late > STALL + tick:
            self._warn(late, simulation.params.oscillators)
            return Due(1, "stall", late)
        if late < -AHEAD:
            return Due(0, "clock set back")
        # While one thread is fast enough, the others are free for pictures and the page that shows them.
        ticks = max(0, min(int(late // tick), max(MAX_BATCH, int(MAX_BATCH_TIME // tick))))
        return Due(ticks, use_all_threads=late - tick > ALL_THREADS)

    def _warn(self, late: float, oscillators: int) -> None:
        """Log how much was skipped, at most once per `WARN_PERIOD`."""
        self._lost += late / 1000
        if (now := self._clock.mono() / 1000) - self._warned < WARN_PERIOD:
            return
        self._warned = now
        log.warning(
            "%s: %.1f s late, skipped instead of caught up (%.1f s since the start): this machine slept, "
            "or is too slow for %d oscillators at this speed; take fewer oscillators or a lower speed",
            *(self._name, late / 1000, self._lost, oscillators),
        )

    def runs_inline(self, simulation: Simulation) -> bool:
        """See :class:`Pace`. Never: pictures and links must not wait for the swarm."""
        return False

    def wait(self, simulation: Simulation) -> float:
        """See :class:`Pace`."""
        ahead = self._tick(simulation) - self._late(simulation)
        return min(max(ahead / 1000, 0.0), 0.1)


class FullSpeed:
    """As fast as possible; mesh time is the time that has passed in the swarm.

    Where the disk is slower than the swarm, or cannot be written, the swarm waits, so that nothing is missing
    in the log.
    """

    speed: float = 1.0
    unsynchronised: bool = False

    def __init__(self, log: RunLog) -> None:
        self._log, self._flushed = log, time.monotonic()

    def on_resynchronised(self) -> None:
        """See :class:`Pace`."""

    def ready(self, simulation: Simulation) -> bool:
        """See :class:`Pace`."""
        return True

    def due(self, simulation: Simulation) -> Due:
        """See :class:`Pace`."""
        if self._log.phases is not None and not self._log.phases.keeps_up(FLUSH_TIMEOUT):
            return Due(0)
        if time.monotonic() - self._flushed >= FLUSH_PERIOD:
            if not self._log.flush(FLUSH_TIMEOUT):
                return Due(0)
            self._flushed = time.monotonic()
        return Due(simulation.batch)

    def runs_inline(self, simulation: Simulation) -> bool:
        """See :class:`Pace`. True for a second of a small swarm, after which its record is due."""
        waits = self._log.phases is not None or time.monotonic() - self._flushed >= FLUSH_PERIOD
        return not waits and simulation.params.oscillators < INLINE * simulation.params.dt

    def wait(self, simulation: Simulation) -> float:
        """See :class:`Pace`."""
        return 0.0


def checked_speed(speed: object, *, alone: bool) -> Speed:
    """Return a speed as given by a user; `alone` says that the node joins no room.

    Raises
    ------
    UsageError
        When it is neither a number > 0 nor ``"max"``, or ``"max"`` in a room.
    """
    if speed == "max":
        if not alone:
            raise UsageError(
                'speed = "max" needs a swarm without a room, because peers share their room\'s time: use '
                "--offline (server=None), or leave out the speed"
            )
        return "max"
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 < speed < math.inf:
        raise UsageError(f'speed = {shorten(speed)}: give simulated seconds per second, > 0, or "max"')
    return float(speed)


def checked_duration(duration: object) -> float:
    """Return simulated seconds as given by a user; UsageError unless they are a number > 0."""
    if isinstance(duration, bool) or not isinstance(duration, int | float) or not duration > 0:
        raise UsageError(f"duration = {shorten(duration)}: give simulated seconds, > 0")
    return duration
