"""Real nodes whose server is restarted without memory."""

from __future__ import annotations

import asyncio

from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.support import until


async def test_nodes_tell_a_restarted_server_who_joined_first(joined: Joiner, unused_tcp_port: int) -> None:
    """After a restart without memory everybody is told the times of before by the server itself, and whoever
    joins anew ranks last; while the server is away everybody counts."""
    url = f"ws://127.0.0.1:{unused_tcp_port}"
    async with SignalServer(port=unused_tcp_port):
        nodes = [await joined(server=url) for _ in range(3)]
        meshes = [node._joined.mesh for node in nodes]
        await until(lambda: all(len(mesh.roster.members) == 3 for mesh in meshes))
        before = [member.id for member in meshes[0].roster.ranked()]
        times = {member.id: member.joined for member in meshes[0].roster.ranked()}
        assert before == [node.peer_id for node in nodes]
    await until(lambda: all(node._joined.client.state != "joined" for node in nodes))
    async with SignalServer(port=unused_tcp_port) as server:
        assert all(mesh.roster.belongs(id_) for mesh in meshes for id_ in before)
        await until(lambda: len(server.lobby.rooms.get("room1", ())) == 3, 30)
        newcomer = await joined(server=url)
        mesh = newcomer._joined.mesh
        await until(lambda: len(mesh.roster.members) == 4)
        assert [member.id for member in mesh.roster.ranked()] == [*before, newcomer.peer_id]
        assert {id_: mesh.roster.members[id_].joined for id_ in before} == times
        await asyncio.gather(*(node.leave() for node in [*nodes, newcomer]))
