"""Events that were lost on the way are told by both sides, and both say the same."""

from __future__ import annotations

import time as real_time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.mesh import mesh as mesh_module
from chronoflux.mesh import messages
from chronoflux.mesh import missed_events as missed_events_module
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.gossip import Event, fired
from chronoflux.mesh.ice import Ice
from chronoflux.mesh.mesh import Mesh
from chronoflux.mesh.messages import RANGES
from chronoflux.mesh.missed_events import Missed, MissedEvents
from chronoflux.mesh.peer import Peer
from chronoflux.mesh.spectator import Spectator
from chronoflux.model.events import EVENTS
from chronoflux.signal.protocol import RoomPeer


class Time:
    """A clock that is moved by hand, for whoever asks for the time."""

    def __init__(self) -> None:
        self.seconds = real_time.monotonic()

    def monotonic(self) -> float:
        return self.seconds

    def mono_ms(self) -> float:
        return self.seconds * 1000

    def utc_ms(self) -> float:
        return 1.7e12 + self.seconds * 1000


class Pipe:
    """One end of a link: what is sent comes to the other node at once, or never when that is suspended."""

    def __init__(self, other: Node, sender: Node) -> None:
        self.state, self._other, self._sender = "open", other, sender
        self.dropped = 0

    def send(self, text: str, **options: bool) -> bool:
        if not self._other.suspended:
            self._other.mesh.on_message(self._other.peer(self._sender), text)
        return True

    def open_rt(self) -> None:
        """There is no second channel."""


class Node(Spectator):
    """A node of a simulated room, with a real mesh, and links that are opened and closed by hand."""

    def __init__(self, name: str, time: Time) -> None:
        super().__init__(name, "headless")
        self.suspended = False
        self.heard: list[str] = []
        self.missed: list[dict[str, Any]] = []
        client: Any = SimpleNamespace(
            state="waiting", server=None, joins=0, peer_id=name, own_id=name, send=lambda message: True
        )
        self._time = time
        self.mesh = Mesh(client, self, MeshClock(time.mono_ms, time.utc_ms), Ice())
        self.mesh._inbound.id = name

    def on_event(self, event: Event) -> None:
        self.heard.append(event.id)

    def on_missed(self, facts: Any) -> None:
        self.missed.append(dict(facts))

    def meet(self, other: Node) -> None:
        """The server says that somebody is there."""
        self.mesh._announce(RoomPeer(id=other.name, metadata={"kind": "headless"}, lasting=True))

    def peer(self, other: Node) -> Peer:
        return self.mesh.peers[other.name]

    def fire(self) -> str:
        """Fire a flip; its id."""
        event = fired(
            EVENTS["pacemaker_flip"], {}, self.name, self._time.utc_ms(), world=self.world, taken=self._has
        )
        self.mesh.publish(event)
        return event.id

    def _has(self, key: str) -> bool:
        return self.mesh.gossip.seen(self.name, key)


class Pair:
    """Two nodes, a and b, and their time."""

    def __init__(self, time: Time) -> None:
        self.time, self.a, self.b = time, Node("a", time), Node("b", time)
        self.a.meet(self.b)
        self.b.meet(self.a)

    def link(self) -> None:
        """A link opens, for both."""
        both = ((self.a, self.b), (self.b, self.a))
        for one, other in both:
            one.peer(other).link = Pipe(other, one)  # type: ignore[assignment]
        for one, other in both:
            one.mesh.on_open(one.peer(other), one.peer(other).link)  # type: ignore[arg-type]

    def unlink(self) -> None:
        """The link is gone, for both."""
        for one, other in ((self.a, self.b), (self.b, self.a)):
            one.peer(other).link = None

    def wait(self, seconds: float, *, every: float = 0.1) -> None:
        """Time passes; who is not suspended tells again, ten times a second, and says what was missed."""
        for _ in range(round(seconds / every)):
            self.time.seconds += every
            for one, other in ((self.a, self.b), (self.b, self.a)):
                if one.suspended:
                    continue
                if one.peer(other).unsent and one.peer(other).linked:
                    one.mesh._resender.send_next(one.peer(other))
                one.mesh._resender.report_missed()


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Pair:
    """Two nodes that never met."""
    time = Time()
    for module in (mesh_module, missed_events_module):
        monkeypatch.setattr(module, "time", time)
    monkeypatch.setattr(missed_events_module.MissedEvents.__init__, "__defaults__", (time.monotonic,))
    return Pair(time)


def whole(seen: list[str], fired: list[str]) -> bool:
    """Whether each event was heard once."""
    return Counter(seen) == Counter(fired)


def test_after_a_stop_of_100_s_both_sides_say_the_same(pair: Pair) -> None:
    """A node that is suspended for 100 s gets the events of the last minute once; of the others both logs say
    the same: numbers and how many; nothing is said of what arrived, and nothing twice."""
    a, b = pair.a, pair.b
    pair.link()
    before = [a.fire() for _ in range(5)]
    pair.wait(1)
    b.suspended = True
    lost: list[str] = []
    for second in range(100):
        if second == 15:
            pair.unlink()
        lost += [a.fire()] if second % 3 == 0 else []
        pair.wait(1)
    b.suspended = False
    pair.link()
    pair.wait(100)
    told = [key for key in lost if key in b.heard]
    count = len(lost) - len(told)
    assert 10 <= count <= 15
    facts = {"from": 5, "to": 5 + count - 1, "count": count}
    assert (a.missed, b.missed) == ([{"peer": "b", **facts}], [{"origin": "a", **facts}])
    assert whole(b.heard, before + told)
    pair.unlink()
    pair.link()
    pair.wait(100)
    assert len(a.missed) == len(b.missed) == 1
    assert whole(b.heard, before + told)


