"""Choice of the clock reference without a roster: the first member to join, according to the peers.

Peers can claim anything here. Servers of this version send a roster, and `succession` is used instead.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from chronoflux.mesh.clock_plan import ClockPlan, ClockView, Offset

Rank = tuple[float, str, int]
"""When the reference joined, its id, and the stratum; the least rank is the best."""


def plan(view: ClockView, departed: Collection[str]) -> ClockPlan | None:
    """Return the plan according to the peers' claims; None while a newcomer waits for its first fix.

    `departed` are peers that left recently; they are not accepted as references.
    """
    claims = _Claims(view, departed)
    step = claims.step()
    if step is None and not view.started and earlier(view.neighbours, view.own[0]):
        return None
    offsets = view.offsets if step is None else {p: known.after(step) for p, known in view.offsets.items()}
    return claims.follow(offsets)._replace(step=step)


def earlier(neighbours: Mapping[str, float], own: float) -> list[str]:
    """Return the neighbours that joined before this node."""
    return [peer for peer, joined in neighbours.items() if joined < own]


@dataclass(frozen=True)
class _Claims:
    view: ClockView
    departed: Collection[str]

    def rank(self, peer: str, lost: Collection[str] = ()) -> Rank:
        """Return the rank of a peer. When the reference joined is taken from the server first.

        A peer that names a `lost` reference, or this node, counts as the reference itself; if it is not, it
        will soon name the one that it follows.
        """
        clock = self.view.clocks[peer]
        reference, stratum = clock.reference, clock.stratum
        if reference == self.view.own[1] or reference in self.departed or reference in lost:
            reference, stratum = peer, 0
        claimed = math.inf if clock.joined is None else float(clock.joined)
        return (self.view.neighbours.get(reference, claimed), reference, stratum + 1)

    def step(self) -> float | None:
        """Return the step (ms) for a first fix, or if the room is on another time; else None.

        Among several times, that of most clocks is the room's; this node counts for its own.
        """
        view, offsets = self.view, self.view.offsets
        here = {peer for peer, known in offsets.items() if view.started and known.near()}
        there = [peer for peer in offsets.keys() - here if view.well_measured(peer)]
        if not there:
            return None

        def agreeing(peer: str) -> int:
            return sum(other.near(offsets[peer].offset_ms) for other in offsets.values())

        best = min(there, key=lambda peer: (-agreeing(peer), self.rank(peer)))
        if view.started:
            lost = view.clocks.keys() - here
            mine = min([(*view.own, 0), *(self.rank(peer, lost) for peer in here)])
            if (-agreeing(best), self.rank(best)) > (-1 - len(here), mine):
                return None
        return offsets[best].offset_ms

    def follow(self, offsets: Mapping[str, Offset]) -> ClockPlan:
        """Return a plan that slews towards the best clock on this node's time."""
        joined, own = self.view.own
        near = [peer for peer, known in offsets.items() if known.near()]
        lost = self.view.clocks.keys() - near
        ranks = {peer: self.rank(peer, lost) for peer in near}
        best = min(near, key=lambda peer: (ranks[peer], offsets[peer].uncertainty_ms), default=None)
        if best is None or ranks[best] > (joined, own, 0):
            return ClockPlan(own, 0, joined)
        since, reference, stratum = ranks[best]
        return ClockPlan(reference, stratum, since, slew=offsets[best].offset_ms)
