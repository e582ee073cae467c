"""`Stillness`: tells that nothing moves any more in a swarm, from its records.

A swarm with the default parameters is in order after some twenty seconds, and then a night of records is a
flat line, of which nothing can be asked. So a run says so, and what helps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

STILL = 1e-3
"""H and H_local (1), and omega (rad/s), stay within this range while nothing moves."""
LEAST = 120.0
"""s for which they must."""
EARLIEST = 300.0
"""s after the beginning of a run from which it says so."""
REMEDY = "--preset storm --schedule night"
"""What helps on the command line; in a notebook: ``cf.join(…, preset="storm", schedule="night")``."""


@dataclass
class Stillness:
    """Follows H, H_local and omega from record to record.

    ``since``: the time in s from which they have stayed within 1e-3 of each other; NaN before the first
    record. ``until``: the time of the last record.

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
        """After rows of t (s), H, H_local and omega (rad/s), in order."""
        found = cls()
        for row in rows:
            found.look(*row)
        return found

    @property
    def lasts(self) -> bool:
        """Whether nothing has moved for the last two minutes and more."""
        return self.until - self.since >= LEAST

    def look(self, t: float, H: float, H_local: float, omega: float) -> None:
        """Take a record into account. A value that is not finite counts as a change."""
        now = [H, H_local, omega]
        low = [min(pair) for pair in zip(self._low or now, now, strict=True)]
        high = [max(pair) for pair in zip(self._high or now, now, strict=True)]
        moved = not all(math.isfinite(value) for value in now)
        moved = moved or any(b - a > STILL for a, b in zip(low, high, strict=True))
        if moved or math.isnan(self.since):
            low, high, self.since = now, list(now), float(t)
        self._low, self._high, self.until = low, high, float(t)
