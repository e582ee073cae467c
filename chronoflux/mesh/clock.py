"""Mesh time: milliseconds since the Unix epoch on the room's common clock.

No task and no message here: `MeshClock` is told who is in the room (`roster`) and what came of the probes
(`take`), and says what time it is (`now`). `look` draws the conclusions.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from chronoflux.errors import ProtocolError
from chronoflux.mesh.messages import ProbeReply
from chronoflux.mesh.samples import ROUNDING, SLEW, UNSYNCED, PeerClock, Sample

STEP = 128.0  # ms apart from which two clocks are on different times, which no slewing joins (RFC 5905)
SHARP = 2.0  # ms of uncertainty with which a first fix is good at once; slewing works off as much in 4 s
BURST, BURST_MS = 8, 1_000.0  # probes in a burst; ms in which they have come back, or will not
LATEST = 10_000.0  # ms of round trip after which a reply says nothing
PATIENCE = 10_000.0  # ms to wait for those who joined earlier before one's own time has to do
GONE_FOR = 180_000.0  # ms in which nobody is followed to a reference that was seen to go

Rank = tuple[float, str, int]
"""Who is followed: when the reference joined, its id, the stratum. The least is the best."""


def monotonic_ms() -> float:
    """A clock that nobody sets and that goes on while the machine sleeps, where there is one; ms."""
    if hasattr(time, "clock_gettime_ns"):
        which = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return time.clock_gettime_ns(which) / 1e6
    return time.perf_counter_ns() / 1e6


def utc_ms() -> float:
    """This machine's UTC, ms since the Unix epoch."""
    return time.time_ns() / 1e6


class Offset(NamedTuple):
    """A peer's clock minus ours, how far that may be wrong, and the round trip it was measured with; ms."""

    offset_ms: float
    uncertainty_ms: float
    rtt_ms: float


@dataclass(frozen=True)
class Followed:
    """This node's mesh time has another reference now; `step` (ms) is what it was moved by at once, if it
    was on another time before."""

    reference: str
    stratum: int
    step: float | None = None


@dataclass(frozen=True)
class Judged:
    """A peer's clock is not believed any more (or again), and why."""

    peer: str
    trusted: bool
    reason: str = ""


class _Line(NamedTuple):
    """Mesh time from monotonic time `since` on: `time` there, then slewed until `slew` ms are worked off."""

    since: float
    time: float
    slew: float

    def at(self, mono: float) -> float:
        passed = mono - self.since
        return self.time + (passed + math.copysign(min(abs(self.slew), SLEW * passed), self.slew))


