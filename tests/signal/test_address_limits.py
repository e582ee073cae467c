"""What one address may take of the rooms: kept places, joins, tries of the token; and who comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from chronoflux.signal import protocol as p
from chronoflux.signal.address_limits import (
    REJOIN_WINDOW,
    RETURN_WINDOW,
    STARTUP_GRACE,
    TOKENS_EXPIRE,
    AddressLimits,
    ExpiringMap,
)
from chronoflux.signal.client import SignalClient
from chronoflux.signal.limits import Limits
from chronoflux.signal.lobby import Lobby
from chronoflux.signal.server import SignalServer
from tests.old_client import old_client
from tests.processes import free_port, signaling
from tests.signal.test_lobby import Hall
from tests.support import until


def secret(number: int) -> bytes:
    """A secret of its own for each number."""
    return number.to_bytes(16, "big")


def own_id(number: int) -> str:
    """The id that goes with it."""
    return p.peer_id(secret(number))


# --- the counts themselves ------------------------------------------------------------------------


def test_recent_values_are_forgotten_in_time() -> None:
    """A value is remembered for its span since it was last set, and no memory is left of older ones."""
    recent: ExpiringMap[str, int] = ExpiringMap(10.0)
    recent.set("a", 1, 0.0)
    recent.set("b", 2, 5.0)
    recent.set("a", 3, 9.0)
    assert [recent.get(key, 14.0) for key in "abc"] == [3, 2, None]
    assert [recent.get(key, 15.0) for key in "ab"] == [3, None]
    recent.set("c", 4, 18.9)
    assert len(recent) == 2


def test_the_oldest_kept_place_goes() -> None:
    """Beyond the eighth the place that was kept longest is named, by address; places that are taken again do
    not count."""
    places = AddressLimits(Limits())
    assert [places.hold_place(str(n), "a") for n in range(8)] == [None] * 8
    assert places.hold_place("x", "b") is None
    assert places.hold_place("8", "a") == "0"
    places.release_place("0")
    places.release_place("1")
    places.release_place("1")
    assert places.hold_place("9", "a") is None
    assert places.hold_place("10", "a") == "2"
    assert places.hold_place("11", None) is None


def test_joins_of_an_address_run_out_and_come_back() -> None:
    """An address has twenty joins at once, then four a second; it hears how long it has to wait, and other
    addresses are not concerned."""
    places = AddressLimits(Limits())
    assert [places.on_join(str(n), "a", 0.0, known=False) for n in range(20)] == [0.0] * 20
    assert places.on_join("20", "a", 0.0, known=False) == 0.25
    assert places.on_join("20", "a", 0.1, known=False) == pytest.approx(0.15)
    assert places.on_join("20", "a", 0.25, known=False) == 0.0
    assert places.on_join("21", "a", 0.25, known=False) > 0
    assert places.on_join("21", "b", 0.25, known=False) == 0.0
    assert places.on_join("22", None, 0.25, known=False) == 0.0
    assert [places.on_join(f"later{n}", "a", 9.0, known=False) for n in range(21)] == [0.0] * 20 + [0.25]


def test_whoever_returns_is_not_counted() -> None:
    """An id that is in a room, or was within the last minute, may join though its address has no join left;
    but not again and again."""
    places = AddressLimits(Limits(joins_at_once=1, joins=0.01))
    assert places.on_join("new", "a", 0.0, known=False) == 0.0
    places.on_left("gone", 0.0)
    assert places.on_join("gone", "a", RETURN_WINDOW - 1, known=False) == 0.0
    assert places.on_join("late", "a", RETURN_WINDOW - 1, known=False) > 0
    places.on_left("long", 0.0)
    assert places.on_join("long", "a", RETURN_WINDOW, known=False) > 0
    assert places.on_join("member", "a", RETURN_WINDOW, known=True) == 0.0
    assert places.on_join("member", "a", RETURN_WINDOW + REJOIN_WINDOW / 2, known=True) > 0
    assert places.on_join("member", "a", RETURN_WINDOW + REJOIN_WINDOW, known=True) == 0.0


def test_joins_after_the_start_are_not_counted() -> None:
    """In the first seconds of a server everybody may join: all come back at once then."""
    places = AddressLimits(Limits(joins_at_once=1, joins=0.01))
    places.started = 100.0
    assert [places.on_join(str(n), "a", 100.0 + STARTUP_GRACE - 1, known=False) for n in range(50)] == [
        0.0
    ] * 50
    assert places.on_join("50", "a", 100.0 + STARTUP_GRACE, known=False) == 0.0
    assert places.on_join("51", "a", 100.0 + STARTUP_GRACE, known=False) > 0


def test_wrong_tokens_make_an_address_wait_ever_longer() -> None:
    """The wait after a wrong token is half a second and doubles up to 30 s; a minute after the longest all is
    forgotten."""
    places, now, waits = AddressLimits(Limits()), 0.0, []
    for _ in range(8):
        assert places.token_wait("a", now) == 0.0
        places.on_wrong_token("a", now)
        waits.append(places.token_wait("a", now))
        now += waits[-1]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert places.token_wait("b", now - 1) == 0.0
    places.on_wrong_token("a", now + TOKENS_EXPIRE + 30)
    assert places.token_wait("a", now + TOKENS_EXPIRE + 30) == 0.5
    places.on_wrong_token(None, now)
    assert places.token_wait(None, now) == 0.0


# --- in the lobby ---------------------------------------------------------------------------------


def ghost(hall: Hall, number: int, address: str) -> None:
    """Somebody joins and drops the line at once."""
    connection = hall.connect(address)
    hall.join(connection, secret=secret(number))
    hall.drop(connection)


def test_ghosts_do_not_fill_a_room() -> None:
    """Places kept for an address that joins and drops the line are eight at most, the others hear of those
    given up, and nobody who is there loses a place."""
    hall = Hall()
    watcher = hall.joined(secret=secret(1000))
    here = [hall.connect("10.9.9.9") for _ in range(3)]
    for number, connection in enumerate(here):
        hall.join(connection, secret=secret(2000 + number))
    for number in range(1, 11):
        hall.wait(0.3)
        ghost(hall, number, "10.9.9.9")
    left = [message.peer_id for message in hall.of(watcher, p.PeerLeft)]
    assert left == [own_id(1), own_id(2)]
    assert len(hall.lobby.rooms["room1"]) == 1 + 3 + 8
    hall.wait(15)
    assert len(hall.lobby.rooms["room1"]) == 1 + 3
    assert all(hall.errors(connection) == [] for connection in here)


def test_too_many_joins_are_told_when_to_come_again() -> None:
    """A join beyond the rate is refused with a hint and changes nothing; after the wait it is accepted."""
    hall = Hall()
    for number in range(20):
        hall.join(hall.connect("10.9.9.9"), secret=secret(number))
    one_more = hall.connect("10.9.9.9")
    hall.join(one_more, secret=secret(20))
    [error] = hall.of(one_more, p.ErrorMessage)
    assert (error.code, error.fatal, error.retry_after) == ("join-rate", False, 0.25)
    assert "20 times" in error.message
    assert hall.lobby.rooms == {"room1": [own_id(number) for number in range(20)]}
    hall.wait(0.25)
    hall.join(one_more, secret=secret(20))
    assert hall.of(one_more, p.RoomPeers)
    assert hall.closed == {}


def test_thirty_behind_one_address_return() -> None:
    """Thirty nodes of one address that lose their line all return within the minute, those whose places were
    given up too, though no join is left for the address."""
    hall = Hall(joins=0.01)
    hall.lobby.set_started(hall.now)
    connections = [hall.connect("10.9.9.9") for _ in range(30)]
    for number, connection in enumerate(connections):
        hall.join(connection, secret=secret(number))
    hall.wait(STARTUP_GRACE)
    for number in range(100, 120):
        hall.join(hall.connect("10.9.9.9"), "other", secret=secret(number))
    for connection in connections:
        hall.drop(connection)
    assert len(hall.lobby.rooms["room1"]) == 8
    hall.wait(RETURN_WINDOW - 1)
    for number in range(30):
        again = hall.connect("10.9.9.9")
        hall.join(again, secret=secret(number))
        assert hall.errors(again) == []
    assert len(hall.lobby.rooms["room1"]) == 30


def test_sixty_four_of_one_address_join_a_server_that_starts() -> None:
    """A server without any memory takes all of an address at once after its start."""
    hall = Hall()
    hall.lobby.set_started(hall.now)
    for number in range(64):
        hall.join(hall.connect("10.9.9.9"), secret=secret(number))
    assert len(hall.lobby.rooms["room1"]) == 64


class Guarded(Hall):
    """A hall whose lobby wants a token."""

    def __init__(self) -> None:
        super().__init__()
        self.lobby = Lobby(Limits(), token="sesame")

    def tries(self, token: str | None, number: int = 0, address: str = "10.9.9.9") -> list[p.ErrorMessage]:
        """Join once with a token; the errors that come of it."""
        connection = self.connect(address)
        self.join(connection, secret=secret(number), token=token)
        return self.of(connection, p.ErrorMessage)


def test_guessing_the_token_takes_time() -> None:
    """After a wrong token no other of that address is looked at for a while, not even the right one, which is
    not refused for good; other addresses and those who were in just now do not wait; no token is no guess."""
    hall = Guarded()
    member = hall.connect("10.9.9.9")
    hall.join(member, secret=secret(7), token="sesame")
    for _ in range(3):
        assert [error.code for error in hall.tries(None)] == ["bad-token"]
    [wrong] = hall.tries("sesam")
    assert (wrong.code, wrong.fatal) == ("bad-token", True)
    for token in ("sesame", "sesam"):
        [told] = hall.tries(token)
        assert (told.code, told.fatal, told.retry_after) == ("token-wait", False, 0.5)
    assert hall.tries("sesame", 1, "10.9.9.8") == []
    hall.drop(member)
    assert hall.tries("sesame", 7) == []
    hall.wait(0.5)
    assert hall.tries("sesame", 2) == []
    assert [error.code for error in hall.tries("sesam")] == ["bad-token"]
    [told] = hall.tries("sesame", 3)
    assert told.retry_after == 1.0


def test_a_refusal_that_is_not_told_is_a_refusal() -> None:
    """Who tries again within a second is not told once more, and is not let in either."""
    hall = Guarded()
    hall.tries("sesam")
    connection = hall.connect("10.9.9.9")
    for _ in range(5):
        hall.join(connection, secret=secret(1), token="sesame")
    assert len(hall.of(connection, p.ErrorMessage)) == 1
    assert hall.lobby.rooms == {}


# --- with sockets ---------------------------------------------------------------------------------


async def place(url: str, number: int, **options: Any) -> ClientConnection:
    """A socket that has joined room1 with a secret."""
    line = await connect(url, **options)
    await line.send(json.dumps({"type": "join-room", "room": "room1", "secret": secret(number).hex()}))
    async with asyncio.timeout(30):
        while json.loads(await line.recv())["type"] != "room-peers":
            pass
    return line


async def test_a_room_stays_open_while_places_are_stolen() -> None:
    """Whoever joins and resets a thousand times keeps eight places, and an honest node gets in."""
    async with SignalServer(port=0, limits=Limits(room=12)) as server, old_client(server.url) as watcher:
        await watcher.join()
        for number in range(100):
            (await place(server.url, number, local_addr=("127.0.0.2", 0))).transport.abort()
            await until(lambda number=number: own_id(number) in gone(server))
            assert len(server.lobby.rooms["room1"]) <= 1 + 8
        async with old_client(server.url) as honest:
            await honest.join()
            await until(lambda: honest.of("room-peers"))
        assert len(watcher.of("peer-left")) >= 92


def gone(server: SignalServer) -> set[str]:
    """Whose sockets the server knows to be gone."""
    members = server.lobby._members
    return {own_id(number) for number in range(100)} - {
        id_ for id_, member in members.items() if member.connection is not None
    }


async def test_thirty_laptops_come_back() -> None:
    """Thirty nodes behind one address whose sockets fell silent or broke are all back at their first try."""
    async with SignalServer(port=0) as server:
        first = [await place(server.url, number) for number in range(30)]
        server._epoch += 3600  # an hour passes
        silent, broken = first[:15], first[15:]
        for line in silent:
            line.transport.pause_reading()
        for line in broken:
            line.transport.abort()
        await until(lambda: len(server.lobby.rooms["room1"]) == 15 + 8)
        again = await asyncio.gather(*(place(server.url, number) for number in range(30)))
        assert len(server.lobby.rooms["room1"]) == 30
        assert {own_id(number) for number in range(30)} == set(server.lobby.rooms["room1"])
        for line in (*silent, *again):
            line.transport.abort()


class Nodes:
    """Signaling clients of many nodes in one room, as they run in nodes."""

    def __init__(self, url: str, count: int, **options: Any) -> None:
        self.clients = [
            SignalClient(
                url,
                room="room1",
                metadata={"nodeId": f"n{number}", "kind": "headless"},
                secret=os.urandom(16),
                on_message=lambda message: None,
                on_state=lambda client: None,
                **options,
            )
            for number in range(count)
        ]
        self._running = [asyncio.create_task(client.run()) for client in self.clients]

    def joined(self) -> int:
        """How many are in the room."""
        return sum(client.state == "joined" for client in self.clients)

    async def close(self) -> None:
        """All leave."""
        await asyncio.gather(*(client.close() for client in self.clients))
        await asyncio.gather(*self._running)


async def test_a_client_waits_as_long_as_it_is_told() -> None:
    """More nodes than an address may have joins are all in soon, without being told to stop."""
    async with SignalServer(port=0, limits=Limits(joins_at_once=3, joins=10.0)) as server:
        server.lobby.set_started(-1e9)
        nodes = Nodes(server.url, 8)
        try:
            await until(lambda: nodes.joined() == 8)
            assert server.lobby.counts.refused["join-rate"] >= 1
        finally:
            await nodes.close()


async def test_sixty_four_nodes_rejoin_a_restarted_server() -> None:
    """A server that is killed and started again has its 64 nodes, all of one address, back within seconds,
    each under its id."""
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        before = await stack.enter_async_context(signaling(port))
        nodes = Nodes(f"ws://127.0.0.1:{port}", 64)
        stack.push_async_callback(nodes.close)
        await until(lambda: nodes.joined() == 64)
        ids = [client.peer_id for client in nodes.clients]
        before.signal(signal.SIGKILL)
        await until(lambda: nodes.joined() == 0)
        await stack.enter_async_context(signaling(port))
        listening = time.monotonic()
        await until(lambda: nodes.joined() == 64, 60)
        took = time.monotonic() - listening
        print(f"64 nodes were back {took:.2f} s after the server listened")
        assert took < 30  # 1 s where nothing else is going on; more is the machine's other work
        assert [client.peer_id for client in nodes.clients] == ids
        assert [client.joins for client in nodes.clients] == [2] * 64
