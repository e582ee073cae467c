"""When a frame may be drawn: a few unconfirmed ones at most, and none while nobody watches.

No clock and no input or output here: times come in as numbers (seconds, any origin), numbers of frames
go out. A *client* is one page that shows the picture. It says when it starts and stops watching, and
confirms each frame once it is on the screen. The newest state wins: a frame that cannot be sent now is
never queued, a later one is drawn in its stead. The slowest client that watches sets the pace.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

PACE_SPAN = 3.0
"""Seconds over which the pace is taken."""


class Pace(NamedTuple):
    """Frames shown a second, median ms from sending one to its confirmation, beats missed in all."""

    rate: float
    lag_ms: float
    missed: int


@dataclass
class _Client:
    heard: float
    watching: bool = True
    unconfirmed: dict[int, float] = field(default_factory=dict)  # number of the frame → time it was sent


class FrameFlow:
    """Decides when the next frame may be sent.

    ``limit`` frames at most are unconfirmed by any watching client; frames keep a beat of ``interval``
    seconds; a client that owes a confirmation and has been silent for ``patience`` seconds is taken for
    gone until it is heard of again (a closed lid, a crashed page, a message that was dropped).
    """

    def __init__(self, *, limit: int = 2, interval: float = 1 / 60, patience: float = 2.0) -> None:
        self.limit, self.interval, self.patience = limit, interval, patience
        self.fresh = False
        """Whether somebody began to watch since the last frame, and has nothing on the screen yet."""
        self._clients: dict[str, _Client] = {}
        self._due = 0.0
        self._last = self._confirmed = 0
        self._missed = 0
        self._shown: deque[tuple[float, float]] = deque()  # when confirmed, how long after it was sent

    @property
    def watched(self) -> bool:
        """Whether anybody watches."""
        return any(client.watching for client in self._clients.values())

    @property
    def in_flight(self) -> int:
        """The most frames that any watching client has not confirmed."""
        return max((len(c.unconfirmed) for c in self._clients.values() if c.watching), default=0)

    def watch(self, client: str, now: float) -> None:
        """A client says that it watches: it is new, it was hidden, or it has not seen a frame for long."""
        known = self._clients.get(client)
        if known is None or not known.watching:
            self._clients = {name: c for name, c in self._clients.items() if c.watching}
            self._clients[client] = _Client(now)
        else:
            known.heard = now
        self.fresh = True
        self._due = min(self._due, now)

    def leave(self, client: str) -> None:
        """A client says that it is hidden or going away; what it owes is forgotten."""
        self._clients.pop(client, None)

    def confirm(self, client: str, frame: int, now: float) -> None:
        """A client has shown `frame`, and with it all earlier ones."""
        known = self._clients.get(client)
        if known is None:
            return
        known.heard, known.watching = now, True
        if frame > self._confirmed and frame in known.unconfirmed:
            self._confirmed = frame
            self._shown.append((now, now - known.unconfirmed[frame]))
            self._forget(now)  # also where nobody asks how it goes
        known.unconfirmed = {n: sent for n, sent in known.unconfirmed.items() if n > frame}

    def ready(self, now: float) -> bool:
        """Whether a frame may be sent at `now`."""
        self._give_up(now)
        return self.watched and self.in_flight < self.limit and now >= self._due

    def sent(self, now: float) -> int:
        """Note that a frame is sent at `now`; its number, from 1."""
        self._last += 1
        if not self.fresh:
            self._missed += max(int((now - self._due) / self.interval), 0)
        for client in self._clients.values():
            if client.watching:
                client.unconfirmed[self._last] = now
        # A frame a little late does not delay the next: half an interval may be made up for.
        self._due = max(self._due, now - self.interval / 2) + self.interval
        self.fresh = False
        return self._last

    def pace(self, now: float) -> Pace:
        """How it goes, from the confirmations of the last seconds."""
        self._forget(now)
        lags = sorted(lag for _, lag in self._shown)
        lag = lags[len(lags) // 2] if lags else math.nan
        return Pace(len(lags) / PACE_SPAN, 1000 * lag, self._missed)

    def _forget(self, now: float) -> None:
        while self._shown and self._shown[0][0] < now - PACE_SPAN:
            self._shown.popleft()

    def postpone(self, until: float) -> None:
        """No frame before `until`: there is nothing new to show. Whoever begins to watch does not wait."""
        self._due = max(self._due, until)

    def wait(self, now: float) -> float | None:
        """Seconds after which asking again makes sense; None: not before a client says something."""
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
