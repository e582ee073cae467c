"""The links of a room through time: who flaps disturbs nobody, large rooms are thinned out slowly."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronoflux.signal import protocol as p
from chronoflux.signal.topology import MAX_DEGREE, Links, Topology, full
from chronoflux.signal.wiring import (
    KEPT_SURPLUS,
    KEPT_SURPLUS_LIFETIME,
    MAX_LOST_PER_STEP,
    SWITCH_AFTER,
    THIN_INTERVAL,
    Wiring,
)
from tests.signal.test_lobby import Hall

Pair = frozenset[str]


def pairs(links: Links) -> set[Pair]:
    return {frozenset((one, other)) for one, others in links.items() for other in others}


class Timeline:
    """A wiring and its time; what is unlinked is written down with the time."""

    def __init__(self, topology: Topology | None = None) -> None:
        self.wiring = Wiring(topology or Topology(), "room1")
        self.now = 1000.0
        self.present: dict[str, bool] = {}
        self.unlinked: list[tuple[float, Pair]] = []
        self.linked: list[tuple[float, Pair]] = []

    def do(self, act: Callable[[], None]) -> None:
        before = pairs(self.wiring.links)
        act()
        after, here = pairs(self.wiring.links), self.present.keys()
        self.unlinked += [(self.now, pair) for pair in before - after if pair <= here]
        self.linked += [(self.now, pair) for pair in after - before]
        self.check()

    def set(self, **present: bool) -> None:
        """Come or be back (True), or lose the connection for a while (False)."""
        self.present.update(present)
        self.rewire()

    def leave(self, *ids: str) -> None:
        for id_ in ids:
            del self.present[id_]
        self.rewire()

    def rewire(self) -> None:
        self.do(lambda: self.wiring.update(list(self.present), sum(self.present.values()), self.now))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.wiring.due()) is not None and due <= end:
            assert due >= self.now
            self.now = due
            self.do(lambda: self.wiring.tick(self.now))
            after = self.wiring.due()
            assert after is None or after > self.now
        self.now = end

    def check(self) -> None:
        links = self.wiring.links
        assert links.keys() == self.present.keys()
        assert all(id_ in links[other] for id_, others in links.items() for other in others)
        assert not links or nx.is_connected(nx.Graph(links))
        assert max(map(len, links.values()), default=0) <= MAX_DEGREE


def room(count: int, topology: Topology | None = None) -> Timeline:
    timeline = Timeline(topology)
    for n in range(count):
        timeline.set(**{f"n{n}": True})
    return timeline


@pytest.mark.parametrize("count", [17, 18, 20])
def test_a_room_above_sixteen_is_thinned_slowly(count: int) -> None:
    """After 30 s above 16, not before, two links a node go in 5 s at most, until it is the random graph."""
    timeline = room(count)
    timeline.wait(SWITCH_AFTER - 0.1)
    assert timeline.unlinked == []
    timeline.wait(60)
    assert timeline.wiring.links == Topology().links(list(timeline.present), "room1")
    steps = {time for time, _ in timeline.unlinked}
    assert all(later - earlier >= THIN_INTERVAL for earlier, later in itertools.pairwise(sorted(steps)))
    for step in steps:
        lost = Counter(id_ for time, pair in timeline.unlinked if time == step for id_ in pair)
        assert max(lost.values()) <= MAX_LOST_PER_STEP
    assert timeline.wiring.due() is None


def test_a_room_that_was_thinned_is_full_again_after_half_a_minute_at_twelve() -> None:
    """Down to 13 nodes it stays thin; at 12 or below for 30 s without a break it is a full mesh again."""
    timeline = room(17)
    timeline.wait(100)
    timeline.leave(*[f"n{n}" for n in range(13, 17)])
    timeline.wait(1000)
    assert timeline.wiring.sparse
    timeline.leave("n12")
    timeline.wait(29)
    timeline.set(n12=True)
    timeline.leave("n12")
    timeline.wait(29)
    assert timeline.wiring.sparse
    timeline.wait(1)
    assert timeline.wiring.links == full([f"n{n}" for n in range(12)])


def test_who_lost_the_connection_is_not_above_sixteen() -> None:
    """A 17th member whose connection broke, and whose place is kept, is no reason to thin a room out."""
    timeline = room(17)
    for _ in range(10):
        timeline.wait(20)
        timeline.set(n16=False)
        timeline.wait(15)
        timeline.set(n16=True)
    assert timeline.unlinked == []


def test_first_wiring_waits_for_nothing_and_spreads_the_links() -> None:
    """Of 256 nodes that come at once each is linked at once; nobody has more links than it takes; thinned to
    the random graph within some minutes."""
    timeline = room(256)
    assert min(map(len, timeline.wiring.links.values())) >= 6
    timeline.wait(SWITCH_AFTER + 60)
    assert timeline.wiring.links == Topology().links(list(timeline.present), "room1")


def test_in_a_large_room_few_surplus_links_wait_for_long() -> None:
    """Where a newcomer of a thinned room came between two neighbours, they stay linked for ten minutes; with
    more than two such links, for half a minute."""
    timeline = room(40)
    timeline.wait(200)
    timeline.unlinked.clear()
    timeline.set(m0=True)
    timeline.wait(KEPT_SURPLUS_LIFETIME - 1)
    assert timeline.unlinked == []
    timeline.wait(10)
    assert timeline.wiring.links == Topology().links(list(timeline.present), "room1")
    for n in range(1, 80):
        timeline.set(**{f"m{n}": True})
    timeline.wait(SWITCH_AFTER + 60)
    assert max(map(len, timeline.wiring.links.values())) <= 6 + KEPT_SURPLUS
    timeline.wait(KEPT_SURPLUS_LIFETIME)
    assert timeline.wiring.links == Topology().links(list(timeline.present), "room1")


@pytest.mark.parametrize("rule", [Topology("full"), Topology("ring"), Topology("random", 4)])
def test_a_fixed_topology_is_kept_to_at_once(rule: Topology) -> None:
    """Other rules than ``auto`` hold at each moment, without waiting."""
    timeline = room(20, rule)
    assert timeline.wiring.links == rule.links(list(timeline.present), "room1")
    assert timeline.wiring.due() is None


STEPS = st.lists(
    st.tuples(st.sampled_from(["come"] * 4 + ["leave", "lose", "wait"]), st.integers(0, 40)), max_size=120
)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 40), STEPS)
def test_thinning_is_slow_whatever_happens(begin: int, steps: list[tuple[str, int]]) -> None:
    """Through any joins, leaves, losses, returns and waits: symmetric, connected, bounded, what is required
    is there; no unlinking until a room was above 16 for 30 s, and no node loses more than two in 5 s."""
    timeline = room(begin)
    above_since: float | None = timeline.now if begin > 16 else None
    long_above = False
    for what, who in steps:
        ids = sorted(timeline.present)
        if what == "wait":
            timeline.wait(who / 2)
            long_above |= above_since is not None and timeline.now - above_since >= SWITCH_AFTER
        elif what == "come":
            timeline.set(**{f"n{who}": True})
        elif ids and what == "leave":
            timeline.leave(ids[who % len(ids)])
        elif ids:
            timeline.set(**{ids[who % len(ids)]: False})
        if sum(timeline.present.values()) <= 16:
            above_since = None
        elif above_since is None:
            above_since = timeline.now
        assert long_above or not timeline.unlinked
        if not timeline.wiring.sparse and len(timeline.present) <= 16:
            assert timeline.wiring.links == full(list(timeline.present))
        else:
            required = Topology("random").links(list(timeline.present), "room1")
            assert all(required[id_] <= timeline.wiring.links[id_] for id_ in required)
    recent: dict[str, deque[float]] = {}
    for time, pair in timeline.unlinked:
        for id_ in pair:
            times = recent.setdefault(id_, deque(maxlen=MAX_LOST_PER_STEP + 1))
            times.append(time)
            assert len(times) <= MAX_LOST_PER_STEP or times[-1] - times[0] >= THIN_INTERVAL


# --- a stranger who joins and leaves again and again, at a lobby ------------------------------------


def step(hall: Hall, seconds: float) -> None:
    """Let time pass as the server does."""
    end = hall.now + seconds
    while (due := hall.lobby.due()) is not None and due <= end:
        hall.wait(max(0.0, due - hall.now))
    hall.wait(end - hall.now)


class Sixteen:
    """A lobby with sixteen honest nodes, and which links they have by what they heard."""

    def __init__(self) -> None:
        self.hall = Hall(per_address=1000)
        self.secrets = [bytes([n + 1]) * 16 for n in range(16)]
        self.ids = [p.peer_id(secret) for secret in self.secrets]
        self.numbers = [
            self.hall.joined(secret=secret, metadata={"kind": "headless"}) for secret in self.secrets
        ]
        self.links: set[Pair] = set()
        self.unlinks: list[float] = []
        self.dials = 0
        self.hear()
        self.dials = 0

    def hear(self) -> None:
        unlinked: set[Pair] = set()
        for id_, number in zip(self.ids, self.numbers, strict=True):
            for message in self.hall.heard[number]:
                match message:
                    case p.RoomPeers():
                        for peer in message.peers:
                            if peer.id in self.ids:
                                self.links.add(frozenset((id_, peer.id)))
                                self.dials += 1
                    case p.Unlink(peer_id=other) | p.PeerLeft(peer_id=other) if other in self.ids:
                        unlinked.add(frozenset((id_, other)))
            self.hall.heard[number].clear()
        self.links -= unlinked
        self.unlinks += [self.hall.now] * len(unlinked)

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            step(self.hall, 1.0)
            self.hear()


@pytest.mark.parametrize("how", ["leaves", "closes", "is cut off"])
@pytest.mark.parametrize("stay", [1, 20])
def test_a_hundred_short_stays_of_a_stranger_cost_no_link(stay: int, how: str) -> None:
    """All 120 links of sixteen nodes survive 100 stays of a stranger of up to 20 s, and nobody dials."""
    sixteen = Sixteen()
    hall = sixteen.hall
    assert len(sixteen.links) == 120
    for n in range(100):
        number = hall.joined(secret=(n + 1000).to_bytes(16), metadata={"kind": "headless"})
        sixteen.wait(stay)
        if how == "leaves":
            hall.say(number, p.LeaveRoom())
        hall.drop(number, clean=how != "is cut off")
        sixteen.wait(1 if how != "is cut off" else 16)
    assert (len(sixteen.links), sixteen.unlinks, sixteen.dials) == (120, [], 0)


@pytest.mark.parametrize("fresh", [False, True])
def test_long_stays_of_a_stranger_thin_the_room_once(fresh: bool) -> None:
    """Stays of 40 s, with the same secret or others: the room is thinned out once, in half a minute, and then
    stays as it is."""
    sixteen = Sixteen()
    hall = sixteen.hall
    begin = hall.now
    for n in range(10):
        secret = (1000 + n * fresh).to_bytes(16)
        number = hall.joined(secret=secret, metadata={"kind": "headless"})
        sixteen.wait(40)
        hall.drop(number, clean=True)
        sixteen.wait(20)
    assert hall.now - begin == 600
    assert 0 < len(sixteen.unlinks) <= 120 - 16 * 2
    assert max(sixteen.unlinks) - min(sixteen.unlinks) <= 45
    assert sixteen.dials <= 6
