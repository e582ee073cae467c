"""Mesh time: milliseconds since the Unix epoch on the room's common clock.

It starts no tasks and sends no messages: `MeshClock` gets the members of the room (`set_members`) and
the replies to probes (`add_reply`), and returns the time (`now`). `update` updates the reference and the
rate.
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
from chronoflux.mesh.clock_plan import ANSWER_TIMEOUT, BURST, STEP, ClockPlan, ClockView, Offset
from chronoflux.mesh.messages import ProbeReply
from chronoflux.mesh.offset_filter import FAR_WINDOW, ROUNDING, SLEW, UNSYNCED, WINDOW, PeerClock, Sample
from chronoflux.mesh.succession import Succession

__all__ = [
    "BURST",
    "STEP",
    "MeshClock",
    "Offset",
    "ReferenceChange",
    "TrustChange",
    "monotonic_ms",
    "monotonic_tick",
    "utc_ms",
]

MAX_ROUND_TRIP = 10_000.0  # ms; replies with a longer round trip are ignored
DEPARTED_FOR = 180_000.0  # ms for which a reference that left is not accepted again
STALL = 5_000.0  # ms between two updates after which this node was suspended and missed replies


def monotonic_ms() -> float:
    """Return a monotonic clock, ms; where the system has one, it also counts while the machine sleeps."""
    if hasattr(time, "clock_gettime_ns"):
        which = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return time.clock_gettime_ns(which) / 1e6
    return time.perf_counter_ns() / 1e6


def monotonic_tick() -> float:
    """Return the resolution of `monotonic_ms`, ms."""
    which = time.get_clock_info("monotonic" if hasattr(time, "clock_gettime_ns") else "perf_counter")
    return which.resolution * 1000


def utc_ms() -> float:
    """Return this machine's UTC, ms since the Unix epoch."""
    return time.time_ns() / 1e6


@dataclass(frozen=True)
class ReferenceChange:
    """Mesh time has a new reference, or was moved by a step.

    `step` (ms) is the size of that step; None if there was none.
    """

    reference: str
    stratum: int
    step: float | None = None


@dataclass(frozen=True)
class TrustChange:
    """A peer's clock became untrusted, for a `reason`, or trusted again."""

    peer: str
    trusted: bool
    reason: str = ""


class _LinearClock(NamedTuple):
    """Mesh time as a function of monotonic time: `time` at `since`, then slewed by `slew` ms in total."""

    since: float
    time: float
    slew: float

    def at(self, mono: float) -> float:
        passed = mono - self.since
        return self.time + (passed + math.copysign(min(abs(self.slew), SLEW * passed), self.slew))


