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

MAX_UNLISTED = 256  # most origins accepted at a time without a roster; each is kept for …
UNLISTED_FOR = 95.0  # … this time after its last event, s
WHO_RATE = (20.0, 1.0)  # ``who`` messages/s to the server, and burst in s
ANSWER_TIMEOUT = 1.0  # s that an event waits for the answer
MAX_WAITING, MAX_WAITING_OF_PEER = 1024, 128  # most waiting events, of all links and of one

AnyEvent = EventMessage | UnknownEvent


class Origins:
    """Decides which origins of forwarded events are accepted.

    By the roster these are members of the room, and those that left it less than 60 s ago. Without a roster
    they are the peers that the server announced, and 256 others at a time.
    """

    def __init__(self, roster: Roster, peers: Mapping[str, Peer]) -> None:
        self._roster, self._peers = roster, peers
        self._unlisted: dict[str, float] = {}

    def admits(self, origin: str) -> bool | None:
        """Return whether events of this origin are accepted; None if the server must be asked."""
        if (peer := self._peers.get(origin)) is not None and peer.in_room:
            return True
        if self._roster.available:
            return self._roster.belongs(origin)
        now = time.monotonic()
        if origin not in self._unlisted and len(self._unlisted) >= MAX_UNLISTED:
            self._unlisted = {
                known: when for known, when in self._unlisted.items() if now - when < UNLISTED_FOR
            }
            if len(self._unlisted) >= MAX_UNLISTED:
                return False
        self._unlisted[origin] = now
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
        return not self._roster.available or self._roster.newcomer(origin)

    @property
    def size(self) -> int:
        """The known number of members of the room."""
        return max(self._roster.size, len(self._peers) + 1)


class _Held(NamedTuple):
    since: float
    origin: str
    peer: Peer
    event: AnyEvent


class OriginQueries:
    """Holds events of unknown origin until the server answers, at most `PATIENCE` seconds.

    `ask` sends a ``who`` message to the server. `handle` is called with each event whose origin is decided.
    """

    def __init__(
        self, roster: Roster, ask: Callable[[list[str]], object], handle: Callable[[Peer, AnyEvent], None]
    ) -> None:
        self._roster, self._ask, self._handle = roster, ask, handle
        self._held: deque[_Held] = deque()
        self._asked: set[str] = set()
        self._rate = Bucket(*WHO_RATE, time.monotonic())

    def hold(self, peer: Peer, origin: str, event: AnyEvent) -> None:
        """Hold an event until the server has answered for its origin.

        Raises
        ------
        ProtocolError
            If too many events wait.
        """
        of_peer = Counter(held.peer.id for held in self._held)[peer.id]
        if len(self._held) >= MAX_WAITING or of_peer >= MAX_WAITING_OF_PEER:
            raise ProtocolError(event.type, "too many events wait until the server confirms their origins")
        self._held.append(_Held(time.monotonic(), origin, peer, event))
        self.poll()

    def poll(self) -> None:
        """Ask for new origins within the rate limit. Hand on decided events, and refuse expired ones."""
        now, held = time.monotonic(), self._held
        self._held = deque()
        decided = []
        for one in held:
            if self._roster.belongs(one.origin) is not None:
                decided.append(one)
            elif now - one.since > ANSWER_TIMEOUT:
                one.peer.refuse(ProtocolError(one.event.type, "the server did not confirm its origin"))
            else:
                self._held.append(one)
        self._asked &= {one.origin for one in self._held}
        fresh = list(dict.fromkeys(one.origin for one in self._held if one.origin not in self._asked))
        while fresh and self._rate.take(1, now):
            ids, fresh = fresh[:MAX_WHO], fresh[MAX_WHO:]
            self._asked.update(ids)
            self._ask(ids)
        for one in decided:
            self._handle(one.peer, one.event)
