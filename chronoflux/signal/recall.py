"""`Recollections`: what members remember of a room whose server was restarted without memory. No I/O.

Each member says, on joining, when the earliest members and itself joined as it heard it, and how its room was
linked. One member's word changes nothing: a time is believed when at least two say the same and fewer say
otherwise, where who does not name somebody that it would know says otherwise too. What remains: ids cost
nothing, so somebody who brings more of them into a room than have returned to it may make them its earliest
members, until more members are back or, after `WINDOW`, for good.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chronoflux.signal.protocol import MAX_KNOWN, JoinRoom

WINDOW = 60.0
"""Seconds from a room's beginning in which members are asked what was before."""
EARLIEST = MAX_KNOWN - 1
FEW_LINKS = 12
"""Links up to which a node of a room with a hop limit was in a thinned one; a full mesh of 16 has 15."""


@dataclass(frozen=True)
class _Word:
    """What one member says: when others and itself joined, and whether its room was a sparse one."""

    joined: dict[str, int]
    horizon: float
    """Who joined earlier than this, it would know."""
    sparse: bool | None


class Recollections:
    """See the module; ``since`` is the time in ms at which the server's own memory of the room begins."""

    def __init__(self, since: int) -> None:
        self._since = since
        self._words: dict[str, _Word] = {}

    def hear(self, witness: str, message: JoinRoom) -> None:
        """Take a member's word; what cannot be from before this room began here counts for nothing."""
        joined = {entry.id: entry.joined for entry in message.known if entry.joined < self._since}
        if not joined:
            self._words.pop(witness, None)
            return
        times = sorted(joined.values())
        horizon = float("inf") if len(times) < EARLIEST else times[EARLIEST - 1]
        sparse = None
        if message.hops is not None and message.links is not None:
            sparse = message.hops > 0 and message.links <= FEW_LINKS
        self._words[witness] = _Word(joined, horizon, sparse)

    def forget(self, witness: str) -> None:
        """A member left, and takes its word with it."""
        self._words.pop(witness, None)

    def joined(self, ids: Iterable[str]) -> dict[str, int]:
        """When those of `ids` joined about whom the members agree."""
        agreed = {id_: self._agreed(id_) for id_ in ids} if len(self._words) > 1 else {}
        return {id_: joined for id_, joined in agreed.items() if joined is not None}

    def sparse(self) -> bool | None:
        """Whether the room was thinned out, if two and the most agree."""
        voices = [word.sparse for word in self._words.values() if word.sparse is not None]
        for answer in (True, False):
            if _holds(voices.count(answer), voices.count(not answer)):
                return answer
        return None

    def _agreed(self, id_: str) -> int | None:
        claims = [word.joined.get(id_) for word in self._words.values()]
        for joined in {claim for claim in claims if claim is not None}:
            silent = sum(id_ not in word.joined and joined < word.horizon for word in self._words.values())
            others = sum(claim is not None and claim != joined for claim in claims)
            if _holds(claims.count(joined), others + silent):
                return joined
        return None


def _holds(for_: int, against: int) -> bool:
    return for_ >= 2 and for_ > against
