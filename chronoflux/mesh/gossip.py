"""Events between nodes: each is applied once, however often and over however many paths it arrives."""

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

FUTURE, PAST = 2_000.0, 90_000.0  # ms, largest distance of an event's `at` from now
RESEND = 60_000.0  # ms, own events younger than this are resent on a new path
REMEMBERED = 95_000.0  # ms after its `at` for which an event is remembered: longer than it is accepted
MAX_REMEMBERED = 2_048  # most events remembered for each origin, direct and forwarded each
SWEEP_PERIOD = 10_000.0  # ms between removals of expired entries; every second if a memory is full
MAX_OWN = 10_000  # most own events kept for resending
OLD_REPEAT = 1_000.0  # ms within which equal events of an old client count as one
OLD, FROM_STATE = "old:", "state:"
"""Prefixes of ids made by the receiver: for events of old clients, and for the state of a peer."""
MAX_DELAY = 10_000.0  # ms by which an old client's event may arrive later here than at another node
MAX_CLOCK_DIFFERENCE = (
    128.0  # ms by which a state may arrive before its time: the largest difference of clocks
)


@dataclass(frozen=True)
class Event:
    """An event fired at mesh time `at` (ms) by node `origin`; `data` is checked and complete.

    `content` is what its `id` covers, as its origin sent it (see :mod:`chronoflux.mesh.event_id`); None means
    `data` unchanged. `n` is its number among its origin's events. `stamp` is the time from which its id was
    made, if mesh time was stepped since.
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
        """Order of standing events of one kind: the latest wins, ties by origin."""
        return (self.at, self.origin)

    @property
    def envelope(self) -> dict[str, Any]:
        """The fields of its envelope, without ``hops``."""
        more = {"n": self.n, "stamp": self.stamp}
        given = {name: value for name, value in more.items() if value is not None}
        return {"id": self.id, "origin": self.origin, "at": self.at, **given}

    def message(self, hops: int) -> dict[str, Any]:
        """Return the event's message, forwarded `hops` times."""
        content = content_of(self.kind, self.data) if self.content is None else self.content
        return {"type": self.kind.wire, **self.envelope, "hops": hops, **content}

    def shifted(self, by: float) -> Event:
        """Return the event after a step of mesh time by `by` ms."""
        return replace(self, at=self.at + by, stamp=self.at if self.stamp is None else self.stamp)


def content_of(kind: EventKind, data: Mapping[str, Any], world: World | None = None) -> dict[str, Any]:
    """Return the content of an event's message, in px of `world` if given."""
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
    """Return a new event of this node; its time may be µs after `at`, so that its id is not `taken`."""
    content = content_of(kind, data, world)
    key, when = event_id.mint(origin, kind.wire, at, content, taken)
    return Event(kind, data, key, origin, when, content=content)


def old_id(peer: str, kind: EventKind, data: Mapping[str, Any]) -> str:
    """Return an id for an event without one, from its sender and content."""
    content = msgspec.json.encode([kind.name, data], order="deterministic")
    return f"{OLD}{peer[:32]}:{hashlib.sha256(content).hexdigest()[:16]}"


