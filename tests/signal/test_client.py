"""The signaling client: against our server, the first ChronoFlux's, others, and none."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import itertools
import json
import logging
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from chronoflux.errors import UsageError
from chronoflux.signal import client as client_module
from chronoflux.signal import protocol as p
from chronoflux.signal.client import SignalClient
from chronoflux.signal.limits import Limits
from chronoflux.signal.server import LimitedConnection, SignalServer
from tests.certificates import self_signed
from tests.old_client import old_client
from tests.old_server import OldServer, old_server
from tests.support import until

SECRET = bytes(range(16))


class Heard:
    """A client's messages and states, and the task that runs it."""

    def __init__(self, url: str, **options: Any) -> None:
        self.messages: list[p.ServerMessage] = []
        self.states: list[tuple[str, str]] = []
        given: dict[str, Any] = {"room": "room1", "metadata": {"nodeId": "me"}, "secret": SECRET, **options}
        given.setdefault("on_message", self.messages.append)
        given.setdefault("on_state", lambda client: self.states.append((client.state, client.reason)))
        self.client = SignalClient(url, **given)
        self.task = asyncio.create_task(self.client.run())

    def of(self, kind: type[p.Message]) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


@contextlib.asynccontextmanager
async def running(url: str, **options: Any) -> AsyncIterator[Heard]:
    """A client that runs, and is closed in the end."""
    heard = Heard(url, **options)
    try:
        yield heard
    finally:
        await heard.client.close()
        await heard.task


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect without long pauses."""
    monkeypatch.setattr(client_module, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(client_module, "LAST_DELAY", 0.05)


async def joined(heard: Heard) -> None:
    await until(lambda: heard.client.state == "joined", what="joined")


async def test_two_clients_meet(server: SignalServer) -> None:
    """Clients join with the ids of their secrets, see each other, and pass signals, relayed messages,
    broadcasts and telemetry; leaving is heard at once."""
    other_secret = bytes(16)
    async with running(server.url) as a:
        await joined(a)
        assert a.client.peer_id == p.peer_id(SECRET)
        assert a.client.server is not None
        assert a.client.server.limits.room == 256
        async with running(server.url, secret=other_secret, metadata={"nodeId": "other"}) as b:
            await until(lambda: a.of(p.PeerJoinedRoom))
            assert a.of(p.PeerJoinedRoom)[0].metadata == {"nodeId": "other"}
            await joined(b)
            assert [peer.id for peer in b.of(p.RoomPeers)[0].peers] == [a.client.peer_id]
            to = p.peer_id(SECRET)
            sent = [
                p.SendSignal(to=to, signal={"sdp": "x"}),
                p.SendRelay(to=to, data={"x": 1}),
                p.SendBroadcast(data={"x": 2}),
                p.SendTelemetry(telemetry={"H": 1.0}),
            ]
            assert all(b.client.send(message) for message in sent)
            await until(lambda: a.of(p.Telemetry))
            me = p.peer_id(other_secret)
            assert a.messages[-4:] == [
                p.Signal(from_=me, signal={"sdp": "x"}),
                p.Relay(from_=me, data={"x": 1}),
                p.Broadcast(from_=me, data={"x": 2}),
                p.Telemetry(from_=me, telemetry={"H": 1.0}),
            ]
        await until(lambda: a.of(p.PeerLeft))
    assert [state for state, _ in a.states] == ["joined", "closed"]
    assert b.client.state == "closed"


async def test_an_old_server_will_do(quick: None) -> None:
    """On a server that speaks only the unmarked messages the client joins under the id of its welcome, and
    signals, broadcasts and sends telemetry; after a restart it is back under its new id."""
    async with old_server() as server:
        port = int(server.url.rpartition(":")[2])
        async with running(server.url) as ours, old_client(server.url) as old:
            await joined(ours)
            assert ours.client.server is None
            await until(lambda: ours.of(p.RoomPeers))
            await old.join(kind="page")
            await until(lambda: ours.of(p.PeerJoinedRoom))
            assert ours.client.peer_id == old.of("room-peers")[0]["peers"][0]["id"]
            assert old.of("room-peers")[0]["peers"][0]["metadata"] == {"nodeId": "me"}
            ours.client.send(p.SendSignal(to=old.id, signal={"sdp": "x"}))
            ours.client.send(p.SendBroadcast(data={"type": "portal"}))
            await until(lambda: old.of("broadcast"))
            assert old.of("signal")[0]["signal"] == {"sdp": "x"}
            await old.send(type="broadcast", data={"type": "thought/v1"})
            await until(lambda: ours.of(p.Broadcast))
            await restart(server, port, ours)


async def restart(server: OldServer, port: int, ours: Heard) -> None:
    """Cut everybody off, and see that ours comes back."""
    for socket in list(server.rooms["room1"].values()):
        socket.transport.abort()
    await until(lambda: "waiting" in [state for state, _ in ours.states])
    await until(lambda: len(ours.of(p.RoomPeers)) == 2)
    assert ours.client.peer_id in server.rooms["room1"]


async def test_it_leaves_an_old_server_by_closing() -> None:
    """It says nothing to an old server that is not in the unmarked protocol."""
    async with old_server() as server:
        async with running(server.url) as ours:
            await until(lambda: ours.of(p.RoomPeers))
        assert [message["type"] for message in server.heard] == ["join-room"]


async def test_it_keeps_trying_until_the_server_is_there(quick: None, unused_tcp_port: int) -> None:
    """Without a server it waits with one clear line, and joins when one comes; when the server goes and comes
    back it joins again under the same id."""
    async with running(f"ws://127.0.0.1:{unused_tcp_port}") as ours:
        await until(lambda: ours.client.state == "waiting")
        assert str(unused_tcp_port) in ours.client.reason
        assert "nothing listens there" in ours.client.reason
        assert "\n" not in ours.client.reason
        assert not ours.client.send(p.LeaveRoom())
        for _ in range(2):
            ours.states.clear()
            async with SignalServer(port=unused_tcp_port):
                await joined(ours)
            await until(lambda: any("shutting down" in reason for _, reason in ours.states))
        assert {message.peer_id for message in ours.of(p.RoomPeers)} == {p.peer_id(SECRET)}


async def test_a_broken_line_is_mended_unnoticed(quick: None, server: SignalServer) -> None:
    """When the connection breaks the client is back soon, and the others hear neither of its going nor of its
    coming."""
    async with old_client(server.url) as watcher, running(server.url) as ours:
        await watcher.join()
        await joined(ours)
        await until(lambda: watcher.of("room-peers") and len(server.lobby.rooms["room1"]) == 2)
        before = list(watcher.heard)
        for socket in list(LimitedConnection.accepted):
            if socket.request is not None and "chronoflux" in socket.request.headers["User-Agent"]:
                socket.transport.abort()
        await until(lambda: len(ours.of(p.RoomPeers)) == 2)
        assert watcher.heard == before


async def test_a_doubted_server_proves_itself_or_is_left(
    quick: None, server: SignalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In doubt, a server that answers keeps its client; a line on which nothing comes back is given up for a
    new one within seconds."""
    monkeypatch.setattr(client_module, "PING_TIMEOUT", 0.5)
    async with running(server.url) as ours:
        await joined(ours)
        (socket,) = (socket for socket in LimitedConnection.accepted if socket.server is server._server)
        ours.client.check_connection()
        await until(lambda: not ours.client._check_requested.is_set())
        assert len(ours.of(p.RoomPeers)) == 1
        socket.transport.pause_reading()
        ours.client.check_connection()
        await until(lambda: len(ours.of(p.RoomPeers)) == 2)
        assert ours.client.state == "joined"
        socket.transport.abort()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8089",
        "http://h",
        "ws://",
        "ws://h:99999",
        "ws://h:0",
        "ws://h:x",
        "ws://h/\n",
        "ws:// h",
        "ws://u:p@h",
        "ws://h/?token=t",
        "ws://h#x",
        "ws://[::1",
        7,
    ],
)
def test_a_bad_url_is_refused_at_once(url: Any) -> None:
    """What is no plain WebSocket URL raises UsageError when the client is made, with the remedy."""
    with pytest.raises(UsageError, match="ws://host:8089"):
        SignalClient(
            url, room="r", metadata={}, secret=SECRET, on_message=lambda _: None, on_state=lambda _: None
        )


