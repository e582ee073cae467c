"""A server restarted without memory: what it believes of its members' word, and what not."""

from __future__ import annotations

import random
from typing import Any

import pytest

from chronoflux.mesh.roster import Roster
from chronoflux.signal import protocol as p
from chronoflux.signal.lobby import Lobby
from chronoflux.signal.recovery import RecoveryReports
from chronoflux.signal.topology import Topology, full
from tests.signal.test_lobby import Hall


class House(Hall):
    """A hall whose server can be restarted, with nodes that keep rosters as ours do."""

    def __init__(self) -> None:
        super().__init__(per_address=1000)
        self.lobby.set_started(self.now)
        self.rosters: dict[bytes, Roster] = {}
        self.hops: dict[bytes, int] = {}
        self.links: dict[bytes, set[str]] = {}
        self.number: dict[bytes, int] = {}
        self._read: dict[int, int] = {}

    def come(self, secret: bytes, kind: str = "headless", **claims: Any) -> None:
        """Join, and say what is remembered, as the mesh does; or `claims` in place of that."""
        roster = self.rosters.setdefault(secret, Roster(lambda: self.now))
        own = p.peer_id(secret)
        if roster.available and not claims:
            claims = {"known": roster.known(own), "hops": self.hops[secret], "links": len(self.links[secret])}
        self.links[secret] = set()
        self.number[secret] = self.joined(secret=secret, metadata={"kind": kind}, **claims)
        self.hear()

    def hear(self) -> None:
        for secret, number in self.number.items():
            heard = self.heard[number]
            for message in heard[self._read.get(number, 0) :]:
                match message:
                    case p.RoomPeers():
                        self.hops[secret] = message.hops
                        self.links[secret] |= {peer.id for peer in message.peers}
                    case p.PeerJoinedRoom():
                        self.links[secret].add(message.peer_id)
                    case p.PeerLeft() | p.Unlink():
                        self.links[secret].discard(message.peer_id)
                    case p.Roster():
                        self.rosters[secret].apply(message)
            self._read[number] = len(heard)

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.wait(1.0)
        self.hear()

    def restart(self, seconds: float = 5.0) -> None:
        """The server is gone for a while, and remembers nothing when it is back."""
        for roster in self.rosters.values():
            roster.server_lost()
        self.now += seconds
        self.lobby = Lobby(self.lobby.limits)
        self.lobby.set_started(self.now)
        self.number.clear()

    def graph(self) -> dict[bytes, set[str]]:
        return {secret: set(self.links[secret]) for secret in self.number}

    def ranks(self, secret: bytes) -> list[str]:
        return [member.id for member in self.rosters[secret].ranked()]


def secrets(count: int, first: int = 1) -> list[bytes]:
    return [(first + n).to_bytes(16) for n in range(count)]


def ids(them: list[bytes]) -> list[str]:
    return [p.peer_id(secret) for secret in them]


@pytest.mark.parametrize("seed", range(5))
def test_a_restarted_server_restores_who_joined_first(seed: int) -> None:
    """Members of a restarted server are told the same times as before, in whatever order they return; and who
    returns first never ranks first in anybody's eyes, nor do a recorder and an old client."""
    house, them = House(), secrets(6)
    for secret in them:
        house.come(secret)
        house.now += 1
    before = house.rosters[them[0]].members
    house.restart()
    recorder, old = secrets(1, 100)[0], house.joined(metadata={"nodeCount": 220, "version": "1.0"})
    house.come(recorder, "recorder")
    order = random.Random(seed).sample(them, len(them))
    for secret in order:
        house.come(secret)
        for other in order[: order.index(secret) + 1]:
            assert house.ranks(other)[0] == p.peer_id(them[0])
    for secret in [*them, recorder]:
        listed = {id_: m for id_, m in house.rosters[secret].members.items() if id_ in before}
        assert listed == before
        assert house.ranks(secret) == ids(them)
    house.pass_time(100)
    assert house.ranks(recorder) == ids(them)
    assert house.heard[old][0].peer_id in house.rosters[recorder].members