class Gossip:
    """Remembers the events of the room; times are mesh time in ms.

    An event is identified by origin and id. Each origin has two memories, one for events that it sent itself
    and one for events that others forwarded, so that others cannot fill the first in its name. A full memory
    accepts no more events and forgets none early. The caller limits the number of origins.
    """

    def __init__(self) -> None:
        self._received: dict[tuple[str, bool], dict[str, float]] = {}
        self._swept: dict[tuple[str, bool] | None, float] = {}
        self._own: deque[Event] = deque(maxlen=MAX_OWN)
        self._standing: dict[str, Event] = {}
        self.count: int = 0
        """The number of events fired here, which is also the number of the next one."""

    def add_own(self, event: Event) -> Event:
        """Record an event fired here. Return the event with its number."""
        event, self.count = replace(event, n=self.count), self.count + 1
        self._received.setdefault((event.origin, False), {})[event.id] = event.at
        self._own.append(event)
        self._put_in_force(event, event.at)
        return event

    def seen(self, origin: str, key: str) -> bool:
        """Return whether an event was received before; always False for old clients, which may repeat one."""
        return not key.startswith(OLD) and self._time_of(origin, key) is not None

    def accept(self, event: Event, now: float, *, relayed: bool = False, from_state: bool = False) -> bool:
        """Record a remote event. Return whether to apply it: it is new and not superseded.

        `from_state`: it was reported by the state of another node, so an old client did not repeat it.

        Raises
        ------
        ProtocolError
            If its time is too far from `now`, or the memory of its origin is full.
        """
        kind, origin = event.kind.wire, event.origin
        news = self.is_new(kind, origin, event.id, event.at, now, relayed=relayed, from_state=from_state)
        return news and self._put_in_force(event, now)

    def is_new(
        self,
        kind: str,
        origin: str,
        key: str,
        at: float,
        now: float,
        *,
        relayed: bool = False,
        from_state: bool = False,
    ) -> bool:
        """Record an event of any kind, known or unknown. Return whether it is new; see `accept`.

        A repetition by an old client differs from a duplicate over another path in the time of its first
        reception, which is forwarded with it.
        """
        age = now - at
        if age < -FUTURE or age > PAST:
            raise ProtocolError(kind, f"its time is {-age / 1000:+.1f} s from now")
        before = self._time_of(origin, key)
        repeated = before is not None and key.startswith(OLD) and at - before > OLD_REPEAT and not from_state
        if before is not None and not repeated:
            return False
        memory = (origin, relayed)
        self._sweep(None, now, SWEEP_PERIOD)
        if before is None and len(self._received.get(memory, ())) >= MAX_REMEMBERED:
            self._sweep(memory, now, OLD_REPEAT)
            if len(self._received.get(memory, ())) >= MAX_REMEMBERED:
                way = "that others forwarded" if relayed else "that it sent"
                raise ProtocolError(
                    kind, f"the memory for events of its origin {way} is full ({MAX_REMEMBERED:,})"
                )
        self._received.setdefault(memory, {})[key] = at
        return True

    def adopt(self, event: Event, now: float) -> bool:
        """Adopt a standing event from the reported state of the room. Return whether it changes anything.

        Raises
        ------
        ProtocolError
            If its time is in the future.
        """
        if event.at > now + MAX_CLOCK_DIFFERENCE:
            raise ProtocolError(event.kind.wire, f"its time is {(event.at - now) / 1000:+.1f} s from now")
        return self._put_in_force(event, now)

    def recent(self, now: float) -> Iterator[Event]:
        """Return own events of the last minute, for resending on a new path."""
        while self._own and now - self._own[0].at > RESEND:
            self._own.popleft()
        return iter(tuple(self._own))

    def standing(self, name: str, now: float) -> Event | None:
        """Return the standing event of this kind that is in force at `now`, or None.

        An event from the future, left by a clock that was wrong for a while, is not in force.
        """
        held = self._standing.get(name)
        return None if held is None or held.at > now + FUTURE else held

    def shift(self, by: float) -> None:
        """Adjust all stored times after a step of mesh time by `by` ms."""
        self._received = {
            memory: {key: when + by for key, when in heard.items()}
            for memory, heard in self._received.items()
        }
        self._swept.clear()
        self._own = deque((event.shifted(by) for event in self._own), maxlen=MAX_OWN)
        self._standing = {name: held.shifted(by) for name, held in self._standing.items()}

    def _put_in_force(self, event: Event, now: float) -> bool:
        """Put a standing event in force unless it is superseded. Return whether that changes anything."""
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
        # One change may be reported under two origins, if its true origin has left the room.
        return held is None or held.at != event.at or held.data != event.data

    def _time_of(self, origin: str, key: str) -> float | None:
        """Return the remembered time of an event, or None."""
        times = (self._received.get((origin, relayed), {}).get(key) for relayed in (False, True))
        return max((when for when in times if when is not None), default=None)

    def _sweep(self, which: tuple[str, bool] | None, now: float, period: float) -> None:
        """Remove expired entries of one memory, or of all; at most once in `period` ms."""
        if abs(now - self._swept.get(which, -1e18)) < period:
            return
        for memory in [which] if which is not None else list(self._received):
            heard = self._received.get(memory, {})
            kept = {key: when for key, when in heard.items() if now - when <= REMEMBERED}
            if kept:
                self._received[memory] = kept
            else:
                self._received.pop(memory, None)
                self._swept.pop(memory, None)
        self._swept[which] = now


def _same(one: Event, other: Event) -> bool:
    """Return whether two standing events without an original id are the same event.

    An old client may have sent it once, while the states of other nodes report it with other times.
    """
    keys = one.id, other.id
    if not (
        all(key.startswith((OLD, FROM_STATE)) for key in keys)
        and any(key.startswith(FROM_STATE) for key in keys)
    ):
        return False
    near = abs(one.at - other.at) <= MAX_DELAY or 0.0 in (
        one.at,
        other.at,
    )  # an old client's state has no time
    return near and (one.origin, one.data) == (other.origin, other.data)
