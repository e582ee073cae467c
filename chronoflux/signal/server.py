"""The signaling server: sockets, timers and HTTP around a :class:`~chronoflux.signal.lobby.Lobby`."""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import logging
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from socket import gethostname
from types import TracebackType
from typing import Any, Self, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from chronoflux.errors import SignalingError, UsageError
from chronoflux.page.files import PageFiles
from chronoflux.signal import addresses, network
from chronoflux.signal.access import Access
from chronoflux.signal.connection import LimitedConnection
from chronoflux.signal.handshake_limits import HandshakeLimit
from chronoflux.signal.limits import Limits
from chronoflux.signal.lobby import Action, Lobby
from chronoflux.signal.member import Send
from chronoflux.signal.outbox import CLOSING, Outbox, Session, text_frame
from chronoflux.signal.protocol import Telemetry, encode_bytes, kind_of
from chronoflux.signal.topology import Topology
from chronoflux.signal.turn import Turn
from chronoflux.version import VERSION

log: logging.Logger = logging.getLogger(__name__)
library_log: logging.Logger = logging.getLogger(f"{__name__}.websockets")
library_log.setLevel(logging.WARNING)  # at INFO it logs every connection

DEFAULT_PORT = 8089
PING_INTERVAL = 20.0
"""Interval of pings, and time limit for their answer, s."""
MAX_SLEEP = 0.25
"""Longest sleep of the timekeeper, s."""
FAIRNESS = 32
"""Messages read from one socket before other tasks run."""
CUT_FACTOR = 4
"""A message longer than this many times the limit is not read, and its socket is closed."""


