"""The server's `Limits`, and the `RateLimits` that enforce them on one connection.

It reads no clock: methods take the time in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from chronoflux.errors import ParameterError
from chronoflux.signal.protocol import ServerLimits
from chronoflux.util.token_bucket import Bucket


def _limit(default: float, doc: str, low: float = 1) -> Any:
    return field(default=default, metadata={"doc": doc, "low": low})


@dataclass(frozen=True, kw_only=True)
class Limits:
    """All limits of the server. Frozen and validated; each field is a command-line option.

    Raises
    ------
    ParameterError
        If a limit is not a finite number, or is below its least value.
    """

    message: int = _limit(65_536, "largest message, in bytes")
    payload: int = _limit(16_384, "largest broadcast or telemetry message, in bytes")
    messages: float = _limit(60.0, "messages per second and connection")
    bytes: float = _limit(131_072.0, "bytes per second and connection")
    burst: float = _limit(2.0, "seconds' worth of messages that may arrive at once")
    over: float = _limit(10.0, "seconds over a limit until the client is disconnected", 0)
    per_address: int = _limit(64, "connections per address")
    room: int = _limit(256, "peers per room")
    roster: int = _limit(256, "peers of a room up to which each gets the complete roster")
    who: float = _limit(20.0, "who messages per second and connection")
    connections: int = _limit(10_000, "connections")
    join: float = _limit(10.0, "seconds from connecting to joining", 0.1)
    grace: float = _limit(15.0, "seconds that a broken connection may take to return", 0)
    kept: int = _limit(8, "places held for broken connections of an address", 0)
    joins: float = _limit(4.0, "joins per second and address", 0.01)
    joins_at_once: int = _limit(20, "joins at once per address")
    token_wait: float = _limit(30.0, "seconds that an address waits after wrong tokens", 0)
    queue_messages: int = _limit(1024, "messages queued for a slow receiver")
    queue_bytes: int = _limit(4_194_304, "bytes queued for a slow receiver")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, low = getattr(self, entry.name), entry.metadata["low"]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value < low:
                raise ParameterError(f"--max-{entry.name.replace('_', '-')}", value, f"a number >= {low:g}")

    def text(self, code: str) -> str:
        """Return the limit as a sentence, for the client that exceeded it."""
        return {
            "message-size": f"a message may have at most {self.message} bytes",
            "payload-size": f"a broadcast or telemetry message may have at most {self.payload} bytes",
            "message-rate": f"{self.messages:g} messages a second are allowed",
            "byte-rate": f"{self.bytes:g} bytes a second are allowed",
            "who-rate": f"{self.who:g} who messages a second are allowed",
            "server-full": f"the server accepts at most {self.connections} connections",
            "address-full": f"an address may have at most {self.per_address} connections",
            "room-full": f"a room may have at most {self.room} peers",
            "join-rate": f"an address may join {self.joins_at_once} times, then {self.joins:g} times/s",
            "join-timeout": f"no join arrived within {self.join:g} s",
        }[code]

    def announced(self) -> ServerLimits:
        """Return the limits that the welcome announces to clients."""
        return ServerLimits(
            message=self.message,
            payload=self.payload,
            messages=self.messages,
            bytes=self.bytes,
            room=self.room,
            grace=self.grace,
        )


@dataclass
class _Streak:
    """A run of refusals with one code, each within `PAUSE` of the previous one."""

    start: float
    last: float
    last_sent: float


STREAK_GAP = 2.0
"""Seconds without a refusal after which a client is no longer over that limit."""
ERROR_INTERVAL = 1.0
"""Least time between two errors of one code to one connection, s."""


class RateLimits:
    """Tracks the rates of one connection, and how long it has exceeded each limit."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._messages = Bucket(limits.messages, limits.burst, now)
        self._bytes = Bucket(limits.bytes, limits.burst, now)
        self._who = Bucket(limits.who, 1, now)
        self._streaks: dict[str, _Streak] = {}

    def exceeded(self, size: int, now: float) -> str | None:
        """Return the code of the limit that a message of `size` bytes exceeds, or None."""
        if size > self._limits.message:
            return "message-size"
        if not self._messages.take(1, now):
            return "message-rate"
        if not self._bytes.take(size, now):
            return "byte-rate"
        return None

    def allows_who(self, now: float) -> bool:
        """Return whether one more ``who`` message is allowed."""
        return self._who.take(1, now)

    def on_refusal(self, code: str, now: float) -> tuple[bool, bool]:
        """Record a refusal. Return whether to tell the client, and whether to disconnect it."""
        streak = self._streaks.get(code)
        if streak is None or now - streak.last > STREAK_GAP:
            last_sent = -math.inf if streak is None else streak.last_sent
            streak = self._streaks[code] = _Streak(now, now, last_sent)
        streak.last = now
        send_error = now - streak.last_sent >= ERROR_INTERVAL
        if send_error:
            streak.last_sent = now
        return send_error, now - streak.start >= self._limits.over
