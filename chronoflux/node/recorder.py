"""`Recorder`: joins a room without a swarm and records its nodes, into one run folder."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.peer import PEER_COLUMNS, Peer
from chronoflux.mesh.spectator import visit
from chronoflux.node.identity import node_name
from chronoflux.node.lifecycle import Lifecycle, LifecycleMethods
from chronoflux.node.options import RecorderOptions, init_takes
from chronoflux.node.room_log import RoomLog
from chronoflux.telemetry import RunLog

if TYPE_CHECKING:
    import pandas as pd

KIND = "recorder"
HEARD = ["name", "kind", "records", "events", "missed", "refused", "silent"]


class Recorder(LifecycleMethods):
    """A participant without a swarm: it hears every node of the room, and none is coupled to it.

    Made by :func:`chronoflux.join` with ``kind="recorder"``, which documents the arguments; or
    ``async with Recorder("room1", server=…) as recorder``. Its run folder holds the telemetry, the events and
    the clock offsets of all nodes. The column ``node`` of :func:`chronoflux.load` names the node of a record.
    """

    kind: str
    room: str
    node_id: str
    token: str | None
    server: str
    log_dir: Path
    clock: MeshClock

    @init_takes(RecorderOptions)
    def __init__(self, options: RecorderOptions) -> None:
        assert options.server is not None  # RecorderOptions requires it
        self.kind, self.room, self.node_id = KIND, options.room, node_name(options.node_id, KIND)
        self.server, self.token, self.log_dir = options.server, options.token, Path(options.log_dir)
        self.clock = MeshClock()
        self._ice = options.ice
        self._room_log: RoomLog | None = None
        self._opening: asyncio.Future[RunLog] | None = None
        self._lifecycle = Lifecycle(
            self.room, self.node_id, "recorder", begin=self._begin, work=self._work, end=self._end
        )

    async def _begin(self) -> None:
        self._opening = asyncio.get_running_loop().run_in_executor(None, self._open_log)
        self._lifecycle.log = run_log = await asyncio.shield(self._opening)
        self._room_log = RoomLog(self.node_id, run_log, self.clock, self._present, self._keep_alive)
        session = visit(
            self.room, self.server, self._room_log, clock=self.clock, token=self.token, ice=self._ice
        )
        await self._lifecycle.enter(session)

    def _open_log(self) -> RunLog:
        """Open the log off the event loop; also import pandas, which `peers` and `heard` need on it."""
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

    async def _work(self) -> None:
        assert self._room_log is not None
        await self._room_log.run()

    async def _end(self, reason: str) -> None:
        if self._opening is None:
            return
        await asyncio.wait([self._opening])
        if self._opening.exception() is not None:
            return
        run_log = self._opening.result()
        self._lifecycle.log = run_log
        if self._room_log is not None:
            self._room_log.end(reason)
        await asyncio.to_thread(run_log.close)

    def note(self, text: str) -> None:
        """Write a remark into the log; from any thread."""
        if self._room_log is None:
            raise self._lifecycle.not_started
        self._room_log.note(str(text))

    @property
    def peers(self) -> pd.DataFrame:
        """The nodes that are linked or about to be: see :attr:`chronoflux.node.node.Node.peers`."""
        import pandas as pd

        rows = [peer.row(None, self.clock.now()) for peer in self._present().values()]
        return pd.DataFrame(rows, columns=list(PEER_COLUMNS))

    @property
    def heard(self) -> pd.DataFrame:
        """The nodes that were recorded: a DataFrame with one row per node.

        Columns: ``name``, ``kind``, ``records`` and ``events`` (how many), ``missed`` (records that never
        arrived), ``refused`` (invalid messages), ``silent`` (seconds since the last record).
        """
        import pandas as pd

        sources = self._room_log.sources() if self._room_log else []
        now = time.monotonic()
        rows = [source.metadata() | {"silent": now - source.heard} for source in sources]
        return pd.DataFrame(rows, columns=HEARD)

    def _present(self) -> Mapping[str, Peer]:
        session = self._lifecycle.session
        return session.mesh.peers if session is not None else {}

    def _keep_alive(self) -> None:
        if self._lifecycle.session is not None:
            self._lifecycle.session.mesh.keep_alive()
