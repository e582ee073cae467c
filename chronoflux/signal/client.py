"""The signaling client: joins a room on a server, reconnects, and reports why it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from chronoflux.errors import ProtocolError, SignalingError, UsageError, shorten
from chronoflux.signal.failures import connection_error, not_chronoflux
from chronoflux.signal.outbox import CLOSING, STALLED, Outbox
from chronoflux.signal.protocol import (
    ErrorMessage,
    JoinRoom,
    LeaveRoom,
    Message,
    RoomPeers,
    SendTelemetry,
    ServerInfo,
    ServerMessage,
    Unknown,
    Welcome,
    clean,
    decode_server,
    encode_bytes,
    peer_id,
    room_name,
)
from chronoflux.signal.proxy import proxy_for
from chronoflux.signal.validation import server_url
from chronoflux.version import VERSION

log: logging.Logger = logging.getLogger(__name__)
library_log: logging.Logger = logging.getLogger(f"{__name__}.websockets")
library_log.setLevel(logging.WARNING)  # at INFO it logs every connection

State = Literal["connecting", "joined", "waiting", "refused", "closed"]

FIRST_DELAY, LAST_DELAY = 0.5, 30.0
"""Shortest delay before a retry, and longest after many failures, s."""
QUICK_RETRIES = 2
"""Failures after which the retry delay begins to grow."""
STABLE_AFTER = 10.0
"""Time joined after which the count of failures restarts, s."""
ANSWER_TIMEOUT = 10.0
"""Time limit for the handshake, and for welcome and join together, s."""
PING_INTERVAL = 20.0
PING_TIMEOUT = 5.0
"""Time limit for the answer to a ping after :meth:`SignalClient.check_connection`, s."""
MAX_MESSAGE = 4 * 2**20
"""Longest message accepted from a server, bytes; room-peers of a full room fits."""
QUEUE_MESSAGES, QUEUE_BYTES = 512, 2 * 2**20


class SignalClient:
    """Keeps one node joined to one room of the server at `url`.

    The node's id is derived from `secret` (16 bytes); other peers see `metadata`. `on_message` is called
    with each message that arrives after the join was sent, `on_state` with this client whenever ``state``
    or ``reason`` changed. Both are called on the loop that runs :meth:`run` and must not block.
    `add_recovery` adds ``known``, ``hops`` and ``links`` to a `JoinRoom`, for a server that lost its memory.

    Raises
    ------
    UsageError
        If the URL, room, metadata, secret or token cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        room: str,
        metadata: dict[str, Any],
        secret: bytes,
        token: str | None = None,
        on_message: Callable[[ServerMessage], None],
        on_state: Callable[[SignalClient], None],
        add_recovery: Callable[[JoinRoom], JoinRoom] = lambda join: join,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.url: str = server_url(url)
        self.state: State = "connecting"
        self.reason: str = f"connecting to {self.url}"
        self.last_error: str = ""  # why the last attempt ended
        self.peer_id: str | None = None
        self.server: ServerInfo | None = None
        self.malformed: int = 0
        self.joins: int = 0  # number of joins; the first room-peers after each is complete
        if len(secret) != 16:
            raise UsageError(f"the secret has {len(secret)} bytes: it must have 16")
        try:
            self._join = JoinRoom(room=room_name(room), metadata=metadata, secret=secret.hex(), token=token)
            encode_bytes(self._join)
        except ProtocolError as error:
            raise UsageError(f"cannot join {shorten(room)}: {error.reason}") from None
        self.own_id: str = peer_id(secret)
        self._on_message, self._on_state, self._tls = on_message, on_state, tls
        self._add_recovery = add_recovery
        self._outbox = Outbox(QUEUE_MESSAGES, QUEUE_BYTES)
        self._to_send = asyncio.Event()
        self._check_requested = asyncio.Event()
        self._closing = asyncio.Event()
        self._ended = asyncio.Event()
        self._running = False
        self._joined_at: float | None = None
        self._proxy: str | None = None

    # --- what the owner calls -------------------------------------------------------------------

    async def run(self) -> None:
        """Stay connected and joined until :meth:`close`, cancellation or a fatal refusal.

        On return ``state`` is "refused" if a retry cannot help, else "closed".
        """
        if self._running:
            raise UsageError("this signaling client is running already")
        self._running = True
        failures = 0
        try:
            while not self._closing.is_set():
                self._set("connecting", f"connecting to {self.url}")
                error = await self._try_once()
                if error is None:
                    break
                self.last_error = str(error)
                if error.fatal:
                    self._set("refused", str(error))
                    return
                failures = 0 if self._was_stable() else failures + 1
                self._set("waiting", f"{self.last_error}; trying again")
                await self._pause(failures, error.retry_after)
            self._set("closed", "left")
        finally:
            if self.state not in ("refused", "closed"):
                self._set("closed", "stopped")
            self._ended.set()

    def send(self, message: Message) -> bool:
        """Queue a message. Return False if not joined, the queue is full, or it is too long or not JSON.

        Never waits and never raises. Telemetry is dropped first when the queue is full.
        """
        if self.state != "joined":
            return False
        try:
            data = encode_bytes(message)
        except ProtocolError as error:
            log.warning("not sent: %s", error)
            return False
        if self.server is not None and len(data) > self.server.limits.message:
            log.warning("not sent: a message of %d bytes exceeds the server's limit", len(data))
            return False
        result = self._outbox.push(data, droppable=isinstance(message, SendTelemetry))
        self._to_send.set()
        return result == "queued"

    def check_connection(self) -> None:
        """Check at once whether the server still answers, and reconnect if it does not.

        Without this call a dead path (a change of Wi-Fi, a machine that slept) is detected only by the next
        regular ping, after 20 to 40 s.
        """
        self._check_requested.set()

    async def close(self) -> None:
        """Leave the room and close the socket. Return when :meth:`run` has ended. Idempotent."""
        self._closing.set()
        if self._running:
            await self._ended.wait()
        else:
            self._set("closed", "left")

    # --- one connection -------------------------------------------------------------------------

    async def _try_once(self) -> SignalingError | None:
        """Hold one connection until it ends. Return why it ended, or None after :meth:`close`."""
        closing = asyncio.create_task(self._closing.wait(), name="signaling client closes")
        talking = asyncio.create_task(self._session(), name="signaling client talks")
        try:
            await asyncio.wait([closing, talking], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (closing, talking):
                task.cancel()
            await asyncio.wait([closing, talking])
        if self._closing.is_set() or talking.cancelled():
            return None
        proxy = self._proxy if self._joined_at is None else None
        return connection_error(self.url, talking.exception(), proxy, timeout=ANSWER_TIMEOUT)

    async def _session(self) -> None:
        """Connect, join and read until that fails. Always ends with an exception."""
        self._joined_at = None
        secure = urlsplit(self.url).scheme == "wss"
        self._proxy = proxy_for(self.url)
        line = await connect(
            self.url,
            compression=None,
            proxy=self._proxy,
            ssl=(self._tls or True) if secure else None,
            user_agent_header=f"chronoflux/{VERSION}",
            open_timeout=ANSWER_TIMEOUT,
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_INTERVAL,
            close_timeout=CLOSING,
            max_size=MAX_MESSAGE,
            logger=library_log,
        )
        tasks: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._send_join(line)
            self._check_requested.clear()
            tasks.append(asyncio.create_task(self._write(line), name="signaling client writes"))
            tasks.append(asyncio.create_task(self._ping_on_request(line), name="signaling client pings"))
            while True:
                self._on_raw_message(await line.recv(decode=False))
        finally:
            await self._disconnect(line, tasks)

    async def _send_join(self, line: ClientConnection) -> None:
        """Read the welcome and send the join. Return once joined."""
        welcome = await self._welcome(line)
        self.server = welcome.server
        join = self._join if self.server is None else self._add_recovery(self._join)
        await line.send(encode_bytes(join), text=True)
        if self.server is None:
            # A server without the extensions: it assigns our id, and does not report a failed join.
            self._on_joined(welcome.peer_id)
            return
        while self.state != "joined":
            self._on_raw_message(await line.recv(decode=False))

    async def _welcome(self, line: ClientConnection) -> Welcome:
        try:
            message = decode_server(await line.recv(decode=False))
        except ProtocolError:
            message = Unknown(kind="")
        if isinstance(message, ErrorMessage):
            raise self._refusal(message)
        if not isinstance(message, Welcome):
            raise not_chronoflux(self.url, "its first message is not a welcome")
        return message

    def _on_raw_message(self, raw: bytes) -> None:
        """Handle one message of the server, after the join was sent."""
        try:
            message = decode_server(raw)
        except ProtocolError as error:
            self.malformed += 1
            log.info("refused a message from the server: %s", error)
            return
        if isinstance(message, Unknown):
            return
        if isinstance(message, ErrorMessage) and (message.fatal or self.state != "joined"):
            raise self._refusal(message)
        if isinstance(message, RoomPeers) and self.state != "joined":
            self._on_joined(message.peer_id or self.own_id)
        try:
            self._on_message(message)
        except Exception:
            log.exception("handling a message of the signaling server failed")

    async def _write(self, line: ClientConnection) -> None:
        """Send what is queued. Cut the connection if the server stops reading."""
        try:
            while True:
                while (data := self._outbox.pop()) is not None:
                    async with asyncio.timeout(STALLED):
                        await line.send(data, text=True)
                self._to_send.clear()
                await self._to_send.wait()
        except ConnectionClosed:
            pass  # the reader has seen it too, and says why
        except TimeoutError:
            line.transport.abort()

    async def _ping_on_request(self, line: ClientConnection) -> None:
        """Ping the server after each :meth:`check_connection`. Cut the connection if it does not answer."""
        try:
            while True:
                await self._check_requested.wait()
                async with asyncio.timeout(PING_TIMEOUT):
                    await (await line.ping())
                self._check_requested.clear()
        except ConnectionClosed:
            pass  # the reader has seen it too, and says why
        except TimeoutError:
            line.transport.abort()

    async def _disconnect(self, line: ClientConnection, tasks: list[asyncio.Task[None]]) -> None:
        """Leave the room cleanly if the server responds, else cut the connection."""
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        try:
            async with asyncio.timeout(CLOSING):
                if self.state == "joined" and self._closing.is_set():
                    while (data := self._outbox.pop()) is not None:
                        await line.send(data, text=True)
                    if self.server is not None:
                        await line.send(encode_bytes(LeaveRoom()), text=True)
                await line.close()
        except (ConnectionClosed, TimeoutError):
            pass  # closed already, or not responding
        finally:
            line.transport.abort()

    # --- state ----------------------------------------------------------------------------------

    def _on_joined(self, own_id: str) -> None:
        while self._outbox.pop() is not None:
            pass  # left over from the previous connection
        self.peer_id = own_id
        self.joins += 1
        self._joined_at = asyncio.get_running_loop().time()
        self._set("joined", f"joined {clean(self._join.room)} on {self.url}")

    def _set(self, state: State, reason: str) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        self.state, self.reason = state, reason
        try:
            self._on_state(self)
        except Exception:
            log.exception("handling a change of the signaling client's state failed")

    def _was_stable(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._joined_at is not None and now - self._joined_at >= STABLE_AFTER

    async def _pause(self, failures: int, at_least: float) -> None:
        """Wait before the next attempt: exponential backoff with jitter.

        The first retries stay quick, because a restarting server is away for a second or two. `at_least` is
        the delay that the server asked for, s.
        """
        longest = min(LAST_DELAY, 2 * FIRST_DELAY * 2 ** min(max(0, failures - QUICK_RETRIES), 16))
        pause = min(at_least, LAST_DELAY) + random.uniform(FIRST_DELAY, longest)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._closing.wait()

    def _refusal(self, error: ErrorMessage) -> SignalingError:
        text = f"{self.url} refused: {error.message or error.code}"
        if error.code == "bad-token":
            text += " (give it as token=…, or --token-file)"
        after = 0.0 if error.retry_after is msgspec.UNSET else error.retry_after
        return SignalingError(self.url, error.code, text, fatal=error.fatal, retry_after=after)
