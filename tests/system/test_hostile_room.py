"""A hostile room, in short: one that is full of peers and strangers who mean harm, and two nodes that go on.

Each kind of harm has tests of its own (`test_mesh_hostile`, `test_signal_hostile`, …), some of them long;
here all come at once, for a few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from chronoflux.node.node import Node
from chronoflux.signal import protocol as p
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.fuzz import mutants
from tests.mesh.test_candidates import HEAD, line, packets, third_parties
from tests.mesh.test_hostile import QUICK, SCRIPT, Hostile, good, hostile, refused, silent, undisturbed
from tests.node.test_node import events, linked
from tests.old_client import old_client
from tests.signal.test_hostile import GOOD, TEXT, frame, raw
from tests.support import until


async def lie(node: Node, enemy: Hostile) -> None:
    """What cannot be true, over a link: numbers, times, events of others, clocks; and what makes no sense."""
    now = node.clock.now()
    _, state, intent, portal, flip, telemetry, field, _, reply, _ = good(node)
    ghosts = [intent | {"id": f"g{n}", "origin": f"{n:032x}", "hops": 3} for n in range(300)]
    for message in (
        field | {"R": 1e308},
        intent | {"id": "f1", "at": now + 1e9},
        portal | {"id": "f2", "at": now + 1e9},
        state | {"portalAt": now + 1e9},
        json.dumps(field | {"psi": float("nan")}).encode(),
        *(reply | {"ref": "ghost", "stratum": 1, "t1": now - 1e6, "t2": now - 1e6} for _ in range(50)),
        *(flip | {"id": f"flip {n}"} for n in range(300)),
        *(telemetry | {"portalAt": now + n / 1000} for n in range(100)),
        *ghosts,
        *mutants(good(node), 300, seed=7),
    ):
        await enemy.say(node, message)
        await asyncio.sleep(0)


async def misdirect(node: Node, enemy: Hostile) -> int:
    """Offers that name 64 other machines, or make no sense; how many packets the others got."""
    with third_parties(64) as sockets:
        for sdp in (HEAD + "".join(line(*each.getsockname()) for each in sockets), SCRIPT, "v=0\r\n" * 1000):
            enemy.client.send(p.SendSignal(to=node.peer_id, signal={"type": "offer", "sdp": sdp}))
            await asyncio.sleep(1.0)
        return packets(sockets).total()


async def flood(server: SignalServer) -> None:
    """More messages than the server accepts at most, of every kind and of none, until it cuts the line."""
    with contextlib.suppress(ConnectionClosed):
        async with connect(server.url) as socket:
            for message in mutants([*GOOD], 1500, seed=3):
                await socket.send(message)
                await asyncio.sleep(0)


async def come_and_go(server: SignalServer, room: str) -> None:
    """Twenty who join the room and are gone, each with script for a name."""
    for _ in range(20):
        async with old_client(server.url) as stranger:
            await stranger.join(room, nodeId=SCRIPT)
            await asyncio.sleep(0.05)


async def stand_in_the_door(server: SignalServer) -> None:
    """Thirty handshakes that never end, and frames that none would send."""
    waiting = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(30)]
    try:
        for number, (_, writer) in enumerate(waiting):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n"[: number % 24])
        for _ in range(20):
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # the server may have had enough
                async with raw(server.port) as stranger:
                    stranger.writer.write(frame(TEXT, b"\xff\xfe") + os.urandom(500))
                    await asyncio.sleep(0.05)
    finally:
        for _, writer in waiting:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in waiting), return_exceptions=True)


async def test_a_room_goes_on(server: SignalServer, joined: Joiner, caplog: pytest.LogCaptureFixture) -> None:
    """While a member lies over its link and sends misleading offers, and strangers flood the server, stand in
    its door, come and go, an honest node hears each event of another once and in time over the link they had;
    its clock stays right, nothing fails, and memory does not grow."""
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    before, offset = psutil.Process().memory_info().rss, b.clock.now() - time.time() * 1000
    async with hostile(a) as enemy, undisturbed(a, b):
        _, misled, *_ = await asyncio.gather(
            lie(a, enemy),
            misdirect(b, enemy),
            flood(server),
            come_and_go(server, a.room),
            stand_in_the_door(server),
        )
        await until(lambda: refused(a, enemy) > 500, what="the enemy's messages, refused")
        assert misled < 300
    assert abs(b.clock.now() - time.time() * 1000 - offset) < 50
    assert not {key for _, key in events(b) if str(key).startswith("g")}
    assert psutil.Process().memory_info().rss - before < 64 << 20
    assert silent(caplog)
