"""`Tellers`: which node passes the events of others on to each old client of a partial mesh. No I/O.

A client of the first ChronoFlux keeps no ids of events and applies whatever comes. In a partial mesh each of
its neighbours hears each event; so that it hears each one once, one of them is named to pass it on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import UNSET, UnsetType

from chronoflux.signal.member import Member, by_age
from chronoflux.signal.topology import Links

Hears = list[str] | UnsetType | None
"""See :class:`~chronoflux.signal.protocol.RoomPeer`."""


class Tellers:
    """See the module. The teller of an old client stays the same for as long as the two are neighbours."""

    def __init__(self) -> None:
        self._tellers: dict[str, str] = {}
        self._words: dict[tuple[str, str], list[str] | None] = {}
        self._told: dict[tuple[str, str], Hears] = {}

    def set(self, members: Mapping[str, Member], links: Links, *, partial: bool) -> None:
        """These are the members and their links now; in a full mesh nothing is passed on."""
        before, self._tellers, self._words = self._tellers, {}, {}
        olds = [member for member in members.values() if not member.lasting] if partial else []
        for old in olds:
            neighbours = [members[id_] for id_ in sorted(links.get(old.id, ())) if _fires(members[id_])]
            ours = [member for member in neighbours if member.lasting]
            if not ours:
                continue
            first = min(ours, key=lambda member: (member.connection is None, by_age(member)))
            teller = next((member.id for member in ours if member.id == before.get(old.id)), first.id)
            self._tellers[old.id] = teller
            others = [member.id for member in neighbours if member.id != teller]
            for member in ours:
                self._words[member.id, old.id] = others if member.id == teller else None
        still = (pair for pair in self._told if pair[1] in links.get(pair[0], ()))
        self._told = {pair: self._told[pair] for pair in still}

    def word(self, to: Member, of: Member) -> Hears:
        """What `to` is told of its neighbour `of` now."""
        if of.lasting or not to.lasting:
            return UNSET
        word = self._told[to.id, of.id] = self._words.get((to.id, of.id), UNSET)
        return word

    def changed(self, members: Mapping[str, Member]) -> Iterator[tuple[Member, Member]]:
        """Who has to be told anew, and of whom."""
        for to, of in sorted(self._words.keys() | self._told.keys()):
            word = self._words.get((to, of), UNSET)
            if word != self._told.get((to, of), UNSET) and members[to].connection is not None:
                yield members[to], members[of]


def _fires(member: Member) -> bool:
    """Whether somebody may fire events or pass them on: a probe only looks."""
    return member.kind != "probe"
