"""`Wiring`: the links of one room as it grows and shrinks, so that who flaps disturbs nobody. No I/O.

What a topology *requires* is linked at once. With the topology ``auto`` links that are required no more stay,
as *surplus*, and are thinned out later and slowly: dialling takes seconds, and who joins and leaves again and
again would otherwise tear up and dial anew the links of everybody else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection

from chronoflux.signal.topology import FULL_UP_TO, MAX_DEGREE, Links, Topology, full

FULL_AGAIN = 12
"""Nodes down to which a room that was thinned must shrink to become a full mesh again."""
PATIENCE = 30.0
"""Seconds without a break that a room must be above the one or below the other number."""
PACE, AT_ONCE = 5.0, 2
"""Seconds between two steps of thinning, and the links that a node loses in one at most."""
SPARE = 2
"""Surplus links a node may keep for `LONG` in a room that is thinned already; more wait for `PATIENCE`."""
LONG = 600.0
"""Seconds."""

Pair = tuple[str, str]


class Wiring:
    """See the module; `now` is in seconds. ``links`` are those of all nodes, symmetric.

    With ``auto`` a room is a full mesh up to 16 nodes. Above, a newcomer gets the links of the random graph,
    at least its degree (6), and nobody loses one. After 30 s above 16 the room is ``sparse``: the random
    graph is what is required, down to 12 nodes for 30 s. Only nodes whose connection stands count for
    the first, all of them for the second. Links beyond 30 a node, which takes 32, go at once.
    """

    def __init__(self, topology: Topology, seed: str) -> None:
        self.links: Links = {}
        self.sparse = False
        self.version = 0
        """Changes with the links."""
        self._topology, self._seed = topology, seed
        self._random = Topology("random", topology.degree) if topology.name == "auto" else None
        self._degree = topology.degree or 6
        self._present = 0
        self._silent: frozenset[str] = frozenset()
        self._crossed: float | None = None  # since when the room has the other size
        self._switched = False
        self._settled = -math.inf  # until when a room of before is put together again
        self._thinned = -math.inf  # when the room became sparse
        self._next_step = -math.inf
        self._surplus: dict[Pair, float] = {}  # since when

    def set(self, nodes: Collection[str], present: int, now: float, silent: Collection[str] = ()) -> None:
        """These are in the room now, `present` of them connected; `silent` are those that pass nothing on."""
        self._silent = frozenset(silent)
        if self._random is None:
            self.links = self._topology.links(nodes, self._seed, self._silent)
            self.version += 1
            return
        self._switch(now)
        self._present = present
        self._wire(self._random, nodes, now)
        self._watch(now)

    def count(self, present: int, now: float) -> None:
        """So many of the nodes are connected now."""
        if self._random is None:
            return
        if self._switch(now):
            self._wire(self._random, self.links, now)
        self._present = present
        self._watch(now)

    def tick(self, now: float) -> None:
        """Do what has fallen due."""
        if self._random is None:
            return
        if self._switch(now):
            self._wire(self._random, self.links, now)
        if self.sparse and now >= self._next_step:
            self._thin(now)

    def due(self) -> float | None:
        """When :meth:`tick` has something to do next."""
        times = [] if self._crossed is None else [self._crossed + PATIENCE]
        if self.sparse and self._surplus:
            times.append(max(self._next_step, min(map(self._goes, self._surplus))))
        return min(times, default=None)

    def recall(self, sparse: bool, until: float) -> None:
        """The members say how the room was linked before its server forgot it; holds from the next `set`.

        Links that stand in for those of members who return by `until` go when these return: the lasting ones
        are those of before, which survived the server.
        """
        if not self._switched and self.sparse != sparse:
            self.sparse, self._crossed, self._settled = sparse, None, until

    # --- full or sparse -------------------------------------------------------------------------

    def _watch(self, now: float) -> None:
        """Note since when the room has the size at which it changes."""
        crossed = len(self.links) <= FULL_AGAIN if self.sparse else self._present > FULL_UP_TO
        if not crossed:
            self._crossed = None
        elif self._crossed is None:
            self._crossed = now

    def _switch(self, now: float) -> bool:
        """Become sparse, or full again, if it is time to."""
        if self._crossed is None or now < self._crossed + PATIENCE:
            return False
        self.sparse, self._crossed, self._switched = not self.sparse, None, True
        if self.sparse:
            self._thinned = now
        self._watch(now)
        return True

    # --- links ----------------------------------------------------------------------------------

    def _wire(self, random: Topology, nodes: Collection[str], now: float) -> None:
        """Link what is required, and keep the rest of what there is."""
        self.version += 1
        first_wiring = not self.sparse
        if first_wiring and len(nodes) <= FULL_UP_TO:
            required = full(nodes)
        else:
            required = random.links(nodes, self._seed, self._silent)
        before, self.links = self.links, required
        surplus, self._surplus = self._surplus, {}
        for pair in [] if self.sparse and now < self._settled else _pairs(before):
            if pair[0] in required and pair[1] in required and pair[1] not in required[pair[0]]:
                self._surplus[pair] = surplus.get(pair, now)
        for pair in self._surplus:
            self._link(pair)
        if first_wiring and len(nodes) > FULL_UP_TO:
            for newcomer in sorted(required.keys() - before.keys()):
                self._complete(newcomer, now)
        self._relieve()

    def _complete(self, newcomer: str, now: float) -> None:
        """Give somebody as many links as the degree, with those who have the fewest."""
        others = sorted(self.links.keys() - {newcomer} - self.links[newcomer])
        others.sort(key=lambda other: len(self.links[other]))
        for other in others[: max(0, self._degree - len(self.links[newcomer]))]:
            pair = min(newcomer, other), max(newcomer, other)
            self._surplus[pair] = now
            self._link(pair)

    def _relieve(self) -> None:
        """Take from nodes with too many links those that are surplus for longest."""
        if all(len(others) <= MAX_DEGREE for others in self.links.values()):
            return
        for pair in sorted(self._surplus, key=lambda pair: (self._surplus[pair], pair)):
            if max(len(self.links[id_]) for id_ in pair) > MAX_DEGREE:
                self._unlink(pair)

    def _thin(self, now: float) -> None:
        """One step: surplus links go whose time has come, first those of nodes that have the most."""

        def order(pair: Pair) -> tuple[int, float, Pair]:
            return -sum(len(self.links[id_]) for id_ in pair), self._surplus[pair], pair

        lost: Counter[str] = Counter()
        for pair in sorted((pair for pair in self._surplus if self._goes(pair) <= now), key=order):
            if max(lost[id_] for id_ in pair) < AT_ONCE:
                lost.update(pair)
                self._unlink(pair)
        self._next_step = now + PACE
        self.version += 1

    def _goes(self, pair: Pair) -> float:
        """When a surplus link may go."""
        since = self._surplus[pair]
        if since <= self._thinned:
            return self._thinned
        many = max(len(self.links[id_]) for id_ in pair) > self._degree + SPARE
        return since + (PATIENCE if many else LONG)

    def _link(self, pair: Pair) -> None:
        self.links[pair[0]].add(pair[1])
        self.links[pair[1]].add(pair[0])

    def _unlink(self, pair: Pair) -> None:
        del self._surplus[pair]
        self.links[pair[0]].discard(pair[1])
        self.links[pair[1]].discard(pair[0])


def _pairs(links: Links) -> list[Pair]:
    """Each linked pair once."""
    return [(one, other) for one, others in links.items() for other in others if one < other]
