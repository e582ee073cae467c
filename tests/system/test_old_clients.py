"""Nodes and the first ChronoFlux: its server, its runner that speaks only WebSocket, its messages."""

from __future__ import annotations

from typing import Any

import ipywidgets
import pytest

import chronoflux as cf
from chronoflux.mesh import link, negotiation, peer
from chronoflux.model.events import EVENTS
from chronoflux.node.node import Node
from chronoflux.signal.server import SignalServer
from chronoflux.signal.topology import Topology
from chronoflux.widget import NodeView
from tests.conftest import Joiner
from tests.node.test_node import events, linked
from tests.old_client import PAGE, RUNNER, OldClient, P2PNode, bridge, old_client
from tests.old_server import old_server
from tests.support import until

QUICK = cf.Params(oscillators=60)


def broadcasts(client: OldClient, kind: str) -> list[dict[str, object]]:
    """The broadcast data of a type that a client heard."""
    return [message["data"] for message in client.of("broadcast") if message["data"].get("type") == kind]


def peer_changes(node: Node) -> list[str]:
    """What happened to peers, as a node has it on record."""
    frame = node.telemetry()
    return [data["change"] for data in frame[frame["type"] == "peer"]["data"]]


def button(box: ipywidgets.Box, label: str) -> ipywidgets.Button:
    """The button of a view with this label."""
    waiting = [box]
    for widget in waiting:
        if isinstance(widget, ipywidgets.Button) and widget.description == label:
            return widget
        waiting.extend(getattr(widget, "children", ()))
    raise AssertionError(f"no button {label!r}")


async def test_nodes_meet_on_an_old_server(joined: Joiner) -> None:
    """Our nodes join a room, link and share events on a server that speaks only the old messages."""
    async with old_server() as server:
        a, b, c = [await joined(server=server.url, params=QUICK) for _ in range(3)]
        await linked(a, b, c)
        keys = {a.intent(), b.intent(), c.intent()}
        await until(lambda: all({key for _, key in events(node)} == keys for node in (a, b, c)))
        assert all(count == 1 for node in (a, b, c) for count in events(node).values())
        assert {message["type"] for message in server.heard} <= {
            "join-room",
            "signal",
            "broadcast",
            "telemetry",
        }


async def test_a_websocket_only_client_hears_and_is_heard(server: SignalServer, joined: Joiner) -> None:
    """An old runner hears intents and portal as broadcasts, and telemetry with a list of intents; its own
    broadcasts become events of ours, once, though it sends no id; a bridge's thoughts break nothing."""
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    async with old_client(server.url) as runner:
        await runner.join("room1", **RUNNER)
        await until(lambda: len(a.peers) == len(b.peers) == 2)
        key = a.intent(x=10, y=20)
        a.lion_gate()
        await until(lambda: broadcasts(runner, "intent") and broadcasts(runner, "portal"))
        assert broadcasts(runner, "intent")[0]["intent"] == {"x": 10, "y": 20, "E": 0.35, "sigma": 80}
        await until(lambda: events(b)["remote_intent", key] == 1)

        await runner.send(type="broadcast", data={"type": "thought/v1", "text": "<script>"})
        await runner.send(type="broadcast", data={"type": "intent", "intent": {"x": 5, "y": 6, "E": 0.2}})
        await runner.send(
            type="telemetry", telemetry={"t": 1, "H": 0.4, "tau": 0.1, "nodes": 100, "intents": 2}
        )

        def theirs() -> list[int]:
            return [
                sum(kind == "remote_intent" and name.startswith("old:") for kind, name in events(node))
                for node in (a, b)
            ]

        await until(lambda: theirs() == [1, 1])
        await until(lambda: runner.of("telemetry"))
        telemetry = runner.of("telemetry")[0]["telemetry"]
        assert isinstance(telemetry["intents"], list)
        assert {"t", "H", "tau", "nodes", "peers"} <= set(telemetry)
        assert a.peers.set_index("kind").loc["runner", ["via", "state"]].tolist() == ["server", "live"]
    await until(lambda: len(a.peers) == 1)


