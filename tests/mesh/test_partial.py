"""A partial mesh of real nodes, links and a server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import chronoflux as cf
from chronoflux.node.node import Node
from chronoflux.signal.server import SignalServer
from chronoflux.signal.topology import Topology
from tests.conftest import Joiner
from tests.old_client import RUNNER, OldClient, old_client, old_page
from tests.support import session_of, until

FEW = cf.Params(oscillators=20)


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


async def test_old_pages_hear_each_event_once(joined: Joiner) -> None:
    """In a partial mesh an old page with links to several nodes applies each event once, whoever fired it: a
    neighbour, a node that is none, another old page; and what the other page fires is once on record."""
    # With four neighbours in a ring the nodes reach each other whichever places the two pages have.
    async with SignalServer(port=0, topology=Topology("ring", 4)) as server, old_page(server.url) as one:
        nodes = [await joined(server=server.url, params=FEW) for _ in range(5)]
        async with old_page(server.url) as two:
            pages = [one, two]

            def settled() -> bool:
                links = server.lobby._rooms["room1"]._links
                linked = all(
                    page.links.keys() == links.get(page.client.id) for page in pages if page.client.heard
                )
                opened = all(link.state == "open" for page in pages for link in page.links.values())
                direct = all({*ways(node).values()} == {"direct"} for node in nodes)
                return len(links) == 7 and linked and opened and direct

            await until(settled, 60)
            assert all(len(page.links) == 4 for page in pages)
            for n, node in enumerate(nodes):
                node.intent(x=100 + n, y=100)
            for n, page in enumerate(pages):
                page.intent(200 + n)
            await until(lambda: [node.received for node in nodes] == [6] * 5)
            # Links keep the order: when these came over all of them, all that was sent before has come too.
            for n, node in enumerate(nodes):
                node.intent(x=300 + n, y=100)
            for n, page in enumerate(pages):
                page.intent(400 + n)
            others = [{200.0 + 1 - n, 400.0 + 1 - n} for n in range(2)]
            theirs = {100.0 + n for n in range(5)} | {300.0 + n for n in range(5)}
            await until(lambda: all(set(page.applied) == theirs | others[n] for n, page in enumerate(pages)))
            for page in pages:
                counts = Counter(page.applied)
                assert {x: counts[x] for x in counts if x < 300} == {x: 1 for x in counts if x < 300}


async def test_runners_hear_each_event_once(joined: Joiner) -> None:
    """Runners, which hear by broadcast only, hear an event of a node once, and one that another runner
    broadcast only from that one."""

    def heard(runner: OldClient) -> Counter[float]:
        told = (message["data"] for message in runner.of("broadcast"))
        return Counter(data["intent"]["x"] for data in told if data["type"] == "intent")

    # With four neighbours in a ring the nodes reach each other whichever places the two runners have.
    wide = SignalServer(port=0, topology=Topology("ring", 4))
    async with wide as server, old_client(server.url) as one, old_client(server.url) as two:
        nodes = [await joined(server=server.url, params=FEW) for _ in range(5)]
        await one.join("room1", **RUNNER)
        await two.join("room1", **RUNNER)
        await until(lambda: all(len(node.peers) == 4 for node in nodes))
        await until(
            lambda: {way for node in nodes for way in ways(node).values()} == {"direct", "server"}, 60
        )
        await one.send(type="broadcast", data={"type": "intent", "intent": {"x": 1, "y": 5, "E": 0.3}})
        await until(lambda: [node.received for node in nodes] == [1] * 5)
        for n, node in enumerate(nodes):
            node.intent(x=100 + n, y=100)
        first, second = server.lobby.counts, {100.0 + n: 1 for n in range(5)}
        await until(lambda: heard(one).keys() >= second.keys() and heard(two).keys() >= second.keys())
        assert first.received["broadcast"] > 1
        assert (heard(one), heard(two)) == (second, {1: 1, **second})


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
    links = [[peer.link for peer in session_of(node).mesh.peers.values()] for node in nodes]
    async with SignalServer(port=unused_tcp_port, topology=Topology("ring")) as server:
        await until(lambda: len(server.lobby.rooms.get("room1", ())) == 4, 20)
        await until(lambda: [ways(node) for node in nodes] == before)
        assert [[peer.link for peer in session_of(node).mesh.peers.values()] for node in nodes] == links
        await asyncio.gather(*(node.leave() for node in nodes))
