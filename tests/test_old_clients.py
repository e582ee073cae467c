"""Nodes and the first ChronoFlux: its server, its runner that speaks only WebSocket, its messages."""

from __future__ import annotations

import ipywidgets

import chronoflux as cf
from chronoflux.model.events import EVENTS
from chronoflux.signal.server import SignalServer
from chronoflux.widget import NodeView
from tests.conftest import Joiner
from tests.old_client import OldClient, old_client
from tests.old_server import old_server
from tests.support import until
from tests.test_node import events, linked

QUICK = cf.Params(oscillators=60)


def broadcasts(client: OldClient, kind: str) -> list[dict[str, object]]:
    """The broadcast data of a type that a client heard."""
    return [message["data"] for message in client.of("broadcast") if message["data"].get("type") == kind]


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
        await runner.join("room1", nodeId="runner", nodeCount=100)
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
        assert a.peers.set_index("name").loc["runner", "via"] == "server"
    await until(lambda: len(a.peers) == 1)


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
