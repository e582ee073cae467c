"""`Link`: one WebRTC data channel to one peer. The only file that knows aiortc.

aiortc has no ICE restart and no rollback, so a link lives once: whoever dials offers, the other side
answers, and a link that broke is replaced by a new one. It gathers all its candidates before it offers
and takes those of the other side one by one.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import aioice.ice
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp

from chronoflux.errors import LinkError

log = logging.getLogger(__name__)

# Consent checks run every 5 s and six misses end a connection for good. Peers are watched by our own
# heartbeats, so links may outlive a cut or a suspended process and go on at once afterwards.
aioice.ice.CONSENT_FAILURES = 30

CONNECT_DEADLINE = 20.0  # s; under heavy loss connecting takes up to 11 s
TEAR_DOWN = 3.0  # s
MOST_CANDIDATES = 64  # in one description
END_OF_CANDIDATES = 5.0  # s after the last one; simple-peer never says that it has no more
MAX_MESSAGE = 256 * 1024  # bytes
HIGH_WATER = 256 * 1024  # bytes buffered in a channel above which perishable messages are dropped
INBOX = 64  # signals waiting for the owner task
CHANNEL = "chronoflux"
RT_CHANNEL = "chronoflux-rt"

State = Literal["connecting", "open", "closed"]


class Link:
    """One connection to one peer, from dialling to its end.

    Parameters
    ----------
    dials
        Whether this side makes the channel and the offer.
    send_signal
        Takes a payload (``{"type": "offer" | "answer", "sdp": …}``) to be delivered to the peer.
    on_open, on_message, on_closed
        Called on the event loop: when the channel opened, for each message (text or bytes), and once at
        the end. An exception in one of them is logged and goes no further.
    ice_servers
        Dictionaries with ``urls`` and, for TURN, ``username`` and ``credential``.
    """

    def __init__(
        self,
        *,
        dials: bool,
        send_signal: Callable[[dict[str, Any]], object],
        on_open: Callable[[Link], object],
        on_message: Callable[[Link, str | bytes], object],
        on_closed: Callable[[Link], object],
        ice_servers: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.dials = dials
        self.state: State = "connecting"
        self.reason = ""
        self._send_signal, self._on_open = send_signal, on_open
        self._on_message, self._on_closed = on_message, on_closed
        self._ice_servers = ice_servers
        self._channel: RTCDataChannel | None = None
        self._inbox: asyncio.Queue[dict[str, Any] | str | None] = asyncio.Queue(INBOX)
        self._end_timer: asyncio.TimerHandle | None = None
        self._opened = asyncio.Event()
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect; the task that owns the connection runs until it ended."""
        self._task = asyncio.create_task(self._run(), name="link")

    def feed(self, payload: dict[str, Any]) -> None:
        """Take a signal of the peer: an answer, a candidate, or the offer to answer."""
        try:
            self._inbox.put_nowait(payload)
        except asyncio.QueueFull:
            log.debug("link: a signal more than %d is waiting; dropped", INBOX)

    def send(self, text: str, *, perishable: bool = False) -> bool:
        """Send a message; False when the channel is not open, or full and the message worthless if late."""
        channel = self._channel
        if self.state != "open" or channel is None or channel.readyState != "open":
            return False
        if perishable and channel.bufferedAmount > HIGH_WATER:
            return False
        try:
            channel.send(text)
        except (ConnectionError, ValueError) as error:
            self._end(f"sending failed: {error}")
            return False
        return True

    async def close(self, reason: str = "closed here") -> None:
        """End the link and wait until its connection is torn down."""
        self._end(reason)
        if self._task is not None:
            await asyncio.wait([self._task])

    # -- the owner task ------------------------------------------------------------------------------

    async def _run(self) -> None:
        connection: RTCPeerConnection | None = None
        signals: asyncio.Task[None] | None = None
        try:
            servers = [RTCIceServer(**server) for server in self._ice_servers]
            connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
            connection.on("connectionstatechange", partial(self._watch, connection))
            connection.on("datachannel", self._adopt)
            signals = asyncio.create_task(self._signals(connection), name="link signals")
            signals.add_done_callback(self._signals_done)
            try:
                async with asyncio.timeout(CONNECT_DEADLINE):
                    await self._first(self._opened, self._ended)
            except TimeoutError:
                self._end(f"timed out: no connection after {CONNECT_DEADLINE:g} s{self._hint(connection)}")
            await self._ended.wait()
        except (TypeError, ValueError) as error:
            self._end(f"could not begin: {error}")
        finally:
            self._end("cancelled")
            if signals is not None:
                signals.cancel()
                await asyncio.wait([signals])
            if self._end_timer is not None:
                self._end_timer.cancel()
            if connection is not None:
                await self._tear_down(connection)
            self._guard(self._on_closed, self)

    @staticmethod
    async def _tear_down(connection: RTCPeerConnection) -> None:
        """Close, but not for ever: a close of aiortc's own that was cut short is never finished."""
        try:
            async with asyncio.timeout(TEAR_DOWN):
                await connection.close()
        except Exception:
            log.debug("link: closing failed", exc_info=True)

    @staticmethod
    async def _first(*events: asyncio.Event) -> None:
        waits = [asyncio.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)

    async def _signals(self, connection: RTCPeerConnection) -> None:
        """Do the offer and answer, then take the peer's signals one after the other."""
        if self.dials:
            self._adopt(connection.createDataChannel(CHANNEL))
            await connection.setLocalDescription(await connection.createOffer())
            self._say(connection)
        while True:
            payload = await self._inbox.get()
            try:
                await self._signal(connection, payload)
            except LinkError:
                raise
            except Exception as error:
                # Whatever aiortc's parsers make of a remote's text, it ends this link and nothing else.
                log.debug("link: bad signal", exc_info=True)
                raise LinkError(f"the peer's signal could not be used: {error!r}") from error

    async def _signal(self, connection: RTCPeerConnection, payload: dict[str, Any] | str | None) -> None:
        if payload is None:
            await connection.addIceCandidate(None)
            return
        assert isinstance(payload, dict)
        match payload.get("type"):
            case "offer" if not self.dials and connection.signalingState == "stable":
                await connection.setRemoteDescription(self._description(payload))
                await connection.setLocalDescription(await connection.createAnswer())
                self._say(connection)
                self._await_candidates()
            case "answer" if self.dials and connection.signalingState == "have-local-offer":
                await connection.setRemoteDescription(self._description(payload))
                self._await_candidates()
            case "candidate":
                await self._candidate(connection, payload.get("candidate"))
            case other:
                log.debug("link: a signal of type %.20r does not fit here", other)

    @staticmethod
    def _description(payload: dict[str, Any]) -> RTCSessionDescription:
        sdp = payload.get("sdp")
        if not isinstance(sdp, str):
            raise LinkError("the peer's description has no SDP text")
        if re.findall(r"^m=(\w+)", sdp, re.MULTILINE) != ["application"]:
            raise LinkError("the peer's description is not of one data channel and nothing else")
        if sdp.count("a=candidate") > MOST_CANDIDATES:
            raise LinkError(f"the peer's description has more than {MOST_CANDIDATES} candidates")
        return RTCSessionDescription(sdp=sdp, type=payload["type"])

    async def _candidate(self, connection: RTCPeerConnection, fields: Any) -> None:
        text = fields.get("candidate") if isinstance(fields, dict) else None
        if not isinstance(text, str) or not text.strip():
            return  # an empty one means that there are no more; the timer says so
        candidate = candidate_from_sdp(text.removeprefix("candidate:"))
        mid, index = fields.get("sdpMid"), fields.get("sdpMLineIndex")
        candidate.sdpMid = mid if isinstance(mid, str) else None
        candidate.sdpMLineIndex = index if isinstance(index, int) else 0
        await connection.addIceCandidate(candidate)
        self._await_candidates()

    def _await_candidates(self) -> None:
        if self._end_timer is not None:
            self._end_timer.cancel()
        loop = asyncio.get_running_loop()
        self._end_timer = loop.call_later(END_OF_CANDIDATES, self._no_more_candidates)

    def _no_more_candidates(self) -> None:
        if self.state == "connecting" and not self._inbox.full():
            self._inbox.put_nowait(None)

    def _say(self, connection: RTCPeerConnection) -> None:
        description = connection.localDescription
        self._send_signal({"type": description.type, "sdp": description.sdp})

    # -- what aiortc tells us ------------------------------------------------------------------------

    def _adopt(self, channel: RTCDataChannel) -> None:
        """Take the peer's (or our own) channel; listen at once, or its first messages are lost."""
        if self._channel is not None or channel.label == RT_CHANNEL:
            return
        self._channel = channel
        channel.on("message", self._message)
        channel.on("close", lambda: self._end("the peer closed the channel"))
        channel.on("error", lambda error: log.debug("link: channel error %r", error))
        channel.on("open", self._open)
        if channel.readyState == "open":
            self._open()

    def _open(self) -> None:
        if self.state == "connecting":
            self.state = "open"
            self._opened.set()
            self._guard(self._on_open, self)

    def _message(self, data: str | bytes) -> None:
        if self.state == "closed":
            return
        if len(data) > MAX_MESSAGE:
            self._end(f"the peer sent a message of {len(data)} bytes; {MAX_MESSAGE} are allowed")
            return
        self._guard(self._on_message, self, data)

    def _watch(self, connection: RTCPeerConnection) -> None:
        match connection.connectionState:
            case "failed":
                self._end(f"no route: no pair of addresses connected{self._hint(connection)}")
            case "closed":
                self._end("the connection was lost")

    def _signals_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end(str(error) if isinstance(error, LinkError) else f"could not connect: {error!r}")

    def _hint(self, connection: RTCPeerConnection) -> str:
        """What is odd about the candidates, for a person who asks why."""
        local = connection.localDescription
        turn = any("turn" in str(server.get("urls", "")) for server in self._ice_servers)
        refused = ""
        if turn and local is not None and "typ relay" not in local.sdp:
            refused = "; the TURN server gave no address: not reached, or its credentials are refused"
        for description, whose in (
            (local, "this machine has no network address"),
            (connection.remoteDescription, "the peer did not answer or has no network address"),
        ):
            if description is None or "a=candidate" not in description.sdp:
                return f" ({whose}{refused})"
        return f" (no path between the addresses of both sides{refused})"

    def _end(self, reason: str) -> None:
        if self.state != "closed":
            self.state, self.reason = "closed", reason
            self._ended.set()

    @staticmethod
    def _guard(callback: Callable[..., object], *arguments: object) -> None:
        """Call, and let nothing out: an exception in a handler would tear down aiortc's receiver."""
        try:
            callback(*arguments)
        except Exception:
            log.exception("link: a handler failed")
