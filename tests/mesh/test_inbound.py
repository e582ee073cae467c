"""What peers say, let in once; and, in a partial mesh, passed on until everybody has it."""

from __future__ import annotations

import random
import uuid
from collections import Counter, deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronoflux.errors import ParameterError, ProtocolError
from chronoflux.mesh import messages
from chronoflux.mesh.gossip import Event, Gossip
from chronoflux.mesh.inbound import InboundMessages
from chronoflux.mesh.messages import PASSED_BYTES, Field
from chronoflux.mesh.peer import Peer
from chronoflux.model.events import EVENTS, World
from chronoflux.signal.topology import Links, Topology, hop_limit

NOW = 1.7e12


class Clock:
    """A clock that stands."""

    def now(self) -> float:
        return NOW


class Member:
    """A node of a room in memory: what it tells its neighbours waits in the room's mail."""

    def __init__(self, id_: str, room: Room) -> None:
        self.id, self._room = id_, room
        self.world: World = (800.0, 600.0)
        self.gossip = Gossip()
        self.applied: list[Event] = []
        self.peers = {other: Peer(other, ours=True) for other in room.links[id_]}
        self.intake = InboundMessages(self, self.gossip, Clock(), self.spread)  # type: ignore[arg-type]
        self.intake.id, self.intake.hops = id_, hop_limit(room.links)

    def on_event(self, event: Event) -> None:
        self.applied.append(event)

    def on_field(self, peer: str, field: Field) -> None:
        raise AssertionError

    def fire(self, event: Event) -> None:
        self.gossip.add_own(event)
        self.tell(event.message(0))

    def spread(self, message: dict[str, Any], sender: Peer, origin: str) -> None:
        self.tell(message, but={sender.id, origin})

    def tell(self, message: dict[str, Any], but: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        for other in self.peers.keys() - but:
            self._room.mail.append((self.id, other, message))

    def hear(self, sender: str, message: dict[str, Any]) -> None:
        self.intake.handle(self.peers[sender], messages.parse(messages.to_object(message)))


class Room:
    """Members and the mail between them, delivered in any order."""

    def __init__(self, links: Links) -> None:
        self.links = links
        self.mail: deque[tuple[str, str, dict[str, Any]]] = deque()
        self.members = {id_: Member(id_, self) for id_ in links}
        self.delivered = 0

    def deliver(self, rng: random.Random) -> None:
        """All of it, in a random order, and what it gives rise to."""
        while self.mail:
            self.mail.rotate(rng.randrange(len(self.mail)))
            sender, to, message = self.mail.popleft()
            self.delivered += 1
            self.members[to].hear(sender, message)


def flip(origin: str) -> Event:
    """An event without data."""
    return Event(EVENTS["pacemaker_flip"], {}, uuid.uuid4().hex, origin, NOW)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(2, 40),
    st.sampled_from([Topology(), Topology("ring"), Topology("random", 4), Topology("full")]),
    st.randoms(use_true_random=False),
)
def test_an_event_reaches_everybody_once(size: int, rule: Topology, rng: random.Random) -> None:
    """In a mesh of any rule, whatever the order of delivery, every event is applied once by everybody but its
    origin, under its origin's name, with less than two messages a link."""
    room = Room(rule.links([f"n{n}" for n in range(size)]))
    fired = [flip(rng.choice(list(room.members))) for _ in range(3)]
    for event in fired:
        room.members[event.origin].fire(event)
    room.deliver(rng)
    for member in room.members.values():
        heard = Counter((event.id, event.origin) for event in member.applied)
        assert heard == Counter((event.id, event.origin) for event in fired if event.origin != member.id)
    assert room.delivered <= len(fired) * sum(map(len, room.links.values()))


def test_in_a_full_mesh_nobody_passes_on() -> None:
    """With no hop limit an event is told by its origin only, and an origin that a peer claims counts not."""
    room = Room(Topology("full").links(["a", "b", "c"]))
    room.members["a"].fire(flip("a"))
    room.deliver(random.Random(0))
    assert room.delivered == 2
    room.members["b"].hear("a", flip("c").message(3))
    assert [event.origin for event in room.members["b"].applied] == ["a", "a"]


def test_with_no_hops_the_origin_is_the_peer() -> None:
    """In a partial mesh too, an event that was not passed on is the peer's own, whatever it says."""
    room = Room(Topology("ring").links(["a", "b", "c", "d"]))
    neighbour = next(iter(room.links["a"]))
    room.members["a"].hear(neighbour, flip("somebody else").message(0))
    assert [event.origin for event in room.members["a"].applied] == [neighbour]


def test_the_hop_limit_ends_a_flood() -> None:
    """An event that was passed on as often as allowed is applied and not passed on again."""
    room = Room(Topology("ring").links([f"n{n}" for n in range(8)]))
    limit = hop_limit(room.links)
    neighbour = next(iter(room.links["n0"]))
    for hops, passed_on in ((limit - 1, 1), (limit, 0)):
        room.members["n0"].hear(neighbour, flip("far").message(hops))
        assert len(room.mail) == passed_on
        room.mail.clear()
    assert len(room.members["n0"].applied) == 2