@pytest.mark.parametrize(
    "bad",
    [
        {"room": ""},
        {"secret": b"short"},
        {"metadata": {"x": "y" * 5000}},
        {"metadata": {"x": object()}},
        {"token": "a\nb"},
    ],
)
def test_bad_arguments_are_refused_at_once(bad: dict[str, Any]) -> None:
    """A room, secret, metadata or token that cannot be used raises UsageError when the client is made."""
    good: dict[str, Any] = {"room": "r", "metadata": {}, "secret": SECRET}
    with pytest.raises(UsageError):
        SignalClient("ws://h", on_message=lambda _: None, on_state=lambda _: None, **{**good, **bad})


async def refused(url: str, **options: Any) -> str:
    """Run until refused; the reason."""
    heard = Heard(url, **options)
    async with asyncio.timeout(10):
        await heard.task
    assert heard.client.state == "refused"
    await heard.client.close()
    assert heard.client.state == "refused"
    assert heard.client.reason.isprintable()
    return heard.client.reason


async def test_a_wrong_token_is_final() -> None:
    """Without the right token the client is refused and does not try again; with it, it joins."""
    async with SignalServer(port=0, token="sesame") as server:
        for token in (None, "sesam"):
            reason = await refused(server.url, token=token)
            assert "token" in reason
            assert "sesam" not in reason
        async with running(server.url, token="sesame") as ours:
            await joined(ours)


