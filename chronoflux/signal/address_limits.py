"""Limits of one address: kept places, joins, and attempts at the token. No I/O.

Many clients may share an address, for example behind a router. These limits therefore do not affect clients
that are connected, and do not count clients that return. An exempt address is given as None. Times are
seconds of a clock that never runs backwards.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from chronoflux.signal.limits import Limits
from chronoflux.util.token_bucket import Bucket

RETURN_WINDOW = 60.0
"""Time after leaving within which a returning id is not counted as new, s."""
REJOIN_WINDOW = 2.0
"""Time within which a repeated join of one id counts nevertheless, s: it ends endless loops of joins."""
STARTUP_GRACE = 30.0
"""Time after the server's start without counting joins, s: all clients return at once then."""
FIRST_TOKEN_WAIT = 0.5
"""Time that an address waits after its first wrong token, s; doubled by each further one."""
TOKENS_EXPIRE = 60.0
"""Time after the longest wait for which wrong tokens of an address are remembered, s."""
MAX_ENTRIES = 65_536
"""Most entries of each `Recent`; beyond it the oldest is forgotten early."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ExpiringMap(Generic[K, V]):
    """Maps keys to values, and forgets a value `span` seconds after it was last set."""

    def __init__(self, span: float) -> None:
        self._span = span
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of entries, which may include expired ones."""
        return len(self._entries)

    def get(self, key: K, now: float) -> V | None:
        """Return the value if it was set within the span, else None."""
        entry = self._entries.get(key)
        return None if entry is None or now - entry[0] >= self._span else entry[1]

    def set(self, key: K, value: V, now: float) -> None:
        """Store a value, and remove expired entries."""
        self._entries[key] = (now, value)
        self._entries.move_to_end(key)
        while self._entries:
            oldest, (at, _) = next(iter(self._entries.items()))
            if now - at < self._span and len(self._entries) <= MAX_ENTRIES:
                return
            del self._entries[oldest]


class _WrongTokens(NamedTuple):
    """Wrong tokens of an address: the wait after the next one (s), and the end of the current wait."""

    next_wait: float
    until: float


class AddressLimits:
    """Enforces the limits of an address. `started` is when the server started."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.started: float = -math.inf
        self._address: dict[str, str] = {}
        self._held_places: dict[str, OrderedDict[str, None]] = {}
        self._departures: ExpiringMap[str, bool] = ExpiringMap(RETURN_WINDOW)
        self._joins: ExpiringMap[str, bool] = ExpiringMap(REJOIN_WINDOW)
        span = limits.joins_at_once / limits.joins  # a bucket unused for this long is full
        self._buckets: ExpiringMap[str, Bucket] = ExpiringMap(span)
        self._wrong_tokens: ExpiringMap[str, _WrongTokens] = ExpiringMap(limits.token_wait + TOKENS_EXPIRE)

    # --- places held for absent members --------------------------------------------------------

    def hold_place(self, id_: str, address: str | None) -> str | None:
        """Keep the place of an id. Return the id whose place is given up for it, or None."""
        self.release_place(id_)
        if address is None:
            return None
        kept = self._held_places.setdefault(address, OrderedDict())
        self._address[id_] = address
        kept[id_] = None
        return next(iter(kept)) if len(kept) > self._limits.kept else None

    def release_place(self, id_: str) -> None:
        """Stop keeping the place of an id: it returned, or its place was given up. Idempotent."""
        address = self._address.pop(id_, None)
        if address is not None:
            del self._held_places[address][id_]
            if not self._held_places[address]:
                del self._held_places[address]

    def on_left(self, id_: str, now: float) -> None:
        """Record that an id left its room."""
        self._departures.set(id_, True, now)

    # --- joins ----------------------------------------------------------------------------------

    def left_recently(self, id_: str, now: float) -> bool:
        """Return whether an id left a room within the last `HELD` seconds."""
        return self._departures.get(id_, now) is not None

    def on_join(self, id_: str, address: str | None, now: float, *, known: bool) -> float:
        """Count a join of `address`. Return 0 if it is allowed, else the wait until one is, s.

        `known`: the id is in a room now.
        """
        again = self._joins.get(id_, now) is not None
        counts = again or not (known or self.left_recently(id_, now))
        if counts and address is not None and now - self.started >= STARTUP_GRACE:
            at_once, rate = self._limits.joins_at_once, self._limits.joins
            bucket = self._buckets.get(address, now) or Bucket(rate, at_once / rate, now)
            if not bucket.take(1, now):
                return bucket.wait(1)
            self._buckets.set(address, bucket, now)
        self._joins.set(id_, True, now)
        return 0.0

    # --- tokens ---------------------------------------------------------------------------------

    def token_wait(self, address: str | None, now: float) -> float:
        """Return how long an address must wait until a token of it is checked again, s."""
        tries = None if address is None else self._wrong_tokens.get(address, now)
        return 0.0 if tries is None else max(0.0, tries.until - now)

    def on_wrong_token(self, address: str | None, now: float) -> None:
        """Record a wrong token of an address."""
        if address is None:
            return
        tries = self._wrong_tokens.get(address, now)
        longest = self._limits.token_wait
        wait = min(longest, FIRST_TOKEN_WAIT if tries is None else tries.next_wait)
        self._wrong_tokens.set(address, _WrongTokens(min(longest, 2 * wait), now + wait), now)