def test_an_old_clients_event_is_passed_on_with_an_id_and_once() -> None:
    """What an old client says to several nodes of a partial mesh is one event for everybody."""
    links = Topology("ring").links([f"n{n}" for n in range(6)])
    room = Room(links)
    said = {"type": "intent", "intent": {"x": 1.0, "y": 2.0, "E": 0.3, "sigma": 80}}
    for name in ("n0", "n3"):
        room.members[name].peers["old"] = Peer("old")
        room.members[name].hear("old", said)
        del room.members[name].peers["old"]
    room.deliver(random.Random(1))
    assert {len(member.applied) for member in room.members.values()} == {1}
    assert {event.origin for member in room.members.values() for event in member.applied} == {"old"}


@pytest.mark.parametrize("world", [(800.0, 600.0), (60.0, 40.0)])
def test_the_pixels_of_an_old_clients_window_are_taken_as_they_are(world: World) -> None:
    """Thirty intents from all over a window of 1366 × 768, and others further away, are let in with their
    positions as they are; a width greater than this world becomes the world's. Not finite is refused."""
    room = Room(Topology("full").links(["a", "b"]))
    member = room.members["a"]
    member.world, old = world, Peer("old")
    places = [(1366 * n / 29, 768 * n / 29) for n in range(30)] + [(-1e6, 1e6), (1e6, -0.5)]
    for x, y in places:
        said = {"type": "intent", "intent": {"x": x, "y": y, "E": 0.35, "sigma": 80}}
        member.intake.handle(old, messages.parse(said))
    assert [(event.data["x"], event.data["y"]) for event in member.applied] == places
    assert {event.data["sigma"] for event in member.applied} == {min(80.0, world[0])}
    with pytest.raises(ParameterError, match="intent"):
        member.intake.handle(old, messages.parse({"type": "intent", "intent": {"x": 1e7, "y": 1.0}}))


def test_in_a_partial_mesh_old_events_are_known_whatever_the_world() -> None:
    """Nodes of different worlds that both heard an old client know its event by the same id."""
    room = Room(Topology("ring").links([f"n{n}" for n in range(6)]))
    for n, member in enumerate(room.members.values()):
        member.world = (800.0 + 10 * n, 600.0)
        for neighbour in room.links[member.id]:
            member.peers[neighbour].world = (800.0 + 10 * int(neighbour[1:]), 600.0)
    for name in ("n0", "n3"):
        room.members[name].intake.handle(
            Peer("old"), messages.parse({"type": "intent", "intent": {"x": 1300.0, "y": 2.0}})
        )
    room.deliver(random.Random(1))
    assert {len(member.applied) for member in room.members.values()} == {1}


def test_events_of_unknown_kinds_are_passed_on_as_they_are() -> None:
    """A kind that nobody here knows reaches everybody's ears once, whole, with its origin filled in; without
    id, origin and hops it is no event and goes nowhere."""
    room = Room(Topology("ring").links([f"n{n}" for n in range(6)]))
    start = room.members["n0"]
    novel = {"type": "novel", "id": "e1", "origin": "n0", "at": NOW, "hops": 0, "shape": [1, {"deep": True}]}
    heard: list[dict[str, Any]] = []
    start.tell(novel)
    while room.mail:
        sender, to, message = room.mail.popleft()
        heard.append(message)
        room.members[to].hear(sender, message)
    assert all(message["shape"] == novel["shape"] and message["origin"] == "n0" for message in heard)
    assert 6 <= len(heard) <= 8
    assert not any(member.applied for member in room.members.values())
    start.tell({key: value for key, value in novel.items() if key != "hops"})
    room.deliver(random.Random(0))
    assert not room.mail


@pytest.mark.parametrize(
    "more",
    [{"x": "y" * PASSED_BYTES}, {"at": NOW + 10_000}, {"hops": -1}, {"hops": 10_000}, {"id": "x" * 65}],
)
def test_bad_events_of_unknown_kinds_go_nowhere(more: dict[str, Any]) -> None:
    """Too long, from the far future, or with an envelope that is out of range: refused, not passed on."""
    room = Room(Topology("ring").links([f"n{n}" for n in range(6)]))
    neighbour = next(iter(room.links["n0"]))
    with pytest.raises(ProtocolError):
        room.members["n0"].hear(
            neighbour, {"type": "novel", "id": "e", "origin": "o", "hops": 1, "at": NOW, **more}
        )
    assert not room.mail


def test_a_flood_of_one_origin_is_held_at_each_link() -> None:
    """Of 1,000 events of one origin at once, each node lets in and passes on the 40 of the burst, or what its
    links' counts allow; other origins are heard all the same."""
    room = Room(Topology("ring").links([f"n{n}" for n in range(6)]))
    start, neighbour = room.members["n0"], next(iter(room.links["n0"]))
    refused = 0
    for n in range(1000):
        try:
            start.hear(neighbour, {"type": "novel", "id": f"e{n}", "origin": "o", "hops": 1, "at": NOW})
        except ProtocolError:
            refused += 1
    assert refused > 700
    before = len(room.mail)
    start.hear(neighbour, flip("other").message(1))
    assert len(room.mail) == before + 1
