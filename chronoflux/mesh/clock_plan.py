"""Types that the rules for choosing a clock reference share: `ClockView`, their input, and `ClockPlan`.

The reference is chosen by the server's roster (`succession`) or, if the server sends none, by the peers'
claims (`claims`). This module reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from chronoflux.mesh.offset_filter import PeerClock

STEP = 128.0  # ms; clocks further apart are on different times, and are stepped, not slewed (RFC 5905)
SHARP_UNCERTAINTY = 2.0  # ms; a first fix with less uncertainty is used at once; slewing removes 2 ms in 4 s
BURST, BURST_MS = 8, 1_000.0  # probes in a burst; ms within which their replies arrive, if ever
ANSWER_TIMEOUT = 10_000.0  # ms to wait for an answer

Key = tuple[float, str]
"""When a member joined, and its id; the member with the least key is the reference."""


class Offset(NamedTuple):
    """A peer's clock minus ours, its uncertainty, and the round trip of the measurement; all ms."""

    offset_ms: float
    uncertainty_ms: float
    rtt_ms: float

    def near(self, offset: float = 0.0) -> bool:
        """Return whether a clock is on the same time as a clock with this `offset` (default: ours)."""
        return abs(self.offset_ms - offset) <= STEP + self.uncertainty_ms

    def after(self, step: float) -> Offset:
        """Return the offset after our clock is moved by `step` ms."""
        return self._replace(offset_ms=self.offset_ms - step)


class ClockPlan(NamedTuple):
    """The reference of mesh time, the stratum, when the reference joined (ms), and the correction.

    Mesh time is stepped by `step` ms, then slewed by `slew` ms; None means no change.
    """

    reference: str
    stratum: int
    joined: float
    step: float | None = None
    slew: float | None = None


@dataclass(frozen=True)
class ClockView:
    """What is known when the reference is chosen; `now` is in ms of the monotonic clock.

    `measured` holds the clocks that are on a room's time and have a recent sample, `offsets` the trusted ones
    of them. `neighbours` tells when each joined (inf if unknown), `first_seen` since when a member is known.
    `started`: mesh time is fixed. `current` is the current plan.
    """

    now: float
    own: Key
    started: bool
    current: ClockPlan
    clocks: Mapping[str, PeerClock]
    measured: Mapping[str, Offset]
    offsets: Mapping[str, Offset]
    neighbours: Mapping[str, float]
    first_seen: Mapping[str, float]

    def well_measured(self, peer: str) -> bool:
        """Return whether a clock is known well enough to step to it: a short round trip or a whole burst."""
        clock = self.clocks[peer]
        over = len(clock) >= BURST or (clock.first is not None and self.now - clock.first >= BURST_MS)
        return over or self.measured[peer].uncertainty_ms <= SHARP_UNCERTAINTY


def intersection(intervals: Iterable[tuple[float, float]]) -> tuple[float, float, int]:
    """Return the interval that most of the `intervals` contain, and their number (Marzullo's algorithm).

    If several qualify it is the first. Without intervals the result is ``(0, 0, 0)``.

    Examples
    --------
    >>> intersection([(8, 12), (11, 13), (10, 12), (50, 60)])
    (11, 12, 3)
    """
    edges = sorted(edge for low, high in intervals for edge in ((low, 0), (high, 1)))
    best, count, found = 0, 0, (0.0, 0.0)
    for number, (at, ends) in enumerate(edges):
        count += -1 if ends else 1
        if count > best:
            best, found = count, (at, edges[number + 1][0])
    return *found, best
