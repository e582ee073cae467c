"""A room: who is told of whom, through joins, leaves, absences and changes of the links."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from chronoflux.mesh.roster import Roster
from chronoflux.signal import protocol as p
from chronoflux.signal.member import Member, Send
from chronoflux.signal.room import Room
from chronoflux.signal.topology import MAX_DEGREE, Links, Topology, full, hop_limit

RANDOM = Topology("random", 4)
RULES = [RANDOM, Topology("ring"), Topology("full"), Topology()]


class Scene:
    """A room, and what each member believes its neighbours are, from what it heard and nothing else."""

    def __init__(self, topology: Topology, whole_up_to: int = 256) -> None:
        self.room = Room("room1", topology, whole_up_to=whole_up_to)
        self.topology, self.whole_up_to = topology, whole_up_to
        self.now = 0.0
        self.views: dict[str, set[str]] = {}
        self.dials: dict[str, set[str]] = {}
        self.rosters: dict[str, Roster] = {}
        self.heard: dict[str, list[Any]] = {}
        self.hears: dict[str, dict[str, Any]] = {}
        self.said: dict[str, dict[str, Any]] = {}
        self._by_number: dict[int, str] = {}
        self._numbers = itertools.count(1)

    def enter(self, id_: str, kind: str = "headless", *, lasting: bool = True) -> None:
        number = next(self._numbers)
        self._by_number[number] = id_
        self.views[id_], self.dials[id_], self.heard[id_] = set(), set(), []
        self.rosters[id_], self.hears[id_], self.said[id_] = Roster(now=lambda: 0.0), {}, {}
        member = Member(id_, "room1", number, {"kind": kind}, number, lasting)
        self.take(self.room.add(member, [], self.now))

    def leave(self, id_: str) -> None:
        member = self.room.members[id_]
        member.connection = None
        self.take(self.room.remove([member], self.now))
        del self.views[id_]

    def drop(self, id_: str) -> None:
        self.room.members[id_].connection = None
        self.take(self.room.on_connection_lost(self.now))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.room.due()) is not None and due <= end:
            self.now = due
            self.take(self.room.tick(self.now))
        self.now = end

    def back(self, id_: str, kind: str | None = None) -> None:
        member = self.room.members[id_]
        number = member.connection = next(self._numbers)
        self._by_number[number] = id_
        changed = kind is not None and kind != member.kind
        if kind is not None:
            member.metadata = {"kind": kind}
        self.views[id_], self.dials[id_] = set(), set()
        self.hears[id_], self.said[id_] = {}, {}
        self.take(self.room.restore(member, [], self.now, changed=changed))

    def take(self, sends: Iterable[Send]) -> None:
        """Hear all that one event caused; of each pair newly linked by it, one side is told to dial."""
        before = {id_: set(view) for id_, view in self.views.items()}
        dialled: Counter[frozenset[str]] = Counter()
        for send in sends:
            for number in send.to:
                me = self._by_number[number]
                self.hear(me, send.message)
                if isinstance(send.message, p.RoomPeers):
                    dialled.update(frozenset((me, peer.id)) for peer in send.message.peers)
        here = {id_ for id_, member in self.room.members.items() if member.connection is not None}
        for id_ in here & self.views.keys():
            for other in (self.views[id_] - before.get(id_, set())) & here:
                assert dialled[frozenset((id_, other))] == 1
        assert all(count == 1 for count in dialled.values())

    def hear(self, me: str, message: p.ServerMessage) -> None:
        p.encode(message)
        self.heard[me].append(message)
        match message:
            case p.RoomPeers():
                new = {peer.id for peer in message.peers}
                self.views[me] |= new
                self.dials[me] |= new
                self.hears[me].update((peer.id, peer.hears) for peer in message.peers)
                self.said[me].update((peer.id, peer.metadata) for peer in message.peers)
            case p.PeerJoinedRoom():
                if not self.room.members[me].lasting:
                    assert self.said[me].get(message.peer_id) != message.metadata
                self.said[me][message.peer_id] = message.metadata
                self.views[me].add(message.peer_id)
                self.hears[me][message.peer_id] = message.hears
            case p.Roster():
                self.rosters[me].apply(message)
            case p.PeerLeft() | p.Unlink():
                self.views[me].discard(message.peer_id)
                self.said[me].pop(message.peer_id, None)
                self.dials[me].discard(message.peer_id)

    def of(self, id_: str, kind: type[p.Message]) -> list[Any]:
        return [message for message in self.heard[id_] if isinstance(message, kind)]

    def expected(self) -> dict[str, set[str]]:
        """The links there should be: those of the room's wiring, and of probes with everybody."""
        members = self.room.members.values()
        links = {id_: set(others) for id_, others in self.room._wiring.links.items()}
        assert links.keys() == {member.id for member in members if member.kind != "probe"}
        self.check_graph(links)
        for member in members:
            if member.kind == "probe":
                for other in links:
                    links[other].add(member.id)
                links[member.id] = set(links)
        return links

    def check_graph(self, links: Links) -> None:
        """Links go both ways and reach everybody; fixed rules hold, and what ``auto`` requires is there."""
        assert all(id_ in links[other] for id_, others in links.items() for other in others)
        assert not links or nx.is_connected(nx.Graph(links))
        assert max(map(len, links.values()), default=0) <= MAX_DEGREE
        assert self.room.hops == hop_limit(links)
        old = {id_ for id_ in links if not self.room.members[id_].lasting}
        ours = nx.Graph(links).subgraph(links.keys() - old)
        assert not ours or nx.is_connected(ours)
        assert all(links[id_] - old for id_ in old if ours)
        if self.topology.name != "auto":
            assert links == self.topology.links(list(links), "room1", old)
        elif len(links) <= 16 and not self.room._wiring.sparse:
            assert links == full(list(links))
        else:
            required = Topology("random").links(list(links), "room1", old)
            assert all(required[id_] <= links[id_] for id_ in links)

    def check(self) -> None:
        """Whoever is connected believes what is so, and each pair who are is dialled, old pairs aside."""
        for id_, neighbours in self.expected().items():
            if self.room.members[id_].connection is None:
                continue
            assert self.views[id_] == neighbours
            for other in neighbours:
                if self.room.members[other].connection is not None:
                    assert other in self.dials[id_] or id_ in self.dials[other]
            self.check_roster(id_)
        self.check_tellers()

    def check_tellers(self) -> None:
        """In a partial mesh each old client with neighbours of ours has one that passes others' events on to
        it, as everybody knows who has a connection; in a full one nobody is told anything."""
        members, links = self.room.members, self.room._links
        for id_, member in members.items():
            for other in links[id_] if member.connection is not None else ():
                concerned = member.lasting and member.kind != "probe" and not members[other].lasting
                if not (concerned and self.room.hops):
                    assert self.hears[id_][other] is UNSET
        for old in [member for member in members.values() if not member.lasting and self.room.hops]:
            around = {id_ for id_ in links[old.id] if members[id_].kind != "probe"}
            ours = [members[id_] for id_ in around if members[id_].lasting]
            said = {
                member.id: self.hears[member.id][old.id] for member in ours if member.connection is not None
            }
            tellers = [id_ for id_, told in said.items() if told is not None]
            assert UNSET not in said.values()
            assert len(tellers) == 1 or (not tellers and len(said) < len(ours)) or not ours
            for id_ in tellers:
                assert set(said[id_]) == around - {id_}

    def check_roster(self, id_: str) -> None:
        """Ours know who is in the room, the absent too; of a large room a part; old clients are told none."""
        roster, members = self.rosters[id_], self.room.members
        if not members[id_].lasting:
            assert not roster.available
            return
        listed = {member.id: member.listed() for member in members.values()}
        if not roster.complete:
            assert len(members) > self.whole_up_to * 3 // 4
            ranked = sorted(members.values(), key=lambda member: member.joined)
            clocks = [member.id for member in ranked if member.lasting and member.kind == "headless"]
            listed = {key: listed[key] for key in {*clocks[:8], *self.views[id_], id_}}
        else:
            assert len(members) <= self.whole_up_to
        assert roster.members == listed
        assert abs(roster.size - len(members)) <= (0 if roster.complete else len(members) / 8)


