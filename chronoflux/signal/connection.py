"""The library's server connection with limits that hold from when it is accepted."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

from websockets.asyncio.server import ServerConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event

if TYPE_CHECKING:
    from chronoflux.signal.server import SignalServer

MAX_FRAMES = 1024
"""Most frames of one message."""
MAX_UNREAD = 1 << 20
"""Most bytes of the library's own answers (pongs) that may wait for a client that reads nothing."""


class LimitedConnection(ServerConnection):
    """A connection that is registered and counted from when it is accepted, before its handshake.

    It is cut when its client makes the library buffer without bound: by pings whose answers it does not
    read, or by a message of too many frames. ``cut_for`` then is "slow" or "pieces"; ``since`` is when it
    was accepted, by the loop's clock (s).
    """

    accepted: ClassVar[weakref.WeakSet[LimitedConnection]] = weakref.WeakSet()
    cut_for: str = ""
    _frames = 0

    def __init__(self, *arguments: Any, server: SignalServer, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._signal_server = server
        self.since: float = asyncio.get_running_loop().time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        LimitedConnection.accepted.add(self)
        super().connection_made(transport)
        self._signal_server.on_connection(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._signal_server.handshakes.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        unread = self.transport.get_write_buffer_size()
        super().data_received(data)
        if self.transport.get_write_buffer_size() > max(unread, MAX_UNREAD):
            self._cut("slow")

    def process_event(self, event: Event) -> None:
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            self._frames = 0 if event.fin else self._frames + 1
            if self._frames > MAX_FRAMES:
                self._cut("pieces")

    def _cut(self, code: str) -> None:
        self.cut_for = self.cut_for or code
        self.transport.abort()
