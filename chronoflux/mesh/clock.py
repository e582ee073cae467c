"""Mesh time: milliseconds since the Unix epoch on the room's common clock.

No task and no message here: `MeshClock` is told who is in the room (`roster`) and what came of the probes
(`take`), and says what time it is (`now`). `look` draws the conclusions.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from chronoflux.errors import ProtocolError
from chronoflux.mesh import claims
from chronoflux.mesh.course import BURST, PATIENCE, STEP, Course, Offset, View
from chronoflux.mesh.messages import ProbeReply
from chronoflux.mesh.offset_filter import FAR_WINDOW, ROUNDING, SLEW, UNSYNCED, WINDOW, PeerClock, Sample
from chronoflux.mesh.succession import Succession

__all__ = [
    "BURST",
    "STEP",
    "Followed",
    "Judged",
    "MeshClock",
    "Offset",
    "monotonic_ms",
    "monotonic_tick",
    "utc_ms",
]

LATEST = 10_000.0  # ms of round trip after which a reply says nothing
GONE_FOR = 180_000.0  # ms in which nobody is followed to a reference that was seen to go
STALL = 5_000.0  # ms between two looks after which this node was not there to hear answers


def monotonic_ms() -> float:
    """A clock that nobody sets and that goes on while the machine sleeps, where there is one; ms."""
    if hasattr(time, "clock_gettime_ns"):
        which = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return time.clock_gettime_ns(which) / 1e6
    return time.perf_counter_ns() / 1e6


def monotonic_tick() -> float:
    """How coarse `monotonic_ms` is; ms."""
    which = time.get_clock_info("monotonic" if hasattr(time, "clock_gettime_ns") else "perf_counter")
    return which.resolution * 1000


def utc_ms() -> float:
    """This machine's UTC, ms since the Unix epoch."""
    return time.time_ns() / 1e6


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
    first in a room begins the room's time there; a newcomer takes it over, once, by a step. From then on
    mesh time is slewed by at most 500 ppm and never runs backwards, unless this node's time is not the
    room's: its own clock leapt, or it was alone with another server. Who leads is said by the server's
    roster, see `Succession`; where the server tells none, by the peers' claims, see `claims`.

    `mono` and `utc` read this machine's clocks, in ms; `tick` is how coarse they are, in ms. `now` may be
    called from any thread, the rest on the event loop.
    """

    def __init__(
        self,
        mono: Callable[[], float] = monotonic_ms,
        utc: Callable[[], float] = utc_ms,
        *,
        tick: float | None = None,
    ) -> None:
        self.mono = mono
        self.tick = monotonic_tick() if tick is None else tick
        self.steps = 0
        """How often mesh time was moved at once."""
        self._utc = utc
        self._line: _Line | None = None
        self._gap = 0.0
        self._lock = threading.Lock()
        self._id, self._joined = "", math.inf
        self._course = Course("", UNSYNCED, math.inf)
        self._roster: dict[str, float] = {}
        self._met: dict[str, float] = {}
        self._went: dict[str, float] = {}
        self._peers: dict[str, PeerClock] = {}
        self._ticks: Mapping[str, float] = {}
        self._succession: Succession | None = None
        self._looked = math.inf

    # -- what it says ----------------------------------------------------------------------------------

    def now(self) -> float:
        """Mesh time, ms with fractions."""
        with self._lock:
            return self._utc() if self._line is None else self._line.at(self.mono())

    @property
    def reference(self) -> str:
        """Whose time mesh time is; empty while it is this machine's UTC."""
        return self._course.reference

    @property
    def stratum(self) -> int:
        """Over how many others mesh time comes from the reference."""
        return self._course.stratum

    @property
    def settled(self) -> bool:
        """Whether mesh time is what it will stay; not while a newcomer waits for its first fix."""
        if self._line is not None:
            return True
        now = self.mono()
        return not any(now - self._met[peer] < PATIENCE for peer in self._earlier())

    @property
    def asked(self) -> Sequence[str]:
        """Members whose time has to be known, be they neighbours or not, the best first."""
        return () if self._succession is None else self._succession.asked

    def standing(self) -> tuple[str, int, int | None]:
        """What replies to probes say of this clock: reference, stratum, and when the reference joined."""
        reference, stratum, joined, *_ = self._course
        known = stratum < UNSYNCED and math.isfinite(joined)
        return reference, stratum, int(joined) if known else None

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
        return clock is not None and clock.answered and clock.stratum == UNSYNCED

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

    def roster(
        self,
        own: tuple[str, int | None],
        peers: Mapping[str, int | None],
        *,
        ranked: Sequence[tuple[str, int]] | None = None,
        ticks: Mapping[str, float] | None = None,
    ) -> None:
        """Who is here.

        Parameters
        ----------
        own:
            This node's id, and when it joined.
        peers:
            The neighbours who have a clock, and when they joined.
        ranked:
            The members that may lead the room's time, by the server's word, the best first, each with when
            it joined; None where the server tells no roster.
        ticks:
            How coarse the neighbours' clocks are, ms, where they say so.
        """
        self._id = own[0]
        if own[1] is not None:
            self._joined = own[1]
        now = self.mono()
        if ranked is not None:
            self._succession = self._succession or Succession()
            self._succession.take([(float(joined), id_) for id_, joined in ranked], self._id)
        for peer in self._roster.keys() - peers.keys():
            self._went[peer] = now
        self._went = {
            peer: when for peer, when in self._went.items() if peer not in peers and now - when < GONE_FOR
        }
        self._roster = {peer: math.inf if joined is None else joined for peer, joined in peers.items()}
        known = peers.keys() | {peer for peer, _ in ranked or ()}
        self._met = {peer: self._met.get(peer, now) for peer in known}
        self._peers = {
            peer: clock for peer, clock in self._peers.items() if peer in peers or peer in self.asked
        }
        self._ticks = ticks or {}
        for peer in self._peers:
            self._known(peer)

    def unlink(self, peer: str) -> None:
        """A peer is no neighbour any more, but still in the room."""
        self._roster.pop(peer, None)
        self._peers.pop(peer, None)

    def ask(self, peer: str) -> None:
        """A probe is on its way to a peer."""
        if peer in self._roster or peer in self.asked:
            self._known(peer).ask(self.mono())

    def take(self, peer: str, sent: float, reply: ProbeReply, received: float) -> None:
        """Take a peer's reply to a probe; `sent` and `received` are on this node's monotonic clock.

        Raises
        ------
        ProtocolError
            When it cannot be true.
        """
        if peer not in self._roster and peer not in self.asked:
            return
        clock = self._known(peer)
        round_trip = (received - sent) - (reply.t2 - reply.t1)
        if reply.t2 < reply.t1 or round_trip < -ROUNDING - clock.tick:
            raise ProtocolError("probe-reply", "it was held for longer than it took to come")
        if reply.stratum < UNSYNCED and (reply.stratum == 0) != (reply.ref == peer):
            raise ProtocolError("probe-reply", "its stratum and its reference do not fit")
        if round_trip > LATEST:
            return
        shift = ((reply.t1 - sent) + (reply.t2 - received)) / 2
        sample = Sample((sent + received) / 2, shift, max(0.0, round_trip))
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
                clock.leap(jump, received)
        clock.stratum, clock.reference, clock.joined = reply.stratum, reply.ref, reply.joined
        clock.add(sample)

    # -- what follows ----------------------------------------------------------------------------------

    def look(self) -> list[Followed | Judged]:
        """Choose whom to follow and steer towards it; what changed."""
        now = self.mono()
        if now - self._looked > STALL:
            for clock in self._peers.values():
                clock.excuse(now)
        self._looked = now
        changes: list[Followed | Judged] = []
        if (
            not math.isinf(self._joined) or self._succession is not None
        ):  # else nobody says who was first: UTC
            before, course = self._course, self._plan(now)
            if course is not None:
                self._set(course)
                self._course = course._replace(step=None, slew=None)
                if course.reference != before.reference or course.step is not None:
                    changes.append(Followed(course.reference, course.stratum, course.step))
        return self._judged(now) + changes

    def _judged(self, now: float) -> list[Followed | Judged]:
        """Whose clock is not believed any more, or again."""
        changes: list[Followed | Judged] = []
        for peer, clock in self._peers.items():
            if clock.reason and clock.trusted(now):
                clock.reason = ""
                changes.append(Judged(peer, trusted=True))
            elif clock.reason and not clock.told:
                changes.append(Judged(peer, trusted=False, reason=clock.reason))
            clock.told = bool(clock.reason)
        return changes

    def _plan(self, now: float) -> Course | None:
        """The course that follows from what is known."""
        view = self._view(now)
        for peer, known in view.offsets.items():
            if self._line is not None and known.near():
                self._peers[peer].was_near = True
        if self._succession is None:
            return claims.plan(view, self._went)
        leapt = self._utc() - now - self._gap if self._line is not None else 0.0
        return self._succession.plan(view, leapt)

    def _view(self, now: float) -> View:
        measured = {
            peer: known
            for peer, clock in self._peers.items()
            if clock.synced and (known := self.offset(peer)) is not None
        }
        return View(
            now=now,
            own=(self._joined, self._id),
            started=self._line is not None,
            present=self._course,
            clocks=self._peers,
            measured=measured,
            offsets={peer: known for peer, known in measured.items() if self._peers[peer].trusted(now)},
            neighbours=self._roster,
            met=self._met,
        )

    def _known(self, peer: str) -> PeerClock:
        """What is known of a peer's clock, which may be nothing yet."""
        clock = self._peers.setdefault(peer, PeerClock())
        clock.window = WINDOW if peer in self._roster else FAR_WINDOW
        clock.tick = self.tick + self._ticks.get(peer, 0.0)
        return clock

    def _earlier(self) -> list[str]:
        """Those who lead before this node, as far as they are waited for."""
        if self._succession is not None:
            return [id_ for _, id_ in self._succession.ahead(self._id)]
        return claims.earlier(self._roster, self._joined)

    def _set(self, course: Course) -> None:
        """Steer."""
        if course.step is not None:
            self._move(course.step)
            for clock in self._peers.values():
                clock.was_near = False
        elif self._line is None:
            mono, utc = self.mono(), self._utc()
            self._line, self._gap = _Line(mono, utc, 0.0), utc - mono  # the room's time begins here
        if course.slew is not None:
            self._slew(course.slew)

    def _move(self, by: float) -> None:
        """Set mesh time on by so many ms, at once."""
        with self._lock:
            mono = self.mono()
            utc = self._utc()
            before = utc if self._line is None else self._line.at(mono)
            self._line, self._gap = _Line(mono, before + by, 0.0), utc - mono
            self.steps += 1

    def _slew(self, by: float) -> None:
        """Set mesh time on by so many ms, bit by bit."""
        with self._lock:
            if self._line is not None:
                mono = self.mono()
                self._line = _Line(mono, self._line.at(mono), by)
