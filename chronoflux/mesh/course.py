"""What a node knows of the clocks around it, and the course it sets for its own: words that the rules share.

Which clock is followed is decided by the server's word (`succession`) or, where the server tells no roster,
by what the peers say (`claims`). Both get a `View` and give a `Course`. No clock is read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from chronoflux.mesh.offset_filter import PeerClock

STEP = 128.0  # ms apart from which two clocks are on different times, which no slewing joins (RFC 5905)
SHARP = 2.0  # ms of uncertainty with which a first fix is good at once; slewing works off as much in 4 s
BURST, BURST_MS = 8, 1_000.0  # probes in a burst; ms in which they have come back, or will not
PATIENCE = 10_000.0  # ms that an answer is waited for

Key = tuple[float, str]
"""When a member joined, and its id: the least leads the room's time."""


class Offset(NamedTuple):
    """A peer's clock minus ours, how far that may be wrong, and the round trip it was measured with; ms."""

    offset_ms: float
    uncertainty_ms: float
    rtt_ms: float

    def near(self, offset: float = 0.0) -> bool:
        """Whether a clock is on the same time as one with this offset; without one, as ours."""
        return abs(self.offset_ms - offset) <= STEP + self.uncertainty_ms

    def after(self, step: float) -> Offset:
        """The same when our clock was moved by `step` ms."""
        return self._replace(offset_ms=self.offset_ms - step)


class Course(NamedTuple):
    """Whom mesh time follows: the reference, over how many others, and when it joined. Mesh time is moved by
    `step` ms at once, then slewed by `slew` ms; None leaves it as it is."""

    reference: str
    stratum: int
    joined: float
    step: float | None = None
    slew: float | None = None


@dataclass(frozen=True)
class View:
    """What is known at a look; `now` in ms of the monotonic clock.

    `measured` has the clocks that are on a room's time and were heard of lately, `offsets` those of them that
    are believed. `neighbours` says when each joined, inf where nobody says so; `met`, since when a member is
    known. `started` tells whether mesh time was fixed; `present` is the course so far.
    """

    now: float
    own: Key
    started: bool
    present: Course
    clocks: Mapping[str, PeerClock]
    measured: Mapping[str, Offset]
    offsets: Mapping[str, Offset]
    neighbours: Mapping[str, float]
    met: Mapping[str, float]

    def ripe(self, peer: str) -> bool:
        """Whether enough is known of a clock to step to it: a short round trip, or a whole burst."""
        clock = self.clocks[peer]
        over = len(clock) >= BURST or (clock.first is not None and self.now - clock.first >= BURST_MS)
        return over or self.measured[peer].uncertainty_ms <= SHARP


def intersection(intervals: Iterable[tuple[float, float]]) -> tuple[float, float, int]:
    """The interval that most intervals have in common, and how many do (Marzullo's algorithm).

    Of several that as many have in common it is the first. Without intervals it is ``(0, 0, 0)``.

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
