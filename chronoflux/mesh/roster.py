"""`Roster`: who is in the room, by the server's word. No I/O.

The server tells nodes of ours the members of the room as differences: id, when they joined, their kind, and
whether they joined with a secret. What a peer claims about itself or others is checked against it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from chronoflux.signal.protocol import Roster as RosterMessage
from chronoflux.signal.protocol import RosterMember, Who

REMEMBERED = 60.0  # s for which members that left still count, and answers to `who` hold
WITH_CLOCK = frozenset({"notebook", "headless", "page"})
"""Kinds of member that keep the room's time; recorders and probes only follow it."""


class Roster:
    """The members of the room as the server told them; ``now`` is a monotonic clock in seconds.

    Examples
    --------
    >>> roster = Roster(now=lambda: 0.0)
    >>> roster.take(RosterMessage([RosterMember("a", 1, "headless", True)], whole=True, size=1))
    >>> roster.belongs("a"), roster.belongs("b")
    (True, False)
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._members: dict[str, RosterMember] = {}
        self._left: dict[str, float] = {}
        self._answers: dict[str, tuple[float, RosterMember | None]] = {}
        self.told = False
        """Whether the server tells rosters at all; without, peers' own words are all there is."""
        self.complete = False
        """Whether the roster names the whole room."""
        self.size = 0

    @property
    def members(self) -> dict[str, RosterMember]:
        """By id: who is in the room now, as far as it is known."""
        return dict(self._members)

    def take(self, message: RosterMessage) -> None:
        """Take what the server says: everything anew, or a difference."""
        now = self._now()
        if message.whole:
            self._leave(self._members.keys() - {member.id for member in message.members}, now)
            self._members.clear()
        self._leave(message.left, now)
        for member in message.members:
            self._members[member.id] = member
            self._left.pop(member.id, None)
        self.told, self.complete, self.size = True, message.complete, message.size

    def answer(self, message: Who) -> None:
        """Take the answer to a question who is in the room."""
        now, present = self._now(), {member.id: member for member in message.present}
        for id_ in message.ids:
            self._answers[id_] = (now, present.get(id_))
        self._forget(now)

    def member(self, id_: str) -> RosterMember | None:
        """What the server says of a member; None if it says nothing."""
        known = self._members.get(id_)
        if known is None and (answer := self._answers.get(id_)) and self._now() - answer[0] < REMEMBERED:
            known = answer[1]
        return known

    def belongs(self, id_: str) -> bool | None:
        """Whether somebody is a member, or left less than 60 s ago; None when the server must be asked."""
        if self.member(id_) is not None:
            return True
        now = self._now()
        if id_ in self._left and now - self._left[id_] < REMEMBERED:
            return True
        if not self.told or (not self.complete and not self._answered(id_, now)):
            return None
        return False

    def ranked(self) -> list[RosterMember]:
        """Members that may lead the room's time, best first: lasting ones with a clock, by when they joined."""
        fit = (member for member in self._members.values() if member.lasting and member.kind in WITH_CLOCK)
        return sorted(fit, key=lambda member: (member.joined, member.id))

    def _answered(self, id_: str, now: float) -> bool:
        answer = self._answers.get(id_)
        return answer is not None and now - answer[0] < REMEMBERED

    def _leave(self, ids: Iterable[str], now: float) -> None:
        for id_ in ids:
            if self._members.pop(id_, None) is not None:
                self._left[id_] = now
        self._forget(now)

    def _forget(self, now: float) -> None:
        self._left = {id_: when for id_, when in self._left.items() if now - when < REMEMBERED}
        self._answers = {id_: known for id_, known in self._answers.items() if now - known[0] < REMEMBERED}
