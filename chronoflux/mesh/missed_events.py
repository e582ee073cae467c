"""Detection of missed events: those of others that this node lacks, and its own that others lack. No I/O.

Each node numbers its events from 0 in each session, and reports the highest number in telemetry and hellos. A
number that has not arrived 90 to 95 s after it was reported will not arrive: the event is missed. A hello
lists which of the receiver's events have arrived so far. From this the receiver knows which of them it will
not send again, so both sides record the same numbers.

A session is a node's stay under one id. The id derives from a secret drawn at each start, so a restarted node
has a new id. A node that keeps its secret, such as a reloaded page, sends another ``session`` instead.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chronoflux.mesh.messages import RANGES

MISSED_AFTER = 95.0  # s after which a reported number that did not arrive is missed
BATCH = 5.0  # s; numbers reported within this time are due together, with the first
MAX_AHEAD = 4096  # most numbers kept that arrived before a missing one
MAX_ORIGINS = 1024  # most origins kept; beyond that the oldest is forgotten


@dataclass(frozen=True)
class Missed:
    """Events of one node that another did not receive: `count` numbers between `first` and `last`."""

    first: int
    last: int
    count: int

    def data(self, **whose: str) -> dict[str, Any]:
        """Return the data of the record.

        `whose` is ``origin`` if this node lacks the events, ``peer`` if that peer does.
        """
        return {**whose, "from": self.first, "to": self.last, "count": self.count}


class _OriginEvents:
    """The event numbers that arrived of one origin: `since` + 1 to `floor`, and those in `ahead`."""

    def __init__(self, floor: int, session: str) -> None:
        self.floor, self.since, self.session = floor, floor, session
        self.ahead: set[int] = set()
        self.reported: deque[tuple[int, float]] = deque()

    def on_received(self, n: int) -> None:
        if n <= self.floor or (len(self.ahead) >= MAX_AHEAD and n != self.floor + 1):
            return
        self.ahead.add(n)
        self._advance()

    def on_reported(self, n: int, now: float) -> None:
        if n <= (self.reported[-1][0] if self.reported else self.floor):
            return
        due = now + MISSED_AFTER
        if self.reported and due - self.reported[-1][1] < BATCH:
            due = self.reported.pop()[1]
        self.reported.append((n, due))

    def pop_missed(self, now: float) -> Missed | None:
        """Return what is missed at `now`, and stop waiting for it."""
        last = None
        while self.reported and self.reported[0][1] <= now:
            last = self.reported.popleft()[0]
        if last is None or last <= self.floor:
            return None
        lacking = _absent(self.floor + 1, last, _ranges(self.ahead))
        self.floor = last
        self.ahead = {n for n in self.ahead if n > last}
        self._advance()
        return lacking

    def _advance(self) -> None:
        while self.floor + 1 in self.ahead:
            self.floor += 1
            self.ahead.discard(self.floor)


class MissedEvents:
    """Tracks missed events in both directions. `now` is a monotonic clock in seconds.

    Examples
    --------
    >>> clock = [0.0]
    >>> missing = MissedEvents(now=lambda: clock[0])
    >>> missing.on_reported("a", 4)  # a newcomer does not miss earlier events
    >>> missing.on_received("a", 6, direct=True)
    >>> missing.on_reported("a", 7)
    >>> missing.pop_missed()
    []
    >>> clock[0] = 95.0
    >>> missing.pop_missed()
    [('a', Missed(first=5, last=7, count=2))]
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._origins: dict[str, _OriginEvents] = {}
        self._accounted_to: dict[str, int] = {}

    # -- others' events ----------------------------------------------------------------------------------

    def on_reported(self, origin: str, n: int | None, *, session: str | None = None) -> None:
        """Note that `origin` reported its highest number `n`; None if it does not number its events.

        Earlier events do not count on its first report, and when its session changed.
        """
        if n is None:
            return
        heard = self._origins.get(origin)
        if heard is None or (session is not None and heard.session and session != heard.session):
            heard = self._add_origin(origin, n, session or "")
        elif session and not heard.session:
            heard.session = session
        heard.on_reported(n, self._now())

    def on_received(self, origin: str, n: int | None, *, direct: bool) -> None:
        """Note the arrival of event `n`, from its origin (`direct`) or forwarded.

        A forwarding node may invent the number. Numbers of forwarded events therefore count only if their
        origin has reported its own before.
        """
        if n is None or (origin not in self._origins and not direct):
            return
        heard = self._origins.get(origin) or self._add_origin(origin, n, "")
        heard.on_received(n)
        if direct:
            heard.on_reported(n, self._now())

    def pop_missed(self) -> list[tuple[str, Missed]]:
        """Return what is missed by now, by origin; each number once."""
        now = self._now()
        found = ((origin, heard.pop_missed(now)) for origin, heard in self._origins.items())
        return [(origin, missed) for origin, missed in found if missed is not None]

    def hello_fields(self, origin: str) -> dict[str, Any]:
        """Return the fields of a hello to `origin` that list its events that arrived, if any."""
        heard = self._origins.get(origin)
        if heard is None:
            return {}
        return {"since": heard.since, "heard": heard.floor, "also": _ranges(heard.ahead)[:RANGES]}

    def _add_origin(self, origin: str, n: int, session: str) -> _OriginEvents:
        if len(self._origins) >= MAX_ORIGINS and origin not in self._origins:
            del self._origins[next(iter(self._origins))]
        heard = self._origins[origin] = _OriginEvents(n, session)
        return heard

    # -- this node's events ------------------------------------------------------------------------------

    def on_peer_present(self, peer: str, last: int) -> None:
        """Note that a peer is present; of this node's events up to number `last` it misses none.

        If it was present before, events missed since then still count.
        """
        self._accounted_to.setdefault(peer, last)
        if len(self._accounted_to) > MAX_ORIGINS:
            del self._accounted_to[next(iter(self._accounted_to))]

    def missed_by(
        self, peer: str, heard: int, also: Sequence[tuple[int, int]], waiting: Collection[int], last: int
    ) -> Missed | None:
        """Return which of this node's events a peer will not receive, given what it `heard`; each once.

        `waiting` are the numbers that will be sent to it again; `last` is the highest number so far.
        """
        if peer not in self._accounted_to:
            return None
        first = max(heard, self._accounted_to[peer]) + 1
        end = min(min(waiting, default=last + 1) - 1, last)
        if end < first:
            return None
        self._accounted_to[peer] = end
        return _absent(first, end, also)


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return numbers as sorted ranges with inclusive ends."""
    found: list[tuple[int, int]] = []
    for n in sorted(numbers):
        if found and found[-1][1] == n - 1:
            found[-1] = (found[-1][0], n)
        else:
            found.append((n, n))
    return found


def _absent(first: int, last: int, arrived: Iterable[tuple[int, int]]) -> Missed | None:
    """Return the numbers from `first` to `last` that are not in the ranges `arrived`."""
    gaps: list[tuple[int, int]] = []
    at = first
    for low, high in sorted(arrived):
        if low > last:
            break
        if low > at:
            gaps.append((at, low - 1))
        at = max(at, high + 1)
    if at <= last:
        gaps.append((at, last))
    if not gaps:
        return None
    return Missed(gaps[0][0], gaps[-1][1], sum(high - low + 1 for low, high in gaps))
