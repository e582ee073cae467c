"""A token bucket, which limits the rate and the burst of events."""

from __future__ import annotations


class Bucket:
    """Allow `rate` tokens per second, and at most `rate · burst` at once. Times are s of any clock."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._size = rate, rate * burst
        self._level, self._at = self._size, now

    def take(self, amount: float, now: float) -> bool:
        """Take `amount` tokens if there are enough. Return whether they were taken."""
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        if amount > self._level:
            return False
        self._level -= amount
        return True

    def wait(self, amount: float) -> float:
        """Return the seconds from the last `take` until `amount` can be taken."""
        return max(0.0, amount - self._level) / self._rate