STEPS = st.lists(
    st.tuples(
        st.sampled_from([*["enter"] * 4, "leave", "drop", "back", "other kind", "wait"]),
        st.integers(0, 30),
        st.sampled_from(["headless", "headless", "headless", "recorder", "probe"]),
        st.booleans(),
    ),
    min_size=30,
    max_size=60,
)


@settings(deadline=None, max_examples=60)
@given(
    STEPS,
    st.sampled_from([RANDOM, Topology("ring"), Topology("full"), Topology()]),
    st.sampled_from([256, 8]),
)
def test_everybody_knows_their_neighbours(
    steps: list[tuple[str, int, str, bool]], rule: Topology, whole_up_to: int
) -> None:
    """Through any sequence of joins, leaves, breaks, returns and changes, everybody who is connected knows
    exactly their neighbours and the room's roster by what the server told them, and of each pair somebody was
    told to dial."""
    scene, names = Scene(rule, whole_up_to), itertools.count()
    for what, who, kind, lasting in steps:
        here = sorted(scene.room.members)
        if what == "enter":
            scene.enter(f"n{next(names)}", kind, lasting=lasting)
        elif what == "wait":
            scene.wait(who * 3.0)
        elif here:
            id_ = here[who % len(here)]
            match what:
                case "leave":
                    scene.leave(id_)
                case "drop":
                    scene.drop(id_)
                case "back":
                    scene.back(id_)
                case "other kind":
                    scene.back(id_, kind)
        scene.check()


