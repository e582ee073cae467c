"""The lobby: who is in which room, who hears what, who is refused; without sockets or clocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronoflux.errors import ParameterError, UsageError
from chronoflux.mesh.roster import Roster
from chronoflux.signal import protocol as p
from chronoflux.signal.limits import Limits
from chronoflux.signal.lobby import Action, Close, Lobby
from chronoflux.signal.turn import Turn
from chronoflux.util.token_bucket import Bucket
from tests.signal.test_protocol import NEARLY

SECRETS = [bytes([n]) * 16 for n in range(1, 4)]


class Hall:
    """A lobby, the time, and what each connection heard."""

    def __init__(self, **limits: float) -> None:
        ids = itertools.count(1)
        self.lobby = Lobby(Limits(**limits), make_id=lambda: f"old{next(ids)}")  # type: ignore[arg-type]
        self.now = 1000.0
        self.heard: dict[int, list[Any]] = {}
        self.closed: dict[int, int] = {}
        self._numbers = itertools.count(1)

    def act(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Close):
                self.closed[action.connection] = action.code
                continue
            p.encode(action.message)
            for number in action.to:
                self.heard[number].append(action.message)

    def connect(self, address: str = "10.0.0.1", since: float | None = None) -> int:
        number = next(self._numbers)
        self.heard[number] = []
        self.act(self.lobby.connect(number, address, self.now, since))
        return number

    def say(self, number: int, message: p.Message | str | bytes) -> None:
        raw = p.encode(message) if isinstance(message, p.Message) else message
        self.act(self.lobby.receive(number, raw, self.now))

    def join(self, number: int, room: str = "room1", secret: bytes | None = None, **more: Any) -> None:
        self.say(number, p.JoinRoom(room=room, secret=secret.hex() if secret else None, **more))

    def joined(self, room: str = "room1", secret: bytes | None = None, **more: Any) -> int:
        number = self.connect()
        self.join(number, room, secret, **more)
        return number

    def drop(self, number: int, *, clean: bool = False) -> None:
        self.act(self.lobby.disconnect(number, self.now, clean=clean))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.act(self.lobby.tick(self.now))

    def of(self, number: int, kind: type[p.Message]) -> list[Any]:
        return [message for message in self.heard[number] if isinstance(message, kind)]

    def errors(self, number: int) -> list[str]:
        return [message.code for message in self.of(number, p.ErrorMessage)]


def test_a_newcomer_and_the_others_hear_of_each_other() -> None:
    """A join tells the newcomer of everybody in order of joining, and everybody of the newcomer, with
    metadata and times that rise strictly."""
    hall = Hall()
    a, b, c = (hall.joined(secret=secret, metadata={"n": n}) for n, secret in enumerate(SECRETS))
    ids = [p.peer_id(secret) for secret in SECRETS]
    [welcome, peers, roster] = hall.heard[c]
    assert welcome.server.limits == p.ServerLimits()
    assert welcome.peers == []
    assert [(peer.id, peer.metadata) for peer in peers.peers] == [(ids[0], {"n": 0}), (ids[1], {"n": 1})]
    assert peers.peers[0].joined < peers.peers[1].joined < peers.joined
    assert (peers.peer_id, peers.ice_servers, peers.hops) == (ids[2], [], 0)
    assert [peer.lasting for peer in peers.peers] == [True, True]
    assert [member.id for member in roster.members] == ids
    [heard_b, heard_c] = hall.of(a, p.PeerJoinedRoom)
    assert (heard_b.peer_id, heard_c.peer_id) == (ids[1], ids[2])
    assert heard_c.joined == peers.joined
    assert len(hall.of(b, p.PeerJoinedRoom)) == 1


def test_others_are_told_who_joined_with_a_secret() -> None:
    """Both to a newcomer and to those present the server says of each whether it joined with a secret."""
    hall = Hall()
    a, _, c = hall.joined(secret=SECRETS[0]), hall.joined(), hall.joined(secret=SECRETS[1])
    assert [peer.lasting for peer in hall.of(c, p.RoomPeers)[0].peers] == [True, False]
    assert [peer.lasting for peer in hall.of(a, p.PeerJoinedRoom)] == [False, True]


def test_old_clients_keep_the_id_of_their_welcome() -> None:
    """A client without a secret is known by the id that its welcome made up."""
    hall = Hall()
    a, b = hall.joined(), hall.joined()
    assert [peer.id for peer in hall.of(b, p.RoomPeers)[0].peers] == [hall.heard[a][0].peer_id]


def test_signal_and_relay_reach_one_peer_of_the_room() -> None:
    """Signals and relayed messages reach their addressee only, with the sender's id; not into other rooms,
    not to oneself, not to strangers."""
    hall = Hall()
    a, b, c = (hall.joined(secret=secret) for secret in SECRETS)
    d = hall.joined("room2")
    ids = [p.peer_id(secret) for secret in SECRETS]
    hall.say(a, p.SendSignal(to=ids[1], signal={"sdp": "x"}))
    hall.say(a, p.SendRelay(to=ids[1], data={"x": 1}))
    assert hall.heard[b][-2:] == [
        p.Signal(from_=ids[0], signal={"sdp": "x"}),
        p.Relay(from_=ids[0], data={"x": 1}),
    ]
    assert not hall.of(c, p.Signal)
    for to in (hall.heard[d][0].peer_id, ids[0], "nobody"):
        hall.now += 2
        hall.say(a, p.SendSignal(to=to, signal={}))
        assert hall.heard[a][-1].code == "unknown-peer"
    assert not any(hall.of(number, p.Signal) for number in (a, c, d))


def test_broadcast_and_telemetry_reach_the_rest_of_the_room() -> None:
    """Everybody else in the room hears a broadcast and telemetry, untouched; nobody else does."""
    hall = Hall()
    a, b, c = hall.joined(), hall.joined(), hall.joined()
    other = hall.joined("room2")
    me = hall.heard[a][0].peer_id
    hall.say(a, p.SendBroadcast(data={"type": "thought/v1", "x": [1, None]}))
    hall.say(a, p.SendTelemetry(telemetry={"H": 0.5}))
    expected = [p.Broadcast(from_=me, data={"type": "thought/v1", "x": [1, None]})]
    for number in (b, c):
        assert hall.of(number, p.Broadcast) == expected
        assert hall.of(number, p.Telemetry) == [p.Telemetry(from_=me, telemetry={"H": 0.5})]
    assert not hall.of(a, p.Broadcast)
    assert not hall.of(other, p.Broadcast)


def test_joining_again_moves() -> None:
    """A second join leaves the first room at once; a refused one changes nothing."""
    hall = Hall()
    a, b = hall.joined(), hall.joined()
    hall.say(b, '{"type": "join-room"}')
    hall.say(b, '{"type": "join-room", "room": ""}')
    assert not hall.of(a, p.PeerLeft)
    hall.join(b, "room2")
    assert hall.of(a, p.PeerLeft) == [p.PeerLeft(peer_id=hall.heard[b][0].peer_id)]
    assert list(hall.lobby.rooms) == ["room1", "room2"]


def test_rooms_end_with_their_last_member() -> None:
    """A room exists while somebody is in it."""
    hall = Hall()
    a, b = hall.joined(), hall.joined("room2")
    hall.say(a, p.LeaveRoom())
    hall.drop(b, clean=True)
    assert hall.lobby.rooms == {}


@pytest.mark.parametrize("how", ["closes", "leaves", "drops without secret"])
def test_peer_left_goes_out_at_once(how: str) -> None:
    """On a clean close, on leave-room, and for a client without a secret, the others hear it at once."""
    hall = Hall()
    a = hall.joined()
    b = hall.joined(secret=None if how == "drops without secret" else SECRETS[0])
    if how == "leaves":
        hall.say(b, p.LeaveRoom())
    else:
        hall.drop(b, clean=how == "closes")
    assert len(hall.of(a, p.PeerLeft)) == 1


def test_a_broken_connection_may_come_back() -> None:
    """With a secret, peer-left goes out 15 s after the socket broke; not to whoever is back before, who keeps
    id and place and is told of everybody."""
    hall = Hall()
    a, b = hall.joined(), hall.joined(secret=SECRETS[0])
    place = hall.of(b, p.RoomPeers)[0].joined
    hall.drop(b)
    hall.wait(14.9)
    again = hall.joined(secret=SECRETS[0])
    [peers] = hall.of(again, p.RoomPeers)
    assert peers.joined == place
    assert [peer.id for peer in peers.peers] == [hall.heard[a][0].peer_id]
    hall.wait(100)
    assert len(hall.of(a, p.PeerJoinedRoom)) == 1
    assert not hall.of(a, p.PeerLeft)
    hall.drop(again)
    hall.wait(14.9)
    assert not hall.of(a, p.PeerLeft)
    hall.wait(0.1)
    assert hall.of(a, p.PeerLeft) == [p.PeerLeft(peer_id=p.peer_id(SECRETS[0]))]


def test_changed_metadata_are_told_again() -> None:
    """Who joins the same room with other metadata is announced again; with the same, not."""
    hall = Hall()
    a, b = hall.joined(), hall.joined(secret=SECRETS[0], metadata={"nodeCount": 100})
    hall.join(b, secret=SECRETS[0], metadata={"nodeCount": 100})
    assert len(hall.of(a, p.PeerJoinedRoom)) == 1
    hall.join(b, secret=SECRETS[0], metadata={"nodeCount": 200})
    assert hall.of(a, p.PeerJoinedRoom)[1].metadata == {"nodeCount": 200}


@pytest.mark.parametrize("room", ["room1", "room2"])
def test_a_second_socket_with_the_same_secret_replaces_the_first(room: str) -> None:
    """The newer socket takes the place, also into another room; the older is told fatally and closed, and is
    not listened to any more."""
    hall = Hall()
    a, old = hall.joined(), hall.joined(secret=SECRETS[0])
    new = hall.joined(room, secret=SECRETS[0])
    assert hall.errors(old) == ["replaced"]
    assert hall.of(old, p.ErrorMessage)[0].fatal
    assert old in hall.closed
    hall.join(old, secret=SECRETS[0])
    hall.drop(old, clean=True)
    assert hall.lobby.rooms[room][-1] == p.peer_id(SECRETS[0])
    assert bool(hall.of(a, p.PeerLeft)) == (room == "room2")
    hall.say(new, p.LeaveRoom())
    assert len(hall.of(a, p.PeerLeft)) == 1


def test_the_token_is_wanted() -> None:
    """Without the right token a join is refused, fatally, and the socket closed; with it, let in."""
    for token, welcome in [
        (None, False),
        ("", False),
        ("sesam", False),
        ("sesame2", False),
        ("sesame", True),
    ]:
        hall = Hall()
        hall.lobby = Lobby(token="sesame")
        number = hall.joined(token=token)
        assert bool(hall.of(number, p.RoomPeers)) == welcome
        assert [error.fatal for error in hall.of(number, p.ErrorMessage)] == ([] if welcome else [True])
        assert (number in hall.closed) == (not welcome)


def test_turn_credentials_come_with_the_join_and_are_renewed() -> None:
    """Credentials are handed out on joining, not before, and anew at half their life, for as long as the
    client is in a room."""
    hall = Hall()
    hall.lobby = Lobby(turn=Turn(["turn:h:3478"], "s", clock=lambda: hall.now))
    a = hall.joined(secret=SECRETS[0])
    b = hall.joined()
    hall.say(b, p.LeaveRoom())
    assert b"turn" not in p.encode_bytes(hall.heard[a][0])
    [server] = hall.of(a, p.RoomPeers)[0].ice_servers
    assert server.username == f"4600:{p.peer_id(SECRETS[0])}"
    hall.wait(1799)
    assert not hall.of(a, p.IceServers)
    hall.wait(1)
    assert hall.of(a, p.IceServers)[0].ice_servers[0].username == f"6400:{p.peer_id(SECRETS[0])}"
    hall.wait(1800)
    assert len(hall.of(a, p.IceServers)) == 2
    assert not hall.of(b, p.IceServers)


def test_turn_credentials_are_what_coturn_computes() -> None:
    """User name and password are those of coturn's REST scheme, for a vector made with openssl:
    ``printf 4600:alice | openssl dgst -sha1 -hmac north -binary | base64``."""
    turn = Turn(["turn:h:3478", "turns:h"], "north", clock=lambda: 1000.0)
    assert turn.credentials("alice") == [
        p.IceServer(
            urls=["turn:h:3478", "turns:h"], username="4600:alice", credential="yVLS7jRIbhPLg+yaWQ8V+sE4g5I="
        )
    ]
    for urls, secret in [(["http://h"], "s"), ([], "s"), (["turn:h"], "")]:
        with pytest.raises(UsageError):
            Turn(urls, secret)


def test_a_large_room_is_a_partial_mesh() -> None:
    """In a room of 20 each newcomer is told a few neighbours and a hop limit; signals and broadcasts still
    reach everybody; and when it was thinned out and a neighbour's time to come back is over, its place is
    filled."""
    hall = Hall()
    secrets = [bytes([n]) * 16 for n in range(20)]
    numbers = [hall.joined(secret=secret) for secret in secrets]
    [peers] = hall.of(numbers[-1], p.RoomPeers)
    assert 2 <= len(peers.peers) <= 6
    assert peers.hops >= 4
    hall.say(numbers[-1], p.SendBroadcast(data={"x": 1}))
    assert all(hall.of(number, p.Broadcast) for number in numbers[:-1])
    for _ in range(100):
        hall.wait(1)
    assert hall.of(numbers[0], p.Unlink)
    told = {other: len(hall.heard[other]) for other in numbers}
    hall.drop(numbers[-1])
    hall.wait(15)
    left = [number for number in numbers[:-1] if hall.of(number, p.PeerLeft)]
    assert 2 <= len(left) <= 6
    new = [type(message) for number in left for message in hall.heard[number][told[number] :]]
    assert {p.RoomPeers, p.PeerJoinedRoom} <= set(new)


def test_the_absent_stay_in_the_roster_until_their_time_is_over() -> None:
    """A member whose connection broke is listed for 15 s more; an old client is listed, as no lasting member,
    and is told nothing."""
    hall = Hall()
    a, b = (hall.joined(secret=secret, metadata={"kind": "headless"}) for secret in SECRETS[:2])
    old = hall.joined(metadata={"nodeCount": 220, "version": "1.0"})
    assert not hall.of(old, p.Roster)
    [listed] = hall.of(a, p.Roster)[-1].members
    assert (listed.id, listed.kind, listed.lasting) == (hall.heard[old][0].peer_id, "", False)
    hall.drop(b)
    told = len(hall.of(a, p.Roster))
    hall.wait(14)
    assert len(hall.of(a, p.Roster)) == told
    hall.wait(1)
    assert hall.of(a, p.Roster)[-1].left == [p.peer_id(SECRETS[1])]


def test_who_is_in_the_room_can_be_asked() -> None:
    """Of the ids asked for, those in the same room are told, 20 questions a second; more are refused and
    counted, and disconnect nobody."""
    hall = Hall()
    a, _, c = hall.joined(secret=SECRETS[0]), hall.joined(secret=SECRETS[1]), hall.joined("room2")
    ids = [p.peer_id(SECRETS[1]), "x", hall.heard[c][0].peer_id]
    for _ in range(30):
        hall.say(a, p.SendWho(ids=ids))
    answers = hall.of(a, p.Who)
    assert len(answers) == 20
    assert answers[0].ids == ids
    assert [(member.id, member.lasting) for member in answers[0].present] == [(ids[0], True)]
    assert hall.errors(a) == ["who-rate"]
    assert hall.lobby.counts.refused["who-rate"] == 10
    hall.wait(1)
    hall.say(a, p.SendWho(ids=["x"]))
    assert hall.of(a, p.Who)[-1] == p.Who(ids=["x"])


def test_an_event_broadcast_by_two_is_passed_on_once() -> None:
    """Of an event that two nodes broadcast the second is dropped and counted."""
    hall = Hall()
    a, b, ear = hall.joined(), hall.joined(), hall.joined()
    event = {"type": "flip", "id": "e1", "origin": "o", "at": 1.0, "hops": 1}
    hall.say(a, p.SendBroadcast(data=event))
    hall.say(b, p.SendBroadcast(data={**event, "hops": 2}))
    assert len(hall.of(ear, p.Broadcast)) == 1
    assert hall.lobby.counts.refused["repeated"] == 1


# --- limits -------------------------------------------------------------------------------------


def test_long_messages_are_refused() -> None:
    """A message over 64 KiB, and a broadcast or telemetry over 16 KiB, is refused by name and reaches nobody;
    a signal of more than 16 KiB passes."""
    hall = Hall()
    a, b = hall.joined(), hall.joined()
    to = hall.heard[b][0].peer_id
    hall.say(a, p.SendBroadcast(data={"x": "y" * 16_384}))
    hall.say(a, p.SendTelemetry(telemetry={"x": "y" * 16_384}))
    hall.say(a, p.SendSignal(to=to, signal={"x": "y" * 65_536}))
    assert hall.errors(a) == ["payload-size", "message-size"]
    hall.say(a, p.SendSignal(to=to, signal={"x": "y" * 60_000}))
    assert [type(message) for message in hall.heard[b][2:]] == [p.Signal]


def flood(hall: Hall, number: int, rate: float, seconds: float, size: int = 0) -> None:
    """Broadcast at a constant rate."""
    message = p.encode(p.SendBroadcast(data={"x": "y" * size}))
    for _ in range(int(rate * seconds)):
        hall.wait(1 / rate)
        hall.say(number, message)


def test_the_message_rate_is_held() -> None:
    """60 messages a second pass for ever; of more, as many pass as the rate and a burst of two seconds allow;
    errors come at most once a second; and after 10 s over it the client is disconnected."""
    hall = Hall(connections=10)
    good, bad, ear = hall.joined(), hall.joined(), hall.joined()
    flood(hall, good, 60, 30)
    assert len(hall.of(ear, p.Broadcast)) == 1800
    assert hall.errors(good) == []
    flood(hall, bad, 200, 9)
    passed = len(hall.of(ear, p.Broadcast)) - 1800
    assert passed == pytest.approx(9 * 60 + 120, abs=2)
    assert 6 <= len(hall.errors(bad)) <= 9
    assert set(hall.errors(bad)) == {"message-rate"}
    assert bad not in hall.closed
    flood(hall, bad, 200, 3)
    assert hall.closed == {bad: 1008}


def test_a_pause_starts_the_count_anew() -> None:
    """Who is over a limit now and then, but never for 10 s on end, is not disconnected."""
    hall = Hall()
    number = hall.joined()
    for _ in range(10):
        flood(hall, number, 200, 5)
        hall.wait(5)
    assert hall.closed == {}


def test_the_byte_rate_is_held() -> None:
    """128 KiB a second pass, with a burst of twice that; more is refused by name."""
    hall = Hall()
    number, ear = hall.joined(), hall.joined()
    flood(hall, number, 20, 9, size=13_000)
    passed = sum(len(message.data["x"]) for message in hall.of(ear, p.Broadcast))
    assert passed == pytest.approx((9 + 2) * 131_072, rel=0.02)
    assert set(hall.errors(number)) == {"byte-rate"}


def test_malformed_messages_never_disconnect() -> None:
    """Malformed messages are refused, at most one error a second, and counted; the socket stays open."""
    hall = Hall()
    number = hall.joined()
    for _ in range(300):
        hall.wait(0.1)
        hall.say(number, b"\xff")
    assert hall.closed == {}
    assert set(hall.errors(number)) == {"malformed"}
    assert 15 <= len(hall.errors(number)) <= 30
    assert hall.lobby.counts.refused["malformed"] == 300
    hall.join(number)


def test_unknown_types_are_ignored() -> None:
    """A message of an unknown type is counted and otherwise ignored."""
    hall = Hall()
    number = hall.joined()
    before = len(hall.heard[number])
    hall.say(number, '{"type": "novel"}')
    assert len(hall.heard[number]) == before
    assert hall.lobby.counts.received["unknown"] == 1


def test_who_does_not_join_in_time_is_closed() -> None:
    """10 s after connecting, who has not joined is told and closed; who joined and left is not."""
    hall = Hall()
    slow, quick = hall.connect(), hall.joined()
    hall.say(quick, p.LeaveRoom())
    hall.wait(9.9)
    assert hall.closed == {}
    assert hall.lobby.due() == pytest.approx(1010)
    hall.wait(0.1)
    assert hall.errors(slow) == ["join-timeout"]
    assert hall.closed == {slow: 1008}


def test_a_slow_handshake_takes_from_the_time_to_join() -> None:
    """The ten seconds run from when a socket was accepted, however long its handshake took: who came later
    may be due earlier."""
    hall = Hall()
    quick = hall.connect()
    slow = hall.connect(since=hall.now - 9)
    assert hall.lobby.due() == pytest.approx(1001)
    hall.wait(1)
    assert hall.closed == {slow: 1008}
    hall.join(quick)
    hall.wait(20)
    assert hall.closed == {slow: 1008}


def test_messages_before_joining_are_refused() -> None:
    """Everything but a join needs a room."""
    hall = Hall()
    number = hall.connect()
    hall.say(number, p.SendBroadcast(data={}))
    assert hall.errors(number) == ["not-joined"]


def test_a_full_room_takes_nobody_but_those_who_return() -> None:
    """A join into a full room is refused and changes nothing; whoever is in it may come back."""
    hall = Hall(room=2)
    a, b = hall.joined(secret=SECRETS[0]), hall.joined()
    c = hall.joined("room2")
    hall.join(c, "room1")
    assert hall.errors(c) == ["room-full"]
    assert len(hall.lobby.rooms["room2"]) == 1
    hall.drop(a)
    assert hall.of(hall.joined(secret=SECRETS[0]), p.RoomPeers)
    hall.drop(b)
    hall.join(c, "room1")
    assert len(hall.lobby.rooms["room1"]) == 2


def test_connections_are_limited_in_all_and_by_address() -> None:
    """One connection too many, in all or from one address, is told why and closed; when another goes there is
    room again."""
    hall = Hall(per_address=2, connections=3)
    a, _, c = hall.connect("x"), hall.connect("x"), hall.connect("x")
    assert hall.errors(c) == ["address-full"]
    hall.drop(c)
    d, e = hall.connect("y"), hall.connect("z")
    assert (hall.errors(d), hall.errors(e)) == ([], ["server-full"])
    assert set(hall.closed) == {c, e}
    hall.drop(e)
    hall.drop(a)
    assert hall.errors(hall.connect("x")) == []


def test_shutting_down_tells_everybody() -> None:
    """On shutdown everybody is told and closed, and new joins are refused."""
    hall = Hall()
    a, b = hall.joined(), hall.connect()
    hall.act(hall.lobby.close())
    assert hall.errors(a) == hall.errors(b) == ["closing"]
    assert hall.closed == {a: 1001, b: 1001}
    assert hall.errors(hall.joined()) == ["closing"]


@pytest.mark.parametrize("bad", [{"message": 0}, {"burst": float("nan")}, {"grace": -1}, {"room": "2"}])
def test_limits_are_checked(bad: dict[str, Any]) -> None:
    """A limit that makes no sense is refused, naming it."""
    with pytest.raises(ParameterError, match=next(iter(bad))):
        Limits(**bad)


def test_a_bucket_gives_what_its_rate_allows() -> None:
    """Over any span a bucket gives at most its burst and the rate times the span."""
    bucket = Bucket(10, 2, 0.0)
    assert sum(bucket.take(1, 0.0) for _ in range(100)) == 20
    assert sum(bucket.take(1, 1 + n / 100) for n in range(100)) == 19
    assert not bucket.take(21, 1e6)


# --- everything at once -------------------------------------------------------------------------


@dataclass
class Truth:
    """Who somebody is and where, by a model of its own; ``back_by`` while the socket is gone."""

    room: str
    number: int | None
    metadata: dict[str, Any]
    back_by: float = 0.0


@dataclass
class Person:
    """A connection by the model: the id it goes by, and what it believes of its room."""

    id: str
    lasting: bool = False
    read: int = 0
    view: dict[str, Any] = field(default_factory=dict)
    roster: Roster = field(default_factory=lambda: Roster(now=lambda: 0.0))


Step = tuple[str, int, str, bytes | None, int, bool]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(
            [*["join"] * 6, *["drop"] * 3, "leave", "wait", "connect", *["tell one", "tell all"] * 2]
        ),
        st.integers(0, 5),
        st.sampled_from("aab"),
        st.sampled_from([None, *SECRETS, *SECRETS]),
        st.integers(0, 2),
        st.booleans(),
    ),
    min_size=20,
    max_size=60,
)


class Model:
    """A lobby beside a simple truth: which id is where, by which connection, and until when."""

    def __init__(self) -> None:
        self.hall = Hall(room=3, join=1e6, joins_at_once=1e6, messages=1e6, bytes=1e9)
        self.people: dict[int, Person] = {}
        self.truth: dict[str, Truth] = {}

    def step(self, step: Step) -> None:
        """One thing happens, and everybody's view is compared with the truth."""
        what, who, room, secret, small, yes = step
        if what == "connect" or not self.people:
            number = self.hall.connect()
            self.people[number] = Person(self.hall.heard[number][0].peer_id)
        number = sorted(self.people)[who % len(self.people)]
        match what:
            case "join":
                self.join(number, room, secret, {"n": small % 2})
            case "leave":
                self.hall.say(number, p.LeaveRoom())
                if self.where(number) is not None:
                    del self.truth[self.people[number].id]
            case "drop":
                self.drop(number, clean=yes)
            case "wait":
                self.wait([1.0, 8.0, 20.0][small])
            case "tell one":
                self.tell_one(number, [*sorted(self.truth), "nobody"][who % (len(self.truth) + 1)], relay=yes)
            case "tell all":
                self.tell_all(number)
        self.compare()

    def where(self, number: int) -> Truth | None:
        entry = self.truth.get(self.people[number].id)
        return entry if entry is not None and entry.number == number else None

    def join(self, number: int, room: str, secret: bytes | None, metadata: dict[str, Any]) -> None:
        person = self.people[number]
        self.hall.join(number, room, secret, metadata=metadata)
        new_id = p.peer_id(secret) if secret else person.id
        known = self.truth.get(new_id)
        if sum(entry.room == room for key, entry in self.truth.items() if key != new_id) >= 3:
            return
        if self.where(number) is not None and person.id != new_id:
            del self.truth[person.id]
        if known is not None and known.number is not None and known.number != number:
            del self.people[known.number]
            self.hall.drop(known.number)
        person.id, person.lasting = new_id, person.lasting or secret is not None
        self.truth[new_id] = Truth(room, number, metadata)

    def drop(self, number: int, *, clean: bool) -> None:
        entry, person = self.where(number), self.people.pop(number)
        self.hall.drop(number, clean=clean)
        if entry is not None and person.lasting and not clean:
            entry.number, entry.back_by = None, self.hall.now + 15
        elif entry is not None:
            del self.truth[person.id]

    def wait(self, seconds: float) -> None:
        self.hall.wait(seconds)
        for key, entry in list(self.truth.items()):
            if entry.number is None and entry.back_by <= self.hall.now:
                del self.truth[key]

    def tell_one(self, number: int, to: str, *, relay: bool) -> None:
        before = {other: len(self.hall.heard[other]) for other in self.people}
        self.hall.say(number, p.SendRelay(to=to, data={}) if relay else p.SendSignal(to=to, signal={}))
        entry, target = self.where(number), self.truth.get(to)
        reached = entry and target and target.room == entry.room and target is not entry and target.number
        kind = p.Relay if relay else p.Signal
        for other, length in before.items():
            new = [message for message in self.hall.heard[other][length:] if isinstance(message, kind)]
            assert [message.from_ for message in new] == (
                [self.people[number].id] if other == reached else []
            )

    def tell_all(self, number: int) -> None:
        before = {other: len(self.hall.heard[other]) for other in self.people}
        self.hall.say(number, p.SendBroadcast(data={}))
        entry = self.where(number)
        for other, length in before.items():
            new = [message for message in self.hall.heard[other][length:] if isinstance(message, p.Broadcast)]
            there = self.where(other)
            hears = entry is not None and there is not None and there.room == entry.room and other != number
            assert len(new) == hears

    def compare(self) -> None:
        for number, person in self.people.items():
            for message in self.hall.heard[number][person.read :]:
                match message:
                    case p.RoomPeers():
                        assert message.peer_id == person.id
                        person.view = {peer.id: peer.metadata for peer in message.peers}
                    case p.PeerJoinedRoom():
                        person.view[message.peer_id] = message.metadata
                    case p.PeerLeft():
                        del person.view[message.peer_id]
                    case p.Roster():
                        assert person.lasting
                        if message.whole:  # perhaps of another room, or told to another id
                            person.roster = Roster(now=lambda: 0.0)
                        person.roster.apply(message)
            person.read = len(self.hall.heard[number])
            if (entry := self.where(number)) is not None:
                others = {
                    key: other.metadata
                    for key, other in self.truth.items()
                    if other.room == entry.room and other is not entry
                }
                assert person.view == others
                if person.lasting:
                    assert person.roster.members.keys() == {*others, person.id}
                    assert person.roster.size == len(others) + 1
        rooms: dict[str, set[str]] = {}
        for key, entry in self.truth.items():
            rooms.setdefault(entry.room, set()).add(key)
        assert {name: set(ids) for name, ids in self.hall.lobby.rooms.items()} == rooms
        assert self.hall.lobby.connections == len(self.people)


@settings(deadline=None, max_examples=150)
@given(STEPS)
def test_everybodys_view_of_a_room_is_the_truth(steps: list[Step]) -> None:
    """Through any sequence of joins, moves, breaks, returns, absences and messages, who is in a room and who
    hears what is what a simple model says, and so is everybody's own view made from what they heard."""
    model = Model()
    for step in steps:
        model.step(step)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), NEARLY | st.binary() | st.text()), max_size=20))
def test_nonsense_changes_nothing_for_others(said: list[tuple[int, str | bytes]]) -> None:
    """Whatever is said, nothing raises, and who says no join or leave stays where they are."""
    hall = Hall(message=500)
    numbers = [hall.joined(secret=secret) for secret in SECRETS]
    rooms = hall.lobby.rooms
    for who, raw in said:
        hall.say(numbers[who], raw)
    if all(isinstance(raw, bytes) or "-room" not in raw for _, raw in said):
        assert hall.lobby.rooms == rooms
    assert hall.lobby.connections == 3
    assert sum(len(ids) for ids in hall.lobby.rooms.values()) <= 3