async def test_a_namesake_with_the_same_secret_is_final(server: SignalServer) -> None:
    """Whose place was taken by another connection with the same secret does not fight for it."""
    async with running(server.url) as first:
        await joined(first)
        async with running(server.url) as second:
            await joined(second)
            await until(lambda: first.client.state == "refused")
            assert "same secret" in first.client.reason
            assert second.client.send(p.SendBroadcast(data={}))


async def test_a_full_room_is_waited_for(quick: None) -> None:
    """A refusal that may pass is a reason to wait, and the client joins when there is room."""
    async with SignalServer(port=0, limits=Limits(room=1)) as server:
        async with running(server.url) as first:
            await joined(first)
            second = Heard(server.url, secret=bytes(16))
            await until(lambda: second.client.state == "waiting")
            assert "a room may have at most 1 peers" in second.client.reason
        await joined(second)
        await second.client.close()
        await second.task


@pytest.fixture
def web_server() -> Iterator[str]:
    """Something else that speaks HTTP."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield f"ws://127.0.0.1:{found.server_port}/nothing"
    found.shutdown()
    found.server_close()
    thread.join()


async def test_a_web_server_is_told_apart(web_server: str) -> None:
    """A port where something else speaks HTTP is refused, with the reason."""
    assert "not a ChronoFlux signaling server: it answers with HTTP 404" in await refused(web_server)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\xff\x00\xff\r\n\r\n"])
async def test_other_services_are_told_apart(greeting: bytes) -> None:
    """A port where something else speaks is refused, with the reason."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        assert "it does not speak WebSocket" in await refused(f"ws://127.0.0.1:{port}")


@pytest.mark.parametrize("greeting", ['{"type": "hello"}', "hello", '{"type": "welcome"}', "[" * 5000])
async def test_other_websocket_servers_are_told_apart(greeting: str) -> None:
    """A WebSocket server that does not say welcome is refused, with the reason."""

    async def greet(socket: ServerConnection) -> None:
        await socket.send(greeting)
        await socket.wait_closed()

    async with serve(greet, "127.0.0.1", 0) as other:
        port = next(iter(other.sockets)).getsockname()[1]
        assert "its first message is not a welcome" in await refused(f"ws://127.0.0.1:{port}")


