"""Who is linked with whom: pure functions of the names of those in a room.

The links are no state that is carried on but follow from the names alone, each time anew: `k/2` rings are
laid through the room, in each of which everybody's place is the hash of their name. So the graph is
connected as long as anybody is there; somebody who comes or goes changes about `3k/2` links; and a server
that was restarted with no memory wires the same graph as soon as the same nodes are back. The union of
random rings is, for large rooms, as good as a random regular graph (Kim and Wormald, J. Combin. Theory B
81, 2001): its diameter grows like the logarithm of the room's size.

Clients of the first ChronoFlux pass nothing on. So the members that do are connected by themselves: the
same rings are laid through them alone as well, which adds a link only where such a client lies between two.
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
"""Nodes up to which everybody is linked with everybody, unless told otherwise."""
MAX_DEGREE = 30
"""A node takes 32 links, and needs a few for changes under way."""

Name = Literal["auto", "full", "ring", "random"]
Links = dict[str, set[str]]


@dataclass(frozen=True)
class Topology:
    """A rule for linking a room.

    ``full``: everybody with everybody. ``random``: `degree` random links each. ``ring``: a ring in which
    everybody is linked with the nearest `degree`, half on either side. ``auto``: full up to 16 nodes,
    random above. `degree` is even, by default 6, for a ring 2.

    Raises
    ------
    UsageError
        When there is no such rule, or the degree does not fit it.
    """

    name: Name = "auto"
    degree: int | None = None

    def __post_init__(self) -> None:
        if self.name not in get_args(Name):
            raise UsageError(f"topology {shorten(self.name)}: give one of {', '.join(get_args(Name))}")
        if self.degree is None:
            return
        if self.name == "full":
            raise UsageError("a full mesh has no degree: leave out --degree, or take --topology random")
        whole = isinstance(self.degree, int) and not isinstance(self.degree, bool)
        if not whole or self.degree % 2 or not 2 <= self.degree <= MAX_DEGREE:
            raise UsageError(
                f"degree {shorten(self.degree)}: give an even number from 2 to {MAX_DEGREE}, 2 for each ring"
            )

    def links(self, ids: Collection[str], seed: str = "", silent: Collection[str] = ()) -> Links:
        """The neighbours of each of `ids`, for one `seed` always the same.

        Of these, `silent` pass nothing on: the others are connected without them, and each of them is linked
        with one of the others, as far as these have links left.
        """
        if self.name == "full" or (self.name == "auto" and len(ids) <= FULL_UP_TO):
            return full(ids)
        through = sorted({*ids} - {*silent})
        if not silent or not through:
            return _linked(ids, self._pairs(ids, seed, self._rings))
        rings = min(self._rings, MAX_DEGREE // 2 - 1)  # leaves links for the rings through some
        pairs = [*self._pairs(ids, seed, rings), *self._pairs(through, seed, MAX_DEGREE // 2 - rings)]
        return _heard(_linked(ids, pairs), _order(ids, seed, 0), {*silent})

    @property
    def _rings(self) -> int:
        """Half the degree."""
        return (self.degree or (2 if self.name == "ring" else 6)) // 2

    def _pairs(self, ids: Collection[str], seed: str, rings: int) -> Iterator[tuple[str, str]]:
        """Who is linked in so many rings at most."""
        for n in range(min(self._rings, rings)):
            ring, step = (0, n + 1) if self.name == "ring" else (n, 1)
            yield from _around(_order(ids, seed, ring), step)


def full(ids: Collection[str]) -> Links:
    """Everybody with everybody."""
    everybody = set(ids)
    return {id_: everybody - {id_} for id_ in ids}


def is_full(links: Mapping[str, Set[str]]) -> bool:
    """Whether everybody is linked with everybody."""
    return all(len(others) == len(links) - 1 for others in links.values())


def diameter(links: Mapping[str, Set[str]]) -> int:
    """The most links on the shortest way between two nodes; 0 for none or one.

    Whom a node reaches in so many links is an integer with a bit for each; a step joins those of its
    neighbours, until nobody reaches anybody new (who cannot be reached at all does not count).
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
    """How often an event may be passed on: 0 in a full mesh, else twice the diameter.

    An event may come first over a longer way than the shortest and is not passed on again when it comes
    over that; so the limit leaves room. What keeps a flood small is that each node passes it on once.
    """
    return 0 if is_full(links) else min(MAX_HOPS, 2 * diameter(links))


def _order(ids: Collection[str], seed: str, ring: int) -> list[str]:
    """`ids` around one ring."""
    return sorted(ids, key=lambda id_: (_place(id_, seed, ring), id_))


@lru_cache(maxsize=8192)
def _place(id_: str, seed: str, ring: int) -> bytes:
    return hashlib.blake2b(f"{ring} {id_} {seed}".encode(), digest_size=8).digest()


def _around(ring: Sequence[str], step: int = 1) -> Iterator[tuple[str, str]]:
    """Each in a ring with whoever comes `step` places later."""
    return zip(ring, islice(cycle(ring), step, None), strict=False)


def _heard(links: Links, ring: Sequence[str], silent: Set[str]) -> Links:
    """The links, with one more for each of the `silent` that has none with the others: with the next in the
    ring that has links left."""
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
    """The links of `ids` by these pairs, both ways; nobody is linked with themselves."""
    links: Links = {id_: set() for id_ in ids}
    for one, other in pairs:
        if one != other:
            links[one].add(other)
            links[other].add(one)
    return links
