"""`Deadlines`: what falls due when, by key, in whatever order it was set. No clock here."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """See the module; times are seconds. A key has one deadline, the one that was set last."""

    def __init__(self) -> None:
        self._due: dict[K, int] = {}
        self._heap: list[tuple[float, int, K]] = []  # with what was taken back since, until it comes up
        self._count = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._due)

    def set(self, key: K, at: float) -> None:
        """Let `key` fall due at a time."""
        self._count += 1
        self._due[key] = self._count
        heapq.heappush(self._heap, (at, self._count, key))
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [entry for entry in self._heap if self._holds(entry)]
            heapq.heapify(self._heap)

    def take_back(self, key: K) -> None:
        """Let it fall due no more; nothing happens if it was not to."""
        self._due.pop(key, None)

    def first(self) -> float | None:
        """When the next falls due."""
        while self._heap and not self._holds(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def fallen(self, now: float) -> Iterator[K]:
        """Take out those whose time has come, the earliest first."""
        while (at := self.first()) is not None and at <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._due[key]
            yield key

    def _holds(self, entry: tuple[float, int, K]) -> bool:
        return self._due.get(entry[2]) == entry[1]