async def test_certificates_are_checked(tmp_path: Path, server: SignalServer) -> None:
    """A certificate nobody vouches for is refused; a trusted one lets in; wss to a ws port is explained."""
    cert, key = self_signed(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(cert, key)
    async with SignalServer(port=0, tls=serving) as secure:
        assert "certificate is not trusted" in await refused(secure.url)
        async with running(secure.url, tls=ssl.create_default_context(cafile=str(cert))) as ours:
            await joined(ours)
        async with running(secure.url.replace("wss:", "ws:")) as ours:
            await until(lambda: "use wss://" in ours.client.reason)
    async with running(server.url.replace("ws:", "wss:")) as ours:
        await until(lambda: "use ws://" in ours.client.reason)


@contextlib.asynccontextmanager
async def scripted(*lines: str) -> AsyncIterator[str]:
    """A server that welcomes, then answers a join with these messages."""

    async def talk(socket: ServerConnection) -> None:
        info = {"name": "x", "version": "1", "limits": {}}
        await socket.send(json.dumps({"type": "welcome", "peerId": "a", "peers": [], "server": info}))
        await socket.recv()
        for line in lines:
            await socket.send(line)
        await socket.wait_closed()

    async with serve(talk, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def test_a_hostile_server_raises_nothing() -> None:
    """Malformed and unknown messages of a server are skipped and counted; what is right gets through."""
    peers = '{"type": "room-peers", "peers": []}'
    bad = ["", "[]", '{"type": "peer-left"}', '{"type": "peer-left", "peerId": "\\u0000"}', '{"type": "?"}']
    async with (
        scripted(*bad, peers, *bad, '{"type": "peer-left", "peerId": "z"}') as url,
        running(url) as ours,
    ):
        await until(lambda: ours.of(p.PeerLeft))
        assert ours.messages == [p.RoomPeers(peers=[]), p.PeerLeft(peer_id="z")]
        assert ours.client.malformed == 8
        assert ours.client.peer_id == p.peer_id(SECRET)


async def test_a_handler_that_fails_does_not_cost_the_connection(
    server: SignalServer, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception in on_message or on_state is logged with its traceback; the client goes on."""

    def fail(*_: object) -> None:
        raise RuntimeError("on purpose")

    async with running(server.url, on_message=fail, on_state=fail) as ours:
        await joined(ours)
        assert ours.client.send(p.SendBroadcast(data={}))
        await until(lambda: server.lobby.counts.received["broadcast"])
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert all(record.exc_info for record in caplog.records)


async def test_send_never_raises(server: SignalServer, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be sent, too long, not JSON, or too much at once, is answered with False."""
    async with running(server.url) as ours:
        await joined(ours)
        assert not ours.client.send(p.SendBroadcast(data={"x": object()}))
        assert not ours.client.send(p.SendBroadcast(data={"x": "y" * 70_000}))
        told = [ours.client.send(p.SendSignal(to="b", signal={})) for _ in range(1000)]
        assert told[:500] == [True] * 500
        assert not told[-1]
    assert len(caplog.records) == 2


async def test_telemetry_makes_room_for_signals(server: SignalServer) -> None:
    """When too much is queued, telemetry is dropped before anything else."""
    async with old_client(server.url) as other, running(server.url) as ours:
        await other.join()
        await joined(ours)
        assert ours.client.send(p.SendTelemetry(telemetry={}))
        assert all(ours.client.send(p.SendBroadcast(data={"n": n})) for n in range(100))
        assert all(ours.client.send(p.SendTelemetry(telemetry={})) for _ in range(411))
        assert all(ours.client.send(p.LeaveRoom()) for _ in range(412))
        assert not ours.client.send(p.SendTelemetry(telemetry={}))
        await until(lambda: len(other.of("broadcast")) == 100)
        assert not other.of("telemetry")


async def test_what_was_sent_before_closing_arrives(server: SignalServer) -> None:
    """A goodbye sent right before closing is delivered."""
    async with old_client(server.url) as other:
        await other.join()
        async with running(server.url) as ours:
            await joined(ours)
            assert ours.client.send(p.SendBroadcast(data={"type": "bye"}))
        await until(lambda: other.of("peer-left"))
        assert other.of("broadcast")[0]["data"] == {"type": "bye"}


async def test_cancelling_leaves_in_order(server: SignalServer) -> None:
    """A cancelled client leaves the room at once and leaves no task behind."""
    async with old_client(server.url) as watcher:
        await watcher.join()
        ours = Heard(server.url)
        await joined(ours)
        ours.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ours.task
        assert ours.client.state == "closed"
        await until(lambda: watcher.of("peer-left"))
        await ours.client.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("signaling client")]


async def test_closing_does_not_wait_for_a_dead_server() -> None:
    """Closing is quick in every state, also when the server answers nothing at all."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as dead:
        ours = Heard(f"ws://127.0.0.1:{dead.sockets[0].getsockname()[1]}")
        await until(lambda: ours.states or ours.client.state == "connecting")
        async with asyncio.timeout(5):
            await ours.client.close()
            await ours.task
    never = SignalClient(
        "ws://h", room="r", metadata={}, secret=SECRET, on_message=lambda _: None, on_state=lambda _: None
    )
    await never.close()
    assert never.state == "closed"


async def test_pauses_grow_and_differ(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    """Pauses between tries lie between 0.5 and 30 s, grow up to that, and are drawn at random."""
    bounds: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        bounds.append((low, high))
        return 0.0

    monkeypatch.setattr(client_module.random, "uniform", draw)
    async with running(f"ws://127.0.0.1:{unused_tcp_port}"):
        await until(lambda: len(bounds) >= 8)
    assert [low for low, _ in bounds] == [0.5] * len(bounds)
    highs = [high for _, high in bounds]
    assert highs == sorted(highs)
    assert highs[0] > 0.5
    assert highs[7] == 30.0


async def test_a_server_that_asks_for_time_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a refusal with a hint the client stays away for as long as the server said, and tries again."""
    monkeypatch.setattr(client_module.random, "uniform", lambda low, high: 0.0)
    tries: list[float] = []

    def note(client: SignalClient) -> None:
        if client.state == "waiting":
            assert "later" in client.reason
            tries.append(asyncio.get_running_loop().time())

    error = '{"type": "error", "code": "join-rate", "message": "later", "retryAfter": 0.4}'
    async with scripted(error) as url, running(url, on_state=note):
        await until(lambda: len(tries) >= 3)
    assert all(second - first >= 0.4 for first, second in itertools.pairwise(tries))
