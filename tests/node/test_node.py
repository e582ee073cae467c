"""Nodes in rooms, with a real server, real WebRTC and real logs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import chronoflux as cf
from chronoflux.analysis.synchrony import phase_locking
from chronoflux.errors import LogError, ParameterError, SignalingError, UsageError
from chronoflux.mesh import room_session as room_module
from chronoflux.mesh.link import Link
from chronoflux.model.events import EVENTS
from chronoflux.node.node import Node
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.support import session_of, until

QUICK = cf.Params(oscillators=60)


async def linked(*nodes: Node, timeout: float = 40) -> None:
    """Wait until every node has a direct link to every other."""

    def all_linked() -> bool:
        return all((node.peers["via"] == "direct").sum() == len(nodes) - 1 for node in nodes)

    await until(all_linked, timeout, "every node linked to every other")


def events(node: Node) -> Counter[tuple[str, str]]:
    """The events on record at a node, by type and id."""
    frame = node.telemetry()
    return Counter(
        (kind, data["id"])
        for kind, data in zip(frame["type"], frame["data"], strict=True)
        if kind.removeprefix("remote_") in {known.name for known in EVENTS}
    )


async def test_three_nodes_share_events_once_each(server: SignalServer, joined: Joiner) -> None:
    """In a room of three, every event is recorded once at every node, as own or as remote."""
    nodes = [await joined(server=server.url, params=QUICK) for _ in range(3)]
    await linked(*nodes)
    fired = {
        nodes[0].intent(x=400, y=300): ("intent", 0),
        nodes[1].lion_gate(): ("lion_gate", 1),
        nodes[2].pacemaker_flip(): ("pacemaker_flip", 2),
        nodes[2].intent(): ("intent", 2),
    }
    expected = [
        Counter((name if index == home else f"remote_{name}", key) for key, (name, home) in fired.items())
        for index in range(3)
    ]
    await until(lambda: [events(node) for node in nodes] == expected, what="all events everywhere, once")
    assert all(node.snapshot().portal for node in nodes)


async def test_a_newcomer_takes_over_portal_and_pulses(server: SignalServer, joined: Joiner) -> None:
    """A node that joins later adopts portal mode and the live pulses, and records them once."""
    first = await joined(server=server.url, params=QUICK)
    first.lion_gate()
    pulse = first.intent(x=100, y=200, E=2.0)
    second = await joined(server=server.url, params=QUICK)
    await linked(first, second)
    await until(lambda: second.snapshot().portal and len(second.snapshot().pulses) == 1)
    assert np.allclose(second.snapshot().pulses[0, :2], [100, 200])
    assert events(second)["remote_intent", pulse] == 1


async def test_the_latest_gate_wins_everywhere(server: SignalServer, joined: Joiner) -> None:
    """After gates fired at two nodes at nearly the same time, all nodes have the state of the later one."""
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    a.lion_gate(on=True)
    b.lion_gate(on=False)
    await until(lambda: a.received >= 0 and not a.snapshot().portal and not b.snapshot().portal)


async def test_peers_of_unequal_frequency_lock_or_drift(server: SignalServer, joined: Joiner) -> None:
    """At 1.20 and 1.23 Hz two swarms lock at mesh coupling 0.35 and drift apart at 0."""
    observers = {}
    for room, coupling in (("coupled", 0.35), ("apart", 0.0)):
        for frequency in (1.20, 1.23):
            params = cf.Params(
                oscillators=100, frequency=frequency, coupling="global", kappa=2, mesh_coupling=coupling
            )
            observers[room] = await joined(room, server=server.url, params=params, node_id=f"{frequency} Hz")

    def differences(node: Node) -> np.ndarray:
        node.telemetry()  # what waits for the disk is written now
        return cf.load_peerings(node.path)["dpsi"].to_numpy()

    await until(
        lambda: all(len(differences(node)) >= 22 for node in observers.values()),
        timeout=60,
        what="22 s of both rooms on record",
    )
    values = {room: phase_locking(differences(node)[-10:]).plv for room, node in observers.items()}
    assert values["coupled"] > 0.98
    assert values["apart"] < 0.9


@pytest.mark.usefixtures("no_offers")
async def test_without_a_link_the_server_relays(server: SignalServer, joined: Joiner) -> None:
    """When offers never arrive, events and mean fields pass through the server, and `peers` says so."""
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await until(lambda: (a.peers["via"] == "relay").any() and (b.peers["via"] == "relay").any())
    key = a.intent()
    await until(lambda: events(b)["remote_intent", key] == 1)
    await until(lambda: b.metrics.get("peers") == 1 and b.peers["H"].notna().all())
    assert a.status.light == "relay"


async def test_alone_and_then_not(joined: Joiner, unused_tcp_port: int) -> None:
    """Without a server a node runs alone and says so in one line; when the server starts, it joins."""
    node = await joined(server=f"ws://127.0.0.1:{unused_tcp_port}", params=QUICK)
    assert node.status.light == "alone"
    assert "\n" not in node.status.text
    tick = node.snapshot().tick
    await until(lambda: node.snapshot().tick > tick)
    async with SignalServer(port=unused_tcp_port):
        await until(lambda: node.status.light == "server", timeout=20)


async def test_a_room_outlives_its_server(joined: Joiner, unused_tcp_port: int) -> None:
    """Links stay while the server is away, under the same ids, and its return adds no peer twice."""
    url = f"ws://127.0.0.1:{unused_tcp_port}"
    async with SignalServer(port=unused_tcp_port):
        a, b = [await joined(server=url, params=QUICK) for _ in range(2)]
        await linked(a, b)
    ids = (a.peer_id, b.peer_id)
    await until(lambda: "linked" in a.status.text and session_of(a).client.state == "waiting")
    key = a.intent()
    await until(lambda: events(b)["remote_intent", key] == 1)
    async with SignalServer(port=unused_tcp_port) as again:
        await until(lambda: again.lobby.connections == 2, timeout=20)
        await until(lambda: session_of(a).client.state == session_of(b).client.state == "joined")
        assert (a.peer_id, b.peer_id) == ids
        assert len(a.peers) == len(b.peers) == 1
        await linked(a, b)


async def test_auto_hosts_the_server_and_somebody_takes_it_over(
    joined: Joiner, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With server="auto" the first node hosts the server; when it leaves, another takes over the port."""
    monkeypatch.setattr(room_module, "DEFAULT_PORT", unused_tcp_port)
    a, b = [await joined(params=QUICK) for _ in range(2)]
    await linked(a, b)
    assert session_of(a)._hosted is not None
    assert session_of(b)._hosted is None
    await a.leave()
    await until(lambda: session_of(b)._hosted is not None, timeout=20)
    c = await joined(params=QUICK)
    await linked(b, c)


