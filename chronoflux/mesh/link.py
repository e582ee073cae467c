"""`Link`: one WebRTC connection to one peer.

Only this module, `sctp_limits` and `candidates` use aiortc. aiortc has no ICE restart and no rollback, so a
link is used once: the dialling side offers, the other side answers, and a broken link is replaced by a new
one. A link gathers all its candidates before it offers, and accepts those of the other side one by one.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
)

from chronoflux.errors import LinkError
from chronoflux.mesh import candidates, sctp_limits
from chronoflux.mesh.candidates import CandidateLimit
from chronoflux.mesh.ice import Ice
from chronoflux.mesh.library_errors import install
from chronoflux.mesh.messages import RT_CHANNEL
from chronoflux.mesh.sctp_limits import ice_connection
from chronoflux.util.token_bucket import Bucket

log: logging.Logger = logging.getLogger(__name__)

CONNECT_DEADLINE = 20.0  # s; under heavy loss connecting takes up to 11 s
TEAR_DOWN = 3.0  # s
GATHERING = 1.0  # s to wait for gathering to end; only STUN servers that do not answer take longer
END_OF_CANDIDATES = 5.0  # s after the last candidate; simple-peer never signals the end
# Buffered bytes above which droppable messages are dropped. All channels of a link share one FIFO queue. A
# short queue keeps the delay of events small, and the next values sent are the newest.
HIGH_WATER = 4 * 1024
PERISHABLE_HIGH_WATER = 512  # bytes, for perishable messages: a few fields and probes
MAX_BUFFERED = 4 * 1024 * 1024  # buffered bytes above which the link ends, because the peer does not read
RT_PACE = (100.0, 0.5)  # messages/s, and burst in s: the channel collapses when it is flooded
FLOOD_MESSAGES = (1000.0, 5.0)  # messages/s of a peer, and burst in s: this much is queued after a cut
FLOOD_BYTES = (2.0**20, 8.0)  # bytes/s of a peer, and burst in s
INBOX = 64  # most signals queued for the owner task
CHANNEL = "chronoflux"

NO_TURN = "the TURN server gives no address: it is not reached, or the credentials are wrong or expired"
DIRECT = Ice()
State = Literal["connecting", "open", "closed"]


class Link:
    """One connection to one peer, from dialling to its end. An instance connects once.

    Parameters
    ----------
    dials
        Whether this side creates the channel and makes the offer.
    send_signal
        Called with a payload (``{"type": "offer" | "answer", "sdp": …}``) that must be delivered to the peer.
    on_open, on_message, on_closed
        Called on the event loop: when the channel opened, for each message (text or bytes), and once at
        the end. Exceptions in them are logged and not propagated.
    ice
        STUN and TURN servers; by default none.

    ``dropped`` counts messages that were not sent because they would have been late.
    """

    def __init__(
        self,
        *,
        dials: bool,
        send_signal: Callable[[dict[str, Any]], object],
        on_open: Callable[[Link], object],
        on_message: Callable[[Link, str | bytes], object],
        on_closed: Callable[[Link], object],
        ice: Ice = DIRECT,
    ) -> None:
        self.dials = dials
        self.dropped: int = 0
        self.state: State = "connecting"
        self.reason: str = ""
        self._send_signal, self._on_open = send_signal, on_open
        self._on_message, self._on_closed = on_message, on_closed
        self._ice = ice
        self._connection: RTCPeerConnection | None = None
        self._channel: RTCDataChannel | None = None
        self._rt: RTCDataChannel | None = None
        now = time.monotonic()
        self._pace = Bucket(*RT_PACE, now)
        self._messages, self._bytes = Bucket(*FLOOD_MESSAGES, now), Bucket(*FLOOD_BYTES, now)
        self._inbox: asyncio.Queue[dict[str, Any] | str | None] = asyncio.Queue(INBOX)
        self._candidate_limit = CandidateLimit(candidates.MAX_TRIED)
        self._end_timer: asyncio.TimerHandle | None = None
        self._opened = asyncio.Event()
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._gathering: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task that owns the connection; it runs until the link ends."""
        install(asyncio.get_running_loop())
        self._task = asyncio.create_task(self._run(), name="link")

    def feed(self, payload: dict[str, Any]) -> None:
        """Queue a signal of the peer: an answer, a candidate, or the offer to be answered."""
        try:
            self._inbox.put_nowait(payload)
        except asyncio.QueueFull:
            log.debug("link: a signal more than %d is waiting; dropped", INBOX)

    def open_rt(self) -> None:
        """As the dialler, open the channel without retransmission. The peer's ``hello`` must list it.

        simple-peer would mistake a second channel for its own, so other peers must not get one.
        """
        if self.dials and self._rt is None and self.state == "open" and self._connection is not None:
            channel = self._connection.createDataChannel(RT_CHANNEL, ordered=False, maxRetransmits=0)
            self._adopt_rt(channel)

    def send(self, text: str, *, perishable: bool = False, droppable: bool = False) -> bool:
        """Send a message. Return False if the link is not open, or the message was dropped.

        A `perishable` message is worthless when late; it goes over the channel without retransmission if
        there is one. Perishable and `droppable` messages are dropped if too many bytes are buffered.
        """
        channel, high = self._channel, PERISHABLE_HIGH_WATER if perishable else HIGH_WATER
        if perishable and self._rt is not None and self._rt.readyState == "open":
            channel = self._rt
        if self.state != "open" or channel is None or channel.readyState != "open":
            return False
        if (perishable or droppable) and channel.bufferedAmount > high:
            self.dropped += 1
            return False
        if channel is self._rt and not self._pace.take(1, time.monotonic()):
            self.dropped += 1
            return False
        if channel.bufferedAmount > MAX_BUFFERED:
            self._end(f"the peer does not read: {MAX_BUFFERED >> 20} MiB are waiting for it")
            return False
        try:
            channel.send(text)
        except (ConnectionError, ValueError) as error:
            self._end(f"sending failed: {error}")
            return False
        return True

    @property
    def by_turn(self) -> bool:
        """Whether the link goes through a TURN server, of this side or of the peer."""
        if self._connection is None or self._connection.sctp is None:
            return False
        return candidates.by_turn(ice_connection(self._connection.sctp))

    async def close(self, reason: str = "closed here") -> None:
        """End the link and wait until its connection is closed."""
        self._end(reason)
        if self._task is not None:
            await asyncio.wait([self._task])

    # -- the owner task ------------------------------------------------------------------------------

    async def _run(self) -> None:
        connection: RTCPeerConnection | None = None
        signals: asyncio.Task[None] | None = None
        try:
            servers = [RTCIceServer(**server) for server in self._ice.servers]
            policy = RTCIceTransportPolicy.RELAY if self._ice.relay_only else RTCIceTransportPolicy.ALL
            connection = RTCPeerConnection(RTCConfiguration(servers, policy))
            self._connection = connection
            connection.on("connectionstatechange", partial(self._on_state, connection))
            connection.on("datachannel", self._adopt)
            signals = asyncio.create_task(self._signals(connection), name="link signals")
            signals.add_done_callback(self._signals_done)
            try:
                async with asyncio.timeout(CONNECT_DEADLINE):
                    await self._first_of(self._opened, self._ended)
            except TimeoutError:
                self._end(f"timed out: no connection after {CONNECT_DEADLINE:g} s ({self._hint(connection)})")
            await self._ended.wait()
        except (TypeError, ValueError) as error:
            self._end(f"could not start: {error}")
        finally:
            self._end("cancelled")
            if signals is not None:
                signals.cancel()
                await asyncio.wait([signals])
            await self._stop_gathering()
            if self._end_timer is not None:
                self._end_timer.cancel()
            if connection is not None:
                await self._tear_down(connection)
            self._call_safely(self._on_closed, self)

    async def _describe(self, connection: RTCPeerConnection, description: RTCSessionDescription) -> None:
        """Set the local description, which gathers addresses.

        Gathering is shielded from cancellation, because aioice would leak the sockets it has opened.
        """
        self._gathering = asyncio.create_task(
            connection.setLocalDescription(description), name="link gathering"
        )
        await asyncio.shield(self._gathering)
        assert connection.sctp is not None
        candidates.allow_fragmentation(ice_connection(connection.sctp))

    async def _stop_gathering(self) -> None:
        if self._gathering is not None:
            await asyncio.wait([self._gathering], timeout=GATHERING)
            self._gathering.cancel()
            await asyncio.gather(self._gathering, return_exceptions=True)

    @staticmethod
    async def _tear_down(connection: RTCPeerConnection) -> None:
        """Close within a time limit, because an interrupted close of aiortc never finishes."""
        try:
            async with asyncio.timeout(TEAR_DOWN):
                await connection.close()
        except Exception:
            log.debug("link: closing failed", exc_info=True)

    @staticmethod
    async def _first_of(*events: asyncio.Event) -> None:
        waits = [asyncio.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)

    async def _signals(self, connection: RTCPeerConnection) -> None:
        """Make the offer if this side dials, then process the peer's signals in order."""
        if self.dials:
            self._adopt(connection.createDataChannel(CHANNEL))
            self._bound(connection)
            await self._describe(connection, await connection.createOffer())
            self._send_description(connection)
        while True:
            payload = await self._inbox.get()
            try:
                await self._signal(connection, payload)
            except LinkError:
                raise
            except Exception as error:
                # An error of aiortc's parsers on a remote's text must end this link only.
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
                self._bound(connection)
                await self._describe(connection, await connection.createAnswer())
                self._send_description(connection)
                self._await_candidates()
            case "answer" if self.dials and connection.signalingState == "have-local-offer":
                await connection.setRemoteDescription(self._description(payload))
                self._await_candidates()
            case "candidate":
                await self._candidate(connection, payload.get("candidate"))
            case other:
                log.debug("link: a signal of type %.20r does not fit here", other)

    def _description(self, payload: dict[str, Any]) -> RTCSessionDescription:
        sdp = payload.get("sdp")
        if not isinstance(sdp, str):
            raise LinkError("the peer's description has no SDP text")
        if re.findall(r"^m=(\w+)", sdp, re.MULTILINE) != ["application"]:
            raise LinkError("the peer's description is not of one data channel and nothing else")
        return RTCSessionDescription(sdp=self._candidate_limit.trim(sdp), type=payload["type"])

    async def _candidate(self, connection: RTCPeerConnection, fields: Any) -> None:
        text = fields.get("candidate") if isinstance(fields, dict) else None
        if not isinstance(text, str) or not text.strip():
            return  # an empty one marks the end, which the timer handles
        candidate = candidates.parse(text)
        if not self._candidate_limit.take(candidate):
            return
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

    def _bound(self, connection: RTCPeerConnection) -> None:
        assert connection.sctp is not None
        sctp_limits.bound(connection.sctp, self._end)
        candidates.limit_pairs(ice_connection(connection.sctp))

    def _send_description(self, connection: RTCPeerConnection) -> None:
        description = connection.localDescription
        if "a=candidate" not in description.sdp:
            raise LinkError(f"no candidates: {self._hint(connection)}")
        sdp = CandidateLimit(candidates.MAX_SENT).trim(description.sdp)
        self._send_signal({"type": description.type, "sdp": sdp})

    # -- callbacks of aiortc -------------------------------------------------------------------------

    def _adopt(self, channel: RTCDataChannel) -> None:
        """Adopt the peer's or our own channel. Register handlers at once, or its first messages are lost."""
        if channel.label == RT_CHANNEL and self._channel is not None and self._rt is None:
            self._adopt_rt(channel)
        if channel.label == RT_CHANNEL or self._channel is not None:
            return
        self._channel = channel
        channel.on("message", self._message)
        channel.on("close", lambda: self._end("the peer closed the channel"))
        channel.on("error", lambda error: log.debug("link: channel error %r", error))
        channel.on("open", self._open)
        if channel.readyState == "open":
            self._open()

    def _adopt_rt(self, channel: RTCDataChannel) -> None:
        self._rt = channel
        channel.on("message", self._message)
        channel.on("error", lambda error: log.debug("link: channel error %r", error))

    def _open(self) -> None:
        if self.state == "connecting":
            self.state = "open"
            self._opened.set()
            self._call_safely(self._on_open, self)

    def _message(self, data: str | bytes) -> None:
        if self.state == "closed":
            return
        now = time.monotonic()
        if not (self._messages.take(1, now) and self._bytes.take(len(data), now)):
            limits = f"{FLOOD_MESSAGES[0]:g} messages or {FLOOD_BYTES[0]:.0f} bytes a second"
            self._end(f"the peer sends more than {limits}")
            return
        self._call_safely(self._on_message, self, data)

    def _on_state(self, connection: RTCPeerConnection) -> None:
        match connection.connectionState:
            case "failed" if self.state == "connecting" and connection.iceConnectionState == "completed":
                self._end("refused: the peer is not the one that was signalled, or does not speak DTLS")
            case "failed" if self.state == "connecting":
                self._end(f"no route: no pair of addresses connected ({self._hint(connection)})")
            case "failed" | "closed":
                self._end("the connection was lost")

    def _signals_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end(str(error) if isinstance(error, LinkError) else f"could not connect: {error!r}")

    def _hint(self, connection: RTCPeerConnection) -> str:
        """Return the probable reason why the link does not connect, from the candidates."""
        ours, theirs = (
            None if description is None else description.sdp
            for description in (connection.localDescription, connection.remoteDescription)
        )
        turn = "turn" in str([server["urls"] for server in self._ice.servers])
        if self._ice.relay_only and not turn:
            return "only a TURN server may connect the two, and none is known"
        refused = turn and ours is not None and "typ relay" not in ours
        if self._ice.relay_only and refused:
            return NO_TURN
        if ours is None or "a=candidate" not in ours:
            odd = "this machine has no network address"
        elif theirs is None:
            odd = "the peer did not answer"
        elif "a=candidate" not in theirs:
            odd = "the peer has no network address"
        else:
            odd = "no route between the addresses of both sides"
        return f"{odd}; {NO_TURN}" if refused else odd

    def _end(self, reason: str) -> None:
        if self.state != "closed":
            self.state, self.reason = "closed", reason
            self._ended.set()

    @staticmethod
    def _call_safely(callback: Callable[..., object], *arguments: object) -> None:
        """Call a handler and log its exceptions, which would otherwise stop aiortc's receiver."""
        try:
            callback(*arguments)
        except Exception:
            log.exception("link: a handler failed")
