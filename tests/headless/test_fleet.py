"""Several nodes in one process: started, watched and ended together."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import chronoflux as cf
from chronoflux.errors import ChronofluxError
from chronoflux.headless import fleet
from chronoflux.headless.fleet import run_fleet
from chronoflux.node import join as joining
from chronoflux.node.node import Node
from tests.support import until


@pytest.fixture(autouse=True)
def handlers(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Restore the signal handlers afterwards; fail if a task ended with an exception that nobody
    retrieved."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    gc.collect()
    records = caplog.get_records("call") + caplog.get_records("teardown")
    assert not [record for record in records if record.name == "asyncio" and record.levelname == "ERROR"]


class Watched:
    """A crew that runs as a task, and what it said."""

    def __init__(self, folder: Path, count: int, *, deadline: float | None = None, **options: Any) -> None:
        self.said: list[str] = []
        quick = {"server": None, "params": cf.Params(oscillators=10), "log_dir": folder} | options
        members = [quick | {"node_id": f"n{number}"} for number in range(count)]
        self.task = asyncio.create_task(
            run_fleet(members, deadline=deadline, duration=deadline, bar=False, echo=self.said.append)
        )

    async def began(self, count: int) -> None:
        await until(lambda: len(self.said) == count or self.task.done(), 180)
        assert not self.task.done()


def statuses(folder: Path) -> set[str]:
    return set(cf.load(folder).groupby("node")["type"].last())


async def test_an_interrupt_ends_all_in_order(tmp_path: Path) -> None:
    """Ctrl-C makes every node leave, close its log and print a summary."""
    watched = Watched(tmp_path, 2, speed="max")
    await watched.began(2)
    await until(lambda: all(log.stat().st_size > 5000 for log in tmp_path.glob("*/telemetry.jsonl")))
    os.kill(os.getpid(), signal.SIGINT)
    async with asyncio.timeout(10):
        await watched.task
    assert statuses(tmp_path) == {"end"}
    assert [line.split(":")[0] for line in watched.said[2:] if line.startswith("n")] == ["n0", "n1"]


async def test_the_time_is_over(tmp_path: Path) -> None:
    """At its deadline a fleet ends in order."""
    watched = Watched(tmp_path, 2, deadline=0.3)
    async with asyncio.timeout(60):
        await watched.task
    assert statuses(tmp_path) == {"end"}


async def test_an_interrupt_while_they_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a node is joining makes the running ones leave; that node does not start."""
    join = joining.join

    async def slow(**options: Any) -> Node:
        if options["node_id"] == "n1":
            await asyncio.sleep(600)
        return await join(**options)

    monkeypatch.setattr(joining, "join", slow)
    watched = Watched(tmp_path, 2)
    await watched.began(1)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await watched.task
    assert statuses(tmp_path) == {"end"}


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """The nodes that the test joins."""
    join, joined = joining.join, list[Node]()

    async def kept(**options: Any) -> Node:
        joined.append(await join(**options))
        return joined[-1]

    monkeypatch.setattr(joining, "join", kept)
    return joined


async def test_one_that_fails_does_not_end_the_others(tmp_path: Path, nodes: list[Node]) -> None:
    """A node that fails is named at the end; the others run on until they are stopped."""
    watched = Watched(tmp_path, 2, speed="max")
    await watched.began(2)
    nodes[0]._swarm.runner._checkpointer.save_due = lambda: 1 / 0  # type: ignore[method-assign]
    await until(lambda: nodes[0].closed)
    before = nodes[1].t
    await until(lambda: nodes[1].t > before + 5)
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(ChronofluxError, match="ZeroDivisionError"):
        await watched.task
    assert nodes[1].closed
    assert statuses(tmp_path) == {"end"}


@pytest.mark.parametrize(
    ("changes", "sound"),
    [({}, False), ({"playing": False}, True), ({"closed": True}, True), ({"problem": "disk full"}, True)],
)
def test_a_swarm_that_stands_still(changes: dict[str, Any], sound: bool) -> None:
    """The watchdog is notified while the swarm moves; while it is still, only if a restart would not help."""
    told = {"playing": True, "closed": False, "problem": None} | changes
    node: Any = SimpleNamespace(**told, status=SimpleNamespace(problem=told["problem"]))
    assert fleet._healthy(node, 3.0, 3.5)
    assert fleet._healthy(node, 3.0, 3.0) == sound


async def test_the_watchdog_is_not_fed_when_a_swarm_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodes: list[Node]
) -> None:
    """While a swarm hangs, the watchdog is not notified, although the event loop runs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "150000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        told: list[bytes] = []

        def hear() -> list[bytes]:
            while True:
                try:
                    told.append(manager.recv(100))
                except BlockingIOError:
                    return told

        watched = Watched(tmp_path / "logs", 1)
        await until(lambda: hear().count(b"WATCHDOG=1") >= 3)
        nodes[0]._swarm.runner._pace.ready = lambda simulation: False  # type: ignore[method-assign]
        await asyncio.sleep(0.2)
        before = len(hear())
        await asyncio.sleep(0.5)
        assert len(hear()) <= before + 1  # a step may have been under way
        os.kill(os.getpid(), signal.SIGINT)
        await watched.task
        assert hear()[-1] == b"STOPPING=1"