def test_the_seventeenth_makes_the_mesh_partial_after_a_while() -> None:
    """When the 17th joins, it gets six links, nobody is unlinked, and all are told a hop limit; after 30 s
    links go, the same on both sides; when it leaves before, all are linked with all, without a limit."""
    scene = Scene(Topology())
    for n in range(16):
        scene.enter(f"n{n}")
    assert scene.of("n15", p.RoomPeers)[-1].hops == 0
    for _ in range(2):
        scene.enter("n16")
        assert len(scene.views["n16"]) == 6
        assert {scene.of(id_, p.RoomPeers)[-1].hops for id_ in scene.views} == {4}
        scene.wait(29.9)
        scene.leave("n16")
        assert scene.views == full(scene.views)
        assert {scene.of(id_, p.RoomPeers)[-1].hops for id_ in scene.views} == {0}
        assert not any(scene.of(id_, p.Unlink) for id_ in scene.views)
    scene.enter("n16")
    scene.wait(100)
    scene.check()
    assert scene.views == Topology().links(list(scene.views), "room1")
    unlinked = {(id_, message.peer_id) for id_ in scene.views for message in scene.of(id_, p.Unlink)}
    assert unlinked == {(other, id_) for id_, other in unlinked}


def test_a_return_changes_nothing_for_others() -> None:
    """Who comes back with the same metadata within the time is told its neighbours; nobody else hears."""
    scene = Scene(RANDOM)
    for n in range(20):
        scene.enter(f"n{n}")
    before = {id_: len(heard) for id_, heard in scene.heard.items()}
    scene.drop("n3")
    scene.back("n3")
    assert {id_ for id_, heard in scene.heard.items() if len(heard) > before[id_]} == {"n3"}
    scene.check()


def test_a_join_to_a_whole_room_is_one_small_message() -> None:
    """Who joins is told everybody right after its neighbours; the others one difference, all the same one."""
    scene = Scene(RANDOM)
    for n in range(100):
        scene.enter(f"n{n}")
    assert [type(message) for message in scene.heard["n99"][:2]] == [p.RoomPeers, p.Roster]
    assert len(scene.of("n99", p.Roster)[0].members) == 100
    [told] = {id(scene.of(f"n{n}", p.Roster)[-1]) for n in range(99)}
    last = scene.of("n0", p.Roster)[-1]
    assert id(last) == told
    assert ([member.id for member in last.members], last.left, last.size) == (["n99"], [], 100)
    scene.leave("n99")
    assert scene.of("n0", p.Roster)[-1].left == ["n99"]


def test_a_room_at_the_limit_is_not_told_anew_each_time() -> None:
    """One who comes and goes at the limit costs whole rosters once, not every time; they return at three
    quarters."""
    scene = Scene(Topology(), whole_up_to=40)
    for n in range(41):
        scene.enter(f"n{n}")
    for _ in range(10):
        scene.leave("n40")
        scene.enter("n40")
    assert len([told for told in scene.of("n0", p.Roster) if told.whole]) == 2
    for n in range(40, 29, -1):
        scene.leave(f"n{n}")
    assert scene.rosters["n0"].complete
    assert len([told for told in scene.of("n0", p.Roster) if told.whole]) == 3


def test_a_probe_sees_everybody_and_moves_nobody() -> None:
    """A probe is linked with everybody, unlinks nobody even as the 17th, and passes nothing on."""
    scene = Scene(Topology())
    for n in range(16):
        scene.enter(f"n{n}")
    scene.enter("probe", "probe")
    assert scene.views["probe"] == {f"n{n}" for n in range(16)}
    assert not any(scene.of(id_, p.Unlink) for id_ in scene.views)
    scene.enter("n16")
    scene.check()
    assert {message.hops for message in scene.of("probe", p.RoomPeers)} == {0}


