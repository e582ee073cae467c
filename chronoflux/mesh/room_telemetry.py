"""`RoomTelemetry`: how often a node tells the whole room its telemetry, through the server."""

from __future__ import annotations

PERIOD = 1.0  # s between two at least, on average
FEW = 16  # members; in a larger room each tells more rarely, as the server passes each one on to everybody


class RoomTelemetry:
    """See the module. Times are seconds of the monotonic clock.

    Records come once a second of simulated time, a little early or late: one may come up to a second early,
    and the next is due that much later.

    Examples
    --------
    >>> told = RoomTelemetry()
    >>> [told.due(64, float(second)) for second in range(9)]
    [True, False, False, True, False, False, False, True, False]
    """

    def __init__(self) -> None:
        self._next = 0.0

    def due(self, size: int, now: float) -> bool:
        """Whether to tell it now, to a room of so many; it is then taken as told."""
        period = PERIOD * max(1.0, size / FEW)
        if now < self._next - PERIOD:
            return False
        self._next = max(self._next, now) + period
        return True
