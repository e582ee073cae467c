"""Links that fail without a word: the relay steps in, the link comes back, stalls are survived."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

import chronoflux as cf
from chronoflux.mesh import mesh as mesh_module
from chronoflux.mesh.link import Link
from chronoflux.node import pacing
from chronoflux.node.node import Node
from chronoflux.signal.protocol import Roster, RosterMember
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.mesh.test_missed_events import Node as Bare
from tests.mesh.test_missed_events import Time
from tests.node.test_node import events, linked
from tests.support import session_of, until

QUICK = cf.Params(oscillators=60)


def link(node: Node, other: Node) -> Link:
    """A node's link to another."""
    found = session_of(node).mesh.peers[other.peer_id].link
    assert found is not None
    return found


async def test_the_relay_carries_what_a_silent_link_does_not(
    server: SignalServer, joined: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a link swallows everything the relay carries within 4 s, with the reason in the table; when it
    works again the way is direct again, and every event arrived once."""
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    links = link(a, b), link(b, a)
    with monkeypatch.context() as cut:
        cut.setattr(Link, "send", lambda self, text, **options: True)
        keys = [a.intent(), b.intent()]
        await until(lambda: set(a.peers["via"]) == set(b.peers["via"]) == {"relay"}, timeout=4)
        assert a.peers["reason"].iloc[0].startswith("nothing received over the link")
        await until(lambda: a.peers["state"].iloc[0] == b.peers["state"].iloc[0] == "live")
        keys += [a.intent(), b.intent()]
        for node, key in zip((b, a, b, a), keys, strict=True):
            await until(lambda node=node, key=key: events(node)["remote_intent", key] == 1)  # type: ignore[misc]
    await linked(a, b, timeout=4)
    assert (link(a, b), link(b, a)) == links
    assert set(a.peers["reason"]) == {""}
    assert all(count == 1 for node in (a, b) for count in events(node).values())


async def test_after_a_stall_a_dead_link_is_replaced_and_a_live_one_kept(
    server: SignalServer, joined: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop blocked for long leaves a `stall` record with its length; over a link that meanwhile died a new
    one is dialled seconds later, while the others go on as they are."""
    monkeypatch.setattr(mesh_module, "LATE", 0.3)
    monkeypatch.setattr(mesh_module, "STALL", 0.6)
    monkeypatch.setattr(pacing, "STALL", 600.0)
    a, b, c = [await joined(server=server.url, params=QUICK) for _ in range(3)]
    await linked(a, b, c)
    kept, dead = link(c, a), link(b, a)
    dead.send = lambda text, **options: True  # type: ignore[method-assign]
    time.sleep(1.0)  # noqa: ASYNC251  (a blocked loop is what is tested)
    await until(lambda: a.telemetry()["type"].eq("stall").any())
    frame = a.telemetry()
    stall = frame.loc[frame["type"] == "stall", "data"].iloc[0]
    assert 600 < stall["ms"] < 5000
    await until(lambda: link(b, a) is not dead, timeout=8, what="the dead link replaced, long before 10 s")
    await linked(a, b, c)
    assert link(c, a) is kept


@pytest.mark.parametrize(
    ("named", "in_roster", "kept"),
    [(False, True, False), (True, True, True), (False, False, True)],
)
async def test_a_link_to_somebody_who_is_no_neighbour_ends(named: bool, in_roster: bool, kept: bool) -> None:
    """A restarted server may link others: a link to a member that it does not name as a neighbour is closed
    after a while; one to somebody who is not in the room, whose socket perhaps broke, stays."""
    clock = Time()
    a, b = Bare("a", clock), Bare("b", clock)
    a.meet(b)
    closed: list[str] = []

    async def close(reason: str) -> None:
        closed.append(reason)

    mesh, peer = a.mesh, a.peer(b)
    link: Any = SimpleNamespace(state="open", close=close, send=lambda *_, **__: True, by_turn=False)
    client: Any = mesh.client
    peer.link, client.state, client.server = link, "joined", None
    members = [RosterMember("b", 1, "headless", lasting=True)] if in_roster else []
    mesh.roster.apply(Roster(members, whole=True, size=2))
    now = time.monotonic()
    peer.in_room = named
    for second in range(89):
        peer.last_direct = now + second
        mesh._check_peer(peer, now + second)
    assert peer.link is link
    peer.last_direct = now + 91
    mesh._check_peer(peer, now + 91)
    await asyncio.sleep(0)
    assert (peer.link is link, closed) == (kept, [] if kept else ["no longer a neighbour"])
