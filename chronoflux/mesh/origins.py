"""Whose events are taken: those of members of the room, by the server's word."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

from chronoflux.errors import ProtocolError
from chronoflux.mesh.messages import EventMessage, UnknownEvent
from chronoflux.mesh.peer import OURS, Peer
from chronoflux.mesh.roster import Roster
from chronoflux.signal.protocol import MAX_WHO
from chronoflux.util.token_bucket import Bucket

UNTOLD = 256  # origins taken at once where no roster is told; each counts for …
KEPT = 95.0  # … so many s after its last event
QUESTIONS = (20.0, 1.0)  # to the server a second, and how many seconds' worth at once
PATIENCE = 1.0  # s that an event waits for the answer
WAITING, WAITING_EACH = 1024, 128  # events that wait, of all links and of one

AnyEvent = EventMessage | UnknownEvent


class Origins:
    """Who may be the origin of an event that somebody else passes on.

    Members of the room and those who left it less than 60 s ago, by the roster; where the server tells none,
    the peers that it announced and 256 others at a time.
    """

    def __init__(self, roster: Roster, peers: Mapping[str, Peer]) -> None:
        self._roster, self._peers = roster, peers
        self._untold: dict[str, float] = {}

    def admits(self, origin: str) -> bool | None:
        """Whether events of this origin are taken; None when the server must be asked."""
        if (peer := self._peers.get(origin)) is not None and peer.in_room:
            return True
        if self._roster.told:
            return self._roster.belongs(origin)
        now = time.monotonic()
        if origin not in self._untold and len(self._untold) >= UNTOLD:
            self._untold = {known: when for known, when in self._untold.items() if now - when < KEPT}
            if len(self._untold) >= UNTOLD:
                return False
        self._untold[origin] = now
        return True

    def hashes(self, origin: str) -> bool:
        """Whether this origin said, over a link, that the ids of its events are hashes."""
        peer = self._peers.get(origin)
        return peer is not None and peer.hashes

    def keeps_ids(self, origin: str) -> bool:
        """Whether this origin is one of ours by the server's word, whose events all have ids of their own."""
        member = self._roster.member(origin)
        return member is not None and member.lasting and member.kind in OURS

    def newcomer(self, origin: str) -> bool:
        """Whether this origin may have fired events before it knew the room's time."""
        return not self._roster.told or self._roster.newcomer(origin)

    @property
    def size(self) -> int:
        """How many are in the room, as far as it is known."""
        return max(self._roster.size, len(self._peers) + 1)


class _Held(NamedTuple):
    since: float
    origin: str
    peer: Peer
    event: AnyEvent


class Asking:
    """Events whose origins only the server knows: they wait until it answers, at most a second.

    `ask` puts a question to the server; `take` takes an event whose origin is decided.
    """

    def __init__(
        self, roster: Roster, ask: Callable[[list[str]], object], take: Callable[[Peer, AnyEvent], None]
    ) -> None:
        self._roster, self._ask, self._take = roster, ask, take
        self._held: deque[_Held] = deque()
        self._asked: set[str] = set()
        self._questions = Bucket(*QUESTIONS, time.monotonic())

    def hold(self, peer: Peer, origin: str, event: AnyEvent) -> None:
        """Have an event wait for word of its origin.

        Raises
        ------
        ProtocolError
            When too many wait.
        """
        of_peer = Counter(held.peer.id for held in self._held)[peer.id]
        if len(self._held) >= WAITING or of_peer >= WAITING_EACH:
            raise ProtocolError(event.type, "too many events wait for word of their origins")
        self._held.append(_Held(time.monotonic(), origin, peer, event))
        self.look()

    def look(self) -> None:
        """Ask what is not asked yet, as far as that is allowed; hand on what is decided or has waited."""
        now, held = time.monotonic(), self._held
        self._held = deque()
        decided = []
        for one in held:
            if self._roster.belongs(one.origin) is not None:
                decided.append(one)
            elif now - one.since > PATIENCE:
                one.peer.refuse(ProtocolError(one.event.type, "the server does not say who its origin is"))
            else:
                self._held.append(one)
        self._asked &= {one.origin for one in self._held}
        fresh = list(dict.fromkeys(one.origin for one in self._held if one.origin not in self._asked))
        while fresh and self._questions.take(1, now):
            ids, fresh = fresh[:MAX_WHO], fresh[MAX_WHO:]
            self._asked.update(ids)
            self._ask(ids)
        for one in decided:
            self._take(one.peer, one.event)
