"""Check of event origins: only events of members of the room are accepted."""

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

UNTOLD = 256  # most origins accepted at a time without a roster; each is kept for …
KEPT = 95.0  # … this time after its last event, s
QUESTIONS = (20.0, 1.0)  # ``who`` messages/s to the server, and burst in s
PATIENCE = 1.0  # s that an event waits for the answer
WAITING, WAITING_EACH = 1024, 128  # most waiting events, of all links and of one

AnyEvent = EventMessage | UnknownEvent


class Origins:
    """Decides which origins of forwarded events are accepted.

    By the roster these are members of the room, and those that left it less than 60 s ago. Without a roster
    they are the peers that the server announced, and 256 others at a time.
    """

    def __init__(self, roster: Roster, peers: Mapping[str, Peer]) -> None:
        self._roster, self._peers = roster, peers
        self._untold: dict[str, float] = {}

    def admits(self, origin: str) -> bool | None:
        """Return whether events of this origin are accepted; None if the server must be asked."""
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
        """Return whether this origin announced, over a link, that its event ids are hashes."""
        peer = self._peers.get(origin)
        return peer is not None and peer.hashes

    def keeps_ids(self, origin: str) -> bool:
        """Return whether the server lists this origin as one of ours, whose events all have ids."""
        member = self._roster.member(origin)
        return member is not None and member.lasting and member.kind in OURS

    def newcomer(self, origin: str) -> bool:
        """Return whether this origin may have fired events before it knew the room's time."""
        return not self._roster.told or self._roster.newcomer(origin)

    @property
    def size(self) -> int:
        """The known number of members of the room."""
        return max(self._roster.size, len(self._peers) + 1)


class _Held(NamedTuple):
    since: float
    origin: str
    peer: Peer
    event: AnyEvent


class Asking:
    """Holds events of unknown origin until the server answers, at most `PATIENCE` seconds.

    `ask` sends a ``who`` message to the server. `take` is called with each event whose origin is decided.
    """

    def __init__(
        self, roster: Roster, ask: Callable[[list[str]], object], take: Callable[[Peer, AnyEvent], None]
    ) -> None:
        self._roster, self._ask, self._take = roster, ask, take
        self._held: deque[_Held] = deque()
        self._asked: set[str] = set()
        self._questions = Bucket(*QUESTIONS, time.monotonic())

    def hold(self, peer: Peer, origin: str, event: AnyEvent) -> None:
        """Hold an event until the server has answered for its origin.

        Raises
        ------
        ProtocolError
            If too many events wait.
        """
        of_peer = Counter(held.peer.id for held in self._held)[peer.id]
        if len(self._held) >= WAITING or of_peer >= WAITING_EACH:
            raise ProtocolError(event.type, "too many events wait for word of their origins")
        self._held.append(_Held(time.monotonic(), origin, peer, event))
        self.look()

    def look(self) -> None:
        """Ask for new origins within the rate limit. Hand on decided events, and refuse expired ones."""
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
