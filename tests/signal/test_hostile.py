"""Clients that mean harm, or are broken: each is refused and counted, and others notice nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import logging
import os
import struct
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from chronoflux.signal.connection import MAX_UNREAD
from chronoflux.signal.limits import Limits
from chronoflux.signal.server import SignalServer
from tests.fuzz import mutants
from tests.old_client import old_client
from tests.processes import free_port, signaling
from tests.support import until

GOOD: list[dict[str, Any]] = [
    {"type": "join-room", "room": "fuzz", "metadata": {"nodeId": "n", "kind": "page"}, "secret": "a" * 32},
    {"type": "signal", "to": "x", "signal": {"type": "offer", "sdp": "v=0"}},
    {"type": "broadcast", "data": {"type": "intent", "intent": {"x": 1.5, "y": 2, "E": 0.3}}},
    {"type": "telemetry", "telemetry": {"t": 1.0, "H": 0.5, "intents": [{"x": 1, "y": 2, "E": 0.1}]}},
    {"type": "relay", "to": "x", "data": {"type": "field", "at": 1e12, "R": 0.5, "psi": 1, "n": 10}},
    {"type": "leave-room"},
]
FIN, TEXT, CONTINUATION, PING, MASKED = 0x80, 0x1, 0x0, 0x9, 0x80


@contextlib.asynccontextmanager
async def bystanders(url: str) -> AsyncIterator[list[int]]:
    """Two clients in a room of their own, of whom one counts aloud; yields the numbers that the other hears.

    Meanwhile and after that every number arrives, once and in order, and neither hears any error nor is cut
    off. How long each takes is for the benchmark to say: here it would be the other work of the machine.
    """
    async with old_client(url) as a, old_client(url) as b:
        for client in (a, b):
            await client.join("bystanders")
            await until(lambda client=client: client.of("room-peers"), 60)
        heard: list[int] = []

        async def talk() -> None:
            for number in itertools.count():
                await a.send(type="broadcast", data={"n": number})
                await until(lambda number=number: len(b.of("broadcast")) > number, 60, "a bystander's word")
                heard[:] = [message["data"]["n"] for message in b.of("broadcast")]
                await asyncio.sleep(0.1)

        talking = asyncio.create_task(talk())
        try:
            yield heard
            before = len(heard)
            await until(lambda: len(heard) > before or talking.done(), 60, "one more word")
            assert not talking.done(), talking.exception()
        finally:
            talking.cancel()
            await asyncio.wait([talking])
        assert heard == list(range(len(heard)))
        assert not a.of("error") + b.of("error")
        assert [a.closed, b.closed] == [False, False]


class Raw:
    """A WebSocket after its handshake, written frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def cut(self, frames: Callable[[], bytes], *, most: int) -> int:
        """Send until the server cuts the line; bytes sent. More than `most` fail."""
        sent = 0
        with contextlib.suppress(ConnectionError):
            while True:
                data = frames()
                self.writer.write(data)
                async with asyncio.timeout(60):
                    await self.writer.drain()
                sent += len(data)
                assert sent < most, "it is not cut off"
        return sent


def frame(opcode: int, payload: bytes = b"", *, length: int | None = None, fin: bool = True) -> bytes:
    """A frame of a client; `length` may lie."""
    size = len(payload) if length is None else length
    head = bytes([opcode | (FIN if fin else 0)])
    if size < 126:
        head += bytes([MASKED | size])
    else:
        head += bytes([MASKED | 127]) + struct.pack(">Q", size)
    return head + bytes(4) + payload  # a mask of zeros changes nothing


