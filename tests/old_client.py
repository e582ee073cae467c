"""A client as the first ChronoFlux's runner and bridges were: a WebSocket and the unmarked messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed


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
