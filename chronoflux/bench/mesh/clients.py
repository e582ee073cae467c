"""Light clients of the signaling server, many per process, that do as little as possible.

A full client would be slower than the server that it measures. These clients search the received bytes for
the patterns that they need.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

from chronoflux.errors import SignalingError

STAMP = re.compile(rb'"at":(\d+)')
TAIL = 256
"""Bytes kept after each read, so that patterns across two reads are found."""
TEXT, PING, PONG = 0x81, 0x89, 0x8A
AMONG_OTHERS = re.compile(rb"\x89\x04(.{4})", re.DOTALL)
"""A ping of the server between other frames: neither of its first two bytes occurs in JSON."""


class LightClient(asyncio.Protocol):
    """One connection to the server.

    ``joined`` is set when the server answers the join or the connection is lost, ``over`` only in the latter
    case; ``delays`` are in ms.
    """

    joined: asyncio.Event
    over: asyncio.Event

    def __init__(self, host: str, port: int) -> None:
        self.joined, self.over = asyncio.Event(), asyncio.Event()
        self.id: str = ""
        self.delays: list[float] = []
        self.signals: int = 0
        self.lost: bool = False
        self._host, self._port = host, port
        self._transport: asyncio.Transport | None = None
        self._upgraded = self._listening = False
        self._room, self._rest = "", b""
        self._token: dict[str, str] = {}

    def join(self, room: str, token: str = "") -> None:
        """Start the handshake, and join a room once it is complete."""
        self._room, self._token = room, {"token": token} if token else {}
        self.write(
            f"GET / HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: Y2hyb25vZmx1eC1iZW5jaA==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def say(self, **message: Any) -> None:
        """Send a message."""
        self.write(_frame(TEXT, json.dumps(message).encode()))

    def write(self, data: bytes) -> None:
        """Send bytes unchanged."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Abort the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport: see :class:`asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Set both events: see :class:`asyncio.Protocol`."""
        self.lost = True
        self.joined.set()
        self.over.set()

    def data_received(self, data: bytes) -> None:
        """Handle received bytes: see :class:`asyncio.Protocol`."""
        if self._listening:
            self._listen(data)
            return
        self._rest += data
        if not self._upgraded and (end := self._rest.find(b"\r\n\r\n")) >= 0:
            self._upgraded, self._rest = True, self._rest[end + 4 :]
            metadata = {"nodeId": "bench", "kind": "page"}
            self.say(type="join-room", room=self._room, metadata=metadata, **self._token)
        start = self._rest.find(b'{"type":"room-peers"')
        if start < 0:
            return
        try:
            message = json.JSONDecoder().raw_decode(self._rest[start:].decode(errors="replace"))[0]
        except ValueError:
            return  # the message is still incomplete
        self.id = message["peerId"]
        self._listening, self._rest = True, b""
        self.joined.set()

    def _listen(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if data[0] == PING and self._transport is not None:  # a single ping, as idle clients receive it
            self._transport.write(_frame(PONG, data[2 : 2 + data[1]]))
            return
        old, data = len(self._rest), self._rest + data
        for ping in AMONG_OTHERS.finditer(data):
            if ping.end() > old:
                self.write(_frame(PONG, ping[1]))
        for match in STAMP.finditer(data):
            # A match at the end may lack digits: it is found again together with the next data.
            if old < match.end() < len(data):
                self.delays.append((now - int(match[1])) / 1e6)
        kind = b'"type":"signal"'
        self.signals += data.count(kind, max(0, old - len(kind) + 1))
        self._rest = data[-TAIL:]


def _frame(head: int, payload: bytes) -> bytes:
    """Return a client frame, masked with zeros, which leave the payload unchanged."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2, "big")
    return bytes([head]) + length + bytes(4) + payload


async def connected(url: str, local: str | None = None) -> LightClient:
    """Return a connected client, optionally from a given local address."""
    host, _, port = url.partition("://")[2].rpartition(":")
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: LightClient(host, int(port)), host, int(port), local_addr=(local, 0) if local else None
    )
    return client


async def enter(url: str, rooms: list[str], token: str = "") -> list[LightClient]:
    """Connect a client to each of the rooms (names may repeat), all at once.

    Raises
    ------
    SignalingError
        When a client was refused.
    """

    async def one(room: str) -> LightClient:
        client = await connected(url)
        client.join(room, token)
        await client.joined.wait()
        return client

    clients = await asyncio.gather(*(one(room) for room in rooms))
    if any(client.lost for client in clients):
        raise SignalingError(url, "refused", f"{url} did not let every client in")
    return clients


async def chatter(clients: list[LightClient], seconds: float, rate: float, size: int) -> int:
    """Let all clients send telemetry at `rate` Hz and a signal per second. Return the number of signals."""
    loop, sent = asyncio.get_running_loop(), 0
    padding = "x" * size
    begun = loop.time()

    async def talk(index: int) -> None:
        nonlocal sent
        client, other = clients[index], clients[(index + 1) % len(clients)]
        for count in range(int(seconds * rate)):
            due = begun + (count + index / len(clients)) / rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            stamp = {"t": 1.5, "H": 0.5, "intents": [], "pad": padding}
            client.say(type="telemetry", telemetry={"at": time.monotonic_ns(), **stamp})
            if count % max(1, int(rate)) == 0:
                client.say(type="signal", to=other.id, signal={"type": "candidate"})
                sent += 1

    await asyncio.gather(*(talk(index) for index in range(len(clients))))
    return sent
