"""Real nodes whose server is restarted without memory, and a stranger who comes and goes."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

import chronoflux as cf
from chronoflux.mesh import clock_sync
from chronoflux.node import runner
from chronoflux.node.node import Node
from chronoflux.signal.limits import Limits
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.old_server import old_server
from tests.support import session_of, until

QUICK = cf.Params(oscillators=60)


async def test_nodes_tell_a_restarted_server_who_joined_first(joined: Joiner, unused_tcp_port: int) -> None:
    """After a restart without memory everybody is told the times of before by the server itself, and whoever
    joins anew ranks last; while the server is away everybody counts."""
    url = f"ws://127.0.0.1:{unused_tcp_port}"
    async with SignalServer(port=unused_tcp_port):
        nodes = [await joined(server=url) for _ in range(3)]
        meshes = [session_of(node).mesh for node in nodes]
        await until(lambda: all(len(mesh.roster.members) == 3 for mesh in meshes))
        before = [member.id for member in meshes[0].roster.ranked()]
        times = {member.id: member.joined for member in meshes[0].roster.ranked()}
        assert before == [node.peer_id for node in nodes]
    await until(lambda: all(session_of(node).client.state != "joined" for node in nodes))
    async with SignalServer(port=unused_tcp_port) as server:
        assert all(mesh.roster.belongs(id_) for mesh in meshes for id_ in before)
        await until(lambda: len(server.lobby.rooms.get("room1", ())) == 3, 30)
        newcomer = await joined(server=url)
        mesh = session_of(newcomer).mesh
        await until(lambda: len(mesh.roster.members) == 4)
        assert [member.id for member in mesh.roster.ranked()] == [*before, newcomer.peer_id]
        assert {id_: mesh.roster.members[id_].joined for id_ in before} == times
        await asyncio.gather(*(node.leave() for node in [*nodes, newcomer]))


async def test_a_server_without_rosters_takes_back_what_was_told(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    """Where a server of the first ChronoFlux takes the place of ours, nothing is known of the room then."""
    url = f"ws://127.0.0.1:{unused_tcp_port}"
    async with SignalServer(port=unused_tcp_port):
        recorder = await cf.join("room1", kind="recorder", server=url, log_dir=tmp_path)
        roster = session_of(recorder).mesh.roster
        await until(lambda: roster.available)
    async with old_server(unused_tcp_port) as server:
        await until(lambda: not roster.available, 30)
        assert [message["room"] for message in server.heard if message["type"] == "join-room"] == ["room1"]
        assert not any(message.get("known") for message in server.heard)
        await recorder.leave()


def _knows(node: Node, count: int) -> bool:
    return len(node.peers) == count


@pytest.mark.slow
async def test_links_survive_a_stranger_who_comes_and_goes(
    joined: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 120 links of sixteen real nodes survive a stranger who joins and leaves again and again."""
    # One event loop has both ends of all links here. What nodes tell all the time, at its usual pace, is more
    # than a busy core reads, so that links fall silent and are dialled anew for that reason.
    monkeypatch.setattr(runner, "FIELD_PERIOD", 2.0)
    monkeypatch.setattr(runner, "RECORD_PERIOD", 4.0)
    monkeypatch.setattr(clock_sync, "PERIOD", 60.0)
    async with SignalServer(port=0, limits=Limits(per_address=200)) as server:
        nodes = [await joined(server=server.url, params=QUICK) for _ in range(16)]
        meshes = [session_of(node).mesh for node in nodes]
        await until(lambda: all(sum(p.linked for p in mesh.peers.values()) == 15 for mesh in meshes), 180)
        links = [{id_: peer.link for id_, peer in mesh.peers.items()} for mesh in meshes]
        for _ in range(10):
            stranger = await joined(server=server.url, params=QUICK)
            await until(partial(_knows, stranger, 6), what="the stranger knows six")
            await stranger.leave()
            await until(lambda: len(server.lobby.rooms["room1"]) == 16)
        await until(lambda: all(len(mesh.peers) == 15 for mesh in meshes), 60)
        assert [{id_: peer.link for id_, peer in mesh.peers.items()} for mesh in meshes] == links
        assert all(peer.linked for mesh in meshes for peer in mesh.peers.values())
        assert server.sent["unlink"] == 0