@contextlib.asynccontextmanager
async def raw(port: int) -> AsyncIterator[Raw]:
    """A raw client."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key.encode() + b"\r\n\r\n"
    )
    try:
        await reader.readuntil(b"\r\n\r\n")
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


def silent(caplog: pytest.LogCaptureFixture) -> bool:
    """Whether nothing was logged that somebody should look at."""
    return not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_mutated_and_random_messages(count: int, caplog: pytest.LogCaptureFixture) -> None:
    """Mutated and random messages are refused or carried, and counted; nothing raises, nobody else notices,
    and memory does not grow."""
    generous = Limits(messages=1e6, bytes=1e9, over=1e6)
    async with SignalServer(port=0, limits=generous) as server, bystanders(server.url):
        before = psutil.Process().memory_info().rss
        async with contextlib.AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(connect(server.url)) for _ in range(3)]
            listening = [asyncio.create_task(_ignore(socket)) for socket in sockets]
            streams = [
                mutants([GOOD[0] | {"secret": s * 32}, *GOOD[1:]], count, seed)
                for seed, s in enumerate("abc")
            ]
            for number in range(count):
                await sockets[number % 3].send(next(streams[number % 3]))
                if number % 50 == 0:
                    await asyncio.sleep(0)  # the server, in this same loop, has its turn
            counts = server.lobby.counts
            taken = ("malformed", "message-size")
            await until(
                lambda: counts.received.total() + sum(counts.refused[code] for code in taken) >= count, 60
            )
            assert counts.refused["malformed"] > count / 4
            assert counts.received["broadcast"] > count / 100
            assert len(counts.received) <= len(GOOD) + 1
        await asyncio.wait(listening)
        assert psutil.Process().memory_info().rss - before < 64 << 20
    assert silent(caplog)


async def _ignore(socket: Any) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for _ in socket:
            pass


async def test_pings_whose_answers_are_never_read(server: SignalServer) -> None:
    """Who sends pings and reads no answer is cut off before more than a little waits for it."""
    pings = frame(PING, b"x" * 125) * 500
    async with bystanders(server.url), raw(server.port) as hostile:
        hostile.writer.transport.pause_reading()
        sent = await hostile.cut(lambda: pings, most=64 << 20)
        await until(lambda: server.lobby.counts.refused["slow"] == 1)
        assert sent > MAX_UNREAD


async def test_a_message_in_frames_without_end(server: SignalServer) -> None:
    """A message that never ends, in empty frames, is cut off after a thousand of them."""
    pieces = frame(CONTINUATION, fin=False) * 500
    async with bystanders(server.url), raw(server.port) as hostile:
        hostile.writer.write(frame(TEXT, fin=False))
        await hostile.cut(lambda: pieces, most=8 << 20)
        await until(lambda: server.lobby.counts.refused["pieces"] == 1)


@pytest.mark.parametrize("in_one", [True, False])
async def test_a_message_of_100_megabytes(server: SignalServer, in_one: bool) -> None:
    """A message of 100 MB, in one frame or in many, is answered with 1009 and is never in memory."""
    whole, chunk = 100 << 20, b"x" * (64 << 10)
    piece = chunk if in_one else frame(CONTINUATION, chunk, fin=False)
    async with bystanders(server.url), raw(server.port) as hostile:
        before = psutil.Process().memory_info().rss
        answer = asyncio.create_task(hostile.reader.read())
        hostile.writer.write(frame(TEXT, length=whole) if in_one else frame(TEXT, chunk, fin=False))
        with contextlib.suppress(ConnectionError):
            for _ in range(whole // len(chunk)):
                hostile.writer.write(piece)
                await hostile.writer.drain()
        async with asyncio.timeout(60):
            assert struct.pack(">H", 1009) in await answer
        assert psutil.Process().memory_info().rss - before < 16 << 20


async def test_who_floods_and_does_not_answer_is_told_why() -> None:
    """A client over its limits that goes on sending into the closing socket reads all of the server's words,
    the goodbye with them, and then the end: no reset takes them away."""
    limits = Limits(bytes=1000, over=0.2)
    async with SignalServer(port=0, limits=limits) as server, raw(server.port) as flooder:
        answers = asyncio.create_task(flooder.reader.read())
        burst = 20 * frame(TEXT, b"[" + b" " * 60_000 + b"]")
        with contextlib.suppress(ConnectionError):
            while not answers.done():
                if flooder.writer.transport.get_write_buffer_size() < len(burst):
                    flooder.writer.write(burst)
                await asyncio.wait([answers], timeout=0.01)
        told = await answers
        assert b'"byte-rate"' in told
        assert struct.pack(">H", 1008) + b"1000 bytes a second are allowed" in told
        await until(lambda: not server.lobby.connections)


async def test_who_listens_and_says_nothing() -> None:
    """Who connects and never joins is told so and closed."""
    async with (
        SignalServer(port=0, limits=Limits(join=3.0)) as server,
        bystanders(server.url),
        old_client(server.url) as quiet,
    ):
        await until(lambda: quiet.closed)
        assert [error["code"] for error in quiet.of("error")] == ["join-timeout"]


async def test_ids_and_rooms_of_others(server: SignalServer) -> None:
    """A peer of another room cannot be signalled or relayed to; another's id cannot be taken without its
    secret; a name with script in it is handed on as the text it is."""
    async with old_client(server.url) as a, old_client(server.url) as b, old_client(server.url) as c:
        await a.join("one")
        await b.join("two", nodeId="<script>alert(1)</script>")
        await until(lambda: b.of("room-peers"))
        await a.send(type="signal", to=b.id, signal={"type": "offer", "sdp": "x"})
        await a.send(type="relay", to=b.id, data={"type": "flip"})
        await until(lambda: server.lobby.counts.refused["unknown-peer"] == 2)
        victim = b.of("room-peers")[0]["peerId"]
        await c.send(type="join-room", room="two", metadata={}, secret=victim, peerId=victim, id=victim)
        await until(lambda: c.of("room-peers"))
        assert c.of("room-peers")[0]["peerId"] != victim
        assert c.of("room-peers")[0]["peers"][0]["metadata"]["nodeId"] == "<script>alert(1)</script>"
        assert {message["type"] for message in b.heard} == {"welcome", "room-peers", "peer-joined-room"}


@pytest.mark.slow
async def test_a_thousand_half_open_connections_and_a_flood() -> None:
    """A real server with 1,000 connections that never finish their handshake and a client that sends 10,000
    messages a second serves others all the while; the flooder is told, and cut off after 10 s, the half-open
    are closed; memory stays."""
    port = free_port()
    async with signaling(port, "--max-join", "5") as running:
        memory = psutil.Process(running.pid).memory_info
        url, before = f"ws://127.0.0.1:{port}", memory().rss
        async with bystanders(url) as heard, contextlib.AsyncExitStack() as stack:
            half = [await asyncio.open_connection("127.0.0.1", port) for _ in range(1000)]
            for number, (_, writer) in enumerate(half):
                stack.callback(writer.transport.abort)
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n"[: number % 30])
            flooder = await stack.enter_async_context(raw(port))
            flooder.writer.write(frame(TEXT, b'{"type":"join-room","room":"flood"}'))
            answers = asyncio.create_task(flooder.reader.read())
            begun, burst = time.monotonic(), 100 * frame(TEXT, b'{"type":"broadcast","data":{"flood":1}}')
            bursts = 0
            while not answers.done():
                bursts += 1
                with contextlib.suppress(ConnectionError):
                    flooder.writer.write(burst)
                    await flooder.writer.drain()
                await asyncio.sleep(begun + bursts / 100 - time.monotonic())
            lasted = time.monotonic() - begun
            assert lasted > 9
            assert 100 * bursts / lasted > 10 * Limits().messages
            told = answers.result()
            for code in (b'"message-rate"', b'"byte-rate"'):
                assert told.count(code) <= lasted + 2
            assert b'"message-rate"' in told
            for reader, _ in half:
                async with asyncio.timeout(60):
                    with contextlib.suppress(ConnectionError):
                        await reader.read()
            assert memory().rss - before < 64 << 20
            assert heard
