"""Events between nodes: each counts once, however often and on however many ways it is heard."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from chronoflux.errors import ProtocolError
from chronoflux.mesh import event_id
from chronoflux.model.events import EventKind, World

FUTURE, PAST = 2_000.0, 90_000.0  # ms, how far an event's `at` may lie from now
RESEND = 60_000.0  # ms, own events younger than this are sent again on a new path
REMEMBERED = 95_000.0  # ms after its `at` that an event is remembered: longer than it would be taken
SEEN = 2_048  # events remembered for each origin, as many again of those that others passed on
SWEEP = 10_000.0  # ms between looks at what need not be remembered any more; a full memory looks each second
OWN = 10_000  # own events kept to be told again
OLD_REPEAT = 1_000.0  # ms within which equal events of an old client are one
OLD, TOLD = "old:", "state:"
"""Ids begin so that are made up here: of an old client's events, and of what a peer's state tells of."""
LATER = 10_000.0  # ms that the same event of an old client may be heard later here than by another node
EARLY = 128.0  # ms by which a state may be told before its time: as far apart as clocks on one time may be


@dataclass(frozen=True)
class Event:
    """Something that happened at mesh time `at` (ms) at node `origin`; `data` is checked and complete.

    `content` is what its `id` covers, as its origin told it (see :mod:`chronoflux.mesh.event_id`): without,
    it is `data` as it is. `n` is its number among its origin's events. `stamp` is the time that its id was
    made with, where mesh time was moved since.
    """

    kind: EventKind
    data: Mapping[str, Any]
    id: str
    origin: str
    at: float
    n: int | None = None
    content: Mapping[str, Any] | None = None
    stamp: float | None = None

    @property
    def rank(self) -> tuple[float, str]:
        """Order among standing events of a kind: the latest wins, ties by origin."""
        return (self.at, self.origin)

    @property
    def envelope(self) -> dict[str, Any]:
        """What travels with it, without hops."""
        more = {"n": self.n, "stamp": self.stamp}
        given = {name: value for name, value in more.items() if value is not None}
        return {"id": self.id, "origin": self.origin, "at": self.at, **given}

    def message(self, hops: int) -> dict[str, Any]:
        """The event as it goes over the wire, passed on so often."""
        content = content_of(self.kind, self.data) if self.content is None else self.content
        return {"type": self.kind.wire, **self.envelope, "hops": hops, **content}

    def moved(self, by: float) -> Event:
        """The event after mesh time was moved by so many ms."""
        return replace(self, at=self.at + by, stamp=self.at if self.stamp is None else self.stamp)


def content_of(kind: EventKind, data: Mapping[str, Any], world: World | None = None) -> dict[str, Any]:
    """What an event's message says of what happened, in px of `world`."""
    body = {kind.nested: dict(data)} if kind.nested else dict(data)
    return body if world is None or not kind.placed else body | {"world": [float(side) for side in world]}


def fired(
    kind: EventKind,
    data: Mapping[str, Any],
    origin: str,
    at: float,
    *,
    world: World,
    taken: Callable[[str], bool],
) -> Event:
    """An event that this node fires, with its id; it may be µs later than `at`, so that no id is `taken`."""
    content = content_of(kind, data, world)
    key, when = event_id.mint(origin, kind.wire, at, content, taken)
    return Event(kind, data, key, origin, when, content=content)


def old_id(peer: str, kind: EventKind, data: Mapping[str, Any]) -> str:
    """The id of an event whose sender gives none: by sender and content."""
    content = msgspec.json.encode([kind.name, data], order="deterministic")
    return f"{OLD}{peer[:32]}:{hashlib.sha256(content).hexdigest()[:16]}"


