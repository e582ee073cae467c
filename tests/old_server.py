"""A signaling server as the first ChronoFlux had it: it speaks the unmarked messages of the wire only.

Written apart from ours, on plain dictionaries, so that our client is tested against something else.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


class OldServer:
    """Rooms of sockets; ids are ``peer-1``, ``peer-2``, …; `heard` is all that clients said."""

    def __init__(self) -> None:
        self.url = ""
        self.heard: list[dict[str, Any]] = []
        self.rooms: dict[str, dict[str, ServerConnection]] = {}
        self._metadata: dict[str, Any] = {}
        self._count = 0

    async def serve(self, socket: ServerConnection) -> None:
        """One client."""
        self._count += 1
        me, room = f"peer-{self._count}", None
        await tell(socket, type="welcome", peerId=me, peers=[])
        try:
            async for text in socket:
                message = json.loads(text)
                self.heard.append(message)
                if message["type"] == "join-room":
                    await self._leave(me, room)
                    room = message["room"]
                    await self._join(me, room, socket, message["metadata"])
                elif room is not None:
                    await self._pass_on(me, room, message)
        except ConnectionClosed:
            pass  # it dropped
        finally:
            await self._leave(me, room)

    async def _join(self, me: str, room: str, socket: ServerConnection, metadata: Any) -> None:
        others = self.rooms.setdefault(room, {})
        self._metadata[me] = metadata
        peers = [{"id": other, "metadata": self._metadata[other]} for other in others]
        await tell(socket, type="room-peers", peers=peers)
        for other in others.values():
            await tell(other, type="peer-joined-room", peerId=me, metadata=metadata)
        others[me] = socket

    async def _leave(self, me: str, room: str | None) -> None:
        if room is None:
            return
        del self.rooms[room][me]
        for other in self.rooms[room].values():
            await tell(other, type="peer-left", peerId=me)

    async def _pass_on(self, me: str, room: str, message: dict[str, Any]) -> None:
        others = {name: socket for name, socket in self.rooms[room].items() if name != me}
        match message["type"]:
            case "signal":
                if message["to"] in others:
                    await tell(others[message["to"]], type="signal", signal=message["signal"], **{"from": me})
            case "broadcast":
                for other in others.values():
                    await tell(other, type="broadcast", data=message["data"], **{"from": me})
            case "telemetry":
                for other in others.values():
                    await tell(other, type="telemetry", telemetry=message["telemetry"], **{"from": me})


async def tell(socket: ServerConnection, **message: Any) -> None:
    """Send, unless the other side is just gone."""
    with suppress(ConnectionClosed):
        await socket.send(json.dumps(message))


@asynccontextmanager
async def old_server(port: int = 0) -> AsyncIterator[OldServer]:
    """A running one, on a free port unless told otherwise."""
    old = OldServer()
    async with serve(old.serve, "127.0.0.1", port) as server:
        old.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield old
