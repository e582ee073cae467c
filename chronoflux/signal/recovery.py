"""What members remember of a room whose server was restarted without memory. No I/O.

On joining, each member reports when the earliest members and itself joined, and how its room was linked. A
time is accepted if at least two members report it and fewer contradict it. A member that does not name
somebody whom it would know contradicts too. So a single report changes nothing.

A known weakness: ids cost nothing. An attacker who brings more ids into a room than members have returned
can make these ids its earliest members, until more members are back or, after `WINDOW`, for good.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chronoflux.signal.protocol import MAX_KNOWN, JoinRoom

WINDOW = 60.0
"""Time after a room's start in which reports of its past are accepted, s."""
EARLIEST = MAX_KNOWN - 1
FEW_LINKS = 12
"""Most links of a node in a thinned room; in a full mesh of 16 each node has 15."""


@dataclass(frozen=True)
class _Report:
    """One member's report: when others and itself joined, and whether its room was sparse."""

    joined: dict[str, int]
    complete_until: float
    """It would know every member that joined before this time."""
    sparse: bool | None


class RecoveryReports:
    """Collects the reports of members. ``since`` is when the server's own memory of the room begins, ms."""

    def __init__(self, since: int) -> None:
        self._since = since
        self._reports: dict[str, _Report] = {}

    def add(self, member: str, message: JoinRoom) -> None:
        """Take a member's report; times not before ``since`` are ignored."""
        joined = {entry.id: entry.joined for entry in message.known if entry.joined < self._since}
        if not joined:
            self._reports.pop(member, None)
            return
        times = sorted(joined.values())
        horizon = float("inf") if len(times) < EARLIEST else times[EARLIEST - 1]
        sparse = None
        if message.hops is not None and message.links is not None:
            sparse = message.hops > 0 and message.links <= FEW_LINKS
        self._reports[member] = _Report(joined, horizon, sparse)

    def remove(self, member: str) -> None:
        """Drop the report of a member that left."""
        self._reports.pop(member, None)

    def joined(self, ids: Iterable[str]) -> dict[str, int]:
        """Return when `ids` joined, for those on which the members agree."""
        agreed = {id_: self._agreed(id_) for id_ in ids} if len(self._reports) > 1 else {}
        return {id_: joined for id_, joined in agreed.items() if joined is not None}

    def sparse(self) -> bool | None:
        """Return whether the room was sparse, if at least two and a majority agree, else None."""
        votes = [report.sparse for report in self._reports.values() if report.sparse is not None]
        for answer in (True, False):
            if _is_accepted(votes.count(answer), votes.count(not answer)):
                return answer
        return None

    def _agreed(self, id_: str) -> int | None:
        claims = [report.joined.get(id_) for report in self._reports.values()]
        for joined in {claim for claim in claims if claim is not None}:
            silent = sum(
                id_ not in word.joined and joined < word.complete_until for word in self._reports.values()
            )
            others = sum(claim is not None and claim != joined for claim in claims)
            if _is_accepted(claims.count(joined), others + silent):
                return joined
        return None


def _is_accepted(for_: int, against: int) -> bool:
    return for_ >= 2 and for_ > against
