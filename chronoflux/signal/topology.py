"""The links of a room as pure functions of its members' ids.

The links keep no state: `k/2` rings run through the room, and the position of a member in each ring is a
hash of its id. The graph is therefore always connected, a member that joins or leaves changes about `3k/2`
links, and a server that was restarted without memory computes the same graph once the same nodes are back.
For large rooms the union of random rings is as good as a random regular graph (Kim and Wormald, J. Combin.
Theory B 81, 2001): its diameter grows like the logarithm of the room's size.

Clients of the first ChronoFlux forward nothing. The other members must therefore be connected without them:
the same rings also run through the other members alone, which adds a link only where such a client lies
between two of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from typing import Literal, get_args

from chronoflux.errors import UsageError, shorten
from chronoflux.signal.protocol import MAX_HOPS

FULL_UP_TO = 16
"""Largest room that is a full mesh with the topology ``auto``."""
MAX_DEGREE = 30
"""Most links of a node. It accepts 32; the rest is for links that are being replaced."""

Name = Literal["auto", "full", "ring", "random"]
Links = dict[str, set[str]]


@dataclass(frozen=True)
class Topology:
    """A rule for linking a room.

    ``full``: a full mesh. ``random``: `degree` random links each. ``ring``: a ring in which each node is
    linked with the nearest `degree` nodes, half on either side. ``auto``: full up to 16 nodes, random
    above. `degree` is even; the default is 6, for a ring 2.

    Raises
    ------
    UsageError
        If the rule does not exist, or the degree does not fit it.
    """

    name: Name = "auto"
    degree: int | None = None

    def __post_init__(self) -> None:
        if self.name not in get_args(Name):
            raise UsageError(f"topology {shorten(self.name)}: give one of {', '.join(get_args(Name))}")
        if self.degree is None:
            return
        if self.name == "full":
            raise UsageError("a full mesh has no degree: leave out --degree, or use --topology random")
        whole = isinstance(self.degree, int) and not isinstance(self.degree, bool)
        if not whole or self.degree % 2 or not 2 <= self.degree <= MAX_DEGREE:
            raise UsageError(
                f"degree {shorten(self.degree)}: give an even number from 2 to {MAX_DEGREE}, 2 for each ring"
            )

    def links(self, ids: Collection[str], seed: str = "", silent: Collection[str] = ()) -> Links:
        """Return the neighbours of each of `ids`; the same `ids` and `seed` give the same links.

        The `silent` ids forward nothing: the others are connected without them, and each silent id is linked
        with at least one of the others, as long as these have links left.
        """
        if self.name == "full" or (self.name == "auto" and len(ids) <= FULL_UP_TO):
            return full(ids)
        through = {*ids} - {*silent}
        if not silent or not through:
            return _linked(ids, self._pairs(ids, seed, self._rings))
        rings = min(self._rings, MAX_DEGREE // 2 - 1)  # leaves links for the second set of rings
        more = min(rings, MAX_DEGREE // 2 - rings)
        pairs = [*self._pairs(ids, seed, rings), *self._pairs(through, seed, more)]
        return _link_isolated(_linked(ids, pairs), _order(ids, seed, 0), {*silent})

    @property
    def _rings(self) -> int:
        """Half the degree."""
        return (self.degree or (2 if self.name == "ring" else 6)) // 2

    def _pairs(self, ids: Collection[str], seed: str, rings: int) -> Iterator[tuple[str, str]]:
        """Yield the pairs linked in the first `rings` rings."""
        for n in range(rings):
            ring, step = (0, n + 1) if self.name == "ring" else (n, 1)
            yield from _around(_order(ids, seed, ring), step)


def full(ids: Collection[str]) -> Links:
    """Return the links of a full mesh."""
    everybody = set(ids)
    return {id_: everybody - {id_} for id_ in ids}


def is_full(links: Mapping[str, Set[str]]) -> bool:
    """Return whether the links are a full mesh."""
    return all(len(others) == len(links) - 1 for others in links.values())


def diameter(links: Mapping[str, Set[str]]) -> int:
    """Return the longest of the shortest paths between two nodes, in links; 0 for fewer than two nodes.

    The nodes within reach of a node are a bit set in an integer. Each step adds the sets of its neighbours,
    until no set grows. Unconnected pairs do not count.
    """
    bit = {id_: 1 << index for index, id_ in enumerate(links)}
    reach, steps = dict(bit), 0
    while True:
        further = {}
        for id_, others in links.items():
            within = reach[id_]
            for other in others:
                within |= reach[other]
            further[id_] = within
        if further == reach:
            return steps
        reach, steps = further, steps + 1


def hop_limit(links: Mapping[str, Set[str]]) -> int:
    """Return how often an event may be forwarded: 0 in a full mesh, else twice the diameter.

    The limit exceeds the diameter because an event may arrive first over a longer path, and a node forwards
    it only on first arrival. A flood stays small because each node forwards an event once.
    """
    return 0 if is_full(links) else min(MAX_HOPS, 2 * diameter(links))


def _order(ids: Collection[str], seed: str, ring: int) -> list[str]:
    """Return `ids` in their order around one ring."""
    return sorted(ids, key=lambda id_: (_place(id_, seed, ring), id_))


@lru_cache(maxsize=8192)
def _place(id_: str, seed: str, ring: int) -> bytes:
    return hashlib.blake2b(f"{ring} {id_} {seed}".encode(), digest_size=8).digest()


def _around(ring: Sequence[str], step: int = 1) -> Iterator[tuple[str, str]]:
    """Pair each member of a ring with the one `step` places later."""
    return zip(ring, islice(cycle(ring), step, None), strict=False)


def _link_isolated(links: Links, ring: Sequence[str], silent: Set[str]) -> Links:
    """Link each of the `silent` that has only silent neighbours with another node. Return the links.

    The other node is the next one in the ring that forwards events and has links left.
    """
    for place, one in enumerate(ring):
        if one not in silent or links[one] - silent:
            continue
        after = [*ring[place + 1 :], *ring[:place]]
        free = (other for other in after if other not in silent and len(links[other]) < MAX_DEGREE)
        if (other := next(free, None)) is not None:
            links[one].add(other)
            links[other].add(one)
    return links


def _linked(ids: Iterable[str], pairs: Iterable[tuple[str, str]]) -> Links:
    """Return the symmetric links of `ids` that the pairs describe, without links to oneself."""
    links: Links = {id_: set() for id_ in ids}
    for one, other in pairs:
        if one != other:
            links[one].add(other)
            links[other].add(one)
    return links
