"""Sending to one client of the server: a bounded queue, and the task that empties it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Literal

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import State

STALLED = 40.0
"""Time in which a client must accept a message, s: as long as it may leave a ping unanswered."""
CLOSING = 2.0
"""Time limit of a closing handshake, s; then the socket is cut."""

MAX_BATCH = 65_536
"""Bytes collected for one client in one loop iteration before they are written at once."""

SendResult = Literal["queued", "dropped", "full"]


def text_frame(data: bytes) -> bytes:
    """Return the WebSocket frame of a server's text message: unmasked and uncompressed."""
    return Frame(Opcode.TEXT, data).serialize(mask=False)


class Outbox:
    """A queue of messages for a slow receiver, bounded in number and bytes.

    When it is full the oldest droppable messages are dropped; no other message is ever dropped.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._queue: deque[tuple[bytes, bool]] = deque()
        self._droppable = 0
        self.bytes: int = 0
        self.dropped: int = 0

    def __len__(self) -> int:
        """Return the number of queued messages."""
        return len(self._queue)

    def push(self, data: bytes, *, droppable: bool) -> SendResult:
        """Queue `data`. If it does not fit, return "dropped" if it is droppable, else "full"."""
        while not self._fits(data) and self._droppable:
            self._drop_oldest()
        if not self._fits(data):
            self.dropped += droppable
            return "dropped" if droppable else "full"
        self._queue.append((data, droppable))
        self._droppable += droppable
        self.bytes += len(data)
        return "queued"

    def pop(self) -> bytes | None:
        """Remove and return the oldest message, or None."""
        if not self._queue:
            return None
        data, droppable = self._queue.popleft()
        self._droppable -= droppable
        self.bytes -= len(data)
        return data

    def _fits(self, data: bytes) -> bool:
        return len(self._queue) < self._max_messages and self.bytes + len(data) <= self._max_bytes

    def _drop_oldest(self) -> None:
        index = next(i for i, (_, droppable) in enumerate(self._queue) if droppable)
        self.bytes -= len(self._queue[index][0])
        del self._queue[index]
        self._droppable -= 1
        self.dropped += 1


class Session:
    """A client's socket and the messages to be sent over it.

    Messages for a client that keeps up are written together at the end of the loop iteration. A server
    that falls behind therefore makes fewer writes, and catches up.
    """

    socket: ServerConnection
    outbox: Outbox

    def __init__(self, socket: ServerConnection, outbox: Outbox) -> None:
        self.socket, self.outbox = socket, outbox
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._wake = asyncio.Event()
        self._close_frame: tuple[int, str] | None = None

    def send(self, data: bytes, frame: bytes, *, droppable: bool) -> SendResult:
        """Send a message, or queue it behind messages that the client has not accepted yet. Never waits.

        `frame` is :func:`text_frame` of `data`, made once for all receivers.
        """
        transport = self.socket.transport
        if transport.is_closing() or self.socket.state is not State.OPEN:
            return "dropped"
        if not self.outbox and not transport.get_write_buffer_size():
            if not self._batch:
                asyncio.get_running_loop().call_soon(self._flush)
            self._batch.append(frame)
            self._batch_bytes += len(frame)
            if self._batch_bytes >= MAX_BATCH:
                self._flush()
            return "queued"
        result = self.outbox.push(data, droppable=droppable)
        self._wake.set()
        return result

    def _flush(self) -> None:
        """Write the frames of this loop iteration, unless the socket is closing."""
        frames, self._batch, self._batch_bytes = self._batch, [], 0
        if frames and self.socket.state is State.OPEN and not self.socket.transport.is_closing():
            self.socket.transport.write(b"".join(frames))

    def close(self, code: int, reason: str) -> None:
        """Close the socket after everything queued is sent."""
        self._close_frame = (code, reason)
        self._wake.set()

    def abort(self) -> None:
        """Cut the socket."""
        self.socket.transport.abort()

    async def write(self) -> None:
        """Send what is queued until the socket is closed. Cut a client that stops reading."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                self._flush()
                while (data := self.outbox.pop()) is not None:
                    async with asyncio.timeout(STALLED if self._close_frame is None else CLOSING):
                        await self.socket.send(data, text=True)
                if self._close_frame is not None:
                    await self._close_socket(*self._close_frame)
                    return
        except ConnectionClosed:
            pass  # the reader has seen it too, and says so to the lobby
        except TimeoutError:
            self.abort()

    async def _close_socket(self, code: int, reason: str) -> None:
        """Do the closing handshake. The library cuts a client that does not answer within `CLOSING`."""

        def hang_up() -> None:
            """Close the sending side, and discard what still arrives.

            Cutting a socket with unread input resets it, which may destroy data that the client has not read
            yet, here the reason of the close (RFC 6455, 7.1.1).
            """
            if self.socket.state is State.CLOSING and self.socket.transport.can_write_eof():
                self.socket.protocol.fail(code, reason)
                self.socket.send_data()

        hanging_up = asyncio.get_running_loop().call_later(CLOSING / 2, hang_up)
        try:
            async with asyncio.timeout(2 * CLOSING):
                await self.socket.close(code, reason)
        finally:
            hanging_up.cancel()
