"""Paths that are narrow, IPv6 alone, one-way, or that repeat and reorder; and a server that is killed.

Each node is a process in a network namespace of its own, a third has the signaling server. Nodes have no
swarm, so that they start quickly. The time until the room is whole is in the test's report.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from chronoflux.signal.network import in_url
from tests.network import Host, Network
from tests.network import network as network
from tests.processes import ROOT, Process, signaling
from tests.support import until

PORT = 8089
Record = Callable[[str, object], None]


class LightNode:
    """A process with one node without a swarm (``chronoflux.bench.mesh.nodes``), which is told what to do."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lock = asyncio.Lock()

    async def ask(self, command: str) -> Any:
        """The node's answer to a command."""
        async with self._lock, asyncio.timeout(60):
            self.tell(command)
            assert self._process.stdout is not None
            return json.loads(await self._process.stdout.readline())

    def tell(self, command: str) -> None:
        """Have the node do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())

    async def linked(self, others: int) -> bool:
        """Whether it has a direct link to so many others."""
        ((_, linked),) = await self.ask("look")
        return bool(linked >= others)


@contextlib.asynccontextmanager
async def light_node(url: str, host: Host) -> AsyncIterator[LightNode]:
    """A node on a host; it leaves in the end."""
    arguments = ("chronoflux.bench.mesh.nodes", url, "room1", "1", "10")
    process = await asyncio.create_subprocess_exec(
        *(*host.prefix, sys.executable, "-m", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        yield LightNode(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(20):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def served(server: Host) -> AsyncIterator[tuple[str, Process]]:
    """A signaling server on a host: its URL and process."""
    async with signaling(PORT, prefix=server.prefix, host=server.address) as running:
        yield f"ws://{in_url(server.address)}:{PORT}", running


@contextlib.asynccontextmanager
async def room(*hosts: Host, url: str) -> AsyncIterator[list[LightNode]]:
    """A node on each host."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(light_node(url, host)) for host in hosts]


async def missing(nodes: list[LightNode]) -> Counter[str]:
    """Events that were fired, and how often each was heard too little (or, negative, too often)."""
    reports = [await node.ask("report") for node in nodes]
    wrong: Counter[str] = Counter()
    for sender, report in enumerate(reports):
        for key, _ in report["fired"][0]:
            for receiver, other in enumerate(reports):
                if receiver != sender:
                    heard = sum(key == known for known, _ in other["heard"][0])
                    wrong[key] += 1 - heard
    return Counter({key: count for key, count in wrong.items() if count})


async def whole(nodes: list[LightNode], record: Record, what: str, *, direct: bool = True) -> None:
    """Wait until each node's event reaches every other, over links if `direct`; record how long that takes
    from when all processes run."""
    for node in nodes:
        await node.ask("look")
    begun = time.monotonic()
    if direct:
        for node in nodes:
            await until(lambda node=node: node.linked(len(nodes) - 1), 60, "all are linked")
    else:
        for node in nodes:
            await until(lambda node=node: _knows(node, len(nodes) - 1), 60, "all know each other")
    for node in nodes:
        node.tell("fire 0")

    async def arrived() -> bool:
        return not await missing(nodes)

    await until(arrived, 60, "each event is heard once")
    record(f"{what}: whole after (s)", round(time.monotonic() - begun, 2))


async def _knows(node: LightNode, others: int) -> bool:
    ((known, _),) = await node.ask("look")
    return bool(known >= others)


async def talk(nodes: list[LightNode], seconds: float) -> None:
    """Fire five events a second, by turns; in the end each was heard once by every other."""
    for number in range(int(seconds * 5)):
        nodes[number % len(nodes)].tell("fire 0")
        await asyncio.sleep(0.2)

    async def arrived() -> bool:
        return not await missing(nodes)

    await until(arrived, 30, "each event is heard once")


