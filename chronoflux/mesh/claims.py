"""Whom to follow where the server tells no roster: the first to have joined, as the peers say it.

A peer can claim anything here. Servers of this version tell the roster, and then `succession` decides.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from chronoflux.mesh.course import Course, Offset, View

Rank = tuple[float, str, int]
"""Who is followed: when the reference joined, its id, the stratum. The least is the best."""


def plan(view: View, went: Collection[str]) -> Course | None:
    """The course by the peers' claims; None while a newcomer waits for its first fix.

    `went` are those who were seen to go lately: nobody is followed to them.
    """
    claims = _Claims(view, went)
    step = claims.step()
    if step is None and not view.started and earlier(view.neighbours, view.own[0]):
        return None
    offsets = view.offsets if step is None else {p: known.after(step) for p, known in view.offsets.items()}
    return claims.follow(offsets)._replace(step=step)


def earlier(neighbours: Mapping[str, float], own: float) -> list[str]:
    """Those of the neighbours who joined before this node did."""
    return [peer for peer, joined in neighbours.items() if joined < own]


@dataclass(frozen=True)
class _Claims:
    view: View
    went: Collection[str]

    def rank(self, peer: str, lost: Collection[str] = ()) -> Rank:
        """How good a peer is to follow; what the server said goes before what the peer says.

        One that still names a reference that is `lost`, or this node, is taken for the reference itself: if
        it is not, it will soon say whom it follows instead.
        """
        clock = self.view.clocks[peer]
        reference, stratum = clock.reference, clock.stratum
        if reference == self.view.own[1] or reference in self.went or reference in lost:
            reference, stratum = peer, 0
        claimed = math.inf if clock.joined is None else float(clock.joined)
        return (self.view.neighbours.get(reference, claimed), reference, stratum + 1)

    def step(self) -> float | None:
        """By how much to move at once, ms: on the first fix, or when the room is on another time; or None.

        Of several times the one that most are on is the room's; this node counts for its own.
        """
        view, offsets = self.view, self.view.offsets
        here = {peer for peer, known in offsets.items() if view.started and known.near()}
        there = [peer for peer in offsets.keys() - here if view.ripe(peer)]
        if not there:
            return None

        def crowd(peer: str) -> int:
            return sum(other.near(offsets[peer].offset_ms) for other in offsets.values())

        best = min(there, key=lambda peer: (-crowd(peer), self.rank(peer)))
        if view.started:
            lost = view.clocks.keys() - here
            mine = min([(*view.own, 0), *(self.rank(peer, lost) for peer in here)])
            if (-crowd(best), self.rank(best)) > (-1 - len(here), mine):
                return None
        return offsets[best].offset_ms

    def follow(self, offsets: Mapping[str, Offset]) -> Course:
        """Slew towards the best of those on this node's time."""
        joined, own = self.view.own
        near = [peer for peer, known in offsets.items() if known.near()]
        lost = self.view.clocks.keys() - near
        ranks = {peer: self.rank(peer, lost) for peer in near}
        best = min(near, key=lambda peer: (ranks[peer], offsets[peer].uncertainty_ms), default=None)
        if best is None or ranks[best] > (joined, own, 0):
            return Course(own, 0, joined)
        since, reference, stratum = ranks[best]
        return Course(reference, stratum, since, slew=offsets[best].offset_ms)
