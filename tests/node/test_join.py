"""Joining and leaving, again and again."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path

import psutil
import pytest

import chronoflux as cf
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.node.test_node import linked
from tests.support import until

QUICK = cf.Params(oscillators=60)
WARM, ROUNDS = 15, 50
GROWTH = 64 * 2**10  # bytes a round, for what the allocator keeps


def held() -> dict[str, list[str]]:
    """The tasks, threads and sockets of this process, by name."""
    sockets = psutil.Process().net_connections()
    tasks = [task.get_name().partition("Task-")[0] for task in asyncio.all_tasks()]  # numbers differ
    return {
        "tasks": sorted(tasks),
        "threads": sorted(
            thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")
        ),
        "sockets": sorted(f"{socket.type.name} {socket.status}" for socket in sockets),
        "files": sorted(file.path for file in psutil.Process().open_files()),
    }


@pytest.mark.slow
async def test_fifty_joins_and_leaves_leave_nothing_behind(
    server: SignalServer, joined: Joiner, tmp_path: Path
) -> None:
    """A node that comes, links and goes fifty times leaves no task, thread, socket or open file behind, here
    or at the one that stays, and memory stays flat."""
    stays = await joined(server=server.url, params=QUICK)
    await until(lambda: stays.status.light == "server")
    before: dict[str, list[str]] = {}
    memory: list[int] = []
    for turn in range(ROUNDS):
        if turn == WARM:
            before = held()
        guest = await cf.join("room1", server=server.url, params=QUICK, node_id="guest", log_dir=tmp_path)
        await linked(stays, guest)
        await guest.leave()
        await until(lambda: len(stays.peers) == 0 and not stays._joined.mesh._negotiation._retired)  # type: ignore[union-attr]
        gc.collect()
        memory.append(psutil.Process().memory_info().rss)
    await until(lambda: held() == before, what="the same tasks, threads, sockets and files as before")
    early, late = sorted(memory[WARM : WARM + 5])[2], sorted(memory[-5:])[2]
    assert late - early < GROWTH * (ROUNDS - WARM), [size >> 10 for size in memory]
