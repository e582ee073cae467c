"""What this node knows of another one's clock, from the probes that went there and back.

No clock is read here; all times are ms. A peer's clock is described by `shift`: its mesh time minus this
node's monotonic clock, so that nothing changes when this node's own mesh time is moved.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

WINDOW = 60_000.0  # ms that a sample is used
KEPT = 64  # samples: a minute's bursts and some more
SLEW = 500e-6  # by which a clock may run fast or slow while it is put right
DRIFT = 30e-6  # by which two quartz clocks drift apart: twice the tolerance of RFC 5905 (PHI)
ROUNDING = 0.01  # ms; a double of the present epoch has steps of 0.00024 ms
DISTRUST = 60_000.0  # ms that a clock is not believed after it jumped
UNSYNCED = 16
"""Stratum of a clock that is on nobody's time but its own machine's, as in RFC 5905."""


class Sample(NamedTuple):
    """One probe and its reply: `shift` at monotonic time `at`, and how long the round trip took."""

    at: float
    shift: float
    round_trip: float

    @property
    def bound(self) -> float:
        """What the shift may be wrong by: with any delays, if no clock is wrong, never more."""
        return self.round_trip / 2


class PeerClock:
    """The newest samples of one peer's clock, and what it says of itself in its replies."""

    def __init__(self) -> None:
        self.stratum, self.reference = UNSYNCED, ""
        self.joined: int | None = None
        """When the peer's reference joined by the server's word, as the peer tells it."""
        self.distrusted_until = -1e18
        self.reason, self.told = "", False
        """Why it is not believed, and whether that was said."""
        self._samples: deque[Sample] = deque(maxlen=KEPT)

    @property
    def first(self) -> float | None:
        """When the oldest sample was taken."""
        return self._samples[0].at if self._samples else None

    def __len__(self) -> int:
        return len(self._samples)

    def best(self, now: float) -> Sample | None:
        """The sample of the last minute that bounds the shift best: the one of least round trip, where
        age counts as much as clocks drift."""
        while self._samples and now - self._samples[0].at > WINDOW:
            self._samples.popleft()
        return min(self._samples, key=lambda sample: sample.bound + DRIFT * (now - sample.at), default=None)

    def uncertainty(self, sample: Sample, now: float) -> float:
        """What the shift of `sample` may be wrong by at `now`, ms."""
        return sample.bound + DRIFT * (now - sample.at)

    def jump(self, sample: Sample) -> float | None:
        """By how much the clock jumped, when `sample` cannot be true together with what was known.

        Between two samples it may have been slewed here or there, and both clocks drift; more is a jump.
        """
        known = self.best(sample.at)
        if known is None:
            return None
        moved = sample.shift - known.shift
        allowed = known.bound + sample.bound + (SLEW + DRIFT) * abs(sample.at - known.at) + ROUNDING
        return moved if abs(moved) > allowed else None

    def add(self, sample: Sample) -> None:
        """Take a sample, the newest."""
        self._samples.append(sample)

    def forget(self) -> None:
        """Nothing known any more holds."""
        self._samples.clear()

    def distrust(self, reason: str, now: float) -> None:
        """Do not believe this clock for a minute."""
        self.reason, self.distrusted_until = reason, now + DISTRUST

    def trusted(self, now: float) -> bool:
        """Whether it is believed."""
        return now >= self.distrusted_until

    def usable(self, now: float) -> bool:
        """Whether it can be followed: on a room's time, believed, and heard of lately."""
        return self.stratum < UNSYNCED - 1 and self.trusted(now) and self.best(now) is not None