class MeshClock:
    """The room's clock as this node knows it.

    Until it knows better, and with servers that do not say who joined first, it is this machine's UTC. The
    first in a room begins the room's time there; a newcomer takes it over from its neighbours, once, by a
    step. From then on mesh time is slewed by at most 500 ppm and never runs backwards, unless this node and
    the room have drifted into times of their own (it was suspended, or alone with another server): then the
    smaller part, or of two equal ones that of the later reference, steps once more.

    `mono` and `utc` read this machine's clocks, in ms. `now` may be called from any thread, the rest on the
    event loop.
    """

    def __init__(self, mono: Callable[[], float] = monotonic_ms, utc: Callable[[], float] = utc_ms) -> None:
        self.mono = mono
        self.reference, self.stratum = "", UNSYNCED
        self.steps = 0
        """How often mesh time was moved at once."""
        self._utc = utc
        self._line: _Line | None = None
        self._lock = threading.Lock()
        self._id, self._joined = "", math.inf
        self._roster: dict[str, float] = {}
        self._met: dict[str, float] = {}
        self._went: dict[str, float] = {}
        self._peers: dict[str, PeerClock] = {}
        self._reference_joined: float = math.inf

    # -- what it says ----------------------------------------------------------------------------------

    def now(self) -> float:
        """Mesh time, ms with fractions."""
        with self._lock:
            return self._utc() if self._line is None else self._line.at(self.mono())

    @property
    def settled(self) -> bool:
        """Whether mesh time is what it will stay; not while a newcomer waits for its first fix."""
        if self._line is not None:
            return True
        now = self.mono()
        return not any(now - self._met[peer] < PATIENCE for peer in self._earlier())

    def standing(self) -> tuple[str, int, int | None]:
        """What replies to probes say of this clock: reference, stratum, and when the reference joined."""
        known = self.stratum < UNSYNCED and math.isfinite(self._reference_joined)
        return self.reference, self.stratum, int(self._reference_joined) if known else None

    def offset(self, peer: str) -> Offset | None:
        """What is known of a peer's clock; None if nothing."""
        clock, now = self._peers.get(peer), self.mono()
        best = clock.best(now) if clock else None
        if clock is None or best is None:
            return None
        apart = best.shift + now - self.now()
        return Offset(apart, clock.uncertainty(best, now), best.round_trip)

    def unsynced(self, peer: str) -> bool:
        """Whether a peer said that it is on its machine's time, not yet on the room's."""
        clock = self._peers.get(peer)
        return clock is not None and clock.stratum == UNSYNCED

    def objection(self, peer: str) -> str:
        """Why what a peer says of times is not to be used; empty when nothing speaks against it."""
        clock = self._peers.get(peer)
        if clock is None or self._line is None:
            return ""
        if not clock.trusted(self.mono()):
            return clock.reason
        known = self.offset(peer) if clock.stratum < UNSYNCED else None
        if known is not None and abs(known.offset_ms) > STEP + known.uncertainty_ms:
            return f"its clock and ours are {abs(known.offset_ms) / 1000:.1f} s apart"
        return ""

    # -- what it is told -------------------------------------------------------------------------------

    def roster(self, own: tuple[str, int | None], peers: Mapping[str, int | None]) -> None:
        """Who is here: this node's id and when it joined, and those of its neighbours who have a clock."""
        self._id = own[0]
        if own[1] is not None:
            self._joined = own[1]
        now = self.mono()
        for peer in self._roster.keys() - peers.keys():
            self._went[peer] = now
        self._went = {
            peer: when for peer, when in self._went.items() if peer not in peers and now - when < GONE_FOR
        }
        self._roster = {peer: math.inf if joined is None else joined for peer, joined in peers.items()}
        self._met = {peer: self._met.get(peer, now) for peer in peers}
        self._peers = {peer: clock for peer, clock in self._peers.items() if peer in peers}

    def unlink(self, peer: str) -> None:
        """A peer is no neighbour any more, but still in the room."""
        self._roster.pop(peer, None)
        self._peers.pop(peer, None)

    def take(self, peer: str, sent: float, reply: ProbeReply, received: float) -> None:
        """Take a peer's reply to a probe; `sent` and `received` are on this node's monotonic clock.

        Raises
        ------
        ProtocolError
            When it cannot be true.
        """
        if peer not in self._roster:
            return
        round_trip = (received - sent) - (reply.t2 - reply.t1)
        if reply.t2 < reply.t1 or round_trip < -ROUNDING:
            raise ProtocolError("probe-reply", "it was held for longer than it took to come")
        if reply.stratum < UNSYNCED and (reply.stratum == 0) != (reply.ref == peer):
            raise ProtocolError("probe-reply", "its stratum and its reference do not fit")
        if round_trip > LATEST:
            return
        shift = ((reply.t1 - sent) + (reply.t2 - received)) / 2
        sample = Sample((sent + received) / 2, shift, max(0.0, round_trip))
        clock = self._peers.setdefault(peer, PeerClock())
        jump = clock.jump(sample)
        if jump is not None or (clock.stratum == UNSYNCED) != (reply.stratum == UNSYNCED):
            home = abs(shift + received - self.now()) <= STEP + sample.bound
            known = self.offset(peer)
            away = known is not None and abs(known.offset_ms) > STEP + known.uncertainty_ms
            unsynced = UNSYNCED in (clock.stratum, reply.stratum)
            clock.forget()
            if away and home:
                clock.distrusted_until = received  # it found back
            elif jump is not None and not unsynced:
                clock.distrust(f"its clock jumped by {jump / 1000:+.3f} s", received)
        clock.stratum, clock.reference, clock.joined = reply.stratum, reply.ref, reply.joined
        clock.add(sample)

    # -- what follows ----------------------------------------------------------------------------------

    def look(self) -> list[Followed | Judged]:
        """Choose whom to follow and steer towards it; what changed."""
        now = self.mono()
        changes: list[Followed | Judged] = []
        for peer, clock in self._peers.items():
            if clock.reason and clock.trusted(now):
                clock.reason = ""
                changes.append(Judged(peer, trusted=True))
            elif clock.reason and not clock.told:
                changes.append(Judged(peer, trusted=False, reason=clock.reason))
            clock.told = bool(clock.reason)
        if math.isinf(self._joined):
            return changes  # a server that does not say who was first: UTC
        offsets = {
            peer: known
            for peer, clock in self._peers.items()
            if clock.usable(now) and (known := self.offset(peer)) is not None
        }
        step = self._step(offsets, now)
        if step is not None:
            offsets = {
                peer: known._replace(offset_ms=known.offset_ms - step) for peer, known in offsets.items()
            }
        elif self._line is None:
            if self._earlier():
                return changes
            self._line = _Line(now, self._utc(), 0.0)  # the first in the room: its time begins here
        followed = self._follow(offsets)
        if followed != (self.reference, self.stratum) or step is not None:
            told = followed[0] != self.reference or step is not None
            self.reference, self.stratum = followed
            if told:
                changes.append(Followed(*followed, step))
        return changes

    def _earlier(self) -> list[str]:
        """Those of the neighbours who joined before this node."""
        return [peer for peer, joined in self._roster.items() if joined < self._joined]

    def _rank(self, peer: str, lost: Collection[str] = ()) -> Rank:
        """How good a peer is to follow; what the server said goes before what the peer says.

        One that still names a reference that is `lost`, or this node, is taken for the reference itself: if
        it is not, it will soon say whom it follows instead.
        """
        clock = self._peers[peer]
        reference, stratum = clock.reference, clock.stratum
        if reference == self._id or reference in self._went or reference in lost:
            reference, stratum = peer, 0
        claimed = math.inf if clock.joined is None else float(clock.joined)
        return (self._roster.get(reference, claimed), reference, stratum + 1)

    def _step(self, offsets: Mapping[str, Offset], now: float) -> float | None:
        """By how much to move at once, ms: on the first fix, or when the room is on another time; or None.

        Of several times the one that most are on is the room's; this node counts for its own.
        """
        here = {peer for peer, known in offsets.items() if self._line is not None and _near(known, 0.0)}
        there = [peer for peer in offsets.keys() - here if self._ripe(peer, offsets[peer], now)]
        if not there:
            return None

        def crowd(peer: str) -> int:
            return sum(_near(other, offsets[peer].offset_ms) for other in offsets.values())

        best = min(there, key=lambda peer: (-crowd(peer), self._rank(peer)))
        if self._line is not None:
            lost = self._lost(here)
            mine = min([(self._joined, self._id, 0), *(self._rank(peer, lost) for peer in here)])
            if (-crowd(best), self._rank(best)) > (-1 - len(here), mine):
                return None
        step = offsets[best].offset_ms
        self._move(step)
        return step

    def _ripe(self, peer: str, known: Offset, now: float) -> bool:
        """Whether enough is known of a peer's clock to step to it: a short round trip, or a whole burst."""
        clock = self._peers[peer]
        over = len(clock) >= BURST or (clock.first is not None and now - clock.first >= BURST_MS)
        return over or known.uncertainty_ms <= SHARP

    def _follow(self, offsets: Mapping[str, Offset]) -> tuple[str, int]:
        """Slew towards the best of those on this node's time; the reference and the stratum that follow."""
        own = (self._joined, self._id, 0)
        near = [peer for peer, known in offsets.items() if _near(known, 0.0)]
        lost = self._lost(near)
        ranks = {peer: self._rank(peer, lost) for peer in near}
        best = min(near, key=lambda peer: (ranks[peer], offsets[peer].uncertainty_ms), default=None)
        if best is None or ranks[best] > own:
            self._reference_joined = self._joined
            return self._id, 0
        self._slew(offsets[best].offset_ms)
        self._reference_joined, reference, stratum = ranks[best]
        return reference, stratum

    def _lost(self, near: Collection[str]) -> set[str]:
        """Those whose clocks are known, and known not to be on this node's time, or not believed."""
        return self._peers.keys() - near

    def _move(self, by: float) -> None:
        """Set mesh time on by so many ms, at once."""
        with self._lock:
            mono = self.mono()
            before = self._utc() if self._line is None else self._line.at(mono)
            self._line = _Line(mono, before + by, 0.0)
            self.steps += 1

    def _slew(self, by: float) -> None:
        """Set mesh time on by so many ms, bit by bit."""
        with self._lock:
            if self._line is not None:
                mono = self.mono()
                self._line = _Line(mono, self._line.at(mono), by)


def _near(known: Offset, offset: float) -> bool:
    """Whether a clock is on the same time as one with this offset."""
    return abs(known.offset_ms - offset) <= STEP + known.uncertainty_ms
