"""A token bucket: how many events a second, and at once."""

from __future__ import annotations


class Bucket:
    """A token bucket: `rate` a second, at most `rate · burst` at once."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._size = rate, rate * burst
        self._level, self._at = self._size, now

    def take(self, amount: float, now: float) -> bool:
        """Take `amount`, or nothing when there is less."""
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        if amount > self._level:
            return False
        self._level -= amount
        return True

    def wait(self, amount: float) -> float:
        """Seconds from the last `take` until `amount` can be taken."""
        return max(0.0, amount - self._level) / self._rate