class MeshClock:
    """The room's clock as this node knows it.

    Mesh time is this machine's UTC until the node knows the room's time, and with servers that do not report
    who joined first. The first member of a room starts the room's time from its UTC; a newcomer adopts it by
    one step. Afterwards mesh time is slewed by at most 500 ppm and never runs backwards, unless this node's
    time differs from the room's: its own clock jumped, or it was alone on another server. The reference
    follows from the server's roster, see `Succession`, or without a roster from the peers' claims, see
    `claims`.

    `mono` and `utc` read this machine's clocks, in ms; `tick` is their resolution, in ms. `now` may be called
    from any thread, all other methods on the event loop.
    """

    def __init__(
        self,
        mono: Callable[[], float] = monotonic_ms,
        utc: Callable[[], float] = utc_ms,
        *,
        tick: float | None = None,
    ) -> None:
        self.mono = mono
        self.tick: float = monotonic_tick() if tick is None else tick
        self.steps: int = 0
        """Number of steps of mesh time."""
        self._utc = utc
        self._linear: _LinearClock | None = None
        self._gap = 0.0
        self._lock = threading.Lock()
        self._id, self._joined = "", math.inf
        self._current_plan = ClockPlan("", UNSYNCED, math.inf)
        self._roster: dict[str, float] = {}
        self._first_seen: dict[str, float] = {}
        self._departed: dict[str, float] = {}
        self._peers: dict[str, PeerClock] = {}
        self._ticks: Mapping[str, float] = {}
        self._succession: Succession | None = None
        self._updated_at = math.inf

    # -- reading ---------------------------------------------------------------------------------------

    def now(self) -> float:
        """Return mesh time, ms with fractions."""
        with self._lock:
            return self._utc() if self._linear is None else self._linear.at(self.mono())

    @property
    def reference(self) -> str:
        """The id of the reference; empty while mesh time is this machine's UTC."""
        return self._current_plan.reference

    @property
    def stratum(self) -> int:
        """The number of steps from the reference, as in NTP; 0 for the reference itself."""
        return self._current_plan.stratum

    @property
    def settled(self) -> bool:
        """Whether mesh time is fixed; false while a newcomer waits for its first fix."""
        if self._linear is not None:
            return True
        now = self.mono()
        return not any(now - self._first_seen[peer] < ANSWER_TIMEOUT for peer in self._earlier())

    @property
    def to_probe(self) -> Sequence[str]:
        """Members whose time must be measured, neighbours or not, best first."""
        return () if self._succession is None else self._succession.to_probe

    def status(self) -> tuple[str, int, int | None]:
        """Return what probe replies state: reference, stratum, and when the reference joined (ms)."""
        reference, stratum, joined, *_ = self._current_plan
        known = stratum < UNSYNCED and math.isfinite(joined)
        return reference, stratum, int(joined) if known else None

    def offset(self, peer: str) -> Offset | None:
        """Return the measured offset of a peer's clock; None without a sample."""
        clock, now = self._peers.get(peer), self.mono()
        best = clock.best(now) if clock else None
        if clock is None or best is None:
            return None
        apart = best.shift + now - self.now()
        return Offset(apart, clock.uncertainty(best, now), best.round_trip)

    def unsynced(self, peer: str) -> bool:
        """Return whether a peer reports that it is on its own machine's time, not the room's."""
        clock = self._peers.get(peer)
        return clock is not None and clock.answered and clock.stratum == UNSYNCED

    def objection(self, peer: str) -> str:
        """Return why a peer's times must not be used; empty if they may be."""
        clock = self._peers.get(peer)
        if clock is None or self._linear is None:
            return ""
        if not clock.trusted(self.mono()):
            return clock.reason
        known = self.offset(peer) if clock.stratum < UNSYNCED else None
        if known is not None and abs(known.offset_ms) > STEP + known.uncertainty_ms:
            return f"its clock and ours are {abs(known.offset_ms) / 1000:.1f} s apart"
        return ""

    # -- input -----------------------------------------------------------------------------------------

    def set_members(
        self,
        own: tuple[str, int | None],
        peers: Mapping[str, int | None],
        *,
        ranked: Sequence[tuple[str, int]] | None = None,
        ticks: Mapping[str, float] | None = None,
    ) -> None:
        """Set the members of the room.

        Parameters
        ----------
        own:
            This node's id, and when it joined (ms).
        peers:
            The neighbours with a clock, and when they joined (ms).
        ranked:
            The members that may be the reference according to the server, best first, each with when it
            joined (ms); None if the server sends no roster.
        ticks:
            The resolution of the neighbours' clocks (ms), where they report it.
        """
        self._id = own[0]
        if own[1] is not None:
            self._joined = own[1]
        now = self.mono()
        if ranked is not None:
            self._succession = self._succession or Succession()
            self._succession.set_ranked([(float(joined), id_) for id_, joined in ranked], self._id)
        for peer in self._roster.keys() - peers.keys():
            self._departed[peer] = now
        self._departed = {
            peer: when
            for peer, when in self._departed.items()
            if peer not in peers and now - when < DEPARTED_FOR
        }
        self._roster = {peer: math.inf if joined is None else joined for peer, joined in peers.items()}
        known = peers.keys() | {peer for peer, _ in ranked or ()}
        self._first_seen = {peer: self._first_seen.get(peer, now) for peer in known}
        self._peers = {
            peer: clock for peer, clock in self._peers.items() if peer in peers or peer in self.to_probe
        }
        self._ticks = ticks or {}
        for peer in self._peers:
            self._peer_clock(peer)

    def unlink(self, peer: str) -> None:
        """Forget a peer that is no longer a neighbour but still in the room."""
        self._roster.pop(peer, None)
        self._peers.pop(peer, None)

    def on_probe_sent(self, peer: str) -> None:
        """Note that a probe was sent to a peer."""
        if peer in self._roster or peer in self.to_probe:
            self._peer_clock(peer).on_probe_sent(self.mono())

    def add_reply(self, peer: str, sent: float, reply: ProbeReply, received: float) -> None:
        """Take a peer's reply to a probe; `sent` and `received` are on this node's monotonic clock.

        Raises
        ------
        ProtocolError
            If the reply is inconsistent.
        """
        if peer not in self._roster and peer not in self.to_probe:
            return
        clock = self._peer_clock(peer)
        round_trip = (received - sent) - (reply.t2 - reply.t1)
        if reply.t2 < reply.t1 or round_trip < -ROUNDING - clock.tick:
            raise ProtocolError("probe-reply", "its processing time exceeds its round trip")
        if reply.stratum < UNSYNCED and (reply.stratum == 0) != (reply.ref == peer):
            raise ProtocolError("probe-reply", "its stratum contradicts its reference")
        if round_trip > MAX_ROUND_TRIP:
            return
        shift = ((reply.t1 - sent) + (reply.t2 - received)) / 2
        sample = Sample((sent + received) / 2, shift, max(0.0, round_trip))
        jump = clock.jump(sample)
        if jump is not None or (clock.stratum == UNSYNCED) != (reply.stratum == UNSYNCED):
            home = abs(shift + received - self.now()) <= STEP + sample.bound
            known = self.offset(peer)
            away = known is not None and abs(known.offset_ms) > STEP + known.uncertainty_ms
            unsynced = UNSYNCED in (clock.stratum, reply.stratum)
            clock.clear()
            if away and home:
                clock.distrusted_until = received  # it returned to the room's time
            elif jump is not None and not unsynced:
                clock.on_jump(jump, received)
        clock.stratum, clock.reference, clock.joined = reply.stratum, reply.ref, reply.joined
        clock.add(sample)

    # -- discipline ------------------------------------------------------------------------------------

    def update(self) -> list[ReferenceChange | TrustChange]:
        """Choose the reference and steer towards it. Return what changed."""
        now = self.mono()
        if now - self._updated_at > STALL:
            for clock in self._peers.values():
                clock.restart_wait(now)
        self._updated_at = now
        changes: list[ReferenceChange | TrustChange] = []
        if (
            not math.isinf(self._joined) or self._succession is not None
        ):  # else nobody knows who was first: UTC
            before, plan = self._current_plan, self._plan(now)
            if plan is not None:
                self._apply(plan)
                self._current_plan = plan._replace(step=None, slew=None)
                if plan.reference != before.reference or plan.step is not None:
                    changes.append(ReferenceChange(plan.reference, plan.stratum, plan.step))
        return self._trust_changes(now) + changes

    def _trust_changes(self, now: float) -> list[ReferenceChange | TrustChange]:
        """Return the peers whose clock became untrusted, or trusted again."""
        changes: list[ReferenceChange | TrustChange] = []
        for peer, clock in self._peers.items():
            if clock.reason and clock.trusted(now):
                clock.reason = ""
                changes.append(TrustChange(peer, trusted=True))
            elif clock.reason and not clock.reported:
                changes.append(TrustChange(peer, trusted=False, reason=clock.reason))
            clock.reported = bool(clock.reason)
        return changes

    def _plan(self, now: float) -> ClockPlan | None:
        """Return the plan that follows from the measurements; None to wait or to change nothing."""
        view = self._view(now)
        for peer, known in view.offsets.items():
            if self._linear is not None and known.near():
                self._peers[peer].was_near = True
        if self._succession is None:
            return claims.plan(view, self._departed)
        leapt = self._utc() - now - self._gap if self._linear is not None else 0.0
        return self._succession.plan(view, leapt)

    def _view(self, now: float) -> ClockView:
        measured = {
            peer: known
            for peer, clock in self._peers.items()
            if clock.synced and (known := self.offset(peer)) is not None
        }
        return ClockView(
            now=now,
            own=(self._joined, self._id),
            started=self._linear is not None,
            current=self._current_plan,
            clocks=self._peers,
            measured=measured,
            offsets={peer: known for peer, known in measured.items() if self._peers[peer].trusted(now)},
            neighbours=self._roster,
            first_seen=self._first_seen,
        )

    def _peer_clock(self, peer: str) -> PeerClock:
        """Return the record of a peer's clock, created on first use."""
        clock = self._peers.setdefault(peer, PeerClock())
        clock.window = WINDOW if peer in self._roster else FAR_WINDOW
        clock.tick = self.tick + self._ticks.get(peer, 0.0)
        return clock

    def _earlier(self) -> list[str]:
        """Return the members that precede this node as reference."""
        if self._succession is not None:
            return [id_ for _, id_ in self._succession.ahead(self._id)]
        return claims.earlier(self._roster, self._joined)

    def _apply(self, plan: ClockPlan) -> None:
        """Apply the step and the slew of a plan."""
        if plan.step is not None:
            self._step(plan.step)
            for clock in self._peers.values():
                clock.was_near = False
        elif self._linear is None:
            mono, utc = self.mono(), self._utc()
            self._linear, self._gap = _LinearClock(mono, utc, 0.0), utc - mono  # the start of the room's time
        if plan.slew is not None:
            self._slew(plan.slew)

    def _step(self, by: float) -> None:
        """Move mesh time by `by` ms in one step."""
        with self._lock:
            mono = self.mono()
            utc = self._utc()
            before = utc if self._linear is None else self._linear.at(mono)
            self._linear, self._gap = _LinearClock(mono, before + by, 0.0), utc - mono
            self.steps += 1

    def _slew(self, by: float) -> None:
        """Move mesh time by `by` ms gradually."""
        with self._lock:
            if self._linear is not None:
                mono = self.mono()
                self._linear = _LinearClock(mono, self._linear.at(mono), by)
