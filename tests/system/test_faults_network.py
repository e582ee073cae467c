"""Networks that lose, cut, hide and renumber hosts: nodes find a way, and lose no event.

Each node is a process in a network namespace of its own; a third host has the signaling server.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chronoflux.mesh import link as link_module
from chronoflux.mesh.ice import Ice
from chronoflux.mesh.link import Link
from chronoflux.mesh.messages import to_object
from chronoflux.signal.turn import LIFETIME, Turn
from tests.network import Host, Network, coturn
from tests.network import network as network
from tests.processes import Log, chatty, coupled, linked, lost_or_repeated, signaling
from tests.support import until

pytestmark = pytest.mark.slow

PORT = 8089


@contextlib.asynccontextmanager
async def pair(a: Host, b: Host, server: Host, logs: Path, *options: str) -> AsyncIterator[tuple[Log, Log]]:
    """Two nodes on hosts of their own, and a server on a third; each node has a fresh field of the other."""
    url = f"ws://{server.address}:{PORT}"
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(signaling(PORT, *options, prefix=server.prefix, host=server.address))
        _, one = await stack.enter_async_context(chatty("one", url, logs, prefix=a.prefix))
        _, two = await stack.enter_async_context(chatty("two", url, logs, prefix=b.prefix))
        await until(lambda: coupled(one, two), 40, "each hears of the other")
        yield one, two


def ways(*logs: Log) -> set[str]:
    """The ways on which nodes hear each other now."""
    return {way for log in logs for way in log.ways().values()}


async def test_a_fifth_of_all_packets_lost(network: Network, tmp_path: Path) -> None:
    """With 20 % of all packets lost both ways for 60 s, to the peer and to the server, a pair stays coupled
    all but a few seconds, and every event arrives once."""
    a, b, c = (network.host() for _ in range(3))
    async with pair(a, b, c, tmp_path) as (one, two):
        await until(lambda: linked(one, two), 30, "linked")
        for other in (b, c):
            network.shape(a, other, loss=0.2)
        begun, seen = time.time(), []
        while time.time() < begun + 60:
            seen.append(coupled(one, two))
            await asyncio.sleep(0.5)
        assert sum(seen) > 0.9 * len(seen)
        for other in (b, c):
            network.shape(a, other)
        await until(lambda: linked(one, two), 15, "linked")
        await asyncio.sleep(8)
    assert not lost_or_repeated([one, two], [one, two])


async def test_a_cut_path_is_bridged_by_the_relay(network: Network, tmp_path: Path) -> None:
    """When the direct path is cut for 30 s, the server's relay carries within 5 s; 15 s after its return the
    pair is direct again; every event arrives once."""
    a, b, c = (network.host() for _ in range(3))
    async with pair(a, b, c, tmp_path) as (one, two):
        await until(lambda: linked(one, two), 30, "linked")
        network.shape(a, b, cut=True)
        cut = time.time()
        await until(lambda: coupled(one, two) and ways(one, two) == {"relay"}, 5, "by relay")
        while time.time() < cut + 30:
            assert coupled(one, two)
            await asyncio.sleep(0.5)
        network.shape(a, b)
        await until(lambda: linked(one, two), 15, "direct again")
        await asyncio.sleep(6)
        assert linked(one, two)
    assert not lost_or_repeated([one, two], [one, two])


async def test_a_host_changes_its_address(network: Network, tmp_path: Path) -> None:
    """A host that takes another address, so that its links and its socket to the server are dead, is linked
    again within 20 s; every event arrives once."""
    a, b, c = (network.host() for _ in range(3))
    async with pair(a, b, c, tmp_path) as (one, two):
        await until(lambda: linked(one, two), 30, "linked")
        a.move("10.77.0.101")
        moved = time.time()
        await until(lambda: time.time() > moved + 4 and linked(one, two), 20, "linked again")
        await asyncio.sleep(8)
        assert linked(one, two)
    assert not lost_or_repeated([one, two], [one, two])


async def test_a_pair_without_a_path_links_through_a_turn_server(network: Network, tmp_path: Path) -> None:
    """Two hosts without any path to each other link through a real coturn, with the credentials that our
    signaling server hands out; every event arrives once."""
    a, b, c = (network.host() for _ in range(3))
    network.shape(a, b, cut=True)
    (tmp_path / "secret").write_text("north")
    async with coturn("north", tmp_path, c) as turn:
        options = ("--turn", turn, "--turn-secret-file", str(tmp_path / "secret"))
        async with pair(a, b, c, tmp_path / "logs", *options) as (one, two):
            await until(lambda: linked(one, two), 10, "linked by TURN")
            await asyncio.sleep(5)
            assert linked(one, two)
            assert ways(one, two) == {"turn"}
    assert not lost_or_repeated([one, two], [one, two])


async def test_expired_turn_credentials_are_refused_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With our credentials coturn gives a relay address; with expired ones none, and the link says so."""
    monkeypatch.setattr(link_module, "CONNECT_DEADLINE", 3.0)
    async with coturn("north", tmp_path) as turn:
        for lateness, served in ((0.0, True), (LIFETIME + 60, False)):
            clock = lambda lateness=lateness: time.time() - lateness  # noqa: E731
            servers = [to_object(s) for s in Turn([turn], "north", clock=clock).credentials("peer")]
            offers: list[str] = []
            ended: list[str] = []
            link = Link(
                dials=True,
                send_signal=lambda payload, offers=offers: offers.append(payload["sdp"]),
                on_open=lambda link: None,
                on_message=lambda link, data: None,
                on_closed=lambda link, ended=ended: ended.append(link.reason),
                ice=Ice(servers),
            )
            link.start()
            await until(lambda ended=ended: ended, 10, "nobody answers")
            assert ("typ relay" in offers[0]) == served
            assert ("TURN" in ended[0]) == (not served), ended
