"""A partial mesh of real nodes, links and a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chronoflux.node import Node
from chronoflux.signal.server import SignalServer
from chronoflux.signal.topology import Topology
from tests.conftest import Joiner
from tests.old_client import old_client
from tests.support import until


@asynccontextmanager
async def ring() -> AsyncIterator[SignalServer]:
    """A server whose rooms are rings."""
    async with SignalServer(port=0, topology=Topology("ring")) as server:
        yield server


def ways(node: Node) -> dict[str, str]:
    """By which way each neighbour is reached."""
    return dict(node.peers[["name", "via"]].itertuples(index=False, name=None))


def in_a_ring(nodes: list[Node]) -> bool:
    """Whether everybody has two neighbours, both linked, and all are in one ring."""
    reached = {node.node_id: ways(node) for node in nodes}
    if any(list(vias.values()) != ["direct"] * 2 for vias in reached.values()):
        return False
    seen, at = set(), nodes[0].node_id
    while at not in seen:
        seen.add(at)
        at = next((other for other in sorted(reached[at]) if other not in seen), at)
    return len(seen) == len(nodes)


async def test_events_go_around_a_ring_once(joined: Joiner) -> None:
    """Five nodes in a ring know and link two neighbours each; an event of one is applied once by everybody;
    an old client without links hears it once, and is heard once; and when a node goes the ring closes."""
    async with ring() as server:
        nodes = [await joined(server=server.url) for _ in range(5)]
        await until(lambda: in_a_ring(nodes), 20)
        nodes[0].intent(x=100, y=100)
        expected = [0, 1, 1, 1, 1]
        await until(lambda: [node.received for node in nodes] == expected)
        async with old_client(server.url) as old:
            await old.join()
            await until(lambda: old.of("room-peers"))
            nodes[2].pacemaker_flip()
            expected = [1, 2, 1, 2, 2]
            await until(lambda: [node.received for node in nodes] == expected)
            await until(lambda: old.of("broadcast"))
            await old.send(type="broadcast", data={"type": "intent", "intent": {"x": 5, "y": 5, "E": 0.3}})
            expected = [count + 1 for count in expected]
            await until(lambda: [node.received for node in nodes] == expected)
            assert len(old.of("broadcast")) == 1
        await nodes[3].leave()
        rest = [node for node in nodes if node is not nodes[3]]
        await until(lambda: in_a_ring(rest), 20)


async def test_telemetry_goes_through_the_server_while_a_recorder_is_there(joined: Joiner) -> None:
    """In a partial mesh telemetry goes to neighbours only, and to the server as well while a recorder is in
    the room."""
    async with ring() as server:
        nodes = [await joined(server=server.url) for _ in range(4)]
        await until(lambda: in_a_ring(nodes), 20)
        assert server.lobby.counts.received["telemetry"] == 0
        async with old_client(server.url) as recorder:
            await recorder.join(kind="recorder")
            senders = {node.peer_id for node in nodes}
            await until(lambda: {message["from"] for message in recorder.of("telemetry")} == senders)
        await until(lambda: in_a_ring(nodes), 20)
        before = server.lobby.counts.received["telemetry"]
        seen = {node: len(node.telemetry()) for node in nodes}
        await until(lambda: all(len(node.telemetry()) > count + 2 for node, count in seen.items()))
        assert server.lobby.counts.received["telemetry"] <= before + len(nodes)


async def test_a_restarted_server_wires_the_same_ring(joined: Joiner, unused_tcp_port: int) -> None:
    """When the server was away, its successor with no memory wires the same links: none is made anew."""
    url = f"ws://127.0.0.1:{unused_tcp_port}"
    async with SignalServer(port=unused_tcp_port, topology=Topology("ring")):
        nodes = [await joined(server=url) for _ in range(4)]
        await until(lambda: in_a_ring(nodes), 20)
        before = [ways(node) for node in nodes]
    links = [[peer.link for peer in node._joined.mesh.peers.values()] for node in nodes]
    async with SignalServer(port=unused_tcp_port, topology=Topology("ring")) as server:
        await until(lambda: len(server.lobby.rooms.get("room1", ())) == 4, 20)
        await until(lambda: [ways(node) for node in nodes] == before)
        assert [[peer.link for peer in node._joined.mesh.peers.values()] for node in nodes] == links
        await asyncio.gather(*(node.leave() for node in nodes))
