"""`Tellers`: which node forwards the events of others to each old client of a partial mesh. No I/O.

A client of the first ChronoFlux keeps no event ids, so it applies every duplicate. In a partial mesh each of
its neighbours receives each event. One of them, the *teller*, forwards events, so that the client gets each
event once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import UNSET, UnsetType

from chronoflux.signal.member import Member, by_age
from chronoflux.signal.topology import Links

Hears = list[str] | UnsetType | None
"""The values of ``hears`` in :class:`~chronoflux.signal.protocol.RoomPeer`."""


class Tellers:
    """Chooses the tellers. A teller stays the same as long as it and the old client are neighbours."""

    def __init__(self) -> None:
        self._tellers: dict[str, str] = {}
        self._words: dict[tuple[str, str], list[str] | None] = {}
        self._told: dict[tuple[str, str], Hears] = {}

    def set(self, members: Mapping[str, Member], links: Links, *, partial: bool) -> None:
        """Choose the tellers for these members and links. A full mesh (not `partial`) needs none."""
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
        """Return the current ``hears`` of `of` for its neighbour `to`, and note that it was told."""
        if of.lasting or not to.lasting:
            return UNSET
        word = self._told[to.id, of.id] = self._words.get((to.id, of.id), UNSET)
        return word

    def changed(self, members: Mapping[str, Member]) -> Iterator[tuple[Member, Member]]:
        """Yield each member that has to be told again, and the neighbour it concerns."""
        for to, of in sorted(self._words.keys() | self._told.keys()):
            word = self._words.get((to, of), UNSET)
            if word != self._told.get((to, of), UNSET) and members[to].connection is not None:
                yield members[to], members[of]


def _fires(member: Member) -> bool:
    """Return whether a member may send or forward events; a probe only observes."""
    return member.kind != "probe"
