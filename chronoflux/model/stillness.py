"""`Stillness`: detects from its records that a swarm no longer changes.

A swarm with the default parameters is synchronised after about twenty seconds. A night of records is then a
flat line, from which nothing can be learned. So a run reports it, and what helps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

STILL = 1e-3
"""Range within which H and H_local (1) and omega (rad/s) stay if nothing changes."""
LEAST = 120.0
"""s for which they must stay within it."""
EARLIEST = 300.0
"""s after the start of a run before which it is not reported."""
REMEDY = "--preset storm --schedule night"
"""Advice for the command line; in a notebook: ``cf.join(…, preset="storm", schedule="night")``."""


@dataclass
class Stillness:
    """Follows H, H_local and omega from record to record.

    ``since``: the time in s since when each has stayed within a range of 1e-3; NaN before the first record.
    ``until``: the time of the last record, s.

    Examples
    --------
    >>> flat = Stillness.of([(t, 0.99, 0.99, 7.5) for t in range(300)])
    >>> flat.since, flat.lasts
    (0.0, True)
    """

    since: float = math.nan
    until: float = math.nan
    _low: list[float] = field(default_factory=list)
    _high: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Iterable[tuple[float, float, float, float]]) -> Self:
        """The result for rows of t (s), H, H_local and omega (rad/s), in order."""
        found = cls()
        for row in rows:
            found.look(*row)
        return found

    @property
    def lasts(self) -> bool:
        """Whether nothing has changed for the last two minutes or longer."""
        return self.until - self.since >= LEAST

    def look(self, t: float, H: float, H_local: float, omega: float) -> None:
        """Add a record. A value that is not finite counts as a change."""
        now = [H, H_local, omega]
        low = [min(pair) for pair in zip(self._low or now, now, strict=True)]
        high = [max(pair) for pair in zip(self._high or now, now, strict=True)]
        moved = not all(math.isfinite(value) for value in now)
        moved = moved or any(b - a > STILL for a, b in zip(low, high, strict=True))
        if moved or math.isnan(self.since):
            low, high, self.since = now, list(now), float(t)
        self._low, self._high, self.until = low, high, float(t)