@pytest.mark.parametrize(
    ("metadata", "kind"),
    [(RUNNER, "runner"), (bridge("bridge-node-001"), "bridge"), ({"nodeId": "p", "p2p": True}, "bridge")],
)
@pytest.mark.parametrize("first", ["node", "old client"])
async def test_runners_and_bridges_are_what_they_are_and_dialled_once(
    server: SignalServer,
    joined: Joiner,
    monkeypatch: pytest.MonkeyPatch,
    metadata: dict[str, Any],
    kind: str,
    first: str,
) -> None:
    """A client without WebRTC is shown by its kind, as live by way of the server, from the first moment; it
    gets at most one offer, and its silence is no alarm."""
    monkeypatch.setattr(link, "CONNECT_DEADLINE", 0.5)
    monkeypatch.setattr(peer, "BACKOFF", (0.1, 0.2))
    monkeypatch.setattr(negotiation, "REDIAL_AFTER", 1.0)

    def way(node: Node) -> list[list[str]]:
        return node.peers[["kind", "state", "via"]].to_numpy().tolist()

    async with old_client(server.url) as old:
        if first == "old client":
            await old.join("room1", **metadata)
        node = await joined(server=server.url, params=QUICK)
        if first == "node":
            await old.join("room1", **metadata)
        await until(lambda: way(node) == [[kind, "live", "server"]])
        if first == "old client":
            await until(lambda: "server" in peer_changes(node))
        told = len(old.of("telemetry"))
        await until(lambda: len(old.of("telemetry")) >= told + 4)
        offers = [message for message in old.of("signal") if message["signal"].get("type") == "offer"]
        assert len(offers) == (first == "old client")
        assert way(node) == [[kind, "live", "server"]]
        assert "is reached only through the server" in node.peers["reason"][0]
        assert "1 by the server" in node.status.text
        assert set(peer_changes(node)) <= {"server"}
    await until(lambda: len(node.peers) == 0)