def test_one_members_word_changes_nothing() -> None:
    """Alone with its word, a member has the time at which it came back, and so has whomever it names."""
    house, [liar, honest] = House(), secrets(2)
    house.come(honest)
    house.now += 1
    house.come(liar, known=[p.Known(p.peer_id(liar), 1), p.Known("ghost", 0)], hops=9, links=1)
    assert [member.joined for member in house.rosters[honest].ranked()] == [1_000_000, 1_001_000]


def test_more_who_agree_hold_against_fewer_who_lie() -> None:
    """Two who claim to be the earliest are believed until more are back who know better, and not longer; a
    time that is not past, or of after the restart, is never believed."""
    house, them, liars = House(), secrets(4), secrets(2, 50)
    for secret in them:
        house.come(secret)
        house.now += 1
    house.restart()
    claims = [p.Known(id_, n) for n, id_ in enumerate(ids(liars))] + [p.Known("late", 10**15)]
    for secret in liars:
        house.come(secret, known=claims, hops=0, links=0)
        house.now += 0.1
    watch = liars[0]
    assert [m.joined for m in house.rosters[watch].ranked()] == [0, 1]
    for secret in them:
        house.come(secret)
        house.now += 0.1
    assert house.ranks(watch) == [*ids(them), *ids(liars)]
    assert house.rosters[them[0]].members == house.rosters[watch].members


def test_after_a_minute_nobody_is_asked_any_more() -> None:
    """Who comes later says what it likes: the room has a memory of its own."""
    house, them, late = House(), secrets(2), secrets(3, 50)
    for secret in them:
        house.come(secret)
    house.pass_time(61)
    for secret in late:
        house.come(secret, known=[p.Known(id_, n) for n, id_ in enumerate(ids(late))], hops=0, links=0)
    assert house.ranks(late[0])[:2] == ids(them)


def test_two_restarts_in_a_row() -> None:
    """Who was back only for moments between two restarts says less than the others, and is outvoted."""
    house, them = House(), secrets(5)
    for secret in them:
        house.come(secret)
        house.now += 1
    house.restart()
    new = secrets(1, 50)[0]
    house.come(new)
    house.come(them[4])
    house.restart()
    for secret in [new, *reversed(them)]:
        house.come(secret)
        house.now += 0.1
    assert house.ranks(new) == [*ids(them), p.peer_id(new)]


@pytest.mark.parametrize(("count", "stay"), [(16, 1), (19, 5), (20, 200), (40, 200)])
def test_a_restarted_server_wires_the_room_as_it_was(count: int, stay: int) -> None:
    """A full mesh comes back as one, also with up to 20 members before it was thinned; a thinned room comes
    back with the same links, and nobody is linked with everybody meanwhile."""
    house, them = House(), secrets(count)
    for secret in them:
        house.come(secret)
    house.pass_time(stay)
    before = house.graph()
    assert max(map(len, before.values())) == (6 if stay == 200 else count - 1)
    house.restart()
    for secret in random.Random(1).sample(them, count):
        house.come(secret)
        if stay == 200:
            assert max(map(len, house.graph().values())) <= 6
    after = house.graph()
    if stay == 200:
        assert after == before == _named(Topology().links(ids(them), "room1"), them)
    elif count == 16:
        assert after == before == _named(full(ids(them)), them)
    else:
        assert sum(len(links) >= 15 for links in after.values()) >= 16


def _named(links: dict[str, set[str]], them: list[bytes]) -> dict[bytes, set[str]]:
    return {secret: links[p.peer_id(secret)] for secret in them}


def test_the_word_of_who_left_counts_no_more() -> None:
    """Whoever joins and leaves with ever new names gathers no votes."""
    reports = RecoveryReports(since=1000)
    for n in range(10):
        lie = p.JoinRoom(room="r", known=[p.Known("x", 1)])
        reports.add(f"liar{n}", lie)
        assert reports.joined(["x"]) == {}
        reports.remove(f"liar{n}")


def test_what_is_remembered_is_bounded_on_the_wire() -> None:
    """More than nine members, negative times and times no clock shows are refused with the whole join."""
    for known in [
        [{"id": "a", "joined": 1}] * 10,
        [{"id": "a", "joined": -1}],
        [{"id": "a", "joined": 2**60}],
    ]:
        hall = Hall()
        number = hall.connect()
        hall.say(number, p._ENCODER.encode({"type": "join-room", "room": "r", "known": known}))
        assert hall.errors(number) == ["malformed"]
