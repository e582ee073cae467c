"""`RoomTelemetry`: the rate at which a node sends its telemetry to the whole room, through the server."""

from __future__ import annotations

PERIOD = 1.0  # least average time between two messages, s
FEW = 16  # members; larger rooms send less often, because the server forwards each message to all


class RoomTelemetry:
    """Limits the rate of telemetry to the whole room. Times are seconds of the monotonic clock.

    Records are made once a second of simulated time, with jitter. A message may be up to a second early; the
    next one is then due that much later.

    Examples
    --------
    >>> telemetry = RoomTelemetry()
    >>> [telemetry.due(64, float(second)) for second in range(9)]
    [True, False, False, True, False, False, False, True, False]
    """

    def __init__(self) -> None:
        self._next = 0.0

    def due(self, size: int, now: float) -> bool:
        """Return whether to send now, in a room of `size` members. True counts as sent."""
        period = PERIOD * max(1.0, size / FEW)
        if now < self._next - PERIOD:
            return False
        self._next = max(self._next, now) + period
        return True
