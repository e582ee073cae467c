"""Clients as the first ChronoFlux's runner and bridges were: a WebSocket and the unmarked messages.

They know no WebRTC: signals that come are left unanswered. `OldPage` has links, like the page, and does with
what it hears what the page does (see ``old_page.html``). The metadata are those of the originals.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from chronoflux.mesh.link import Link


class OldClient:
    """One socket; `heard` is all that the server said, `id` what it said in its welcome."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []
        self.closed = False

    @property
    def id(self) -> str:
        """The id the server made up."""
        name: str = self.heard[0]["peerId"]
        return name

    async def join(self, room: str = "room1", **metadata: Any) -> None:
        """Enter a room."""
        await self.send(type="join-room", room=room, metadata=metadata)

    async def send(self, **message: Any) -> None:
        """Say something."""
        await self.socket.send(json.dumps(message))

    def of(self, kind: str) -> list[dict[str, Any]]:
        """What was heard of one type."""
        return [message for message in self.heard if message["type"] == kind]

    async def listen(self) -> None:
        """Hear until the socket is closed."""
        try:
            async for text in self.socket:
                self.heard.append(json.loads(text))
        except ConnectionClosed:
            pass  # cut
        self.closed = True


PAGE = {"nodeCount": 220, "version": "1.0"}
RUNNER = {"headless": True}


def bridge(name: str) -> dict[str, Any]:
    """What the bridge joins with that turns telemetry and broadcasts into thoughts and says nothing."""
    return {"nodeId": name, "bridge": True}


class P2PNode:
    """The bridge that publishes thoughts: one for each telemetry it hears, now and then one of its own."""

    def __init__(self, client: OldClient, name: str) -> None:
        self.client, self.name = client, name
        self.published: list[dict[str, Any]] = []

    async def join(self, room: str = "room1") -> None:
        """Enter a room."""
        await self.client.join(room, nodeId=self.name, p2p=True)

    async def publish(self, topic: str, payload: dict[str, Any], links: list[str]) -> None:
        """Broadcast a thought."""
        thought: dict[str, Any] = {
            "type": "thought/v1", "ts": int(time.time() * 1000), "topic": topic, "payload": payload,
            "links": links, "node": self.name,
        }  # fmt: skip
        text = json.dumps(thought, separators=(",", ":"), ensure_ascii=False)
        thought["cid"] = "bafy" + hashlib.sha256(text.encode()).hexdigest()[:32]
        thought["sig"] = hashlib.sha256((thought["cid"] + self.name).encode()).hexdigest()[:16]
        self.published.append(thought)
        await self.client.send(type="broadcast", data=thought)

    async def answer_telemetry(self) -> None:
        """Publish a thought for each telemetry heard so far that has none yet."""
        for message in self.client.of("telemetry")[len(self.published) :]:
            told = message["telemetry"]
            payload = {name: told.get(name, 0) for name in ("H", "tau", "nodes")}
            links = [thought["cid"] for thought in self.published[-3:]]
            await self.publish("metric:chrono", payload, links)


class OldPage:
    """The page, with real links: it applies each intent that comes over them, and no broadcast."""

    def __init__(self, client: OldClient) -> None:
        self.client = client
        self.links: dict[str, Link] = {}
        self.applied: list[float] = []
        """The x of each intent that was applied."""
        self._closed: list[Link] = []

    async def run(self) -> None:
        """Enter the room, and do what the server says, until cancelled."""
        await self.client.join(**PAGE)
        read = 0
        while True:
            for message in self.client.heard[read:]:
                self._take(message)
                read += 1
            await asyncio.sleep(0.01)

    def intent(self, x: float) -> None:
        """Tell all who are linked."""
        for link in self.links.values():
            link.send(json.dumps({"type": "intent", "intent": {"x": x, "y": 5, "E": 0.3, "sigma": 80}}))

    async def close(self) -> None:
        """End all links."""
        await asyncio.gather(*(link.close() for link in [*self.links.values(), *self._closed]))

    def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "room-peers", "peers": peers}:
                for peer in peers:
                    self._link(peer["id"], dials=True)
            case {"type": "peer-joined-room", "peerId": id_}:
                self._link(id_, dials=False)
            case {"type": "peer-left", "peerId": id_} if id_ in self.links:
                self._closed.append(self.links.pop(id_))
            case {"type": "signal", "from": id_, "signal": signal}:
                self._link(id_, dials=False)
                self.links[id_].feed(signal)

    def _link(self, id_: str, *, dials: bool) -> None:
        if id_ in self.links:
            return

        def signal(payload: dict[str, Any]) -> None:
            text = json.dumps({"type": "signal", "to": id_, "signal": payload})
            self._sending = asyncio.create_task(self.client.socket.send(text))

        def hear(link: Link, data: str | bytes) -> None:
            if (message := json.loads(data))["type"] == "intent":
                self.applied.append(message["intent"]["x"])

        def forget(link: Link) -> None:
            if self.links.get(id_) is link:
                self._closed.append(self.links.pop(id_))

        self.links[id_] = link = Link(
            dials=dials,
            send_signal=signal,
            on_open=lambda link: link.send('{"type": "state", "nodes": 220, "portal": false, "t": 0}'),
            on_message=hear,
            on_closed=forget,
        )
        link.start()


@asynccontextmanager
async def old_page(url: str) -> AsyncIterator[OldPage]:
    """A page in room1."""
    async with old_client(url) as client:
        page = OldPage(client)
        running = asyncio.create_task(page.run())
        try:
            yield page
        finally:
            running.cancel()
            await asyncio.wait([running])
            await page.close()


@asynccontextmanager
async def old_client(url: str, **options: Any) -> AsyncIterator[OldClient]:
    """A connected one, listening."""
    async with connect(url, **options) as socket:
        client = OldClient(socket)
        listening = asyncio.create_task(client.listen())
        try:
            yield client
        finally:
            await socket.close()
            await listening
