"""Flow control of frames: few unconfirmed frames at a time, and none while no client watches.

This module has no clock and no I/O: times are passed in as numbers (seconds, any origin), and frame numbers
are returned. A *client* is one page that shows the picture. It reports when it starts and stops watching,
and confirms each frame once it is on the screen. The newest state wins: a frame that cannot be sent now is
not queued; a later one replaces it. The slowest watching client sets the pace.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

PACE_SPAN = 3.0
"""Seconds over which the pace is averaged."""


class Pace(NamedTuple):
    """Frames confirmed per second, median delay from sending to confirmation (ms), beats missed in total."""

    rate: float
    lag_ms: float
    missed: int


@dataclass
class _Client:
    heard: float
    watching: bool = True
    unconfirmed: dict[int, float] = field(default_factory=dict)  # number of the frame → time it was sent


class FrameFlow:
    """Decide when the next frame may be sent.

    Parameters
    ----------
    limit
        Most frames that a watching client may have unconfirmed.
    interval
        Seconds between two frames.
    patience
        Seconds after which a silent client with unconfirmed frames counts as gone, until its next message
        (a closed lid, a crashed page, a dropped message).
    """

    limit: int
    interval: float
    patience: float

    def __init__(self, *, limit: int = 2, interval: float = 1 / 60, patience: float = 2.0) -> None:
        self.limit, self.interval, self.patience = limit, interval, patience
        self.fresh: bool = False
        """Whether a client began to watch after the last frame, and so has nothing on its screen yet."""
        self._clients: dict[str, _Client] = {}
        self._due = 0.0
        self._last = self._confirmed = 0
        self._missed = 0
        self._shown: deque[tuple[float, float]] = deque()  # time of confirmation, seconds since sending

    @property
    def watched(self) -> bool:
        """Whether any client watches."""
        return any(client.watching for client in self._clients.values())

    @property
    def in_flight(self) -> int:
        """The most frames that any watching client has not confirmed."""
        return max((len(c.unconfirmed) for c in self._clients.values() if c.watching), default=0)

    def watch(self, client: str, now: float) -> None:
        """Note that a client watches: it is new, it was hidden, or it has not seen a frame for long."""
        known = self._clients.get(client)
        if known is None or not known.watching:
            self._clients = {name: c for name, c in self._clients.items() if c.watching}
            self._clients[client] = _Client(now)
        else:
            known.heard = now
        self.fresh = True
        self._due = min(self._due, now)

    def leave(self, client: str) -> None:
        """Note that a client is hidden or closing; its unconfirmed frames are forgotten."""
        self._clients.pop(client, None)

    def confirm(self, client: str, frame: int, now: float) -> None:
        """Note that a client has shown `frame`, which confirms all earlier frames too."""
        known = self._clients.get(client)
        if known is None:
            return
        known.heard, known.watching = now, True
        if frame > self._confirmed and frame in known.unconfirmed:
            self._confirmed = frame
            self._shown.append((now, now - known.unconfirmed[frame]))
            self._forget(now)  # here too, so that the queue stays short when nobody calls pace()
        known.unconfirmed = {n: sent for n, sent in known.unconfirmed.items() if n > frame}

    def ready(self, now: float) -> bool:
        """Return whether a frame may be sent at `now`."""
        self._give_up(now)
        return self.watched and self.in_flight < self.limit and now >= self._due

    def sent(self, now: float) -> int:
        """Note that a frame is sent at `now`. Return its number, counted from 1."""
        self._last += 1
        if not self.fresh:
            self._missed += max(int((now - self._due) / self.interval), 0)
        for client in self._clients.values():
            if client.watching:
                client.unconfirmed[self._last] = now
        # A slightly late frame does not delay the next: up to half an interval is caught up.
        self._due = max(self._due, now - self.interval / 2) + self.interval
        self.fresh = False
        return self._last

    def pace(self, now: float) -> Pace:
        """Return the pace over the last `PACE_SPAN` seconds, from the confirmations."""
        self._forget(now)
        lags = sorted(lag for _, lag in self._shown)
        lag = lags[len(lags) // 2] if lags else math.nan
        return Pace(len(lags) / PACE_SPAN, 1000 * lag, self._missed)

    def _forget(self, now: float) -> None:
        while self._shown and self._shown[0][0] < now - PACE_SPAN:
            self._shown.popleft()

    def postpone(self, until: float) -> None:
        """Send no frame before `until`, as nothing is new. A client that begins to watch ends the wait."""
        self._due = max(self._due, until)

    def wait(self, now: float) -> float | None:
        """Return the seconds until `ready` may change, or None if only a client's message can change it."""
        self._give_up(now)
        if not self.watched:
            return None
        if self.in_flight < self.limit:
            return max(self._due - now, 0.0)
        return max(min(self._silent_at(c) for c in self._clients.values() if c.unconfirmed) - now, 0.0)

    def _silent_at(self, client: _Client) -> float:
        return max(client.heard, min(client.unconfirmed.values())) + self.patience

    def _give_up(self, now: float) -> None:
        for client in self._clients.values():
            if client.watching and client.unconfirmed and self._silent_at(client) <= now:
                client.watching = False
