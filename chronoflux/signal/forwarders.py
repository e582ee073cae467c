"""`Forwarders`: which node forwards the events of others to each old client of a partial mesh. No I/O.

A client of the first ChronoFlux keeps no event ids, so it applies every duplicate. In a partial mesh each of
its neighbours receives each event. One of them, the *forwarder*, forwards events, so that the client gets
each event once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import UNSET, UnsetType

from chronoflux.signal.member import Member, by_age
from chronoflux.signal.topology import Links

Hears = list[str] | UnsetType | None
"""The values of ``hears`` in :class:`~chronoflux.signal.protocol.RoomPeer`."""


class Forwarders:
    """Chooses the forwarders. A forwarder stays as long as it and the old client are neighbours."""

    def __init__(self) -> None:
        self._forwarders: dict[str, str] = {}
        self._hears: dict[tuple[str, str], list[str] | None] = {}
        self._sent: dict[tuple[str, str], Hears] = {}

    def update(self, members: Mapping[str, Member], links: Links, *, partial: bool) -> None:
        """Choose the forwarders for these members and links. A full mesh (not `partial`) needs none."""
        before, self._forwarders, self._hears = self._forwarders, {}, {}
        old_clients = [member for member in members.values() if not member.lasting] if partial else []
        for old in old_clients:
            neighbours = [
                members[id_] for id_ in sorted(links.get(old.id, ())) if _sends_events(members[id_])
            ]
            ours = [member for member in neighbours if member.lasting]
            if not ours:
                continue
            first = min(ours, key=lambda member: (member.connection is None, by_age(member)))
            forwarder = next((member.id for member in ours if member.id == before.get(old.id)), first.id)
            self._forwarders[old.id] = forwarder
            others = [member.id for member in neighbours if member.id != forwarder]
            for member in ours:
                self._hears[member.id, old.id] = others if member.id == forwarder else None
        still = (pair for pair in self._sent if pair[1] in links.get(pair[0], ()))
        self._sent = {pair: self._sent[pair] for pair in still}

    def hears_for(self, to: Member, of: Member) -> Hears:
        """Return the current ``hears`` of `of` for its neighbour `to`, and note that it is sent."""
        if of.lasting or not to.lasting:
            return UNSET
        hears = self._sent[to.id, of.id] = self._hears.get((to.id, of.id), UNSET)
        return hears

    def changed(self, members: Mapping[str, Member]) -> Iterator[tuple[Member, Member]]:
        """Yield each member that must be sent a new ``hears``, and the neighbour it concerns."""
        for to, of in sorted(self._hears.keys() | self._sent.keys()):
            hears = self._hears.get((to, of), UNSET)
            if hears != self._sent.get((to, of), UNSET) and members[to].connection is not None:
                yield members[to], members[of]


def _sends_events(member: Member) -> bool:
    """Return whether a member may send or forward events; a probe only observes."""
    return member.kind != "probe"
