"""The signaling server as clients, browsers, monitors and a terminal see it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chronoflux.errors import SignalingError, UsageError
from chronoflux.signal.addresses import best
from chronoflux.signal.handshake_limits import HandshakeLimit
from chronoflux.signal.limits import Limits
from chronoflux.signal.network import client_address, is_loopback, limit_key, parse_networks
from chronoflux.signal.outbox import Outbox
from chronoflux.signal.server import SignalServer
from tests.certificates import self_signed
from tests.old_client import OldClient, old_client
from tests.support import until


@contextlib.asynccontextmanager
async def room_of(count: int, url: str, **options: Any) -> AsyncIterator[list[OldClient]]:
    """Some old clients in room1."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(old_client(url, **options)) for _ in range(count)]
        for client in clients:
            await client.join()
            await until(lambda client=client: client.of("room-peers"))
        yield clients


async def http(port: int, request: str) -> tuple[int, dict[str, str], str]:
    """Ask by plain HTTP: status, headers, body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.replace("\n", "\r\n").encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status, *lines = head.split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


async def test_old_clients_meet(server: SignalServer) -> None:
    """Clients that speak only the unmarked messages join, signal, broadcast, send telemetry and leave."""
    async with room_of(2, server.url) as (a, b):
        await until(lambda: a.of("peer-joined-room"))
        assert a.of("peer-joined-room")[0]["peerId"] == b.id
        assert [peer["id"] for peer in b.of("room-peers")[0]["peers"]] == [a.id]
        await b.send(type="signal", to=a.id, signal={"type": "offer", "sdp": "x"})
        await b.send(type="broadcast", data={"type": "portal"})
        await b.send(type="telemetry", telemetry={"H": 1})
        await until(lambda: a.of("telemetry"))
        assert a.heard[-3:] == [
            {"type": "signal", "from": b.id, "signal": {"type": "offer", "sdp": "x"}},
            {"type": "broadcast", "from": b.id, "data": {"type": "portal"}},
            {"type": "telemetry", "from": b.id, "telemetry": {"H": 1}},
        ]
        await b.socket.close()
        await until(lambda: a.of("peer-left"))
    await until(lambda: server.lobby.connections == 0)


async def test_a_dropped_client_is_no_traceback(
    server: SignalServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients that vanish, scan the port or talk nonsense leave no warning in the log, and the rest go on."""
    caplog.set_level(logging.WARNING)
    async with room_of(2, server.url) as (a, b):
        b.socket.transport.abort()
        await until(lambda: a.of("peer-left"))
        for nonsense in (b"", b"\x16\x03\x01 nonsense", b"SSH-2.0-x\r\n\r\n", b"GET / HTTP/1.1\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(nonsense)
            writer.close()
            await writer.wait_closed()
            assert await reader.read() == b""
        async with connect(server.url) as binary:
            await binary.send(b"\xff\xfe")
            await binary.send(json.dumps({"type": "join-room", "room": "room1"}).encode())
            await until(lambda: len(a.of("peer-joined-room")) == 2)
            await binary.send(b"\xff", text=True)
        await until(lambda: len(a.of("peer-left")) == 2)
    assert [record.getMessage() for record in caplog.records] == []


async def test_a_far_too_long_message_closes_its_socket(server: SignalServer) -> None:
    """A message a little too long is refused and the socket stays open; one beyond reason closes it, and only
    it."""
    async with room_of(2, server.url) as (a, b):
        await a.send(type="broadcast", data={"x": "y" * 70_000})
        await until(lambda: a.of("error"))
        assert a.of("error")[0]["code"] == "message-size"
        await a.join("room1")
        with contextlib.suppress(ConnectionClosed):
            await a.send(type="broadcast", data={"x": "y" * 1_000_000})
        await until(lambda: a.closed)
        assert a.socket.close_code == 1009
        await until(lambda: b.of("peer-left"))
        assert not b.closed


async def test_health_and_about(server: SignalServer) -> None:
    """/healthz is JSON with 200, / says what this is and how to join, other paths and methods are refused."""
    async with room_of(2, server.url):
        status, headers, body = await http(server.port, "GET /healthz?x HTTP/1.1\nHost: localhost\n\n")
        assert (status, headers["Content-Type"]) == (200, "application/json")
        health = json.loads(body)
        assert (health["status"], health["connections"], health["rooms"]) == ("ok", 2, 1)
    status, _, body = await http(server.port, "GET / HTTP/1.1\nHost: localhost\n\n")
    assert status == 200
    assert f'await cf.join("room1", server="{server.url}")' in body
    assert (await http(server.port, "HEAD / HTTP/1.1\nHost: localhost\n\n"))[::2] == (200, "")
    assert (await http(server.port, "GET /x HTTP/1.1\nHost: localhost\n\n"))[0] == 404
    assert (await http(server.port, "POST / HTTP/1.1\nHost: localhost\n\n"))[0] == 405


async def test_metrics_tell_what_happened(server: SignalServer) -> None:
    """/metrics is Prometheus's text form and counts connections, rooms, joins, messages, bytes and drops."""
    async with room_of(3, server.url) as (a, b, _):
        await a.send(type="broadcast", data={"x": "y"})
        await a.send(type="broadcast", data=7)
        await until(lambda: a.of("error") and b.of("broadcast"))
        status, headers, body = await http(server.port, "GET /metrics HTTP/1.1\nHost: localhost\n\n")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    values = {
        (sample.name.removeprefix("chronoflux_signal_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }
    assert values["connections",] == 3
    assert values["rooms",] == 1
    assert values["joins_total",] == 3
    assert values["messages_received_total", "broadcast"] == 1
    assert values["messages_sent_total", "broadcast"] == 2
    size = len(json.dumps({"type": "broadcast", "data": {"x": "y"}}))
    assert values["bytes_received_total", "broadcast"] == size
    assert values["bytes_sent_total", "broadcast"] > size
    assert values["drops_total", "malformed"] == 1
    assert {("queued_messages",), ("queued_bytes",), ("loop_lag_seconds",)} <= values.keys()


async def test_foreign_pages_are_kept_out() -> None:
    """A page of another site gets 403 and the remedy, also with `null` as its origin; pages of this machine's
    loopback, named ones, this server's own and clients that are no browser are let in."""
    async with SignalServer(port=0, origins=["https://lab.example"]) as server:
        own = server.url.replace("ws:", "http:")
        for origin in (None, "http://localhost:8888", "https://lab.example", own):
            async with old_client(server.url, origin=origin) as client:
                await until(lambda client=client: client.of("welcome"))
        for origin in ("https://evil.example", "null"):
            with pytest.raises(InvalidStatus) as caught:
                await connect(server.url, origin=origin)
            assert caught.value.response.status_code == 403
            assert b"--origin" in (caught.value.response.body or b"")
        assert server.lobby.counts.refused["origin"] == 2


async def test_a_name_that_was_made_to_point_here_gets_nothing() -> None:
    """By a host name that is not the server's own neither HTTP nor a browser's WebSocket is answered, so that
    DNS rebinding reaches no metrics; a node may come by any name."""
    async with SignalServer(port=0) as server:
        for path in ("/", "/healthz", "/metrics"):
            status, _, body = await http(server.port, f"GET {path} HTTP/1.1\nHost: evil.example\n\n")
            assert (status, "--host-name" in body, "chronoflux_signal" in body) == (403, True, False)
            status, _, _ = await http(server.port, f"GET {path} HTTP/1.1\nHost: localhost\n\n")
            assert status == 200
        rebound = {"additional_headers": {"Host": f"evil.example:{server.port}"}}
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url, origin=f"http://evil.example:{server.port}", **rebound)
        assert b"--host-name" in (caught.value.response.body or b"")
        async with old_client(server.url, additional_headers={"Host": "signal:8089"}) as node:
            await until(lambda: node.of("welcome"))
        assert server.lobby.counts.refused["host"] == 4


async def test_forwarded_addresses_count_behind_a_trusted_proxy() -> None:
    """Behind a trusted proxy connections are limited by the forwarded address, else by the socket's own."""
    options: dict[str, Any] = {"port": 0, "limits": Limits(per_address=1)}
    for proxies, expected in [(["127.0.0.0/8"], [False, False, True]), ([], [False, True, True])]:
        async with (
            SignalServer(trusted_proxies=proxies, **options) as server,
            contextlib.AsyncExitStack() as stack,
        ):
            refused = []
            for forwarded in ("10.0.0.1", "10.0.0.2", "6.6.6.6, 10.0.0.2"):
                headers = {"X-Forwarded-For": forwarded}
                client = await stack.enter_async_context(old_client(server.url, additional_headers=headers))
                await until(lambda client=client: client.heard)
                refused.append(client.heard[0].get("code") == "address-full")
            assert refused == expected


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("1.2.3.4", ["9.9.9.9"], "1.2.3.4"),
        ("10.0.0.1", ["9.9.9.9"], "9.9.9.9"),
        ("10.0.0.1", ["8.8.8.8, 9.9.9.9", "10.0.0.2"], "9.9.9.9"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["9.9.9.9"], "9.9.9.9"),
        ("2001:db8:1:2:3::4", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("", [], ""),
    ],
)
def test_whom_a_connection_counts_for(peer: str, forwarded: list[str], expected: str) -> None:
    """The last address that is not a trusted proxy's counts; IPv6 by its /64."""
    assert limit_key(client_address(peer, forwarded, parse_networks(["10.0.0.0/24"]))) == expected


def test_addresses_are_told_apart() -> None:
    """Loopback is told from networks, nonsense is refused, and the LAN address is one of this machine's."""
    assert [
        is_loopback(host) for host in ("localhost", "127.0.0.2", "::1", "0.0.0.0", "", "example.org")
    ] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    with pytest.raises(UsageError, match="nonsense"):
        parse_networks(["nonsense"])
    for address in best(use_ipv6=False):
        with socket.socket() as own:
            own.bind((address, 0))


def test_an_outbox_drops_the_oldest_telemetry_first() -> None:
    """A full queue drops the oldest telemetry for whatever comes; without any, telemetry is dropped itself
    and anything else is one too many."""
    box = Outbox(4, 100)
    assert [box.push(b"t1", droppable=True), box.push(b"s1", droppable=False)] == ["queued"] * 2
    assert [box.push(b"t2", droppable=True), box.push(b"s2", droppable=False)] == ["queued"] * 2
    assert box.push(b"s3", droppable=False) == "queued"
    assert box.push(b"t3", droppable=True) == "queued"
    assert box.push(b"s4", droppable=False) == "queued"
    assert box.push(b"t4", droppable=True) == "dropped"
    assert box.push(b"s5", droppable=False) == "full"
    assert (len(box), box.bytes, box.dropped) == (4, 8, 4)
    assert [box.pop() for _ in range(5)] == [b"s1", b"s2", b"s3", b"s4", None]
    assert box.push(b"x" * 101, droppable=False) == "full"


def test_at_the_door_the_oldest_goes() -> None:
    """With too many of one address, or in all, the one that has waited longest goes; whoever is through does
    not count, and leaving twice changes nothing."""
    door: HandshakeLimit[str] = HandshakeLimit(4, 2)
    assert [door.add(who, who[0]) for who in ("a1", "a2", "a3", "b1", "c1", "d1")] == [
        *(None, None, "a1", None, None, "a2"),
    ]
    door.remove("a3")
    door.remove("a3")
    assert (door.add("a4", "a"), door.add("e1", "e"), len(door)) == (None, "b1", 4)


async def test_half_open_connections_keep_nobody_out() -> None:
    """An address that opens sockets and never finishes a handshake has at most its number of connections open
    so, and others, even from there, come in."""
    async with SignalServer(port=0, limits=Limits(per_address=5)) as server:
        half = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
        await until(lambda: server.lobby.counts.refused["half-open"] == 15)
        async with room_of(2, server.url) as (a, _):
            assert a.of("room-peers")
        assert len(server.handshakes) <= 5
        for reader, writer in half:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await reader.read()
        await until(lambda: len(server.handshakes) == 0)


@pytest.mark.slow
async def test_a_slow_receiver_loses_telemetry_then_its_connection() -> None:
    """Who reads nothing loses telemetry, never signals; when even signals fill the queue it is cut off. The
    others hear everything all the while."""
    generous = Limits(messages=1e6, bytes=1e9, queue_messages=50)
    async with SignalServer(port=0, limits=generous) as server, room_of(2, server.url) as (a, b):
        slow = await connect(server.url, max_queue=1)  # nobody calls recv: reading stops
        await slow.send(json.dumps({"type": "join-room", "room": "room1"}))
        await until(lambda: a.of("peer-joined-room")[1:])
        slow_id = a.of("peer-joined-room")[-1]["peerId"]
        telemetry = {"x": "y" * 15_000}
        for sent in itertools.count(1):
            await a.send(type="telemetry", telemetry=telemetry)
            await until(lambda sent=sent: len(b.of("telemetry")) == sent)
            if server.telemetry_dropped:
                break
            assert sent < 5_000
        assert not a.of("peer-left")
        for _ in range(100):
            await a.send(type="signal", to=slow_id, signal={"x": "y"})
        await until(lambda: a.of("peer-left"))
        assert server.lobby.counts.refused["slow"] == 1
        assert not b.of("error")
        slow.transport.abort()
        await slow.wait_closed()


async def test_messages_arrive_whole_and_in_order() -> None:
    """Of many messages of all sizes, some sent while the receiver does not read for a while, each arrives
    whole, in the order in which they were sent."""
    generous = Limits(messages=1e6, bytes=1e9, queue_messages=10_000, queue_bytes=100_000_000)
    async with SignalServer(port=0, limits=generous) as server, room_of(2, server.url) as (a, b):
        sizes = [0, 100, 125, 126, 127, 1_000, 16_000, 60_000]
        for count in range(400):
            if count == 100:
                b.socket.transport.pause_reading()
            data = {"n": count, "pad": "y" * sizes[count % len(sizes)]}
            await a.send(type="signal", to=b.id, signal=data)
        await until(lambda: server.lobby.counts.received["signal"] == 400)
        b.socket.transport.resume_reading()
        await until(lambda: len(b.of("signal")) == 400)
        heard = [message["signal"] for message in b.of("signal")]
        assert [data["n"] for data in heard] == list(range(400))
        assert all(len(data["pad"]) == sizes[data["n"] % len(sizes)] for data in heard)


async def test_a_port_that_is_taken_is_named(server: SignalServer) -> None:
    """Listening on a taken port, or a foreign address, raises SignalingError with its code and a remedy."""
    with pytest.raises(SignalingError, match=rf"port {server.port} .*--port") as caught:
        await SignalServer(port=server.port).__aenter__()
    assert caught.value.code == "port-taken"
    with pytest.raises(SignalingError) as caught:
        await SignalServer("192.0.2.77", 0).__aenter__()
    assert caught.value.code == "cannot-listen"


@pytest.mark.parametrize(
    "bad", [{"token": ""}, {"token": "a\n"}, {"port": 70_000}, {"trusted_proxies": ["x"]}]
)
def test_bad_arguments_are_refused(bad: dict[str, Any]) -> None:
    """A token, port or proxy that cannot be used is refused at once."""
    with pytest.raises(UsageError):
        SignalServer(**bad)


async def test_closing_tells_everybody_and_leaves_nothing(server: SignalServer) -> None:
    """On close clients are told and closed with 1001, whoever does not answer is cut, all within 5 s, and no
    task is left."""
    async with room_of(2, server.url) as (a, b):
        deaf_reader, deaf = await asyncio.open_connection("127.0.0.1", server.port)
        stuck = await connect(server.url)
        stuck.transport.pause_reading()
        await until(lambda: server.lobby.connections == 3)
        serving = asyncio.create_task(server.serve_forever())
        begun = time.monotonic()
        await server.close()
        await server.close()
        assert time.monotonic() - begun < 5
        await serving
        await until(lambda: a.closed and b.closed)
        assert [client.of("error")[0]["code"] for client in (a, b)] == ["closing"] * 2
        assert a.socket.close_code == 1001
        with contextlib.suppress(ConnectionError):
            await deaf_reader.read()
        deaf.close()
        stuck.transport.abort()
        await stuck.wait_closed()
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in names if name.startswith("signaling")]


async def test_a_server_can_be_started_again_on_its_port(unused_tcp_port: int) -> None:
    """The port is free as soon as the server is closed."""
    for _ in range(3):
        async with SignalServer(port=unused_tcp_port) as server, room_of(1, server.url):
            assert server.url == f"ws://127.0.0.1:{unused_tcp_port}"


async def test_wss(tmp_path: Path) -> None:
    """With a certificate the server speaks TLS, and its URL says so."""
    cert, key = self_signed(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cafile=str(cert))
    async with SignalServer(port=0, tls=serving) as server:
        assert server.url.startswith("wss://")
        async with room_of(2, server.url, ssl=trusting) as (a, _):
            assert a.of("welcome")


# --- the command --------------------------------------------------------------------------------


@contextlib.contextmanager
def command(*arguments: str, lines: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``python -m chronoflux.signal`` with its first lines, on a free port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "chronoflux.signal", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, "".join(process.stdout.readline() for _ in range(lines))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_says_what_it_is_and_ends_in_order(how: signal.Signals) -> None:
    """It prints what and where it is and the line to join with; at Ctrl-C or SIGTERM clients are told and it
    exits with 0 within 5 s, also with a socket open that says nothing."""
    with command(lines=3) as (process, said):
        found = re.search(r'await cf\.join\("room1", server="(ws://127\.0\.0\.1:(\d+))"\)', said)
        assert found, said
        _, idle = await asyncio.open_connection("127.0.0.1", int(found[2]))
        async with room_of(1, found[1]) as (client,):
            begun = time.monotonic()
            process.send_signal(how)
            code = await asyncio.to_thread(process.wait, 10)
            assert (code, time.monotonic() - begun < 5) == (0, True)
            await until(lambda: client.closed)
            assert client.of("error")[0]["code"] == "closing"
        idle.close()
        assert "--host 0.0.0.0" in said
        assert process.communicate()[1] == ""


@pytest.mark.skipif(not best(use_ipv6=False), reason="no network is up")
@pytest.mark.parametrize("with_token", [False, True])
def test_opened_to_a_network_the_command_prints_the_address(tmp_path: Path, with_token: bool) -> None:
    """Bound to all interfaces it prints the line with this machine's LAN address, never the token, and warns
    when there is none."""
    (tmp_path / "token").write_text("sesame\n")
    arguments = ["--token-file", str(tmp_path / "token")] if with_token else []
    with command("--host", "0.0.0.0", *arguments, lines=2) as (process, said):
        token = ', token="…"' if with_token else ""
        assert re.search(
            rf'await cf\.join\("room1", server="ws://{best(use_ipv6=False)[0]}:\d+"{token}\)', said
        ), said
        process.terminate()
        _, err = process.communicate()
        assert ("--token-file" in err) == (not with_token)
        assert "sesame" not in said + err


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    line = [sys.executable, "-m", "chronoflux.signal", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)


def test_a_taken_port_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    """A taken port is named in one line on stderr, with the remedy; --debug adds the traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = run("--port", port)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert re.fullmatch(rf"chronoflux: port {port} .*--port\n", ended.stderr)
        assert "Traceback" in run("--port", port, "--debug").stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "x"],
        ["--max-message", "0"],
        ["--token-file", "/nowhere"],
        ["--token-file", "/dev/null"],
        ["--tls-cert", "/etc/hostname"],
        ["--turn", "turn:h"],
        ["--trusted-proxy", "nonsense"],
    ],
)
def test_wrong_use_is_exit_code_2(arguments: list[str]) -> None:
    """Options that cannot be used end it with code 2 and a line that names them."""
    ended = run("--port", "0", *arguments)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert ended.stderr.strip()
