"""Many light clients of the signaling server in one process: bytes in, times out, as little else as can be.

A full client would be slower than the server it is to measure: these find what they look for in the bytes
as they come.
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
"""Bytes kept of what was read, so that nothing is missed where one read ends and the next begins."""
TEXT, PING, PONG = 0x81, 0x89, 0x8A
AMONG_OTHERS = re.compile(rb"\x89\x04(.{4})", re.DOTALL)
"""A ping of the server's that comes with other frames: JSON has neither of its first bytes."""


class LightClient(asyncio.Protocol):
    """One socket. ``joined`` is set when the server answered the join or the socket is lost, ``over`` only
    then; ``delays`` are in ms."""

    def __init__(self, host: str, port: int) -> None:
        self.joined, self.over = asyncio.Event(), asyncio.Event()
        self.id = ""
        self.delays: list[float] = []
        self.signals = 0
        self.lost = False
        self._host, self._port = host, port
        self._transport: asyncio.Transport | None = None
        self._upgraded = self._listening = False
        self._room, self._rest = "", b""
        self._token: dict[str, str] = {}

    def join(self, room: str, token: str = "") -> None:
        """Enter a room, once the handshake is done."""
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
        """Send bytes as they are."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Cut the socket."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self.lost = True
        self.joined.set()
        self.over.set()

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
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
            return  # the rest of it is still to come
        self.id = message["peerId"]
        self._listening, self._rest = True, b""
        self.joined.set()

    def _listen(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if data[0] == PING and self._transport is not None:  # alone, as it comes to who is idle
            self._transport.write(_frame(PONG, data[2 : 2 + data[1]]))
            return
        old, data = len(self._rest), self._rest + data
        for ping in AMONG_OTHERS.finditer(data):
            if ping.end() > old:
                self.write(_frame(PONG, ping[1]))
        for match in STAMP.finditer(data):
            # A match that reaches the end may lack digits: it is found again with what comes next.
            if old < match.end() < len(data):
                self.delays.append((now - int(match[1])) / 1e6)
        kind = b'"type":"signal"'
        self.signals += data.count(kind, max(0, old - len(kind) + 1))
        self._rest = data[-TAIL:]


def _frame(head: int, payload: bytes) -> bytes:
    """A frame of a client's, masked with zeros, which leave it as it is."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2, "big")
    return bytes([head]) + length + bytes(4) + payload


async def connected(url: str, local: str | None = None) -> LightClient:
    """A client with a socket, from an address of this machine's if it is to be a certain one."""
    host, _, port = url.partition("://")[2].rpartition(":")
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: LightClient(host, int(port)), host, int(port), local_addr=(local, 0) if local else None
    )
    return client


async def enter(url: str, rooms: list[str], token: str = "") -> list[LightClient]:
    """A client in each of the rooms (names may repeat), all at once.

    Raises
    ------
    SignalingError
        When not everybody was let in.
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
    """Everybody sends telemetry at `rate` Hz and, each second, a signal to the next; how many signals."""
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
