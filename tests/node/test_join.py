"""Joining and leaving, also repeatedly, interrupted, and under the same name."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

import chronoflux as cf
from chronoflux.errors import UsageError
from chronoflux.mesh import room_session as room_module
from chronoflux.node import run_setup as run_setup_module
from chronoflux.node.options import NodeOptions, RecorderOptions
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.node.test_node import linked
from tests.runs import statuses
from tests.support import session_of, until

QUICK = cf.Params(oscillators=60)
WARM, ROUNDS = 15, 50
GROWTH = 64 * 2**10  # bytes a round, for what the allocator keeps


def held() -> dict[str, list[str]]:
    """The tasks, threads, sockets and files of this process, by name."""
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
    """A node that joins, links and leaves fifty times leaves no task, thread, socket or open file behind,
    here or at the node that stays, and memory stays constant."""
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
        await until(lambda: len(stays.peers) == 0 and not session_of(stays).mesh._negotiation._retired)
        gc.collect()
        memory.append(psutil.Process().memory_info().rss)
    await until(lambda: held() == before, what="the same tasks, threads, sockets and files as before")
    early, late = sorted(memory[WARM : WARM + 5])[2], sorted(memory[-5:])[2]
    assert late - early < GROWTH * (ROUNDS - WARM), [size >> 10 for size in memory]


def ours() -> list[str]:
    """The threads of nodes and logs."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("chronoflux", "log "))]


async def test_an_interrupted_join_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """However early `join` is cancelled, no task, thread, port or open log remains."""
    monkeypatch.setattr(room_module, "DEFAULT_PORT", unused_tcp_port)
    await (await cf.join(server=None, params=QUICK, log_dir=tmp_path)).leave()  # imports and kernels
    tasks = len(asyncio.all_tasks())
    for step in range(12):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.004 * step):
                node = await cf.join(params=QUICK, log_dir=tmp_path, node_id="hasty")
                await node.leave()
    await until(lambda: not ours(), what="no thread of ours left (the loop's own pool stays)")
    await until(lambda: len(asyncio.all_tasks()) == tasks, what="no task left")
    assert statuses(tmp_path) == {"ended"}
    async with SignalServer(port=unused_tcp_port):
        pass  # the port is free


async def test_two_joins_of_one_name_at_once_leave_one_node(server: SignalServer, tmp_path: Path) -> None:
    """Of two simultaneous joins of the same name one node remains."""
    both = [
        cf.join("room1", server=server.url, params=QUICK, node_id="me", log_dir=tmp_path) for _ in range(2)
    ]
    nodes = await asyncio.gather(*both, return_exceptions=True)
    running = [node for node in nodes if isinstance(node, cf.Node) and not node.closed]
    assert len(running) == 1
    await running[0].leave()


async def test_an_interrupted_background_join_leaves_no_ghost(
    server: SignalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A background node whose `join` was cancelled leaves the room."""
    go_on = threading.Event()
    monkeypatch.setattr(run_setup_module, "warm_up", lambda params, **_: go_on.wait(10))
    joining = asyncio.create_task(
        cf.join("room1", server=server.url, params=QUICK, background=True, log_dir=tmp_path)
    )
    await until(lambda: any(tmp_path.glob("*/run.json")))
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    go_on.set()
    await until(lambda: statuses(tmp_path) == {"ended"} and not ours())
    assert server.lobby.connections == 0


async def test_joining_again_closes_the_earlier_node(server: SignalServer, joined: Joiner) -> None:
    """The same cell run twice leaves one node, and two runs on disk."""
    first = await joined(server=server.url, params=QUICK, node_id="me")
    second = await joined(server=server.url, params=QUICK, node_id="me")
    assert first.closed
    assert not second.closed
    assert first.path != second.path
    with pytest.raises(UsageError, match="not running"):
        first.intent()


@pytest.mark.parametrize("options", [{"server": None}, {"kind": "recorder"}])
async def test_options_are_checked_once(
    server: SignalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """`join` checks the names of options and leaves the values to the node or recorder."""
    checked: list[str] = []
    for kind in (NodeOptions, RecorderOptions):
        check = kind.__post_init__
        monkeypatch.setattr(
            kind, "__post_init__", lambda self, check=check: (checked.append(self.room), check(self))[0]
        )
    node = await cf.join("lab", log_dir=tmp_path, **{"server": server.url} | options)
    await node.leave()
    assert checked == ["lab"]
