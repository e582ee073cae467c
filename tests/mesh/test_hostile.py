"""Peers that mean harm, or are broken: each is refused and counted, and the room goes on.

Real links: a hostile peer is a signaling client and links of its own, which say what they like.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

import chronoflux as cf
from chronoflux.mesh import link as link_module
from chronoflux.mesh import mesh as mesh_module
from chronoflux.mesh.link import Link
from chronoflux.node.node import Node
from chronoflux.signal import protocol as p
from chronoflux.signal.client import SignalClient
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.fuzz import mutants
from tests.node.test_node import events, linked
from tests.support import session_of, until

QUICK = cf.Params(oscillators=60)
SCRIPT = "<img src=x onerror=alert(1)>"


class Hostile:
    """Somebody in the room with a link to everybody who was there."""

    def __init__(self, url: str, room: str) -> None:
        self.links: dict[str, Link] = {}
        self.client = SignalClient(
            url,
            room=room,
            metadata={"nodeId": SCRIPT, "kind": "page", "version": "1"},
            secret=os.urandom(16),
            on_message=self._take,
            on_state=lambda client: None,
        )

    def _take(self, message: p.ServerMessage) -> None:
        if isinstance(message, p.RoomPeers):
            for peer in message.peers:
                self.dial(peer.id)
        elif isinstance(message, p.Signal) and message.from_ in self.links:
            self.links[message.from_].feed(message.signal)

    def dial(self, peer: str) -> None:
        """Make a link."""
        self.links[peer] = link = Link(
            dials=True,
            send_signal=lambda payload: self.client.send(p.SendSignal(to=peer, signal=payload)),
            on_open=lambda link: None,
            on_message=lambda link, data: None,
            on_closed=lambda link: None,
        )
        link.start()

    async def say(self, node: Node, *said: bytes | dict[str, Any]) -> None:
        """Send messages over the link, as they are, as fast as the link takes them."""
        channel = self.links[node.peer_id]._channel
        assert channel is not None
        for message in said:
            data = message if isinstance(message, bytes) else json.dumps(message)
            channel.send(data)
            await until(lambda: channel.bufferedAmount < 100_000)

    async def close(self) -> None:
        """Be gone."""
        await asyncio.gather(*(link.close() for link in self.links.values()))
        await self.client.close()


@contextlib.asynccontextmanager
async def hostile(node: Node) -> AsyncIterator[Hostile]:
    """A hostile peer, linked to a node and to everybody else in its room."""
    assert node.server is not None
    it = Hostile(node.server, node.room)
    running = asyncio.create_task(it.client.run())
    try:
        await until(lambda: it.links and all(link.state == "open" for link in it.links.values()))
        yield it
    finally:
        await it.close()
        await running


def refused(node: Node, enemy: Hostile, reason: str = "") -> int:
    """How many messages of the hostile peer a node refused."""
    assert enemy.client.peer_id is not None
    found = session_of(node).mesh.peers.get(enemy.client.peer_id)
    if found is None:
        return 0
    return found.refused[reason] if reason else found.refused.total()


def silent(caplog: pytest.LogCaptureFixture) -> bool:
    """Whether no handler failed."""
    return not [record for record in caplog.records if record.levelno >= logging.ERROR]


@contextlib.asynccontextmanager
async def undisturbed(a: Node, b: Node) -> AsyncIterator[None]:
    """While something happens, a fires an event five times a second, which b hears in time, each once; the
    link between them stays."""
    keys: list[str] = []

    async def talk() -> None:
        while True:
            keys.append(a.intent())
            heard = b.received
            await until(lambda heard=heard: b.received > heard, 3, "the other's event")
            await asyncio.sleep(0.2)

    talking = asyncio.create_task(talk())
    try:
        yield
        assert not talking.done(), talking.exception()
    finally:
        talking.cancel()
        await asyncio.wait([talking])
    await until(lambda: all(events(b)["remote_intent", key] == 1 for key in keys))
    changes = [data["change"] for data in a.telemetry()["data"] if data and data.get("id") == b.peer_id]
    # All of them share one event loop here: with 100,000 messages in it, a peer may be quiet for a moment.
    assert [change for change in changes if change not in ("quiet", "live")] == ["linked"]


def good(node: Node) -> list[dict[str, Any]]:
    """A message of each kind, as a peer may send it now."""
    now = node.clock.now()
    event = {"id": "e", "origin": "o", "at": now, "hops": 0}
    return [
        {"type": "hello", "version": "1", "nodeId": SCRIPT, "kind": "page", "features": ["rt"]},
        {"type": "state", "nodes": 9, "portal": True, "t": 1.0, "portalAt": now, "portalOrigin": "o",
         "intents": [{"x": 1, "y": 2, "E": 0.3, "sigma": 80, **event}], "world": [800, 600]},
        {"type": "intent", "intent": {"x": 10, "y": 20, "E": 0.35, "sigma": 80}, **event},
        {"type": "portal", "on": True, **event},
        {"type": "flip", **event},
        {"type": "telemetry", "telemetry": {"t": 1.0, "H": 0.5}, "at": now, "seq": 1, "portal": True,
         "portalAt": now, "portalOrigin": "o"},
        {"type": "field", "at": now, "R": 0.5, "psi": 1.0, "omega": 7.5, "n": 100},
        {"type": "probe", "t0": now},
        {"type": "probe-reply", "t0": now, "t1": now, "t2": now, "ref": "o", "stratum": 1},
        {"type": "bye-ack"},
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1_000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_mutated_and_random_messages(
    count: int,
    server: SignalServer,
    joined: Joiner,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mutated and random messages over a link are refused or taken; nothing raises, the others are not
    disturbed, and memory does not grow."""
    for limit in ("FLOOD_MESSAGES", "FLOOD_BYTES"):
        monkeypatch.setattr(link_module, limit, (1e9, 1.0))  # each message is to be looked at
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    async with hostile(a) as enemy, undisturbed(a, b):
        before = psutil.Process().memory_info().rss
        for batch in range(0, count, 500):
            await enemy.say(a, *mutants(good(a), 500, seed=batch))
        await until(lambda: refused(a, enemy) > count / 4, 60)

        async def taken() -> bool:
            # Again and again: a field that is read 2 s late, behind what still waits, is refused.
            await enemy.say(a, good(a)[6] | {"R": 0.123})
            await asyncio.sleep(0.1)
            return 0.123 in set(a.peers["H"])

        await until(taken, 60, "the enemy's good field, after all")
        assert psutil.Process().memory_info().rss - before < 64 << 20
    assert silent(caplog)