class SignalServer:
    """A signaling server in the running event loop: ``async with SignalServer() as server: …``.

    Port 0 takes any free port. Without a `token` everybody may join. Web pages of other sites are refused
    unless they are among `origins`; `host_names` are further names under which browsers reach this server
    (see :class:`~chronoflux.signal.access.Access`). With `tls` it speaks ``wss``. `turn` makes TURN
    credentials. `topology` is the rule that links the members of a room. Clients behind `trusted_proxies`
    (addresses or networks) are identified by their forwarded address. The limits on the places, joins and
    tokens of an address do not apply to `exempt` addresses or networks. With `page` browsers that open the
    server's address get a node of their own, a page.

    Raises
    ------
    UsageError
        If an argument cannot be used.
    SignalingError
        On entering, with code ``"port-taken"`` or ``"cannot-listen"``.
    """

    host: str

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        *,
        token: str | None = None,
        origins: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
        turn: Turn | None = None,
        topology: Topology | None = None,
        trusted_proxies: Sequence[str] = (),
        host_names: Sequence[str] = (),
        exempt: Sequence[str] = (),
        limits: Limits | None = None,
        page: bool = True,
    ) -> None:
        if token is not None and not (token.strip() and token.isprintable() and len(token) <= 1024):
            raise UsageError("the token must be 1 to 1024 printable characters")
        if not 0 <= port <= 65_535:
            raise UsageError(f"port {port} is not valid: give 0 to 65535")
        self.host, self._port = host, port
        self.limits: Limits = limits or Limits()
        self.lobby: Lobby = Lobby(self.limits, token=token, turn=turn, topology=topology)
        self.has_token: bool = token is not None
        self.sent: Counter[str] = Counter()
        self.sent_bytes: Counter[str] = Counter()
        self._dropped = 0
        self.lag: float = 0.0
        self._tls = tls
        named = [] if network.is_wildcard(host) or network.is_address(host) else [host]
        self._access = Access(
            origins=origins, host_names=[*host_names, *named], own_name=gethostname(), tls=tls is not None
        )
        self._trusted = network.parse_networks(trusted_proxies)
        self._exempt = network.parse_networks(exempt)
        self._pages = PageFiles() if page else None
        self.handshakes: HandshakeLimit[ServerConnection] = HandshakeLimit(
            self.limits.connections, self.limits.per_address
        )
        self._numbers = itertools.count(1)
        self._sessions: dict[int, Session] = {}
        self._server: Server | None = None
        self._timekeeper: asyncio.Task[None] | None = None
        self._epoch = 0.0

    # --- life -----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._epoch = time.time() - asyncio.get_running_loop().time()
        self.lobby.set_started(self._now())
        tls: dict[str, Any] = {}
        if self._tls is not None:
            tls = {"ssl": self._tls, "ssl_handshake_timeout": 2 * CLOSING}
        try:
            self._server = await serve(
                self._serve,
                self.host,
                self._port,
                compression=None,
                create_connection=cast("type[ServerConnection]", partial(LimitedConnection, server=self)),
                process_request=self._http,
                server_header=None,
                open_timeout=self.limits.join,
                ping_interval=PING_INTERVAL,
                ping_timeout=PING_INTERVAL,
                close_timeout=CLOSING,
                max_size=CUT_FACTOR * self.limits.message,
                logger=library_log,
                **tls,
            )
        except OSError as error:
            raise self._cannot_listen(error) from error
        self._timekeeper = asyncio.create_task(self._keep_time(), name="signaling timekeeper")
        self._timekeeper.add_done_callback(_log_failure)
        log.info("signaling server listens on %s", self.url)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def serve_forever(self) -> None:
        """Serve until :meth:`close` is called elsewhere. An error that stops the server is raised."""
        if self._timekeeper is None:
            raise UsageError("the server is not running: use it in `async with`")
        await asyncio.wait([self._timekeeper])
        if not self._timekeeper.cancelled():
            self._timekeeper.result()

    async def close(self) -> None:
        """Tell all clients, close all sockets within 5 s, and stop. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close(close_connections=False)
        self._perform(self.lobby.close())
        try:
            if server.handler_tasks:
                await asyncio.wait(list(server.handler_tasks), timeout=CLOSING)
        finally:
            if self._timekeeper is not None:
                self._timekeeper.cancel()
            for socket in list(LimitedConnection.accepted):
                if socket.server is server:
                    socket.transport.abort()
            await server.wait_closed()

    @property
    def port(self) -> int:
        """The port that the server listens on, also if the system chose it."""
        if self._server is not None:
            self._port = next(iter(self._server.sockets)).getsockname()[1]
        return self._port

    @property
    def url(self) -> str:
        """The URL at which this machine reaches the server."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return self._url(host)

    @property
    def public_urls(self) -> list[str]:
        """URLs for other machines, most likely first; empty on loopback or without a network."""
        if network.is_loopback(self.host):
            return []
        if not network.is_wildcard(self.host):
            return [self._url(self.host)]
        found = addresses.best(use_ipv4=self.host != "::", use_ipv6=self.host != "0.0.0.0")
        return [self._url(address) for address in found]

    @property
    def waiting(self) -> list[tuple[int, int]]:
        """Number and bytes of queued messages, for each client."""
        return [(len(session.outbox), session.outbox.bytes) for session in self._sessions.values()]

    @property
    def telemetry_dropped(self) -> int:
        """The number of telemetry messages dropped because their receiver was slow."""
        return self._dropped + sum(session.outbox.dropped for session in self._sessions.values())

    # --- sockets --------------------------------------------------------------------------------

    def on_connection(self, socket: LimitedConnection) -> None:
        """Register an accepted socket before its handshake. Beyond the limit the oldest one is cut."""
        evicted = self.handshakes.add(socket, network.limit_key(self._client(socket)))
        if evicted is not None:
            self.lobby.counts.refused["half-open"] += 1
            evicted.transport.abort()

    async def _serve(self, socket: ServerConnection) -> None:
        """Serve one client from the end of its handshake until it disconnects."""
        self.handshakes.remove(socket)
        number = next(self._numbers)
        outbox = Outbox(self.limits.queue_messages, self.limits.queue_bytes)
        session = self._sessions[number] = Session(socket, outbox)
        writer = asyncio.create_task(session.write(), name=f"signaling writer {number}")
        clean = False
        try:
            since = self._epoch + cast(LimitedConnection, socket).since
            client = self._client(socket)
            address, exempt = network.limit_key(client), network.is_within(client, self._exempt)
            self._perform(self.lobby.connect(number, address, self._now(), since, exempt=exempt))
            clean = await self._read(number, socket)
        finally:
            del self._sessions[number]
            self._dropped += outbox.dropped
            if isinstance(socket, LimitedConnection) and socket.cut_for:
                self.lobby.counts.refused[socket.cut_for] += 1
            self._perform(self.lobby.disconnect(number, self._now(), clean=clean))
            writer.cancel()
            await asyncio.wait([writer])

    async def _read(self, number: int, socket: ServerConnection) -> bool:
        """Pass messages to the lobby until the socket closes. Return whether the client closed it cleanly."""
        try:
            for count in itertools.count(1):
                raw = await socket.recv(decode=False)
                self._perform(self.lobby.receive(number, raw, self._now()))
                if count % FAIRNESS == 0:
                    await asyncio.sleep(0)
        except ConnectionClosed as closed:
            by_client = closed.rcvd is not None and bool(closed.rcvd_then_sent)
            return by_client and closed.rcvd is not None and closed.rcvd.code in (1000, 1001, 1005)
        return False

    def _perform(self, actions: Sequence[Action]) -> None:
        """Perform the actions of the lobby. Never waits."""
        for action in actions:
            if isinstance(action, Send):
                self._send(action)
            elif session := self._sessions.get(action.connection):
                session.close(action.code, action.reason)

    def _send(self, action: Send) -> None:
        data, kind = encode_bytes(action.message), kind_of(action.message)
        frame, droppable = text_frame(data), isinstance(action.message, Telemetry)
        for number in action.to:
            session = self._sessions.get(number)
            if session is None:
                continue
            result = session.send(data, frame, droppable=droppable)
            if result == "queued":
                self.sent[kind] += 1
                self.sent_bytes[kind] += len(data)
            elif result == "full":
                self.lobby.counts.refused["slow"] += 1
                log.info("closed the connection of a client that does not read its messages")
                session.abort()

    async def _keep_time(self) -> None:
        """Call :meth:`Lobby.tick` when it is due, and measure the lag of the event loop."""
        loop = asyncio.get_running_loop()
        while True:
            due = self.lobby.due()
            delay = MAX_SLEEP if due is None else min(MAX_SLEEP, max(0.0, due - self._now()))
            asleep = loop.time()
            await asyncio.sleep(delay)
            self.lag = max(0.0, loop.time() - asleep - delay)
            self._perform(self.lobby.tick(self._now()))

    # --- HTTP -----------------------------------------------------------------------------------

    def _http(self, socket: ServerConnection, request: Request) -> Response | None:
        """Answer plain HTTP. Return None to let a WebSocket handshake proceed."""
        websocket = "Upgrade" in request.headers
        if refused := self._access.refusal(
            hosts=request.headers.get_all("Host"),
            origins=request.headers.get_all("Origin"),
            websocket=websocket,
        ):
            self.lobby.counts.refused[refused.code] += 1
            return socket.respond(HTTPStatus.FORBIDDEN, refused.text + "\n")
        if websocket:
            return None
        if request.method not in ("GET", "HEAD"):
            return socket.respond(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are allowed.\n")
        path = request.path.partition("?")[0]
        if (page := self._page_file(path, request)) is not None:
            return page
        if path == "/healthz":
            response = socket.respond(HTTPStatus.OK, json.dumps(self.health()) + "\n")
            _set_type(response, "application/json")
        elif path == "/metrics":
            from chronoflux.signal.metrics import exposition  # imported only by servers that are monitored

            response = socket.respond(HTTPStatus.OK, exposition(self).decode())
            _set_type(response, "text/plain; version=0.0.4; charset=utf-8")
        elif path == "/":
            response = socket.respond(HTTPStatus.OK, self._about())
        else:
            response = socket.respond(
                HTTPStatus.NOT_FOUND, "Not found. Available: /, /healthz and /metrics.\n"
            )
        if request.method == "HEAD":
            response.body = b""
        return response

    def _page_file(self, path: str, request: Request) -> Response | None:
        """Return a file of the browser's node; at ``/`` only to browsers."""
        if not self._pages or (path == "/" and "text/html" not in request.headers.get("Accept", "")):
            return None
        if (file := self._pages.get(path)) is None:
            return None
        headers = Headers(file.headers(request.headers["Host"]))
        if file.etag in request.headers.get("If-None-Match", ""):
            return Response(HTTPStatus.NOT_MODIFIED, "Not Modified", headers, b"")
        return Response(HTTPStatus.OK, "OK", headers, b"" if request.method == "HEAD" else file.body)

    def health(self) -> dict[str, object]:
        """Return the content of ``/healthz``."""
        return {
            "status": "ok",
            "service": "chronoflux-signal",
            "version": VERSION,
            "connections": self.lobby.connections,
            "rooms": len(self.lobby.rooms),
        }

    def _about(self) -> str:
        return (
            f"ChronoFlux signaling server {VERSION}.\n"
            f'Join from a notebook: await cf.join("room1", server="{[*self.public_urls, self.url][0]}")\n'
            "Health: /healthz  Metrics: /metrics\n"
        )

    # --- helpers --------------------------------------------------------------------------------

    def _now(self) -> float:
        """Return Unix time (s) at the start plus the time since by the loop's clock: never backwards."""
        return self._epoch + asyncio.get_running_loop().time()

    def _url(self, host: str) -> str:
        scheme = "ws" if self._tls is None else "wss"
        return f"{scheme}://{network.in_url(host)}:{self.port}"

    def _client(self, socket: ServerConnection) -> network.Address | None:
        remote = socket.remote_address
        # Before its handshake a socket has no request; behind a proxy only the proxy's address is known.
        forwarded = socket.request.headers.get_all("X-Forwarded-For") if socket.request else []
        return network.client_address(remote[0] if remote else "", forwarded, self._trusted)

    def _cannot_listen(self, error: OSError) -> SignalingError:
        where = f"port {self._port} on {self.host or 'all interfaces'}"
        if error.errno == errno.EADDRINUSE:
            remedy = "is in use: stop what listens there, or choose another with --port"
            return SignalingError(self.url, "port-taken", f"{where} {remedy}")
        text = f"cannot listen on {where}: {error.strerror or error}"
        return SignalingError(self.url, "cannot-listen", text, fatal=True)


def _set_type(response: Response, content_type: str) -> None:
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = content_type


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the signaling server's timekeeper failed", exc_info=error)
