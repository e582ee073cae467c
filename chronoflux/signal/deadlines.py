"""A priority queue of deadlines by key. It reads no clock."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """A priority queue of deadlines (s). Each key has one deadline, the one that was set last."""

    def __init__(self) -> None:
        self._current: dict[K, int] = {}
        self._heap: list[tuple[float, int, K]] = []  # may hold cancelled entries, which are skipped
        self._count = 0

    def __len__(self) -> int:
        """Return the number of pending deadlines."""
        return len(self._current)

    def set(self, key: K, at: float) -> None:
        """Set the deadline of `key`, replacing an earlier one."""
        self._count += 1
        self._current[key] = self._count
        heapq.heappush(self._heap, (at, self._count, key))
        if len(self._heap) > 2 * len(self._current) + 64:
            self._heap = [entry for entry in self._heap if self._is_current(entry)]
            heapq.heapify(self._heap)

    def cancel(self, key: K) -> None:
        """Cancel the deadline of `key`, if it has one."""
        self._current.pop(key, None)

    def first(self) -> float | None:
        """Return the earliest deadline, or None."""
        while self._heap and not self._is_current(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> Iterator[K]:
        """Remove and yield the keys whose deadline has passed, earliest first."""
        while (at := self.first()) is not None and at <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._current[key]
            yield key

    def _is_current(self, entry: tuple[float, int, K]) -> bool:
        return self._current.get(entry[2]) == entry[1]
