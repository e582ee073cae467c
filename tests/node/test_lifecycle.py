"""Start, run and leave: in order, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import chronoflux as cf
from chronoflux.node import run_setup as run_setup_module
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.node.test_node import linked
from tests.runs import statuses
from tests.support import until

QUICK = cf.Params(oscillators=60)


ABORTED = """
import asyncio, sys
import chronoflux as cf
from chronoflux.signal.server import SignalServer

async def main():
    async with SignalServer(port=0) as server:
        quick = cf.Params(oscillators=20)
        a = await cf.join("r", server=server.url, params=quick, node_id="a", log_dir=sys.argv[1])
        b = await cf.join("r", server=server.url, params=quick, node_id="b", log_dir=sys.argv[1])
        while (a.peers["via"] != "direct").any() or not len(a.peers):
            await asyncio.sleep(0.01)
        raise ValueError("something of the user's")

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_program_that_fails_while_linked_still_ends(tmp_path: Path) -> None:
    """An exception in a program with linked nodes ends it, with its logs closed."""
    done = subprocess.run(
        [sys.executable, "-c", ABORTED, str(tmp_path)], capture_output=True, text=True, timeout=90
    )
    assert "something of the user's" in done.stderr
    assert statuses(tmp_path) == {"ended"}


async def test_leaving_while_starting(
    server: SignalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`leave` during `start` cancels the start, and the log is closed."""
    go_on = threading.Event()
    monkeypatch.setattr(run_setup_module, "warm_up", lambda params, **_: go_on.wait(10))
    node = cf.Node("room1", server=server.url, params=QUICK, log_dir=tmp_path)
    starting = asyncio.create_task(node.start())
    await until(lambda: any(tmp_path.glob("*/run.json")))
    leaving = asyncio.create_task(node.leave())
    await until(lambda: node._lifecycle._leaving.is_set())
    go_on.set()
    await leaving
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert node.closed
    assert statuses(tmp_path) == {"ended"}


async def test_goodbye_is_heard_at_once(server: SignalServer, joined: Joiner) -> None:
    """When a node leaves, its peers drop it at once and record the reason."""
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    await b.leave("bedtime")
    await until(lambda: len(a.peers) == 0, timeout=2)

    def reasons() -> list[str]:
        frame = a.telemetry()
        return [
            data["reason"] for data in frame.loc[frame["type"] == "peer", "data"] if data["change"] == "gone"
        ]

    await until(lambda: reasons() == ["left: bedtime"])
