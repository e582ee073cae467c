"""`Roster`: the members of the room according to the server. No I/O.

The server sends the members of the room to our nodes as differences: id, when they joined, their kind, and
whether they joined with a secret. Claims of peers about themselves or others are checked against it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from chronoflux.signal.member import WITH_CLOCK, by_age
from chronoflux.signal.protocol import MAX_KNOWN, Known, RosterMember, Who
from chronoflux.signal.protocol import Roster as RosterMessage

REMEMBERED = 60.0
"""Time for which members count that left, or that were known before a restart of the server, s."""
NEW = 90.0
"""Time for which a member is a newcomer, s; events older than that are not accepted from anybody."""
MOST_ANSWERS = 4096
"""Most answers of the server that are kept; the oldest are dropped."""


class Roster:
    """The members of the room as the server reported them; ``now`` is a monotonic clock in seconds.

    While the server is away (:meth:`server_lost`) the last known members count. A restarted server knows only
    the members that have returned. Members known before the restart therefore count for 60 s more, and the
    earlier of two times at which a member joined is used meanwhile. With a server that sends no rosters
    ``available`` is False.

    Examples
    --------
    >>> roster = Roster(now=lambda: 0.0)
    >>> roster.apply(RosterMessage([RosterMember("a", 1, "headless", True)], whole=True, size=1))
    >>> roster.belongs("a"), roster.belongs("b")
    (True, False)
    """

    available: bool
    complete: bool
    size: int

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._clock = now
        self._reset()

    def _reset(self) -> None:
        self._members: dict[str, RosterMember] = {}
        self._left: dict[str, float] = {}
        self._answers: dict[str, tuple[float, RosterMember | None]] = {}
        self._before: dict[str, RosterMember] = {}
        self._before_until = 0.0
        self._first_listed: dict[str, float] = {}
        self._since: int | None = None
        self._lost_at: float | None = None
        self.available = False
        """Whether the server sends rosters; if not, only the peers' own claims are known."""
        self.complete = False
        """Whether the roster covers the whole room."""
        self.size = 0

    # --- messages of the server -----------------------------------------------------------------

    def joined(self, *, available: bool) -> None:
        """Note that this node joined or rejoined a server; `available`: the server sends rosters."""
        if not available:
            self._reset()

    def apply(self, message: RosterMessage) -> None:
        """Apply a roster message: a whole roster or a difference."""
        now = self._clock()
        if message.whole:
            self._replace(message, now)
        self._leave(message.left, now)
        for member in message.members:
            self._members[member.id] = member
            self._left.pop(member.id, None)
        self._lost_at = None
        self._first_listed = {id_: self._first_listed.get(id_, now) for id_ in self.members}
        self.available, self.complete, self.size = True, message.complete, message.size

    def apply_answer(self, message: Who) -> None:
        """Store the answer to a ``who`` message."""
        now, present = self._clock(), {member.id: member for member in message.present}
        for id_ in message.ids:
            self._answers.pop(id_, None)
            self._answers[id_] = (now, present.get(id_))
        self._forget(now)
        while len(self._answers) > MOST_ANSWERS:
            del self._answers[next(iter(self._answers))]

    def server_lost(self) -> None:
        """Note that the server is away: until it is back, nothing it reported expires."""
        if self._lost_at is None:
            self._lost_at = self._clock()

    # --- queries --------------------------------------------------------------------------------

    @property
    def members(self) -> dict[str, RosterMember]:
        """The known members by id; for 60 s after a restart also those known before it."""
        if self._now() >= self._before_until:
            return dict(self._members)
        return {
            **self._before,
            **{id_: _earlier(member, self._before.get(id_)) for id_, member in self._members.items()},
        }

    def member(self, id_: str) -> RosterMember | None:
        """Return what the server reported of a member; None if nothing is known."""
        now, known = self._now(), self._members.get(id_)
        before = self._before.get(id_) if now < self._before_until else None
        if known is not None:
            return _earlier(known, before)
        if before is None and (answer := self._answers.get(id_)) and now - answer[0] < REMEMBERED:
            return answer[1]
        return before

    def belongs(self, id_: str) -> bool | None:
        """Return whether an id is a member or left less than 60 s ago; None if the server must be asked."""
        if self.member(id_) is not None:
            return True
        now = self._now()
        if id_ in self._left and now - self._left[id_] < REMEMBERED:
            return True
        if not self.available or (not self.complete and not self._answered(id_, now)):
            return None
        return False

    def newcomer(self, id_: str) -> bool:
        """Return whether the server first listed a member less than 90 s ago."""
        met = self._first_listed.get(id_)
        return met is not None and self._now() - met < NEW

    def ranked(self) -> list[RosterMember]:
        """Return possible clock references, best first: lasting members with a clock, by age."""
        fit = (member for member in self.members.values() if member.lasting and member.kind in WITH_CLOCK)
        return sorted(fit, key=by_age)

    def known(self, own: str) -> list[Known]:
        """Return when the earliest members with a clock and `own` joined, for a restarted server."""
        if not self.available:
            return []
        members, mine = self.ranked()[: MAX_KNOWN - 1], self.member(own)
        if mine is not None and mine not in members:
            members.append(mine)
        return [Known(member.id, member.joined) for member in members]

    # --- helpers --------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._clock() if self._lost_at is None else self._lost_at

    def _replace(self, message: RosterMessage, now: float) -> None:
        """Discard the old roster. After a restart of the server, keep its members for `REMEMBERED` s."""
        if self.available and message.since != self._since:
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
    """Return the member with the earlier of the two times at which it joined."""
    if before is None or before.joined >= member.joined:
        return member
    return msgspec.structs.replace(member, joined=before.joined)
