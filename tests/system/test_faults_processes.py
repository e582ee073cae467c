"""Servers and nodes that die, sleep or stand still: whoever survives is coupled again, and nothing is lost.

Real processes on this machine; what happened is read from the logs they leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from tests.processes import (
    Log,
    Process,
    chatty,
    chatty_schedule,
    coupled,
    free_port,
    linked,
    lost_or_repeated,
    signaling,
)
from tests.support import until

pytestmark = pytest.mark.slow

Node = tuple[Process, Log]


@contextlib.asynccontextmanager
async def room(count: int, logs: Path) -> AsyncIterator[tuple[str, list[Node]]]:
    """A server and linked nodes, all processes; the server's URL and the nodes."""
    async with contextlib.AsyncExitStack() as stack:
        port = free_port()
        await stack.enter_async_context(signaling(port))
        url = f"ws://127.0.0.1:{port}"
        begun = [stack.enter_async_context(chatty(f"n{i}", url, logs)) for i in range(count)]
        nodes = list(await asyncio.gather(*begun))
        await until(lambda: linked(*(log for _, log in nodes)), 30, "all linked")
        yield url, nodes


async def test_a_server_killed_and_restarted_is_not_missed(tmp_path: Path) -> None:
    """While the server is dead for 20 s all links and the coupling go on; restarted without memory it is
    refilled under the same ids, a fourth node joins all, and every event is everywhere once."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(signaling(port))
        logs = [(await stack.enter_async_context(chatty(f"n{i}", url, tmp_path)))[1] for i in range(3)]
        await until(lambda: linked(*logs), 30, "all linked")
        ids = [log.id for log in logs]
        await first.kill()
        killed = time.time()
        while time.time() < killed + 20:
            assert linked(*logs)
            await asyncio.sleep(0.5)
        await stack.enter_async_context(signaling(port))
        _, newcomer = await stack.enter_async_context(chatty("n3", url, tmp_path))
        await until(lambda: linked(*logs, newcomer), 45, "all back at the server, the fourth linked to all")
        assert [log.id for log in logs] == ids
        pairs = [(log, other) for log in logs for other in logs if other is not log]
        assert not [when for log, other in pairs for when in log.changes(other, "unlinked", since=killed)]
        await asyncio.sleep(5)
    assert not lost_or_repeated([*logs, newcomer], logs)
    assert not lost_or_repeated(logs, [newcomer], after=killed)


async def test_a_killed_peer_is_gone_in_15_s_and_the_others_do_not_notice(tmp_path: Path) -> None:
    """A peer killed with kill -9 is gone for the others within 16 s; their links and events go on."""
    async with room(3, tmp_path) as (_, nodes):
        (a, b, dead) = (log for _, log in nodes)
        await asyncio.sleep(3)
        await nodes[2][0].kill()
        killed = time.time()
        await until(lambda: a.changes(dead, "gone") and b.changes(dead, "gone"), 20, "gone")
        assert max(a.changes(dead, "gone") + b.changes(dead, "gone")) - killed < 16
        assert linked(a, b)
        assert not a.changes(b, "quiet", since=killed)
        assert not b.changes(a, "unlinked", since=killed)
    assert not lost_or_repeated([a, b], [a, b])
    assert not lost_or_repeated([dead], [a, b], until=killed - 1)


async def test_what_a_long_sleep_costs_is_on_record_on_both_sides(tmp_path: Path) -> None:
    """A peer suspended for 100 s is told the events of the last minute; of those before, its log and that of
    who fired them say the same: which numbers, and how many. All others are everywhere once."""
    async with room(3, tmp_path) as (_, nodes):
        logs = [log for _, log in nodes]
        (a, b, asleep), sleeper = logs, nodes[2][0]
        await until(lambda: linked(*logs), 30, "all linked")
        await asyncio.sleep(3)
        stopped = time.time()
        sleeper.signal(signal.SIGSTOP)
        await asyncio.sleep(100)
        woken = time.time()
        sleeper.signal(signal.SIGCONT)
        await until(lambda: time.time() > woken + 2 and linked(*logs), 30, "all linked again")

        def missed(log: Log, **whose: str) -> list[dict[str, Any]]:
            records = [record["data"] for record in log.update() if record["type"] == "missed"]
            of = [data for data in records if whose.items() <= data.items()]
            return [{name: data[name] for name in ("from", "to", "count")} for data in of]

        await until(lambda: missed(asleep, origin=a.id) and missed(asleep, origin=b.id), 120, "missed")
        for log in (a, b):
            both = missed(log, peer=asleep.id), missed(asleep, origin=log.id)
            assert both[0] == both[1]
            assert 5 <= sum(facts["count"] for facts in both[0]) <= 45
            assert missed(log, origin=asleep.id) == []
        assert missed(a, peer=b.id) == missed(b, peer=a.id) == []
    assert not lost_or_repeated([a, b], [a, b])
    assert not lost_or_repeated([a, b], [asleep], until=stopped - 3)
    assert not lost_or_repeated([a, b], [asleep], after=woken - 50)


async def test_a_suspended_peer_comes_back(tmp_path: Path) -> None:
    """A peer suspended for 60 s is gone for the others meanwhile; 15 s after it goes on all are linked again,
    it has put the stall on record, and every event is everywhere once."""
    async with room(3, tmp_path) as (_, nodes):
        logs = [log for _, log in nodes]
        (a, b, asleep), sleeper = logs, nodes[2][0]
        sleeper.signal(signal.SIGSTOP)
        await asyncio.sleep(60)
        assert linked(a, b)
        assert a.changes(asleep, "gone")
        assert b.changes(asleep, "gone")
        woken = time.time()
        sleeper.signal(signal.SIGCONT)
        await until(lambda: time.time() > woken + 2 and linked(*logs), 15, "all linked again")
        stalls = [record["data"]["ms"] for record in asleep.update() if record["type"] == "stall"]
        assert stalls
        assert 55_000 < max(stalls) < 65_000
        await asyncio.sleep(12)  # what was fired meanwhile is told again, at most 10 a second
    assert not lost_or_repeated(logs, logs)


@contextlib.asynccontextmanager
async def kernel() -> AsyncIterator[AsyncKernelClient]:
    """A Python kernel as a notebook has it."""
    manager = AsyncKernelManager()
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def cell(client: AsyncKernelClient, source: str) -> None:
    """Run a cell to its end; its error is the test's."""
    reply = await client.execute_interactive(source, timeout=120, output_hook=lambda message: None)
    assert reply["content"]["status"] == "ok", reply["content"]


async def test_a_kernel_blocked_by_a_long_cell_comes_back(tmp_path: Path) -> None:
    """A notebook whose kernel was blocked for 45 s by time.sleep in a cell is linked again 15 s after the
    cell; its log tells of the stall, and every event is everywhere once."""
    async with room(2, tmp_path) as (url, nodes), kernel() as client:
        folder = tmp_path / "notebook"
        await cell(
            client,
            "import time; import chronoflux as cf\n"
            f"node = await cf.join('room1', server={url!r}, node_id='notebook', log_dir={str(folder)!r},\n"
            f"    params=cf.Params(oscillators=60), schedule={str(chatty_schedule(tmp_path))!r})",
        )
        (path,) = folder.iterdir()
        logs = [*(log for _, log in nodes), Log(path)]
        await until(lambda: linked(*logs), 30, "all linked")
        await cell(client, "time.sleep(45)")
        woken = time.time()
        assert linked(*logs[:2])
        await until(lambda: time.time() > woken + 2 and linked(*logs), 15, "all linked again")
        assert any(record["type"] == "stall" for record in logs[2].update())
        await asyncio.sleep(10)
        assert coupled(*logs)
        await cell(client, "await node.leave()")
    assert not lost_or_repeated(logs, logs)
