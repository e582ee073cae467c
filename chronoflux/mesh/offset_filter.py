"""What this node knows of another one's clock, from the probes that went there and back.

No clock is read here; all times are ms. A peer's clock is described by `shift`: its mesh time minus this
node's monotonic clock, so that nothing changes when this node's own mesh time is moved.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

WINDOW = 60_000.0  # ms that a sample is used
FAR_WINDOW = 150_000.0  # ms that a sample is used of a clock that is asked every 60 s, through the server
KEPT = 64  # samples: a minute's bursts and some more
SLEW = 500e-6  # by which a clock may run fast or slow while it is put right
DRIFT = 100e-6  # by which two quartz clocks drift apart, each within 50 ppm
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

    @property
    def score(self) -> float:
        """Orders samples by how far they may be wrong at one moment, whichever that is: the least is best."""
        return self.round_trip / 2 - DRIFT * self.at


class PeerClock:
    """The newest samples of one peer's clock, and what it says of itself in its replies."""

    def __init__(self) -> None:
        self.stratum, self.reference = UNSYNCED, ""
        self.joined: int | None = None
        """When the peer's reference joined by the server's word, as the peer tells it."""
        self.distrusted_until = self._jumped = -1e18
        self.reason, self.told = "", False
        """Why it is not believed, and whether that was said."""
        self.window, self.tick = WINDOW, 0.0
        """For how long a sample is used; how coarse the peer's clock and ours are, together; ms."""
        self.answered = self.was_near = False
        """Whether it ever answered a probe; whether it was on our time once, since that was last moved."""
        self._awaited: float | None = None
        self.first: float | None = None
        """When the first sample was taken of those that hold together."""
        self._count = 0
        self._samples: deque[Sample] = deque(maxlen=KEPT)  # each bounds the shift worse than the one before

    def __len__(self) -> int:
        return self._count

    def best(self, now: float) -> Sample | None:
        """The sample of the last minute that bounds the shift best: the one of least round trip, where
        age counts as much as clocks drift."""
        while self._samples and now - self._samples[0].at > self.window:
            self._samples.popleft()
        if not self._samples:
            self.first, self._count = None, 0
            return None
        return self._samples[0]

    def uncertainty(self, sample: Sample, now: float) -> float:
        """What the shift of `sample` may be wrong by at `now`, ms."""
        return sample.bound + self.tick + DRIFT * (now - sample.at)

    def jump(self, sample: Sample) -> float | None:
        """By how much the clock jumped, when `sample` cannot be true together with what was known.

        Between two samples it may have been slewed here or there, and both clocks drift; more is a jump.
        """
        known = self.best(sample.at)
        if known is None:
            return None
        moved = sample.shift - known.shift
        certain = known.bound + sample.bound + 2 * self.tick + ROUNDING
        allowed = certain + (SLEW + DRIFT) * abs(sample.at - known.at)
        return moved if abs(moved) > allowed else None

    def ask(self, now: float) -> None:
        """It is asked for the time."""
        if self._awaited is None:
            self._awaited = now

    def excuse(self, now: float) -> None:
        """This node was not there to hear the answers: they are awaited from now on."""
        if self._awaited is not None:
            self._awaited = now

    def silent(self, now: float, patience: float) -> bool:
        """Whether it has been asked for so many ms and does not answer."""
        return self._awaited is not None and now - self._awaited > patience

    def add(self, sample: Sample) -> None:
        """Take a sample, the newest."""
        self.answered, self._awaited = True, None
        if self.first is None:
            self.first = sample.at
        self._count = min(self._count + 1, KEPT)
        while self._samples and self._samples[-1].score >= sample.score:
            self._samples.pop()
        self._samples.append(sample)

    def forget(self) -> None:
        """Nothing known any more holds."""
        self._samples.clear()
        self.first, self._count = None, 0

    def distrust(self, reason: str, now: float) -> None:
        """Do not believe this clock for a minute from now on; the reason told first stays."""
        if self.trusted(now):
            self.reason = reason
        self.distrusted_until = now + DISTRUST

    def leap(self, by: float, now: float) -> None:
        """It jumped by so many ms: it is not believed for a minute."""
        self._jumped = now
        self.distrust(f"its clock jumped by {by / 1000:+.3f} s", now)

    def jumped(self, now: float) -> bool:
        """Whether it jumped in the last minute, and has not found back."""
        return now < self._jumped + DISTRUST and not self.trusted(now)

    def trusted(self, now: float) -> bool:
        """Whether it is believed."""
        return now >= self.distrusted_until

    @property
    def synced(self) -> bool:
        """Whether it is on a room's time, by its own word, and near enough to its reference to be used."""
        return self.stratum < UNSYNCED - 1