async def test_two_container_hosts_on_a_narrow_path(network: Network, record_property: Record) -> None:
    """Two machines with 81 addresses each, as container hosts have them, whose network takes packets of 1,280
    bytes at most, link directly."""
    a, b, server = (network.host(ipv6=True, mtu=1280) for _ in range(3))
    for host in (a, b):
        for number in range(17, 37):
            host.bridge(f"d{number}", f"172.{number}.0.1", *(f"fd00:{number}::{last}" for last in (1, 2, 3)))
    async with served(server) as (url, _), room(a, b, url=url) as nodes:
        await whole(nodes, record_property, "81 addresses")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mtu", "ipv6"), [(576, False), (1280, False), (1280, True)], ids=["576", "1280", "1280 by IPv6"]
)
@pytest.mark.parametrize("where", ["interfaces", "path"])
async def test_a_small_mtu(
    where: str, mtu: int, ipv6: bool, network: Network, record_property: Record
) -> None:
    """Where interfaces take packets of so many bytes at most, or only the path between two machines does and
    nothing tells them, they link directly, and long messages pass as well."""
    interface = mtu if where == "interfaces" else 1500
    a, b, server = (network.host(ipv4=not ipv6, ipv6=ipv6, mtu=interface) for _ in range(3))
    if where == "path":
        network.shape(a, b, mtu=mtu)
    async with served(server) as (url, _), room(a, b, url=url) as nodes:
        await whole(nodes, record_property, f"{where} {mtu}")
        for node in nodes:
            node.tell("say 0 5000")
        await talk(nodes, 5)  # behind those in the same channel
        assert all([await node.linked(1) for node in nodes])


@pytest.mark.slow
async def test_ipv6_alone(network: Network, record_property: Record) -> None:
    """Machines that have nothing but IPv6 addresses meet on a server of that kind and link directly."""
    a, b, server = (network.host(ipv4=False, ipv6=True) for _ in range(3))
    async with served(server) as (url, _), room(a, b, url=url) as nodes:
        await whole(nodes, record_property, "IPv6 alone")
        await talk(nodes, 5)


@pytest.mark.slow
async def test_one_way_from_the_beginning(network: Network, record_property: Record) -> None:
    """Where packets pass from one machine to the other and not back, there is no link, and the server's relay
    carries everything."""
    a, b, server = (network.host() for _ in range(3))
    network.shape(a, b, cut=True, back=False)
    async with served(server) as (url, _), room(a, b, url=url) as nodes:
        await whole(nodes, record_property, "one way", direct=False)
        await talk(nodes, 10)
        assert not any([await node.linked(1) for node in nodes])


@pytest.mark.slow
async def test_one_way_of_a_link_is_cut(network: Network, record_property: Record) -> None:
    """When one direction of a link is cut, events go on by way of the server; when it is back the pair is
    linked again, and every event arrived once."""
    a, b, server = (network.host() for _ in range(3))
    async with served(server) as (url, _), room(a, b, url=url) as nodes:
        await whole(nodes, record_property, "linked")
        network.shape(a, b, cut=True, back=False)
        await whole(nodes, record_property, "one way cut", direct=False)
        await talk(nodes, 20)
        network.shape(a, b)
        await whole(nodes, record_property, "both ways again")
        await talk(nodes, 3)


@pytest.mark.slow
async def test_duplicates_and_reordering(network: Network, record_property: Record) -> None:
    """Where a third of all packets comes twice and packets overtake each other by up to 80 ms, to the peer
    and to the server, a pair is linked and every event arrives once."""
    a, b, server = (network.host() for _ in range(3))
    for one, other in ((a, b), (a, server), (b, server)):
        network.shape(one, other, delay=(0.0, 0.08), twice=0.33)
    async with served(server) as (url, _), room(a, b, url=url) as nodes:
        await whole(nodes, record_property, "twice and out of order")
        await talk(nodes, 20)


@pytest.mark.slow
async def test_the_server_is_killed_while_a_room_runs(network: Network, record_property: Record) -> None:
    """When the server is killed the links of three nodes go on; when it is back a fourth finds them all."""
    *hosts, late, server = (network.host() for _ in range(5))
    async with contextlib.AsyncExitStack() as stack:
        url, running = await stack.enter_async_context(served(server))
        nodes = await stack.enter_async_context(room(*hosts, url=url))
        await whole(nodes, record_property, "three nodes")
        await running.kill()
        await talk(nodes, 15)
        await stack.enter_async_context(served(server))
        nodes.append(await stack.enter_async_context(light_node(url, late)))
        await whole(nodes[-1:] + nodes[:-1], record_property, "a fourth after the server's return")
