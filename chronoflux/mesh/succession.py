"""Choice of the clock reference by the server's roster: the first member to join, or its successor.

Claims of peers about references, strata and times of joining do not affect this choice. A neighbour may carry
the time of the reference, within the bounds that probes of the reference through the server give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from chronoflux.mesh.clock_plan import ANSWER_TIMEOUT, STEP, ClockPlan, ClockView, Key, Offset, intersection
from chronoflux.mesh.offset_filter import UNSYNCED

TOLERANCE = 50.0  # ms that an honest clock may be off after a first fix on a busy machine
CARRIED = 5.0  # ms; largest deviation from the reference's own time that a neighbour may cause
CARRIERS = (1, 2)  # strata followed in place of the reference; a node that probes it by relay has 3
MAX_PROBED = 64  # most early members that are probed, if none of them answers
PROBED_AHEAD = 2  # further members that a newcomer probes before the first has answered
SAME_TIME = 0.75  # share of the room that agrees on another time, from which our own clock must have jumped


class Succession:
    """Chooses the clock reference of the room.

    ``ranked`` are the possible references, best first. ``asked`` are the members before this node whose time
    it must measure. ``authority`` is the best member whose time this node has been on. A member that joined
    after the authority and is on another time contradicts it, and is not followed.
    """

    def __init__(self) -> None:
        self.ranked: Sequence[Key] = ()
        self.to_probe: list[str] = []
        self.authority: Key = (math.inf, "")

    def set_ranked(self, ranked: Sequence[Key], own: str) -> None:
        """Set the possible references according to the server, best first."""
        self.ranked = ranked
        if not self.to_probe:
            self.to_probe = [id_ for _, id_ in self.ahead(own)[:1]]

    def ahead(self, own: str) -> Sequence[Key]:
        """Return the members that precede this node; all if it cannot be the reference itself."""
        place = next((place for place, (_, id_) in enumerate(self.ranked) if id_ == own), len(self.ranked))
        return self.ranked[:place]

    def plan(self, view: ClockView, leapt: float) -> ClockPlan | None:
        """Return the plan by the roster; None to wait or to change nothing.

        `leapt` (ms) is by how much this machine's UTC has moved against its monotonic clock since mesh time
        was fixed: the correction that a jump of the monotonic clock would require.
        """
        self.to_probe = []
        ahead = self.ahead(view.own[1])[:MAX_PROBED]
        for place, key in enumerate(ahead, 1):
            peer = key[1]
            self.to_probe.append(peer)
            if self._is_skipped(view, peer):
                continue
            known = view.measured.get(peer)
            if known is None:  # not measured yet
                if not view.started:  # avoids a second wait if it is silent
                    self.to_probe += [id_ for _, id_ in ahead[place : place + PROBED_AHEAD]]
                return self._provisional_plan(view)
            if view.started and known.near():
                return self._follow(view, key)
            if self._adopts(view, key, known, leapt):
                return self._follow(view, key, known.offset_ms) if view.well_measured(peer) else None
        return self._lead(view, leapt)

    # -- the choice of the reference ------------------------------------------------------------------

    def _is_skipped(self, view: ClockView, peer: str) -> bool:
        """Return whether a member is skipped: it is silent, jumped, unsynchronised, or follows this node."""
        clock = view.clocks.get(peer)
        if clock is None:
            return False
        if clock.silent(view.now, ANSWER_TIMEOUT) or clock.jumped(view.now):
            return True
        if not clock.answered:
            return False
        if clock.stratum >= UNSYNCED - 1:
            return view.started or view.now - view.first_seen.get(peer, view.now) > 2 * ANSWER_TIMEOUT
        return clock.reference == view.own[1]

    def _adopts(self, view: ClockView, key: Key, known: Offset, leapt: float) -> bool:
        """Return whether this node adopts the time of a member that is on another time.

        It does if it has no time yet, if it was on the time of a lower-ranked member, if no other clock is on
        its time, or if its own clock jumped.
        """
        others = (other for peer, other in view.offsets.items() if peer != key[1])
        return (
            not view.started
            or key < self.authority
            or not any(other.near() for other in others)
            or (abs(leapt) > STEP and known.near(leapt))
        )

    # -- the plan -------------------------------------------------------------------------------------

    def _follow(self, view: ClockView, key: Key, step: float | None = None) -> ClockPlan:
        """Return a plan to a member's time: directly if linked, else over a neighbour, within bounds."""
        joined, leader = key
        self.authority = key if step is not None else min(self.authority, key)
        offsets = {peer: known.after(step or 0.0) for peer, known in view.measured.items()}
        known = offsets[leader]
        outside = self._distrust_outliers(view, key, offsets, known.offset_ms, known.uncertainty_ms)
        if leader in view.neighbours:
            return ClockPlan(leader, 1, joined, step, known.offset_ms)
        carriers = [
            (view.clocks[peer].stratum, offsets[peer].uncertainty_ms, peer)
            for peer in view.neighbours.keys() & view.offsets.keys() - outside
            if view.clocks[peer].reference == leader and view.clocks[peer].stratum in CARRIERS
        ]
        if not carriers:
            return ClockPlan(leader, CARRIERS[-1] + 1, joined, step, known.offset_ms)
        stratum, _, carrier = min(carriers)
        margin = min(CARRIED, known.uncertainty_ms)
        low, high = known.offset_ms - margin, known.offset_ms + margin
        return ClockPlan(leader, stratum + 1, joined, step, _within(low, offsets[carrier].offset_ms, high))

    def _provisional_plan(self, view: ClockView) -> ClockPlan | None:
        """Return a plan to the intersection of most neighbours' clocks, until the reference is measured."""
        if not view.started:
            return None
        near = {p: view.offsets[p] for p in view.neighbours.keys() & view.offsets if view.offsets[p].near()}
        spans = [(o.offset_ms - o.uncertainty_ms, o.offset_ms + o.uncertainty_ms) for o in near.values()]
        low, high, count = intersection([(0.0, 0.0), *spans])
        if 2 * count <= len(spans) + 1:
            return None
        self._distrust_outliers(view, (-math.inf, ""), view.measured, (low + high) / 2, (high - low) / 2)
        return view.current._replace(slew=_within(low, 0.0, high))

    def _distrust_outliers(
        self, view: ClockView, key: Key, offsets: Mapping[str, Offset], offset: float, uncertainty: float
    ) -> set[str]:
        """Distrust neighbours whose clocks contradict the room's time. Return their ids.

        The room's time is at `offset` from ours, with this `uncertainty` (ms), from the member with this
        `key`. Members up to it in rank are not judged by its time.
        """
        before = {id_ for joined, id_ in self.ranked if (joined, id_) <= key}
        outside = set()
        for peer in view.neighbours.keys() & offsets.keys() - before:
            apart = offsets[peer].offset_ms - offset
            if abs(apart) > offsets[peer].uncertainty_ms + uncertainty + TOLERANCE:
                view.clocks[peer].distrust(
                    f"its clock and the room's are {apart / 1000:+.3f} s apart", view.now
                )
                outside.add(peer)
        return outside

    def _lead(self, view: ClockView, leapt: float) -> ClockPlan:
        """Return the plan of the reference: this node's time is the room's, unless its clock jumped."""
        joined, own = view.own
        step = self._step_back(view, leapt) if view.started else None
        self.authority = (joined, own) if not view.started else min(self.authority, (joined, own))
        return ClockPlan(own, 0, joined, step)

    def _step_back(self, view: ClockView, leapt: float) -> float | None:
        """Return the step (ms) back to the room's time if our own clock jumped, else None.

        That is so if all clocks that were on our time are now together on another time. They must be nearly
        the whole room, or this machine's UTC must confirm that our own clock jumped.
        """
        if any(known.near() for known in view.offsets.values()):
            return None
        together: tuple[int, str] = (0, "")
        for _, peer in self.ranked:
            if peer in view.offsets and view.clocks[peer].was_near and view.well_measured(peer):
                count = _agreeing(view, view.offsets[peer].offset_ms)
                together = max(together, (count, peer), key=lambda one: one[0])
        count, best = together
        if count < 2:
            return None
        by = view.offsets[best]
        most = 2 * count > len(view.offsets) and abs(leapt) > STEP and by.near(leapt)
        return by.offset_ms if most or count >= SAME_TIME * (len(self.ranked) - 1) else None


def _within(low: float, value: float, high: float) -> float:
    return min(high, max(low, value))


def _agreeing(view: ClockView, offset: float) -> int:
    """Return how many clocks that were on our time now have this offset (ms)."""
    return sum(known.near(offset) and view.clocks[peer].was_near for peer, known in view.offsets.items())
