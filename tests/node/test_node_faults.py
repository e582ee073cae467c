"""What goes wrong, and what must be left of it: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import chronoflux as cf
from chronoflux.errors import UsageError
from chronoflux.mesh import clock_sync as probing_module
from chronoflux.mesh import room_session as room_module
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.ice import Ice
from chronoflux.mesh.link import Link
from chronoflux.node import run_setup as beginning_module
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.node.test_node import events, linked
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


def statuses(folder: Path) -> set[str]:
    """The status of every run in a folder."""
    return {json.loads(path.read_text())["status"] for path in folder.glob("*/run.json")}


def ours() -> list[str]:
    """The threads that nodes and logs have made."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("chronoflux", "log "))]


@pytest.mark.slow
def test_a_program_that_fails_while_linked_still_ends(tmp_path: Path) -> None:
    """An exception in a program with linked nodes ends it, with its logs closed."""
    done = subprocess.run(
        [sys.executable, "-c", ABORTED, str(tmp_path)], capture_output=True, text=True, timeout=90
    )
    assert "something of the user's" in done.stderr
    assert statuses(tmp_path) == {"ended"}


async def test_an_interrupted_join_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """However early `join` is cancelled, no task, thread, port or open log is left behind."""
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


async def test_leaving_while_starting(
    server: SignalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`leave` during `start` ends the start, and the log is closed."""
    go_on = threading.Event()
    monkeypatch.setattr(beginning_module, "warm_up", lambda params, **_: go_on.wait(10))
    node = cf.Node("room1", server=server.url, params=QUICK, log_dir=tmp_path)
    starting = asyncio.create_task(node.start())
    await until(lambda: any(tmp_path.glob("*/run.json")))
    leaving = asyncio.create_task(node.leave())
    await until(lambda: node._leaving.is_set())
    go_on.set()
    await leaving
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert node.closed
    assert statuses(tmp_path) == {"ended"}


async def test_two_joins_of_one_name_at_once_leave_one_node(server: SignalServer, tmp_path: Path) -> None:
    """Of two joins of the same name at the same time one node remains."""
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
    """A background node that nobody waits for any more leaves the room."""
    go_on = threading.Event()
    monkeypatch.setattr(beginning_module, "warm_up", lambda params, **_: go_on.wait(10))
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


@pytest.mark.slow
@pytest.mark.usefixtures("no_offers")
async def test_events_lost_on_the_relay_are_told_again(server: SignalServer, joined: Joiner) -> None:
    """A pair that only has the relay agrees again after one of them was away from the server."""
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await until(lambda: (a.peers["via"] == "relay").any() and (b.peers["via"] == "relay").any())
    (socket,) = [
        server._sessions[who.connection]
        for who in server.lobby._members.values()
        if who.id == b.peer_id and who.connection is not None
    ]
    socket.abort()
    await until(lambda: b._joined.client.state == "waiting")  # type: ignore[union-attr]
    key = a.intent()
    a.lion_gate()
    await until(lambda: b.snapshot().portal, timeout=20)
    await until(lambda: events(b)["remote_intent", key] == 1, timeout=20)


async def test_what_was_fired_in_a_pause_is_old_when_it_ends(server: SignalServer, joined: Joiner) -> None:
    """A pulse that arrived while a swarm was paused is as faded as elsewhere when it goes on."""
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    b.pause()
    await until(lambda: "pause" in set(b.telemetry()["type"]))
    key = a.intent(x=1, y=1)
    await until(lambda: len(a.snapshot().pulses) == 1)
    await until(lambda: len(a.snapshot().pulses) == 0, what="the pulse fades")
    b.play()
    await until(lambda: events(b)["remote_intent", key] == 1)
    assert len(b.snapshot().pulses) == 0


async def test_more_events_than_peers_take_are_refused_here(joined: Joiner) -> None:
    """A loop that fires without end is told so, instead of losing events on the way."""
    node = await joined(server=None, params=QUICK)
    for _ in range(40):
        node.intent()
    with pytest.raises(UsageError, match="20 events a second"):
        [node.intent() for _ in range(20)]


class Ahead:
    """A clock that tells others a time 30 s ahead of its own."""

    def __init__(self, clock: MeshClock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now() + 30_000

    def __getattr__(self, name: str) -> object:
        return getattr(self._clock, name)


async def test_a_clock_far_off_is_said(
    server: SignalServer, joined: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that tells a time far off is not coupled to, and the table says why; it finds back."""
    monkeypatch.setattr(probing_module, "PERIOD", 1.0)
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    await until(lambda: b.clock.stratum == 1)
    probing = b._joined.mesh._probing  # type: ignore[union-attr]
    probing._clock = Ahead(b.clock)  # type: ignore[assignment]
    await until(lambda: "its clock" in a.peers["reason"].iloc[0], timeout=20)
    probing._clock = b.clock
    await until(lambda: a.peers["reason"].iloc[0] == "", timeout=20)
    await until(lambda: a.metrics.get("peers") == 1 and a.peers["H"].notna().all(), timeout=20)


async def test_a_link_that_cannot_begin_says_so() -> None:
    """Unusable ICE servers end a link with a reason instead of leaving it to wait for ever."""
    ended: list[Link] = []
    link = Link(
        dials=True,
        send_signal=lambda payload: None,
        on_open=lambda link: None,
        on_message=lambda link, data: None,
        on_closed=ended.append,
        ice=Ice(servers=[{"url": "stun:x"}]),
    )
    link.start()
    await until(lambda: ended)
    assert "could not begin" in link.reason
