"""Attack a signaling server in several ways at once, from separate addresses (127.1.0.1, …).

``python -m chronoflux.bench.mesh.attackers URL ROOM TOKEN`` attacks until its stdin ends, then prints a line
of JSON with the number of attacks of each kind. It holds a thousand connections open, sends handshakes byte
by byte, floods with every kind of message, joins and leaves the room repeatedly, guesses tokens, and sends
malformed frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from chronoflux.bench.mesh.clients import LightClient, connected
from chronoflux.cli import raise_open_files
from chronoflux.errors import ChronofluxError

CONNECTIONS = 1000
SLOW = 100  # concurrent slow handshakes
FLOOD = (500, 20)  # messages per second of each flooder, and messages per burst
CHURN, GUESSES, NONSENSE = 20.0, 20.0, 50.0  # per second
ADDRESSES = 30  # per kind of attack, so that limits on one kind do not stop another
KINDS = ("connections", "slow handshakes", "floods", "visits", "guessed tokens", "malformed frames")
FLOODS: dict[str, dict[str, Any]] = {
    "join-room": {"room": "flooded", "metadata": {"nodeId": "x" * 60}},
    "signal": {"to": "nobody", "signal": {"type": "offer", "sdp": "v=0" * 100}},
    "broadcast": {"data": {"type": "intent", "intent": {"x": 1, "y": 2, "E": 0.3}}},
    "telemetry": {"telemetry": {"t": 1.0, "H": 0.5, "pad": "x" * 1000}},
    "relay": {"to": "nobody", "data": {"type": "field", "R": 0.5}},
    "who": {"ids": ["0" * 32] * 20},
    "leave-room": {},
    "nothing-known": {"pad": [[[]]] * 100},
}


class Attackers:
    """Run all attacks on one event loop."""

    def __init__(self, url: str, room: str, token: str) -> None:
        self.did: Counter[str] = Counter()
        self._url, self._room, self._token = url, room, token
        self._used: Counter[str] = Counter()
        self._random = random.Random(1)

    async def run(self) -> None:
        """Attack until cancelled."""
        attacks: list[Callable[[], Coroutine[Any, Any, None]]] = [
            *[self._stay] * CONNECTIONS,
            *[self._dribble] * SLOW,
            *[lambda kind=kind: self._flood(kind) for kind in FLOODS],
            lambda: self._again(CHURN, self._come_and_go),
            lambda: self._again(GUESSES, self._guess),
            lambda: self._again(NONSENSE, self._talk_nonsense),
        ]
        async with asyncio.TaskGroup() as group:
            for attack in attacks:
                group.create_task(self._forever(attack))

    async def _forever(self, attack: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            with contextlib.suppress(OSError):
                await attack()
            await asyncio.sleep(self._random.uniform(0.5, 1.5))

    async def _again(self, rate: float, attack: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            await attack()
            await asyncio.sleep(1 / rate)

    async def _connected(self, kind: str) -> LightClient:
        """Connect from one of the addresses of a kind of attack."""
        number = list(KINDS).index(kind) + 1
        self._used[kind] += 1
        return await connected(self._url, local=f"127.{number}.0.{1 + self._used[kind] % ADDRESSES}")

    async def _client(self, kind: str, room: str, token: str | None = None) -> LightClient:
        """Connect and ask to join a room, which may be refused."""
        client = await self._connected(kind)
        client.join(room, self._token if token is None else token)
        self.did[kind] += 1
        return client

    async def _stay(self) -> None:
        client = await self._client("connections", f"crowd {self._random.randrange(20)}")
        try:
            await client.over.wait()
        finally:
            client.close()

    async def _dribble(self) -> None:
        client = await self._connected("slow handshakes")
        self.did["slow handshakes"] += 1
        try:
            for byte in b"GET / HTTP/1.1\r\nX: " + b"x" * 1000:
                client.write(bytes([byte]))
                await asyncio.sleep(0.5)
                if client.lost:
                    return
        finally:
            client.close()

    async def _flood(self, kind: str) -> None:
        rate, burst = FLOOD
        client = await self._client("floods", f"flood {kind}")
        try:
            await client.joined.wait()
            while not client.lost:
                for _ in range(burst):
                    client.say(type=kind, **FLOODS[kind])
                self.did["messages of floods"] += burst
                await asyncio.sleep(burst / rate)
        finally:
            client.close()

    async def _come_and_go(self) -> None:
        client = await self._client("visits", self._room)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await client.joined.wait()
        client.close()

    async def _guess(self) -> None:
        client = await self._client("guessed tokens", self._room, os.urandom(8).hex())
        await asyncio.sleep(0.01)
        client.close()

    async def _talk_nonsense(self) -> None:
        client = await self._client("malformed frames", "nonsense")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await client.joined.wait()
        for _ in range(5):
            client.write(self._random.randbytes(self._random.randrange(1, 2000)))
        await asyncio.sleep(0.01)
        client.close()


async def main(url: str, room: str, token: str) -> None:
    """Attack until stdin ends, then print how often each attack was made."""
    raise_open_files()
    loop = asyncio.get_running_loop()
    end = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(end), sys.stdin)
    attackers = Attackers(url, room, token)
    running = asyncio.create_task(attackers.run())
    ended = asyncio.create_task(end.read())
    await asyncio.wait([running, ended], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        raise ChronofluxError(f"the attackers gave up: {running.exception()}")
    running.cancel()
    await asyncio.wait([running])
    sys.stdout.write(json.dumps(attackers.did) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