async def test_fields_take_the_channel_without_retransmission(server: SignalServer, joined: Joiner) -> None:
    """Between current nodes mean fields and probes use the second channel, other messages the first; with an
    older node, whose `hello` does not name it, there is only the first."""
    old = await joined(server=server.url, params=QUICK)
    hello = {"version": "0.1.0", "nodeId": "old", "kind": "page"}
    old._swarm.room_adapter.hello = lambda: hello  # type: ignore[method-assign]
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b, old)

    def link(node: Node, other: Node) -> Link:
        return session_of(node).mesh.peers[other.peer_id].link  # type: ignore[return-value]

    await until(lambda: link(a, b)._rt is not None and link(b, a)._rt is not None)
    sent: list[str] = []
    for way in (link(a, b)._rt, link(a, b)._channel):
        assert way is not None
        send = way.send
        way.send = lambda text, way=way, send=send: (  # type: ignore[method-assign, assignment, misc]
            sent.append(f"{way.label} {json.loads(text)['type']}"),
            send(text),
        )
    a.intent()
    await until(lambda: {kind.split()[1] for kind in sent} >= {"field", "telemetry", "intent"})
    probes = {"chronoflux-rt probe", "chronoflux-rt probe-reply"}
    assert set(sent) - probes == {"chronoflux-rt field", "chronoflux telemetry", "chronoflux intent"}
    assert link(a, old)._rt is link(old, a)._rt is None
    await until(lambda: a.peers["H"].notna().all() and old.peers["H"].notna().all())


async def test_any_thread_may_call(server: SignalServer, joined: Joiner) -> None:
    """Events, parameters and notes from other threads take effect, also on a node in the background."""
    a = await joined(server=server.url, params=QUICK)
    b = await joined(server=server.url, params=QUICK, background=True)
    await linked(a, b)
    fired: list[str] = []

    def work() -> None:
        for node in (a, b):
            fired.append(node.intent(x=1, y=2))
            node.params = node.params.replace(kappa=1.5)
            node.note("hello")

    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.to_thread(thread.join)
    expected = {("intent", fired[0]), ("remote_intent", fired[1])}
    await until(lambda: expected <= set(events(a)))
    await until(lambda: ("remote_intent", fired[0]) in events(b))
    await until(lambda: a.snapshot().params.kappa == b.snapshot().params.kappa == 1.5)
    frame = a.telemetry()
    assert frame.loc[frame["type"] == "params", "data"].iloc[0] == {"kappa": 1.5}
    assert frame.loc[frame["type"] == "note", "data"].iloc[0] == {"text": "hello"}
    await b.leave()
    assert b.closed


@pytest.mark.parametrize("room", ["", "   ", "x" * 65, "a\nb", 7])
async def test_bad_rooms_are_refused(joined: Joiner, room: str) -> None:
    """A room name that is empty, too long or unprintable is refused in one line, before anything starts."""
    with pytest.raises(UsageError) as refused:
        await joined(room, server=None)
    assert "\n" not in str(refused.value)


async def test_bad_input_is_refused_in_one_line(joined: Joiner, tmp_path: Path, server: SignalServer) -> None:
    """Unknown parameters and events, wrong URLs and unwritable folders are refused in one line that names
    them."""
    with pytest.raises(UsageError, match="http://x"):
        await joined(server="http://x")
    with pytest.raises(ParameterError, match="kapa"):
        cf.Params(kapa=1)  # type: ignore[call-arg]
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(LogError, match="file"):
        await joined(server=None, log_dir=blocked)
    node = await joined(server=server.url, params=QUICK)
    with pytest.raises(ParameterError, match="thunder"):
        node.fire("thunder")
    with pytest.raises(ParameterError, match=r"intent\.x"):
        node.intent(x=1e6, y=0)
    with pytest.raises(UsageError, match="Params"):
        node.params = {"kappa": 1}  # type: ignore[assignment]


async def test_a_bad_token_is_refused(joined: Joiner, tmp_path: Path) -> None:
    """A node with a wrong token is refused by name; with the right one it joins."""
    async with SignalServer(port=0, token="sesame") as server:
        for wrong in (None, "barley"):
            with pytest.raises(SignalingError, match="token"):
                await joined(server=server.url, params=QUICK, token=wrong)
        node = await joined(server=server.url, params=QUICK, token="sesame")
        # after a wrong token the server lets this address wait for a moment
        await until(lambda: node.status.light == "server", what="joined with the right token")
        await node.leave()
    assert "sesame" not in "".join(path.read_text() for path in (tmp_path / "logs").rglob("*.json*"))
