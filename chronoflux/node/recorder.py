"""`Recorder`: joins a room without a swarm and writes down what everybody in it says, into one folder."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chronoflux.errors import UsageError
from chronoflux.mesh.peer import PEER_COLUMNS, Peer
from chronoflux.mesh.spectator import visit
from chronoflux.node.identity import node_name
from chronoflux.node.lifecycle import Lifecycle
from chronoflux.node.options import RecorderOptions, init_takes
from chronoflux.node.room_log import RoomLog
from chronoflux.telemetry import RunLog

if TYPE_CHECKING:
    import pandas as pd

KIND = "recorder"
HEARD = ["name", "kind", "records", "events", "missed", "refused", "silent"]


class Recorder(Lifecycle):
    """A participant without a swarm: it hears everybody, says nothing, and is not coupled to.

    Made by :func:`chronoflux.join` with ``kind="recorder"``, which documents the arguments; or
    ``async with Recorder("room1", server=…) as recorder``. Its run folder holds the telemetry, the events and
    the clocks' offsets of all nodes: the column ``node`` of :func:`chronoflux.load` says whose a record is.
    """

    WHO = "recorder"
    kind: str
    room: str
    node_id: str
    token: str | None
    server: str
    log_dir: Path

    @init_takes(RecorderOptions)
    def __init__(self, options: RecorderOptions) -> None:
        super().__init__()
        assert options.server is not None  # as RecorderOptions has it
        self.kind, self.room, self.node_id = KIND, options.room, node_name(options.node_id, KIND)
        self.server, self.token, self.log_dir = options.server, options.token, Path(options.log_dir)
        self._ice = options.ice
        self._room_log: RoomLog | None = None
        self._opening: asyncio.Future[RunLog] | None = None

    async def _begin(self) -> None:
        self._opening = asyncio.get_running_loop().run_in_executor(None, self._open_log)
        self._log = await asyncio.shield(self._opening)
        self._room_log = RoomLog(self.node_id, self._log, self.clock, self._present, self._keep_alive)
        self._joined = visit(
            self.room, self.server, self._room_log, clock=self.clock, token=self.token, ice=self._ice
        )
        await self._joined.enter()

    def _open_log(self) -> RunLog:
        """Off the event loop, as is loading pandas for `peers` and `heard`, which are asked for on it."""
        importlib.import_module("pandas")
        return RunLog(
            self.log_dir,
            room=self.room,
            node=self.node_id,
            kind=self.kind,
            params=None,
            seed=None,
            schedule="none",
        )

    def _work(self) -> tuple[str, Coroutine[Any, Any, None]]:
        assert self._room_log is not None
        return "minutes", self._room_log.run()

    async def _end(self, reason: str) -> None:
        if self.closed:
            return
        self.closed = True
        if self._joined is not None:
            await self._joined.close()
        if self._opening is not None:
            await asyncio.wait([self._opening])
            if self._opening.exception() is None:
                self._log = self._opening.result()
        if self._log is not None:
            if self._room_log is not None:
                self._room_log.end(reason)
            await asyncio.to_thread(self._log.close)
        self._tell_closed()

    def note(self, text: str) -> None:
        """Put a remark of yours into the log; from any thread."""
        if self._room_log is None:
            raise UsageError(self.NOT_STARTED)
        self._room_log.note(str(text))

    @property
    def peers(self) -> pd.DataFrame:
        """Who is linked or about to be: see :attr:`chronoflux.node.node.Node.peers`."""
        import pandas as pd

        rows = [peer.row(None, self.clock.now()) for peer in self._present().values()]
        return pd.DataFrame(rows, columns=list(PEER_COLUMNS))

    @property
    def heard(self) -> pd.DataFrame:
        """Whom it took down: ``name``, ``kind``, how many ``records`` and ``events``, how many records were
        ``missed``, how much was ``refused``, and ``silent``, the seconds since the last record."""
        import pandas as pd

        speakers = self._room_log.speakers() if self._room_log else []
        now = time.monotonic()
        rows = [speaker.facts() | {"silent": now - speaker.heard} for speaker in speakers]
        return pd.DataFrame(rows, columns=HEARD)

    def _present(self) -> Mapping[str, Peer]:
        return self._joined.mesh.peers if self._joined is not None else {}

    def _keep_alive(self) -> None:
        if self._joined is not None:
            self._joined.mesh.keep_alive()
