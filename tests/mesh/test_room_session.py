"""Two of everything: servers that die and come back, and nodes that share out who holds the server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

import chronoflux as cf
from chronoflux.mesh import room_session as room_module
from tests.conftest import Joiner
from tests.node.test_node import events, linked
from tests.support import session_of, until

QUICK = cf.Params(oscillators=60)

NOTEBOOK = """
import asyncio, json, sys
import chronoflux as cf
from chronoflux.mesh import room_session

async def main(name, port, logs):
    room_session.DEFAULT_PORT = int(port)
    node = await cf.join("room1", params=cf.Params(oscillators=20), node_id=name, log_dir=logs)
    while True:
        table = node.peers
        direct = sorted(table.loc[table["via"] == "direct", "name"])
        why = {"status": node.status.text, "reasons": dict(zip(table["name"], table["reason"]))}
        hosts = node._lifecycle.session._hosted is not None
        print(json.dumps({"hosts": hosts, "direct": direct, **why}), flush=True)
        await asyncio.sleep(0.1)

asyncio.run(main(*sys.argv[1:]))
"""


class Notebook:
    """A node with ``server="auto"`` in a process of its own, and the last thing it said of itself."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.says: dict[str, object] = {}

    async def listen(self) -> None:
        """Take note of what it says until it ends."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.says = json.loads(line)

    async def joins(self) -> None:
        """Wait until it has loaded its kernels, however busy the machine is, and is part of the room."""
        await until(lambda: self.says or self.process.returncode is not None, 300, "a notebook has started")
        assert self.says, "it ended without a word"

    async def links_to(self, *names: str) -> None:
        """Wait until it has a direct link to exactly these."""
        try:
            await until(lambda: self.says.get("direct") == sorted(names), 40, f"a link to {names}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it says {self.says}") from None


@asynccontextmanager
async def notebook(name: str, port: int, logs: Path) -> AsyncIterator[Notebook]:
    """Start one; at the end it is killed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", NOTEBOOK, name, str(port), str(logs)), stdout=asyncio.subprocess.PIPE
    )
    made = Notebook(process)
    listening = asyncio.create_task(made.listen())
    try:
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await listening
        await process.wait()


@pytest.mark.slow
async def test_when_the_first_notebook_is_killed_the_others_find_a_new_server(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    """With server="auto" everywhere: the process that holds the server is killed with kill -9; one of the
    two others holds it from then on, they stay linked, and a fourth joins and links to both."""
    port = unused_tcp_port
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(notebook("first", port, tmp_path))
        await first.joins()
        assert first.says["hosts"]
        second, third = [
            await stack.enter_async_context(notebook(name, port, tmp_path)) for name in ("second", "third")
        ]
        await asyncio.gather(second.joins(), third.joins())
        await asyncio.gather(second.links_to("first", "third"), third.links_to("first", "second"))
        os.kill(first.process.pid, signal.SIGKILL)
        await until(lambda: second.says["hosts"] or third.says["hosts"], timeout=30)
        await asyncio.gather(second.links_to("third"), third.links_to("second"))
        assert second.says["hosts"] != third.says["hosts"]
        fourth = await stack.enter_async_context(notebook("fourth", port, tmp_path))
        await fourth.joins()
        await fourth.links_to("second", "third")
        assert not fourth.says["hosts"]


async def test_of_two_that_start_at_once_one_holds_the_server(
    joined: Joiner, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When several find nobody at the port at the same moment, one gets it and the others join there."""
    monkeypatch.setattr(room_module, "DEFAULT_PORT", unused_tcp_port)
    found: list[bool] = []
    everybody = asyncio.Event()

    async def nobody(host: str, port: int) -> bool:
        """All have looked before anybody acts."""
        found.append(False)
        if len(found) == 3:
            everybody.set()
        await everybody.wait()
        return False

    monkeypatch.setattr(room_module, "_answers", nobody)
    nodes = await asyncio.gather(*(joined(params=QUICK, node_id=f"n{i}") for i in range(3)))
    await linked(*nodes)
    assert sorted(session_of(node)._hosted is not None for node in nodes) == [False, False, True]


@asynccontextmanager
async def signaling(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """The server as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chronoflux.signal", "--port", str(port)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            assert await process.stdout.readline(), "it ended without a word"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_room_goes_on_while_its_server_is_killed_and_restarted(
    joined: Joiner, unused_tcp_port: int
) -> None:
    """After kill -9 of the server links and events go on; a new one without memory gets everyone back under
    their own ids, and a newcomer meets all of them."""
    url = f"ws://127.0.0.1:{unused_tcp_port}"
    async with signaling(unused_tcp_port) as process:
        a, b = [await joined(server=url, params=QUICK) for _ in range(2)]
        await linked(a, b)
        links = [session_of(node).mesh.peers[other.peer_id].link for node, other in ((a, b), (b, a))]
        ids = a.peer_id, b.peer_id
        process.kill()
        await process.wait()
    await until(lambda: session_of(a).client.state == "waiting")
    key = a.intent()
    await until(lambda: events(b)["remote_intent", key] == 1)
    async with signaling(unused_tcp_port):
        c = await joined(server=url, params=QUICK)
        await linked(a, b, c, timeout=40)
        assert (a.peer_id, b.peer_id) == ids
        assert links == [session_of(node).mesh.peers[other.peer_id].link for node, other in ((a, b), (b, a))]
        assert events(b)["remote_intent", key] == 1
        await asyncio.gather(*(node.leave() for node in (a, b, c)))
