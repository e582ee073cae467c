"""A limit on connections that were accepted but have not finished their handshake."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class HandshakeLimit(Generic[K]):
    """Tracks pending handshakes, in total and by address, and evicts the oldest beyond a limit.

    The lobby does not know these connections yet, but each holds an open file until its handshake ends.
    The oldest is evicted because an honest client finishes its handshake quickly.
    """

    def __init__(self, most: int, per_address: int) -> None:
        self._most, self._per_address = most, per_address
        self._pending: dict[K, str] = {}
        self._by_address: dict[str, dict[K, None]] = {}

    def __len__(self) -> int:
        """Return the number of pending handshakes."""
        return len(self._pending)

    def add(self, key: K, address: str) -> K | None:
        """Add a pending handshake. Return the one that is evicted for it, or None."""
        evicted: K | None = None
        if len(self._by_address.get(address, ())) >= self._per_address:
            evicted = next(iter(self._by_address[address]))
        elif len(self._pending) >= self._most:
            evicted = next(iter(self._pending))
        if evicted is not None:
            self.remove(evicted)
        self._pending[key] = address
        self._by_address.setdefault(address, {})[key] = None
        return evicted

    def remove(self, key: K) -> None:
        """Remove a handshake that finished or failed. Idempotent."""
        address = self._pending.pop(key, None)
        if address is not None:
            del self._by_address[address][key]
            if not self._by_address[address]:
                del self._by_address[address]
