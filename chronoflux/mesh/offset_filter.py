"""Clock filter: estimates a peer's clock from the samples of its probe replies.

This module reads no clock; all times are ms. A peer's clock is described by `shift`: its mesh time minus this
node's monotonic clock. The shift does not change when this node's own mesh time is moved.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

WINDOW = 60_000.0  # ms for which a sample is used
FAR_WINDOW = 150_000.0  # ms, the same for a clock that is probed every 60 s through the server
MAX_SAMPLES = 64  # most samples: the bursts of one minute and a reserve
SLEW = 500e-6  # largest rate at which a clock is slewed
DRIFT = 100e-6  # largest relative drift of two quartz clocks, each within 50 ppm
ROUNDING = 0.01  # ms; present-day times as doubles have a resolution of 0.00024 ms
DISTRUST = 60_000.0  # ms for which a clock is distrusted after a jump
UNSYNCED = 16
"""Stratum of a clock that is only on its own machine's time, as in RFC 5905."""


class Sample(NamedTuple):
    """The result of one probe: `shift` at monotonic time `at`, and the round trip; all ms."""

    at: float
    shift: float
    round_trip: float

    @property
    def bound(self) -> float:
        """Largest error of the shift (ms) for any split of the delay, if both clocks run correctly."""
        return self.round_trip / 2

    @property
    def score(self) -> float:
        """Key that orders samples by their uncertainty at any common time; the least is best."""
        return self.round_trip / 2 - DRIFT * self.at


class PeerClock:
    """Recent samples of one peer's clock, and what its replies state about it."""

    stratum: int
    reference: str
    distrusted_until: float
    reason: str
    reported: bool
    window: float
    tick: float
    answered: bool

    def __init__(self) -> None:
        self.stratum, self.reference = UNSYNCED, ""
        self.joined: int | None = None
        """When the peer's reference joined according to the server, as the peer reports it (ms)."""
        self.distrusted_until = self._jumped = -1e18
        self.reason, self.reported = "", False
        """Why it is distrusted, and whether that was reported."""
        self.window, self.tick = WINDOW, 0.0
        """How long a sample is used; the resolutions of the peer's clock and ours, added; ms."""
        self.answered = self.was_near = False
        """Whether it ever answered a probe; whether it was on our time since the last step of it."""
        self._waiting_since: float | None = None
        self.first: float | None = None
        """Monotonic time of the first of the current, consistent samples; ms."""
        self._count = 0
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)  # from oldest to newest, from best to worst

    def __len__(self) -> int:
        return self._count

    def best(self, now: float) -> Sample | None:
        """Return the sample in the window with the least uncertainty at `now`, or None.

        That is the sample of least round trip, where the drift adds to the uncertainty with age.
        """
        while self._samples and now - self._samples[0].at > self.window:
            self._samples.popleft()
        if not self._samples:
            self.first, self._count = None, 0
            return None
        return self._samples[0]

    def uncertainty(self, sample: Sample, now: float) -> float:
        """Return the largest error of the shift of `sample` at `now`, ms."""
        return sample.bound + self.tick + DRIFT * (now - sample.at)

    def jump(self, sample: Sample) -> float | None:
        """Return by how much the clock jumped (ms), if `sample` contradicts the best sample; else None.

        Between two samples either clock may be slewed, and both drift. A larger difference is a jump.
        """
        known = self.best(sample.at)
        if known is None:
            return None
        moved = sample.shift - known.shift
        certain = known.bound + sample.bound + 2 * self.tick + ROUNDING
        allowed = certain + (SLEW + DRIFT) * abs(sample.at - known.at)
        return moved if abs(moved) > allowed else None

    def on_probe_sent(self, now: float) -> None:
        """Note that a probe was sent to it."""
        if self._waiting_since is None:
            self._waiting_since = now

    def restart_wait(self, now: float) -> None:
        """Restart the wait for an answer, because this node was suspended and missed replies."""
        if self._waiting_since is not None:
            self._waiting_since = now

    def silent(self, now: float, patience: float) -> bool:
        """Return whether probes have been unanswered for more than `patience` ms."""
        return self._waiting_since is not None and now - self._waiting_since > patience

    def add(self, sample: Sample) -> None:
        """Add a sample, newer than all others."""
        self.answered, self._waiting_since = True, None
        if self.first is None:
            self.first = sample.at
        self._count = min(self._count + 1, MAX_SAMPLES)
        while self._samples and self._samples[-1].score >= sample.score:
            self._samples.pop()
        self._samples.append(sample)

    def clear(self) -> None:
        """Discard all samples."""
        self._samples.clear()
        self.first, self._count = None, 0

    def distrust(self, reason: str, now: float) -> None:
        """Distrust this clock for `DISTRUST` ms from `now`; an earlier reason is kept."""
        if self.trusted(now):
            self.reason = reason
        self.distrusted_until = now + DISTRUST

    def on_jump(self, by: float, now: float) -> None:
        """Note a jump by `by` ms, and distrust the clock."""
        self._jumped = now
        self.distrust(f"its clock jumped by {by / 1000:+.3f} s", now)

    def jumped(self, now: float) -> bool:
        """Return whether it jumped in the last minute and is still distrusted."""
        return now < self._jumped + DISTRUST and not self.trusted(now)

    def trusted(self, now: float) -> bool:
        """Return whether the clock is trusted."""
        return now >= self.distrusted_until

    @property
    def synced(self) -> bool:
        """Whether it reports a room's time, and a stratum low enough to be followed."""
        return self.stratum < UNSYNCED - 1
