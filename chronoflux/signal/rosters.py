"""The roster messages of a room: what each member was sent, and what it is sent next. No I/O."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from chronoflux.signal.member import WITH_CLOCK, Member, Send, by_age, send
from chronoflux.signal.protocol import Roster, RosterMember
from chronoflux.signal.topology import Links

EARLIEST = 8
"""Number of earliest members with a clock that every member is sent, in rooms of any size."""

Listed = dict[str, RosterMember]


class _Sent(NamedTuple):
    """What one member of a large room was last sent."""

    listed: Listed
    size: int


class Rosters:
    """Makes the `Roster` messages of a room. Members without a secret are listed, but get none: they are old.

    In rooms of up to `whole_up_to` members each member gets the complete roster. In a larger room a member
    is sent itself, its neighbours and the earliest members with a clock, and of the room's size when
    that changed by an eighth. Complete rosters return only at three quarters of the limit, so that a single
    member that comes and goes does not cause a roster for every member each time.

    `since` is when this server's memory of the room begins, ms.
    """

    def __init__(self, whole_up_to: int, since: int) -> None:
        self._whole_up_to, self._since = whole_up_to, since
        self._complete = True
        self._common: Listed = {}
        self._sent: dict[str, _Sent] = {}

    def updates(
        self, members: Mapping[str, Member], links: Links, newcomer: Member | None = None
    ) -> list[Send]:
        """Return roster changes since the last call for each member, and a whole roster for `newcomer`."""
        listed = {id_: member.listed() for id_, member in members.items()}
        limit = self._whole_up_to if self._complete else self._whole_up_to * 3 // 4
        before, self._complete = self._complete, len(listed) <= limit
        receivers = [
            member for member in members.values() if member.lasting and member.connection is not None
        ]
        resend_all = before != self._complete
        if self._complete:
            sends = self._complete_updates(listed, receivers, None if resend_all else newcomer, resend_all)
        else:
            if resend_all:
                self._sent.clear()
            sends = self._partial_updates(listed, receivers, links, newcomer)
        self._common = listed
        return sends

    def _complete_updates(
        self, listed: Listed, receivers: list[Member], newcomer: Member | None, resend_all: bool
    ) -> list[Send]:
        self._sent.clear()
        whole = [member for member in receivers if resend_all or member is newcomer]
        sends = self._send_whole(whole, listed.values(), len(listed), complete=True)
        change = self._difference(self._common, listed, len(listed), complete=True)
        if change is not None:
            sends += send((member for member in receivers if member not in whole), change)
        return sends

    def _partial_updates(
        self, listed: Listed, receivers: list[Member], links: Links, newcomer: Member | None
    ) -> list[Send]:
        with_clock = (entry for entry in listed.values() if entry.lasting and entry.kind in WITH_CLOCK)
        earliest = {entry.id for entry in heapq.nsmallest(EARLIEST, with_clock, key=by_age)}
        for gone in self._sent.keys() - listed.keys():
            del self._sent[gone]
        size, sends = len(listed), list[Send]()
        for member in receivers:
            view = {id_: listed[id_] for id_ in earliest | links.get(member.id, set()) | {member.id}}
            known = None if member is newcomer else self._sent.get(member.id)
            if known is None:
                sends += self._send_whole([member], view.values(), size, complete=False)
            elif change := self._difference(known.listed, view, size, complete=False):
                sends += send([member], change)
            elif 8 * abs(size - known.size) >= size:
                sends += send([member], Roster(complete=False, size=size, since=self._since))
            else:
                continue
            self._sent[member.id] = _Sent(view, size)
        return sends

    def _send_whole(
        self, to: Iterable[Member], listed: Iterable[RosterMember], size: int, *, complete: bool
    ) -> list[Send]:
        members = sorted(listed, key=by_age)
        return send(to, Roster(members=members, whole=True, complete=complete, size=size, since=self._since))

    def _difference(self, before: Listed, after: Listed, size: int, *, complete: bool) -> Roster | None:
        changed = [entry for id_, entry in after.items() if before.get(id_) != entry]
        left = sorted(before.keys() - after.keys())
        if not changed and not left:
            return None
        members = sorted(changed, key=by_age)
        return Roster(members=members, left=left, complete=complete, size=size, since=self._since)