async def test_a_page_that_never_answers_is_reached_by_the_server(
    server: SignalServer, joined: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever announces nothing and leaves one offer unanswered for as long as an answer may take gets no
    second one, until it calls."""
    monkeypatch.setattr(link, "CONNECT_DEADLINE", 1.0)
    monkeypatch.setattr(peer, "ANSWER", 0.5)
    monkeypatch.setattr(peer, "BACKOFF", (0.1, 0.2))
    async with old_client(server.url) as old:
        await old.join("room1", **PAGE)
        node = await joined(server=server.url, params=QUICK)
        assert node.peers["kind"].tolist() == ["old"]
        await until(lambda: node.peers["via"].tolist() == ["server"])
        told = len(old.of("telemetry"))
        await until(lambda: len(old.of("telemetry")) >= told + 3)
        assert sum(message["signal"].get("type") == "offer" for message in old.of("signal")) == 1


async def test_old_ears_are_told_once_a_second_by_each_node(server: SignalServer, joined: Joiner) -> None:
    """However many old clients are there, each node's telemetry goes to the server once a second, with a list
    of intents; when the last of them left it goes there no more."""
    nodes = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(*nodes)
    received = server.lobby.counts.received
    assert received["telemetry"] == 0
    async with (
        old_client(server.url) as page,
        old_client(server.url) as runner,
        old_client(server.url) as ear,
    ):
        await page.join("room1", **PAGE)
        await runner.join("room1", **RUNNER)
        await ear.join("room1", **bridge("ear"))
        records = {node: len(node.telemetry().query("type == 'telemetry'")) for node in nodes}
        await until(lambda: len(page.of("telemetry")) >= 10)
        told = [[m for m in page.of("telemetry") if m["from"] == node.peer_id] for node in nodes]
        for node, messages in zip(nodes, told, strict=True):
            now = len(node.telemetry().query("type == 'telemetry'"))
            assert 3 <= len(messages) <= now - records[node] + 1
        assert all(isinstance(message["telemetry"]["intents"], list) for message in page.of("telemetry"))
    await until(lambda: all(len(node.peers) == 1 for node in nodes))
    before = received["telemetry"]
    records = {node: len(node.telemetry()) for node in nodes}
    await until(lambda: all(len(node.telemetry()) > count + 2 for node, count in records.items()))
    assert received["telemetry"] <= before + len(nodes)


async def test_a_recorder_and_an_old_page_hear_the_same_telemetry(joined: Joiner) -> None:
    """In a partial mesh a recorder is told more than old clients know of: that, too, has a list of intents,
    as a number would freeze the page."""
    async with SignalServer(port=0, topology=Topology("ring")) as server, old_client(server.url) as page:
        await page.join("room1", **PAGE)
        nodes = [await joined(server=server.url, params=QUICK) for _ in range(4)]
        async with old_client(server.url) as recorder:
            await recorder.join("room1", kind="recorder")
            senders = {node.peer_id for node in nodes}
            await until(lambda: {message["from"] for message in page.of("telemetry")} >= senders)
            await until(lambda: any("nodeId" in m["telemetry"] for m in page.of("telemetry")))
        assert all(isinstance(message["telemetry"]["intents"], list) for message in page.of("telemetry"))


async def test_a_runners_events_are_on_record_once_each(server: SignalServer, joined: Joiner) -> None:
    """Intents of a runner's window and its lion gate, broadcast without ids, are once on record at each of
    two nodes, also after the nodes told each other of the standing state; so are those of a page that is
    reached by the server only."""
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    async with old_client(server.url) as runner:
        await runner.join("room1", **RUNNER)
        await until(lambda: len(a.peers) == len(b.peers) == 2)
        for n in range(30):
            intent = {"x": 1366 * n / 29, "y": 768 * n / 29, "E": 0.35, "sigma": 80}
            await runner.send(type="broadcast", data={"type": "intent", "intent": intent})
        await runner.send(type="broadcast", data={"type": "portal"})

        def theirs(node: Node) -> list[int]:
            types = node.telemetry()["type"]
            return [int((types == kind).sum()) for kind in ("remote_intent", "remote_lion_gate")]

        await until(lambda: theirs(a)[0] == theirs(b)[0] == 30)
        told = len(runner.of("telemetry"))
        await until(lambda: len(runner.of("telemetry")) >= told + 6)
        assert theirs(a) == theirs(b) == [30, 1]
        assert a.snapshot().portal
        assert b.snapshot().portal


async def test_a_broadcast_is_no_greeting(server: SignalServer, joined: Joiner) -> None:
    """What is meant for one peer over a channel is refused when somebody tells it to the whole room: a runner
    does not become one of ours by it, nor does anybody leave."""
    node = await joined(server=server.url, params=QUICK)
    async with old_client(server.url) as runner:
        await runner.join("room1", **RUNNER)
        await until(lambda: len(node.peers) == 1)
        hello = {"type": "hello", "version": "9", "nodeId": "me", "kind": "headless", "features": ["clock"]}
        for data in (hello, {"type": "bye"}, {"type": "probe", "t0": 1.0}, {"type": ["bye"]}):
            await runner.send(type="broadcast", data=data)
        expected = [["runner", "live", "server", 4]]
        await until(lambda: node.peers[["kind", "state", "via", "refused"]].to_numpy().tolist() == expected)


async def test_a_thought_bridge_lives_beside_nodes(server: SignalServer, joined: Joiner) -> None:
    """A bridge that broadcasts a thought for each telemetry is heard whole by other old clients, and costs
    nodes nothing: no refusals, no events."""
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    async with old_client(server.url) as one, old_client(server.url) as listener:
        thinker = P2PNode(one, "p2p-node-1")
        await thinker.join()
        await listener.join("room1", **bridge("bridge-node-001"))
        await until(lambda: len(one.of("telemetry")) >= 4)
        await thinker.answer_telemetry()
        await thinker.publish("event:test", {"type": "heartbeat", "message": "P2P node alive ✓", "n": 1}, [])
        await until(lambda: len(broadcasts(listener, "thought/v1")) == len(thinker.published))
        assert [list(heard.items()) for heard in broadcasts(listener, "thought/v1")] == [
            list(thought.items()) for thought in thinker.published
        ]
        assert a.peers.set_index("name").loc["p2p-node-1", ["kind", "state", "refused"]].tolist() == [
            *("bridge", "live"),
            0,
        ]
        assert not any(name.startswith("remote_") for name in a.telemetry()["type"])


async def test_a_new_event_type_is_one_function_and_one_line(server: SignalServer, joined: Joiner) -> None:
    """A registered function becomes a button, a message on the wire and a record in both logs."""

    def scatter(swarm, age, *, push: float = 1.0):  # type: ignore[no-untyped-def]
        """Push every oscillator to the right."""
        swarm.vx += push

    EVENTS.register(scatter, wire="scatter", label="Scatter")
    try:
        params = QUICK.replace(eta=0, gamma=0)
        a, b = [await joined(server=server.url, params=params) for _ in range(2)]
        await linked(a, b)
        async with old_client(server.url) as watcher:
            await watcher.join("room1")
            await until(lambda: len(a.peers) == 2)
            view = NodeView(a)
            button(view, "Scatter").click()
            message = (await until(lambda: broadcasts(watcher, "scatter")))[0]
            key = message["id"]
            assert message["push"] == 1.0
            await until(lambda: events(a)["scatter", key] == events(b)["remote_scatter", key] == 1)
            await until(lambda: (a.snapshot().vx == 1.0).all() and (b.snapshot().vx == 1.0).all())
            view.close()
    finally:
        EVENTS.unregister("scatter")
