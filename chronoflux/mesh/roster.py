"""`Roster`: who is in the room, by the server's word. No I/O.

The server tells nodes of ours the members of the room as differences: id, when they joined, their kind, and
whether they joined with a secret. What a peer claims about itself or others is checked against it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from chronoflux.signal.member import WITH_CLOCK, by_age
from chronoflux.signal.protocol import MAX_KNOWN, Known, RosterMember, Who
from chronoflux.signal.protocol import Roster as RosterMessage

REMEMBERED = 60.0
"""Seconds for which members still count who left, or were known before the server was restarted."""
NEW = 90.0
"""Seconds for which a member is a newcomer; events older than that are not taken from anybody."""
MOST_ANSWERS = 4096
"""Answers of the server that are kept, the latest."""


class Roster:
    """The members of the room as the server told them; ``now`` is a monotonic clock in seconds.

    While the server is away (:meth:`server_lost`) everybody counts who counted when it went. A server that
    was restarted knows only who is back: those known before count for 60 s more, and of two times at which
    somebody joined the earlier holds meanwhile. A server without rosters tells nothing (``told`` is False).

    Examples
    --------
    >>> roster = Roster(now=lambda: 0.0)
    >>> roster.take(RosterMessage([RosterMember("a", 1, "headless", True)], whole=True, size=1))
    >>> roster.belongs("a"), roster.belongs("b")
    (True, False)
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._clock = now
        self._reset()

    def _reset(self) -> None:
        self._members: dict[str, RosterMember] = {}
        self._left: dict[str, float] = {}
        self._answers: dict[str, tuple[float, RosterMember | None]] = {}
        self._before: dict[str, RosterMember] = {}
        self._before_until = 0.0
        self._met: dict[str, float] = {}
        self._since: int | None = None
        self._lost_at: float | None = None
        self.told = False
        """Whether the server tells rosters at all; without, peers' own words are all there is."""
        self.complete = False
        """Whether the roster names the whole room."""
        self.size = 0

    # --- what the server says -------------------------------------------------------------------

    def joined(self, *, told: bool) -> None:
        """This node joined a server, again perhaps; `told` when it is one that tells rosters."""
        if not told:
            self._reset()

    def take(self, message: RosterMessage) -> None:
        """Take what the server says: everything anew, or a difference."""
        now = self._clock()
        if message.whole:
            self._begin(message, now)
        self._leave(message.left, now)
        for member in message.members:
            self._members[member.id] = member
            self._left.pop(member.id, None)
        self._lost_at = None
        self._met = {id_: self._met.get(id_, now) for id_ in self.members}
        self.told, self.complete, self.size = True, message.complete, message.size

    def answer(self, message: Who) -> None:
        """Take the answer to a question who is in the room."""
        now, present = self._clock(), {member.id: member for member in message.present}
        for id_ in message.ids:
            self._answers.pop(id_, None)
            self._answers[id_] = (now, present.get(id_))
        self._forget(now)
        while len(self._answers) > MOST_ANSWERS:
            del self._answers[next(iter(self._answers))]

    def server_lost(self) -> None:
        """The server is away: time stands still for what it said, until it is back."""
        if self._lost_at is None:
            self._lost_at = self._clock()

    # --- what follows ---------------------------------------------------------------------------

    @property
    def members(self) -> dict[str, RosterMember]:
        """By id: who is in the room now, as far as it is known; who was before a restart, for 60 s."""
        if self._now() >= self._before_until:
            return dict(self._members)
        return {
            **self._before,
            **{id_: _earlier(member, self._before.get(id_)) for id_, member in self._members.items()},
        }

    def member(self, id_: str) -> RosterMember | None:
        """What the server says of a member; None if it says nothing."""
        now, known = self._now(), self._members.get(id_)
        before = self._before.get(id_) if now < self._before_until else None
        if known is not None:
            return _earlier(known, before)
        if before is None and (answer := self._answers.get(id_)) and now - answer[0] < REMEMBERED:
            return answer[1]
        return before

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

    def newcomer(self, id_: str) -> bool:
        """Whether the server named a member for the first time less than 90 s ago."""
        met = self._met.get(id_)
        return met is not None and self._now() - met < NEW

    def ranked(self) -> list[RosterMember]:
        """Who may lead the room's time, best first: lasting members with a clock, by when they joined."""
        fit = (member for member in self.members.values() if member.lasting and member.kind in WITH_CLOCK)
        return sorted(fit, key=by_age)

    def known(self, own: str) -> list[Known]:
        """What a server that was restarted is told: the earliest members with a clock, and `own`."""
        if not self.told:
            return []
        told, mine = self.ranked()[: MAX_KNOWN - 1], self.member(own)
        if mine is not None and mine not in told:
            told.append(mine)
        return [Known(member.id, member.joined) for member in told]

    # --- odds and ends --------------------------------------------------------------------------

    def _now(self) -> float:
        return self._clock() if self._lost_at is None else self._lost_at

    def _begin(self, message: RosterMessage, now: float) -> None:
        """Forget what was told before; but a server without memory does not know who was in the room."""
        if self.told and message.since != self._since:
            self._before, self._before_until = self.members, now + REMEMBERED
        else:
            self._leave(self._members.keys() - {member.id for member in message.members}, now)
        self._members.clear()
        self._answers.clear()
        self._since = message.since

    def _answered(self, id_: str, now: float) -> bool:
        answer = self._answers.get(id_)
        return answer is not None and now - answer[0] < REMEMBERED

    def _leave(self, ids: Iterable[str], now: float) -> None:
        for id_ in ids:
            self._before.pop(id_, None)
            if self._members.pop(id_, None) is not None:
                self._left[id_] = now
        self._forget(now)

    def _forget(self, now: float) -> None:
        self._left = {id_: when for id_, when in self._left.items() if now - when < REMEMBERED}
        self._answers = {id_: known for id_, known in self._answers.items() if now - known[0] < REMEMBERED}


def _earlier(member: RosterMember, before: RosterMember | None) -> RosterMember:
    """The member, with the earlier of the two times at which it joined."""
    if before is None or before.joined >= member.joined:
        return member
    return msgspec.structs.replace(member, joined=before.joined)