def test_a_recorder_in_a_large_room_is_told_of() -> None:
    """In a partial mesh everybody of ours is told when a recorder comes and goes; in a full one nobody is."""
    scene = Scene(RANDOM)
    scene.enter("r", "recorder")
    scene.enter("n0")
    assert scene.of("n0", p.RoomPeers)[-1].recorded is not True
    for n in range(1, 12):
        scene.enter(f"n{n}")
    assert all(scene.of(f"n{n}", p.RoomPeers)[-1].recorded is True for n in range(12))
    scene.leave("r")
    assert not any(scene.of(f"n{n}", p.RoomPeers)[-1].recorded is True for n in range(12))


def test_old_clients_are_linked_like_others_and_told_in_words_they_know() -> None:
    """Old clients have neighbours like others; when a link goes, they hear that the other left."""
    scene = Scene(Topology())
    for n in range(17):
        scene.enter(f"n{n}", lasting=n % 2 == 0)
    scene.wait(100)
    scene.check()
    for n in range(17):
        old = n % 2 == 1
        assert bool(scene.of(f"n{n}", p.PeerLeft)) <= old
        assert bool(scene.of(f"n{n}", p.Unlink)) <= (not old)


def test_one_neighbour_passes_events_on_to_an_old_client() -> None:
    """Of an old client's neighbours one is named, and told whose events the client hears from themselves; it
    stays the one until it goes, and the client itself hears nothing of that."""
    scene = Scene(RANDOM)
    for n in range(12):
        scene.enter(f"n{n}")
    scene.enter("old", lasting=False)

    def tellers() -> list[str]:
        return [id_ for id_ in scene.views["old"] if scene.hears[id_]["old"] is not None]

    [teller] = tellers()
    assert set(scene.hears[teller]["old"]) == scene.views["old"] - {teller}
    for n in range(12, 20):
        scene.enter(f"n{n}")
        scene.check()
        if teller in scene.views["old"]:
            assert tellers() == [teller]
        [teller] = tellers()
    heard = len(scene.heard["old"])
    scene.drop(teller)  # it may still be linked
    assert len(scene.heard["old"]) == heard
    scene.back(teller)
    assert tellers() == [teller]
    scene.leave(teller)
    assert len(tellers()) == 1
    scene.check()
    assert not any("hears" in p.encode(message) for message in scene.heard["old"])


@pytest.mark.parametrize(
    ("data", "once"),
    [
        ({"type": "intent", "id": "a", "origin": "b", "hops": 1}, True),
        ({"type": "thought/v1", "id": "a"}, False),
        ({"type": "intent"}, False),
        ({"type": "intent", "id": ["a"], "origin": "b", "hops": 1}, False),
    ],
)
def test_an_event_of_ours_is_broadcast_once(data: dict[str, Any], once: bool) -> None:
    """A second broadcast of the same event is known; whatever else is broadcast may be said again."""
    room, sender = Room("room1", RANDOM), Member("a", "room1", 1, {}, 1, True)
    assert not room.is_repeat(sender, data)
    assert room.is_repeat(sender, data) == once


def test_what_a_runner_broadcast_is_not_broadcast_again() -> None:
    """An old client that broadcasts its events told them to everybody: others' copies of them are repeats, as
    long as it is there; events of an old page, which broadcasts nothing, are passed on once."""
    scene = Scene(RANDOM)
    for id_, lasting in [("node", True), ("runner", False), ("page", False)]:
        scene.enter(id_, lasting=lasting)
    node, runner, page = scene.room.members.values()
    room = scene.room

    def copy(origin: str, key: str) -> dict[str, Any]:
        return {"type": "intent", "id": key, "origin": origin, "hops": 1, "at": 1.0}

    assert not room.is_repeat(runner, {"type": "intent", "intent": {"x": 1, "y": 2, "E": 0.3}})
    for kind in ("thought/v1", ["intent"], {"intent": 1}, None):
        assert not room.is_repeat(page, {"type": kind})
    assert room.is_repeat(node, copy("runner", "old:runner:1"))
    assert [room.is_repeat(node, copy("page", "old:page:1")) for _ in range(2)] == [False, True]
    scene.leave("runner")
    assert not room.is_repeat(node, copy("runner", "old:runner:2"))


def test_the_memory_of_broadcasts_is_bounded() -> None:
    """Only the latest events are remembered, however long their ids."""
    room, sender = Room("room1", RANDOM), Member("a", "room1", 1, {}, 1, True)
    for n in range(2000):
        room.is_repeat(sender, {"id": f"{n}" * 20, "origin": "b", "hops": 0})
    assert len(room._broadcast) <= 512
    assert max(map(len, room._broadcast)) <= 64
