"""`Places`: what one address may take of the rooms: kept places, joins, and tries of the token. No I/O.

Many clients may share an address, as behind a router, so nothing here concerns those who are connected,
and those who come back are not counted again. An address that is exempt is told as None. Times are seconds of
a clock that never runs backwards.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from chronoflux.signal.limits import Limits
from chronoflux.util.token_bucket import Bucket

HELD = 60.0
"""Seconds after leaving in which an id that comes back is not counted as a new one."""
AGAIN = 2.0
"""Seconds within which an id that joins once more is counted all the same: no ring of joins without end."""
OPENING = 30.0
"""Seconds after the server's start in which joins are not counted: everybody comes back at once then."""
FIRST_WAIT = 0.5
"""Seconds that an address waits after its first wrong token; doubled with each further one."""
FORGIVEN = 60.0
"""Seconds after the longest wait in which wrong tokens of an address are remembered."""
REMEMBERED = 65_536
"""Most entries of each memory; beyond, the oldest is forgotten early."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key, each forgotten `span` seconds after it was last set."""

    def __init__(self, span: float) -> None:
        self._span = span
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        """How many are remembered, some perhaps for too long."""
        return len(self._entries)

    def get(self, key: K, now: float) -> V | None:
        """The value, if it was set within the span."""
        entry = self._entries.get(key)
        return None if entry is None or now - entry[0] >= self._span else entry[1]

    def set(self, key: K, value: V, now: float) -> None:
        """Remember a value."""
        self._entries[key] = (now, value)
        self._entries.move_to_end(key)
        while self._entries:
            oldest, (at, _) = next(iter(self._entries.items()))
            if now - at < self._span and len(self._entries) <= REMEMBERED:
                return
            del self._entries[oldest]


class _Tries(NamedTuple):
    """Wrong tokens of an address: how long the next one makes it wait, and until when it waits now."""

    next_wait: float
    until: float


class Places:
    """See the module. `started` is when the server was opened."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.started = -math.inf
        self._address: dict[str, str] = {}
        self._kept: dict[str, OrderedDict[str, None]] = {}
        self._left: Recent[str, bool] = Recent(HELD)
        self._joined: Recent[str, bool] = Recent(AGAIN)
        span = limits.joins_at_once / limits.joins  # a bucket that was left alone for so long is full
        self._buckets: Recent[str, Bucket] = Recent(span)
        self._tries: Recent[str, _Tries] = Recent(limits.token_wait + FORGIVEN)

    # --- places kept for the absent -------------------------------------------------------------

    def keep(self, id_: str, address: str | None) -> str | None:
        """Keep the place of an id that `address` lost; the id whose place is given up for it, if one is."""
        self.release(id_)
        if address is None:
            return None
        kept = self._kept.setdefault(address, OrderedDict())
        self._address[id_] = address
        kept[id_] = None
        return next(iter(kept)) if len(kept) > self._limits.kept else None

    def release(self, id_: str) -> None:
        """A place is kept no more: its owner is back, or it was given up. Nothing happens if it was not."""
        address = self._address.pop(id_, None)
        if address is not None:
            del self._kept[address][id_]
            if not self._kept[address]:
                del self._kept[address]

    def left(self, id_: str, now: float) -> None:
        """An id left its room."""
        self._left.set(id_, True, now)

    # --- joins ----------------------------------------------------------------------------------

    def returns(self, id_: str, now: float) -> bool:
        """Whether an id that is in no room was in one a short while ago."""
        return self._left.get(id_, now) is not None

    def join(self, id_: str, address: str | None, now: float, *, known: bool) -> float:
        """Count a join of `address`: 0 when it may be, else the seconds until the next may.

        `known`: the id is in a room now.
        """
        again = self._joined.get(id_, now) is not None
        counts = again or not (known or self.returns(id_, now))
        if counts and address is not None and now - self.started >= OPENING:
            at_once, rate = self._limits.joins_at_once, self._limits.joins
            bucket = self._buckets.get(address, now) or Bucket(rate, at_once / rate, now)
            if not bucket.take(1, now):
                return bucket.wait(1)
            self._buckets.set(address, bucket, now)
        self._joined.set(id_, True, now)
        return 0.0

    # --- tokens ---------------------------------------------------------------------------------

    def wait(self, address: str | None, now: float) -> float:
        """Seconds that an address has to wait before another token of it is looked at."""
        tries = None if address is None else self._tries.get(address, now)
        return 0.0 if tries is None else max(0.0, tries.until - now)

    def wrong(self, address: str | None, now: float) -> None:
        """An address showed a wrong token."""
        if address is None:
            return
        tries = self._tries.get(address, now)
        longest = self._limits.token_wait
        wait = min(longest, FIRST_WAIT if tries is None else tries.next_wait)
        self._tries.set(address, _Tries(min(longest, 2 * wait), now + wait), now)
