"""`Room`: a node's membership in a room: the server, if hosted here, the client and the mesh."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import Any

from chronoflux.errors import SignalingError
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.ice import Ice
from chronoflux.mesh.mesh import Mesh
from chronoflux.mesh.participant import Participant
from chronoflux.mesh.peer import Light
from chronoflux.signal.client import SignalClient
from chronoflux.signal.server import DEFAULT_PORT, SignalServer

log: logging.Logger = logging.getLogger(__name__)

AUTO = "auto"
FIRST_ANSWER = 5.0  # s that joining waits for the first answer of the server


class Room:
    """A node's membership in a room. Call `enter`, `run` until cancelled, `leave`, and `close`."""

    def __init__(
        self,
        name: str,
        server: str,
        participant: Participant,
        clock: MeshClock,
        *,
        secret: bytes,
        token: str | None,
        metadata: dict[str, Any],
        ice: Ice,
    ) -> None:
        self._auto, self._token = server == AUTO, token
        self._hosted: SignalServer | None = None
        self._changed = asyncio.Event()
        self.mesh: Mesh
        self.client: SignalClient = SignalClient(
            f"ws://localhost:{DEFAULT_PORT}" if self._auto else server,
            room=name,
            metadata=metadata,
            secret=secret,
            token=token,
            on_message=lambda message: self.mesh.on_signaling(message),
            on_state=lambda client: self._changed.set(),
            add_recovery=lambda join: self.mesh.add_recovery(join),
        )
        self.mesh = Mesh(self.client, participant, clock, ice)

    async def enter(self) -> None:
        """With ``server="auto"``, start a server in this process unless one runs on this machine."""
        if self._auto and not await _answers("localhost", DEFAULT_PORT):
            server = SignalServer("127.0.0.1", DEFAULT_PORT, token=self._token)
            self._hosted = server  # from here on `close` ends it, even if the start fails halfway
            starting = asyncio.create_task(server.__aenter__(), name="server start")
            try:
                await asyncio.shield(starting)
            except asyncio.CancelledError:
                await asyncio.wait([starting])
                raise
            except SignalingError as error:
                self._hosted = None
                log.info("no server was started here: %s", error)  # another process was faster

    async def first_answer(self) -> None:
        """Wait until the server answers or the attempt fails, at most `FIRST_WORD` seconds.

        Raises
        ------
        SignalingError
            If the server refuses this node, so that a retry cannot help.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ANSWER):
                while self.client.state == "connecting":
                    self._changed.clear()
                    await self._changed.wait()
        if self.client.state == "refused":
            raise SignalingError(self.client.url, "refused", self.client.reason, fatal=True)
        if self.client.state != "joined":
            log.warning("not connected to a server yet: %s", self.client.reason)

    async def run(self) -> None:
        """Stay in the room until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.mesh.run(), name="mesh")
            if self._auto:
                tasks.create_task(self._keep_server(), name="server keeper")

    async def _keep_server(self) -> None:
        """Start a server here when the process that hosted it is gone."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.client.state == "waiting" and self._hosted is None:
                await asyncio.sleep(random.uniform(0.05, 0.5))  # random, so that not all nodes try at once
                await self.enter()

    async def leave(self, reason: str) -> None:
        """Say goodbye to the peers and leave the server."""
        await self.mesh.leave(reason)

    async def close(self) -> None:
        """Stop the server in this process, if there is one."""
        hosted, self._hosted = self._hosted, None
        if hosted is not None:
            await hosted.close()

    def connection(self) -> tuple[Light, str]:
        """Return how this node is connected: a status word, and a line of text for the user."""
        now = time.monotonic()
        peers = [peer for peer in self.mesh.peers.values() if peer.state != "gone"]
        ways = [peer.via(now) for peer in peers]
        client = self.client
        joined = client.state == "joined"
        where = f"at {client.url}" if joined else client.reason or client.state
        linked, relayed = ways.count("direct") + ways.count("turn"), ways.count("relay")
        served, connecting = ways.count("server"), ways.count("")
        counts = [
            (linked, "linked"),
            (relayed, "by relay"),
            (served, "by the server"),
            (connecting, "connecting"),
        ]
        words = ", ".join(f"{count} {word}" for count, word in counts if count)
        if linked or relayed:
            return ("linked" if linked else "relay"), f"{words}; {where}"
        if joined:
            return "server", f"{words or 'nobody else here'}; {where}"
        return "alone", f"alone: {where}"


async def _answers(host: str, port: int) -> bool:
    """Return whether a server listens at this address."""
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