def test_what_came_meanwhile_another_way_is_not_missed(pair: Pair) -> None:
    """Of the events of a long cut those that others passed on are not missed: gaps are counted exactly."""
    a, b = pair.a, pair.b
    pair.link()
    a.fire()
    pair.unlink()
    pair.wait(1)
    b.mesh._inbound.hops = 6
    third = Peer("third", ours=True)
    b.mesh.peers["third"] = third
    for n in range(10):
        a.fire()
        event = a.mesh.gossip._own[-1]
        if n % 2:
            b.mesh.on_message(third, real_json(event.message(1)))
        pair.wait(1)
    pair.wait(70)
    a.fire()
    pair.link()
    pair.wait(100)
    facts = {"from": 1, "to": 9, "count": 5}
    assert (a.missed, b.missed) == ([{"peer": "b", **facts}], [{"origin": "a", **facts}])
    assert len(b.heard) == 7


def test_what_waits_to_be_told_again_does_not_expire(pair: Pair) -> None:
    """A minute's events at the highest rate, 1,200, are told again after a cut, however long that takes; none
    is lost or missed."""
    a, b = pair.a, pair.b
    pair.link()
    pair.unlink()
    keys = []
    for _ in range(59 * 20):
        keys.append(a.fire())
        pair.time.seconds += 0.05
    pair.link()
    pair.wait(200)
    assert whole(b.heard, keys)
    assert not a.missed
    assert not b.missed


def test_the_last_events_are_missed_too(pair: Pair) -> None:
    """That the last events did not arrive is known from what telemetry says, without any event after them."""
    a, b = pair.a, pair.b
    pair.link()
    a.fire()
    b.suspended = True  # the link takes it and loses it
    a.fire()
    a.fire()
    b.suspended = False
    for _ in range(100):
        a.mesh.send_telemetry(messages.Telemetry({}))
        pair.wait(1, every=1.0)
    assert b.missed == [{"origin": "a", "from": 1, "to": 2, "count": 2}]
    assert not a.missed


def test_a_newcomer_misses_nothing_of_what_was_before(pair: Pair) -> None:
    """Who comes into a room lacks what was fired before, and neither side calls that missed; nor does a node
    that was restarted, whose numbers begin anew."""
    a, b = pair.a, pair.b
    for _ in range(50):
        a.fire()
        pair.time.seconds += 2
    a.mesh.peers.clear()
    a.mesh._missed_events._accounted_to.clear()
    a.meet(b)
    pair.link()
    pair.wait(100)
    assert len(b.heard) == 30
    again = pair.a = Node("a", pair.time)
    again.meet(b)
    pair.link()
    keys = [again.fire() for _ in range(3)]
    pair.wait(100)
    assert whole(b.heard[30:], keys)
    assert not a.missed + b.missed + again.missed


def real_json(message: dict[str, Any]) -> str:
    """The message as it goes over a link."""
    text: str = messages.encode(message)
    return text


@given(st.sets(st.integers(0, 60)), st.integers(0, 60))
def test_numbers_are_counted_exactly(arrived: set[int], last: int) -> None:
    """Whatever arrived, in any order, what is missed is what is lacking, said the same by both sides."""
    clock = [0.0]
    theirs, ours = MissedEvents(lambda: clock[0]), MissedEvents(lambda: clock[0])
    ours.on_peer_present("them", -1)
    theirs.on_reported("us", -1, session="s")
    for n in arrived:
        theirs.on_received("us", n, direct=False)
    theirs.on_reported("us", last)
    word = theirs.hello_fields("us")
    lacking = [n for n in range(last + 1) if n not in arrived]
    expected = Missed(lacking[0], lacking[-1], len(lacking)) if lacking else None
    if len(word["also"]) < RANGES:
        assert ours.missed_by("them", word["heard"], word["also"], [], last) == expected
    assert ours.missed_by("them", word["heard"], word["also"], [], last) is None
    clock[0] = 95.0
    assert theirs.pop_missed() == ([("us", expected)] if expected else [])
    assert theirs.pop_missed() == []


def test_hostile_numbers_cost_nothing() -> None:
    """Numbers beyond all bounds, of made-up origins or a peer's own, take no time and little memory; what
    others say in a member's name makes no gap."""
    clock = [0.0]
    missing = MissedEvents(lambda: clock[0])
    for n in range(10_000):
        missing.on_received(f"o{n}", 10**12, direct=False)
        missing.on_reported(f"p{n}", n)
    assert len(missing._origins) <= 1024
    missing.on_reported("evil", 0)
    missing.on_reported("evil", 10**12)
    for n in range(10_000):
        missing.on_received("evil", 2 * n, direct=True)
        missing.on_received("p9999", n * 10**6 + 10**5, direct=False)
    assert len(missing.hello_fields("evil")["also"]) <= RANGES
    clock[0] = 200.0
    due = dict(missing.pop_missed())
    assert due.keys() == {"evil"}
    assert due["evil"].last == 10**12
    missing.on_peer_present("evil", 10)
    assert missing.missed_by("evil", -1, [(0, 10**12)] * 32, [], 10**9) is None


def test_another_session_begins_anew() -> None:
    """A page that keeps its secret when it is loaded again counts from 0 in another session."""
    clock = [0.0]
    missing = MissedEvents(lambda: clock[0])
    missing.on_reported("page", 90, session="one")
    missing.on_reported("page", 2, session="two")
    missing.on_received("page", 3, direct=True)
    missing.on_reported("page", 5)
    clock[0] = 95.0
    assert missing.pop_missed() == [("page", Missed(4, 5, 2))]
