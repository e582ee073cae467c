"""Which numbers of others' events this node lacks, and which of its own the others lack. No I/O.

Each node numbers its events from 0 in each session and tells the highest number by telemetry and hellos. Who
still lacks a number 90 to 95 s after it heard of it never gets it any more: the event is missed. A hello says
what of the other's events arrived so far; with this the other knows what it will not tell again, and so both
sides have the same numbers on record.

A session is a node's stay under one id. That is made of a secret drawn at each start, so a restarted node is
somebody else; one that keeps its secret, as a page may that is loaded again, tells another ``session``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chronoflux.mesh.messages import RANGES

PATIENCE = 95.0  # s until a number that was told and did not arrive is missed, or …
TOGETHER = 5.0  # … so much less, together with the one told before
AHEAD = 4096  # numbers kept that came before one that lacks
KNOWN = 1024  # origins; of more, the one that was heard of first is forgotten


@dataclass(frozen=True)
class Missed:
    """Events of one node that another did not get: `count` of the numbers from `first` to `last`."""

    first: int
    last: int
    count: int

    def facts(self, **whose: str) -> dict[str, Any]:
        """As they go on record: ``origin`` where this node lacks them, ``peer`` where that one does."""
        return {**whose, "from": self.first, "to": self.last, "count": self.count}


class _Heard:
    """What arrived of one origin's events: all numbers from `since` + 1 to `floor`, and those in `ahead`."""

    def __init__(self, floor: int, session: str) -> None:
        self.floor, self.since, self.session = floor, floor, session
        self.ahead: set[int] = set()
        self.told: deque[tuple[int, float]] = deque()

    def hear(self, n: int) -> None:
        if n <= self.floor or (len(self.ahead) >= AHEAD and n != self.floor + 1):
            return
        self.ahead.add(n)
        self._advance()

    def tell(self, n: int, now: float) -> None:
        if n <= (self.told[-1][0] if self.told else self.floor):
            return
        due = now + PATIENCE
        if self.told and due - self.told[-1][1] < TOGETHER:
            due = self.told.pop()[1]
        self.told.append((n, due))

    def due(self, now: float) -> Missed | None:
        """What is missed by now; from then on it is not waited for."""
        last = None
        while self.told and self.told[0][1] <= now:
            last = self.told.popleft()[0]
        if last is None or last <= self.floor:
            return None
        lacking = _lacking(self.floor + 1, last, _ranges(self.ahead))
        self.floor = last
        self.ahead = {n for n in self.ahead if n > last}
        self._advance()
        return lacking

    def _advance(self) -> None:
        while self.floor + 1 in self.ahead:
            self.floor += 1
            self.ahead.discard(self.floor)


class Missing:
    """See the module. `now` is a monotonic clock in seconds.

    Examples
    --------
    >>> clock = [0.0]
    >>> missing = Missing(now=lambda: clock[0])
    >>> missing.tell("a", 4)  # who comes into a room misses nothing of what was before
    >>> missing.hear("a", 6, direct=True)
    >>> missing.tell("a", 7)
    >>> missing.due()
    []
    >>> clock[0] = 95.0
    >>> missing.due()
    [('a', Missed(first=5, last=7, count=2))]
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._origins: dict[str, _Heard] = {}
        self._settled: dict[str, int] = {}

    # -- others' events ----------------------------------------------------------------------------------

    def tell(self, origin: str, n: int | None, *, session: str | None = None) -> None:
        """A node says that its highest number is `n`; None from one that does not number its events.

        The first time, and when its session is another one, what was before does not count.
        """
        if n is None:
            return
        heard = self._origins.get(origin)
        if heard is None or (session is not None and heard.session and session != heard.session):
            heard = self._meet(origin, n, session or "")
        elif session and not heard.session:
            heard.session = session
        heard.tell(n, self._now())

    def hear(self, origin: str, n: int | None, *, direct: bool) -> None:
        """An event arrived, from its origin or passed on by others, who may have made its number up.

        So by others only numbers of an origin are heard that spoke for itself.
        """
        if n is None or (origin not in self._origins and not direct):
            return
        heard = self._origins.get(origin) or self._meet(origin, n, "")
        heard.hear(n)
        if direct:
            heard.tell(n, self._now())

    def due(self) -> list[tuple[str, Missed]]:
        """What is missed by now, by origin; each number once."""
        now = self._now()
        found = ((origin, heard.due(now)) for origin, heard in self._origins.items())
        return [(origin, missed) for origin, missed in found if missed is not None]

    def word(self, origin: str) -> dict[str, Any]:
        """What a hello to this node says of its events that arrived; nothing before any did."""
        heard = self._origins.get(origin)
        if heard is None:
            return {}
        return {"since": heard.since, "heard": heard.floor, "also": _ranges(heard.ahead)[:RANGES]}

    def _meet(self, origin: str, n: int, session: str) -> _Heard:
        if len(self._origins) >= KNOWN and origin not in self._origins:
            del self._origins[next(iter(self._origins))]
        heard = self._origins[origin] = _Heard(n, session)
        return heard

    # -- this node's events ------------------------------------------------------------------------------

    def meet(self, peer: str, last: int) -> None:
        """A peer is there, perhaps again; of this node's events up to number `last` it misses none.

        Those it may miss from an earlier stay are still counted.
        """
        self._settled.setdefault(peer, last)
        if len(self._settled) > KNOWN:
            del self._settled[next(iter(self._settled))]

    def lost(
        self, peer: str, heard: int, also: Sequence[tuple[int, int]], waiting: Collection[int], last: int
    ) -> Missed | None:
        """Which of this node's events a peer will not get, as it says what it `heard`; each number once.

        `waiting` are the numbers that will be told it again, `last` is the highest number so far.
        """
        if peer not in self._settled:
            return None
        first = max(heard, self._settled[peer]) + 1
        end = min(min(waiting, default=last + 1) - 1, last)
        if end < first:
            return None
        self._settled[peer] = end
        return _lacking(first, end, also)


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as ranges, first and last included, in order."""
    found: list[tuple[int, int]] = []
    for n in sorted(numbers):
        if found and found[-1][1] == n - 1:
            found[-1] = (found[-1][0], n)
        else:
            found.append((n, n))
    return found


def _lacking(first: int, last: int, arrived: Iterable[tuple[int, int]]) -> Missed | None:
    """The numbers from `first` to `last` that are not in the ranges that `arrived`."""
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