class Gossip:
    """What is known of the room's events; times are mesh time in ms.

    An event is known by origin and id. For each origin there are two memories, of events that it told itself
    and of those that others passed on, so that nobody can fill the first in its name. A full memory takes no
    more and forgets nothing early. It is for the caller to bound the number of origins.
    """

    def __init__(self) -> None:
        self._heard: dict[tuple[str, bool], dict[str, float]] = {}
        self._swept: dict[tuple[str, bool] | None, float] = {}
        self._own: deque[Event] = deque(maxlen=OWN)
        self._standing: dict[str, Event] = {}
        self.count = 0
        """How many events were fired here; the next one has this number."""

    def own(self, event: Event) -> Event:
        """Take note of an event fired here; the event with its number."""
        event, self.count = replace(event, n=self.count), self.count + 1
        self._heard.setdefault((event.origin, False), {})[event.id] = event.at
        self._own.append(event)
        self._stand(event, event.at)
        return event

    def seen(self, origin: str, key: str) -> bool:
        """Whether an event of this origin and id was heard already (an old client's may come again)."""
        return not key.startswith(OLD) and self._when(origin, key) is not None

    def accept(self, event: Event, now: float, *, relayed: bool = False, told: bool = False) -> bool:
        """Whether a remote event is to be applied: heard for the first time and not overtaken.

        `told` says that another node tells of it: then an old client did not do the same thing again.

        Raises
        ------
        ProtocolError
            When its time is too far from `now`, or there is no room to remember it.
        """
        kind, origin = event.kind.wire, event.origin
        news = self.news(kind, origin, event.id, event.at, now, relayed=relayed, told=told)
        return news and self._stand(event, now)

    def news(
        self,
        kind: str,
        origin: str,
        key: str,
        at: float,
        now: float,
        *,
        relayed: bool = False,
        told: bool = False,
    ) -> bool:
        """Whether an event of any kind, also one not known here, is heard for the first time; see `accept`.

        What an old client does again is told from what comes on another way by when it was first heard of:
        that time travels with it.
        """
        age = now - at
        if age < -FUTURE or age > PAST:
            raise ProtocolError(kind, f"its time is {-age / 1000:+.1f} s from now")
        before = self._when(origin, key)
        again = before is not None and key.startswith(OLD) and at - before > OLD_REPEAT and not told
        if before is not None and not again:
            return False
        memory = (origin, relayed)
        self._sweep(None, now, SWEEP)
        if before is None and len(self._heard.get(memory, ())) >= SEEN:
            self._sweep(memory, now, OLD_REPEAT)
            if len(self._heard.get(memory, ())) >= SEEN:
                way = "that others passed on" if relayed else "that it told"
                raise ProtocolError(kind, f"{SEEN:,} events of its origin {way} are remembered: no room")
        self._heard.setdefault(memory, {})[key] = at
        return True

    def takes_over(self, event: Event, now: float) -> bool:
        """Whether a standing event that was told as the state of the room is news: then it holds now.

        Raises
        ------
        ProtocolError
            When it is yet to come.
        """
        if event.at > now + EARLY:
            raise ProtocolError(event.kind.wire, f"its time is {(event.at - now) / 1000:+.1f} s from now")
        return self._stand(event, now)

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
        self._heard = {
            memory: {key: when + by for key, when in heard.items()} for memory, heard in self._heard.items()
        }
        self._swept.clear()
        self._own = deque((event.moved(by) for event in self._own), maxlen=OWN)
        self._standing = {name: held.moved(by) for name, held in self._standing.items()}

    def _stand(self, event: Event, now: float) -> bool:
        """Have a standing event hold unless it is overtaken; whether that changes anything."""
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
        # One switch may be told under two names, when its origin is not in the room any more.
        return held is None or held.at != event.at or held.data != event.data

    def _when(self, origin: str, key: str) -> float | None:
        """When an event was, as far as it is remembered."""
        times = (self._heard.get((origin, relayed), {}).get(key) for relayed in (False, True))
        return max((when for when in times if when is not None), default=None)

    def _sweep(self, which: tuple[str, bool] | None, now: float, period: float) -> None:
        """Forget what is old enough in one memory, or in all; not again within `period` ms."""
        if abs(now - self._swept.get(which, -1e18)) < period:
            return
        for memory in [which] if which is not None else list(self._heard):
            heard = self._heard.get(memory, {})
            kept = {key: when for key, when in heard.items() if now - when <= REMEMBERED}
            if kept:
                self._heard[memory] = kept
            else:
                self._heard.pop(memory, None)
                self._swept.pop(memory, None)
        self._swept[which] = now


def _same(one: Event, other: Event) -> bool:
    """Whether two standing events without an id of their own are one, told once by its client, and once or
    twice by the state of others, who heard it at other times."""
    keys = one.id, other.id
    if not (all(key.startswith((OLD, TOLD)) for key in keys) and any(key.startswith(TOLD) for key in keys)):
        return False
    near = abs(one.at - other.at) <= LATER or 0.0 in (one.at, other.at)  # a client's own state has no time
    return near and (one.origin, one.data) == (other.origin, other.data)