async def test_what_cannot_be_true(server: SignalServer, joined: Joiner) -> None:
    """Fields with R = 1e308 or NaN, events from the far future, a thousand flips, a gate switched without
    end, and events said to be another's are refused and counted; numbers of the swarm stay finite."""
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    async with hostile(a) as enemy, undisturbed(a, b):
        _, _, intent, _, flip, telemetry, field, *_ = good(a)
        await enemy.say(a, field | {"R": 1e308}, json.dumps(field | {"R": float("nan")}).encode())
        await until(lambda: refused(a, enemy, "field") + refused(a, enemy, "message") == 2)
        future = {"at": a.clock.now() + 1e9}
        await enemy.say(a, intent | future | {"id": "f1"}, flip | future | {"id": "f2"})
        await until(lambda: refused(a, enemy, "intent") == refused(a, enemy, "flip") == 1)
        await enemy.say(a, intent | {"id": "spoofed", "origin": b.peer_id, "hops": 3})
        await until(lambda: events(a)["remote_intent", "spoofed"])
        await enemy.say(a, *(flip | {"id": f"flip {i}"} for i in range(1000)))
        await enemy.say(a, *(telemetry | {"portalAt": a.clock.now() + i / 1000} for i in range(200)))
        await until(lambda: refused(a, enemy, "flip") >= 700 and refused(a, enemy, "portal") >= 190)
    frame = a.telemetry()
    (data,) = (data for data in frame["data"] if data and data.get("id") == "spoofed")
    assert data["origin"] == enemy.client.peer_id
    assert frame.loc[frame["type"] == "telemetry", ["H", "psi"]].notna().all(axis=None)


async def test_a_server_that_names_peers_without_end(
    server: SignalServer, joined: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that names more peers than there can be is taken at its word for so many, and no more; whoever
    is known goes on."""
    monkeypatch.setattr(mesh_module, "MAX_PEERS", 20)
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    mesh = session_of(a).mesh
    for number in range(100):
        mesh.on_signaling(p.PeerJoinedRoom(peer_id=f"{number:032x}", metadata={}, joined=number))
    many = [p.RoomPeer(id=f"{number:032d}", metadata={}, joined=number) for number in range(100)]
    mesh.on_signaling(p.RoomPeers(peers=many, peer_id=a.peer_id))
    assert len(mesh.peers) == 20
    a.intent(x=1.0, y=1.0)
    await until(lambda: any(kind == "remote_intent" for kind, _ in events(b)))
