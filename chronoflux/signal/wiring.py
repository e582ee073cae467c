"""The links of one room as it grows and shrinks, with hysteresis. No I/O.

Links that a topology *requires* are made at once. With the topology ``auto``, links that are no longer
required stay as *surplus* links and are removed later and slowly. Dialling takes seconds, and a member that
joins and leaves repeatedly would otherwise break and redial the links of all others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection

from chronoflux.signal.topology import FULL_UP_TO, MAX_DEGREE, Links, Topology, full

FULL_AGAIN = 12
"""A sparse room with this many nodes or fewer becomes a full mesh again."""
SWITCH_AFTER = 30.0
"""Time that a room must stay beyond a threshold, without a break, before it switches, s."""
THIN_INTERVAL, MAX_LOST_PER_STEP = 5.0, 2
"""Time between two steps of thinning (s), and most links that a node loses in one step."""
KEPT_SURPLUS = 2
"""Surplus links that a node of a sparse room keeps for `LONG`; further ones stay for `PATIENCE`."""
KEPT_SURPLUS_LIFETIME = 600.0
"""Time that a surplus link of a sparse room may stay, s."""

Pair = tuple[str, str]


class Wiring:
    """Maintains the links of a room. ``links`` holds those of all nodes, symmetric; `now` is in seconds.

    With ``auto`` a room of up to 16 nodes is a full mesh. Above 16, a newcomer gets the links of the random
    graph, at least its degree (6), and no node loses a link. After 30 s above 16 the room becomes
    ``sparse``: only the random graph is required, until the room has had at most 12 nodes for 30 s. Only
    connected nodes count towards the 16, all nodes count towards the 12. Links beyond 30 a node, which
    accepts 32, are removed at once.
    """

    def __init__(self, topology: Topology, seed: str) -> None:
        self.links: Links = {}
        self.sparse: bool = False
        self.version: int = 0
        """Incremented when the links change."""
        self._topology, self._seed = topology, seed
        self._random = Topology("random", topology.degree) if topology.name == "auto" else None
        self._degree = topology.degree or 6
        self._present = 0
        self._silent: frozenset[str] = frozenset()
        self._crossed: float | None = None  # when the room passed the threshold
        self._switched = False
        self._recovering_until = -math.inf  # until when members return after a restart of the server
        self._thinned = -math.inf  # when the room became sparse
        self._next_step = -math.inf
        self._surplus: dict[Pair, float] = {}  # since when

    def update(self, nodes: Collection[str], present: int, now: float, silent: Collection[str] = ()) -> None:
        """Set the nodes of the room, `present` of them connected; `silent` ones forward nothing."""
        self._silent = frozenset(silent)
        if self._random is None:
            self.links = self._topology.links(nodes, self._seed, self._silent)
            self.version += 1
            return
        self._switch(now)
        self._present = present
        self._wire(self._random, nodes, now)
        self._note_crossing(now)

    def set_present(self, present: int, now: float) -> None:
        """Set how many of the nodes are connected."""
        if self._random is None:
            return
        if self._switch(now):
            self._wire(self._random, self.links, now)
        self._present = present
        self._note_crossing(now)

    def tick(self, now: float) -> None:
        """Make the changes that are due."""
        if self._random is None:
            return
        if self._switch(now):
            self._wire(self._random, self.links, now)
        if self.sparse and now >= self._next_step:
            self._thin(now)

    def due(self) -> float | None:
        """Return when :meth:`tick` is to be called next, or None."""
        times = [] if self._crossed is None else [self._crossed + SWITCH_AFTER]
        if self.sparse and self._surplus:
            times.append(max(self._next_step, min(map(self._removable_at, self._surplus))))
        return min(times, default=None)

    def restore(self, sparse: bool, until: float) -> None:
        """Adopt how the room was linked before its server restarted; takes effect at the next `set`.

        Until `until`, members return with the links that survived the restart. Links that replaced them
        meanwhile are removed when these members return.
        """
        if not self._switched and self.sparse != sparse:
            self.sparse, self._crossed, self._recovering_until = sparse, None, until

    # --- full or sparse -------------------------------------------------------------------------

    def _note_crossing(self, now: float) -> None:
        """Note when the room passes the threshold at which it switches."""
        crossed = len(self.links) <= FULL_AGAIN if self.sparse else self._present > FULL_UP_TO
        if not crossed:
            self._crossed = None
        elif self._crossed is None:
            self._crossed = now

    def _switch(self, now: float) -> bool:
        """Switch between full and sparse if that is due. Return whether it switched."""
        if self._crossed is None or now < self._crossed + SWITCH_AFTER:
            return False
        self.sparse, self._crossed, self._switched = not self.sparse, None, True
        if self.sparse:
            self._thinned = now
        self._note_crossing(now)
        return True

    # --- links ----------------------------------------------------------------------------------

    def _wire(self, random: Topology, nodes: Collection[str], now: float) -> None:
        """Make the required links, and keep the other existing ones as surplus."""
        self.version += 1
        first_wiring = not self.sparse
        if first_wiring and len(nodes) <= FULL_UP_TO:
            required = full(nodes)
        else:
            required = random.links(nodes, self._seed, self._silent)
        before, self.links = self.links, required
        surplus, self._surplus = self._surplus, {}
        for pair in [] if self.sparse and now < self._recovering_until else _pairs(before):
            if pair[0] in required and pair[1] in required and pair[1] not in required[pair[0]]:
                self._surplus[pair] = surplus.get(pair, now)
        for pair in self._surplus:
            self._link(pair)
        if first_wiring and len(nodes) > FULL_UP_TO:
            for newcomer in sorted(required.keys() - before.keys()):
                self._link_newcomer(newcomer, now)
        self._enforce_max_degree()

    def _link_newcomer(self, newcomer: str, now: float) -> None:
        """Give a newcomer as many links as the degree, to the nodes that have the fewest."""
        others = sorted(self.links.keys() - {newcomer} - self.links[newcomer])
        others.sort(key=lambda other: len(self.links[other]))
        for other in others[: max(0, self._degree - len(self.links[newcomer]))]:
            pair = min(newcomer, other), max(newcomer, other)
            self._surplus[pair] = now
            self._link(pair)

    def _enforce_max_degree(self) -> None:
        """Remove the oldest surplus links of nodes with too many links."""
        if all(len(others) <= MAX_DEGREE for others in self.links.values()):
            return
        for pair in sorted(self._surplus, key=lambda pair: (self._surplus[pair], pair)):
            if max(len(self.links[id_]) for id_ in pair) > MAX_DEGREE:
                self._unlink(pair)

    def _thin(self, now: float) -> None:
        """Remove surplus links that are due, those of the nodes with the most links first."""

        def order(pair: Pair) -> tuple[int, float, Pair]:
            return -sum(len(self.links[id_]) for id_ in pair), self._surplus[pair], pair

        lost: Counter[str] = Counter()
        for pair in sorted((pair for pair in self._surplus if self._removable_at(pair) <= now), key=order):
            if max(lost[id_] for id_ in pair) < MAX_LOST_PER_STEP:
                lost.update(pair)
                self._unlink(pair)
        self._next_step = now + THIN_INTERVAL
        self.version += 1

    def _removable_at(self, pair: Pair) -> float:
        """Return when a surplus link may be removed."""
        since = self._surplus[pair]
        if since <= self._thinned:
            return self._thinned
        many = max(len(self.links[id_]) for id_ in pair) > self._degree + KEPT_SURPLUS
        return since + (SWITCH_AFTER if many else KEPT_SURPLUS_LIFETIME)

    def _link(self, pair: Pair) -> None:
        self.links[pair[0]].add(pair[1])
        self.links[pair[1]].add(pair[0])

    def _unlink(self, pair: Pair) -> None:
        del self._surplus[pair]
        self.links[pair[0]].discard(pair[1])
        self.links[pair[1]].discard(pair[0])


def _pairs(links: Links) -> list[Pair]:
    """Return each linked pair once."""
    return [(one, other) for one, others in links.items() for other in others if one < other]
