"""Events between nodes: each counts once, however often and on however many ways it is heard."""

from __future__ import annotations

import hashlib
import uuid
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from chronoflux.errors import ProtocolError
from chronoflux.mesh.messages import event_message
from chronoflux.model.events import EventKind

FUTURE, PAST = 2_000.0, 90_000.0  # ms, how far an event's `at` may lie from now
RESEND = 60_000.0  # ms, own events younger than this are sent again on a new path
SEEN = 10_000  # ids remembered
OLD_REPEAT = 1_000.0  # ms within which equal events of an old client are one
OLD, TOLD = "old:", "state:"
"""Ids begin so that are made up here: of an old client's events, and of what a peer's state tells of."""
LATER = 10_000.0  # ms that the same event of an old client may be heard later here than by another node


@dataclass(frozen=True)
class Event:
    """Something that happened at mesh time `at` (ms) at node `origin`; `data` is checked and complete."""

    kind: EventKind
    data: Mapping[str, Any]
    id: str
    origin: str
    at: float

    @property
    def rank(self) -> tuple[float, str]:
        """Order among standing events of a kind: the latest wins, ties by origin."""
        return (self.at, self.origin)

    def message(self, hops: int) -> dict[str, Any]:
        """The event as it goes over the wire, passed on so often."""
        return event_message(self.kind, self.data, id=self.id, origin=self.origin, at=self.at, hops=hops)


def new_id() -> str:
    """An id that needs no coordination."""
    return uuid.uuid4().hex


def old_id(peer: str, kind: EventKind, data: Mapping[str, Any]) -> str:
    """The id of an event whose sender gives none: by sender and content."""
    content = msgspec.json.encode([kind.name, data], order="deterministic")
    return f"{OLD}{peer[:32]}:{hashlib.sha256(content).hexdigest()[:16]}"


class Gossip:
    """What is known of the room's events; times are mesh time in ms."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._own: deque[Event] = deque(maxlen=SEEN)
        self._standing: dict[str, Event] = {}

    def own(self, event: Event) -> None:
        """Take note of an event fired here."""
        self._remember(event.id, event.at)
        self._own.append(event)
        self._stand(event, event.at)

    def seen(self, key: str) -> bool:
        """Whether an event of this id was heard already (an old client's may come again)."""
        return key in self._seen and not key.startswith(OLD)

    def accept(self, event: Event, now: float, *, lasting: bool = False, told: bool = False) -> bool:
        """Whether a remote event is to be applied: heard for the first time and not overtaken.

        `lasting` says that it was told as the state of the room: then it may be older than 90 s. `told` says
        that another node tells of it: then an old client did not do the same thing again.

        Raises
        ------
        ProtocolError
            When its time is too far from `now`.
        """
        wire = event.kind.wire
        return self.news(wire, event.id, event.at, now, lasting=lasting, told=told) and self._stand(
            event, now
        )

    def news(
        self, kind: str, key: str, at: float, now: float, *, lasting: bool = False, told: bool = False
    ) -> bool:
        """Whether an event of any kind, also one not known here, is heard for the first time; see `accept`.

        What an old client does again is told from what comes on another way by when it was first heard of:
        that time travels with it.
        """
        age = now - at
        if age < -FUTURE or (age > PAST and not lasting):
            raise ProtocolError(kind, f"its time is {-age / 1000:+.1f} s from now")
        before = self._seen.get(key)
        again = before is not None and key.startswith(OLD) and at - before > OLD_REPEAT and not told
        if before is not None and not again:
            return False
        self._remember(key, at)
        return True

    def recent(self, now: float) -> Iterator[Event]:
        """Own events of the last minute, to be told on a new path."""
        while self._own and now - self._own[0].at > RESEND:
            self._own.popleft()
        return iter(tuple(self._own))

    def standing(self, name: str, now: float) -> Event | None:
        """The event of this kind that holds at `now`, if it is a standing one and there was any.

        One from the future, left by a clock that was wrong for a while, does not hold.
        """
        held = self._standing.get(name)
        return None if held is None or held.at > now + FUTURE else held

    def shift(self, by: float) -> None:
        """Mesh time was moved by so many ms: what is remembered moves along."""
        self._seen = OrderedDict((key, when + by) for key, when in self._seen.items())
        self._own = deque((replace(event, at=event.at + by) for event in self._own), maxlen=SEEN)
        self._standing = {name: replace(held, at=held.at + by) for name, held in self._standing.items()}

    def _stand(self, event: Event, now: float) -> bool:
        if not event.kind.standing:
            return True
        held = self.standing(event.kind.name, now)
        if held is not None and _same(held, event):
            key = event.id if event.id.startswith(OLD) else held.id
            self._standing[event.kind.name] = replace(held, id=key, at=max(held.at, event.at))
            return False
        if held is not None and held.rank >= event.rank:
            return False
        self._standing[event.kind.name] = event
        return True

    def _remember(self, key: str, when: float) -> None:
        self._seen[key] = when
        self._seen.move_to_end(key)
        while len(self._seen) > SEEN:
            self._seen.popitem(last=False)


def _same(one: Event, other: Event) -> bool:
    """Whether two standing events without an id of their own are one, told once by its client, and once or
    twice by the state of others, who heard it at other times."""
    keys = one.id, other.id
    if not (all(key.startswith((OLD, TOLD)) for key in keys) and any(key.startswith(TOLD) for key in keys)):
        return False
    near = abs(one.at - other.at) <= LATER or 0.0 in (one.at, other.at)  # a client's own state has no time
    return near and (one.origin, one.data) == (other.origin, other.data)
