"""`Node`: a simulation, its part in a room, and a log, on one event loop."""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import os
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chronoflux.errors import UsageError, shorten
from chronoflux.mesh import messages
from chronoflux.mesh.clock import MeshClock, utc_ms
from chronoflux.mesh.peer import PEER_COLUMNS
from chronoflux.model.events import World
from chronoflux.model.params import Params
from chronoflux.node.controls import EVENT_RATE, NodeControls
from chronoflux.node.identity import node_name
from chronoflux.node.lifecycle import NodeStatus
from chronoflux.node.options import NodeOptions, init_takes
from chronoflux.node.pacing import FullSpeed, Pace, RealTime
from chronoflux.node.room_adapter import RoomAdapter
from chronoflux.node.run_setup import RunSetup
from chronoflux.node.runner import Runner
from chronoflux.notebook.kernel import in_notebook
from chronoflux.notebook.progress_bar import watch
from chronoflux.telemetry import RunLog
from chronoflux.util.token_bucket import Bucket
from chronoflux.util.views import Viewable
from chronoflux.version import VERSION

if TYPE_CHECKING:
    import pandas as pd

log: logging.Logger = logging.getLogger(__name__)
PATIENCE = 5.0  # s before a word is said about what takes so long


class Node(NodeControls, Viewable):
    """One participant: a swarm, its room and its log.

    Made by :func:`chronoflux.join`, which documents the arguments; or ``async with Node("room1") as node``.
    Every public method may be called from any thread.

    Examples
    --------
    >>> import asyncio
    >>> import chronoflux as cf
    >>> async def main():
    ...     async with cf.Node("lab", server=None, params=cf.Params(oscillators=60), seed=1) as node:
    ...         node.params = node.params.replace(kappa=2.0)
    ...         return node.room, node.params.kappa
    >>> asyncio.run(main())
    ('lab', 2.0)
    """

    room: str
    node_id: str
    kind: str
    seed: int
    token: str | None
    log_dir: Path
    _VIEW = "node"

    @init_takes(NodeOptions)
    def __init__(self, options: NodeOptions) -> None:
        self._run = RunSetup(options)
        options = self._run.options
        self.seed = self._run.seed
        super().__init__(server=options.server, seed=self.seed, speed=options.speed)
        self.kind = options.kind or ("notebook" if in_notebook() else "headless")
        self.room, self.node_id = options.room, node_name(options.node_id, self.kind)
        self.token, self.log_dir = options.token, Path(options.log_dir)
        self._duration, self._snapshots, self._ice = options.duration, options.snapshots, options.ice
        self._secret = os.urandom(16)
        if self._speed == "max":
            self.clock: MeshClock = MeshClock(self._swarm_time, self._swarm_time)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="chronoflux")

    # -- life ------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Make the swarm and its log, join the room."""
        loop = asyncio.get_running_loop()
        if not self._run.resumes:
            await loop.run_in_executor(self._worker, self._open_log)
        building = loop.run_in_executor(self._worker, self._run.build)
        if not (await asyncio.wait([building], timeout=PATIENCE))[0]:
            log.warning("loading the kernels, or compiling them (once on this machine): up to a minute")
        simulation = await building
        resumed = await loop.run_in_executor(self._worker, self._go_on) if self._run.resumes else None
        assert self._log is not None
        self._room_adapter = RoomAdapter(
            self.node_id,
            self.kind,
            self.clock,
            self._log,
            world=lambda: self.world,
            fire=self.fire,
            change=self._change,
        )
        self._runner = self._room_adapter.runner = Runner(
            simulation,
            self._log,
            self.clock,
            self._room_adapter,
            self._worker,
            schedule=self._run.schedule,
            pace=self._pace(self._log),
            duration=self._duration,
            snapshots=self._snapshots,
        )
        self._rate = Bucket(*EVENT_RATE, self._seconds())
        if self.server is not None:
            await self._enter(self._room_adapter)
        self._runner.begin(resumed, owed=self._run.owed)
        for action in self._run.left:
            self._room_adapter.on_scheduled(action)

    def _open_log(self) -> None:
        """On the worker, which `_end` waits for: so a start that is interrupted leaves no open log."""
        who = {"room": self.room, "node": self.node_id, "kind": self.kind}
        self._log = self._run.new_log(self.log_dir, **who, speed=self._speed)

    def _go_on(self) -> dict[str, Any]:
        """On the worker: open the log of the run that goes on."""
        self._log = self._run.old_log()
        return self._run.go_on(self._log)

    def _pace(self, log: RunLog) -> Pace:
        return FullSpeed(log) if self._speed == "max" else RealTime(self.clock, self._speed, self.node_id)

    def _swarm_time(self) -> float:
        """Mesh time at full speed, ms: what passed in the swarm since it was made."""
        at = self._runner.mesh_time if self._runner is not None else math.nan
        return utc_ms() if math.isnan(at) else at

    async def _enter(self, room_adapter: RoomAdapter) -> None:
        """Make this node's part in the room; with ``server="auto"`` also the server if nobody has one."""
        # Half a second of imports (aiortc, PyAV) that a node on its own never needs, off the loop.
        module = await asyncio.to_thread(importlib.import_module, "chronoflux.mesh.room_session")
        assert self.server is not None
        self._joined = module.Room(
            self.room,
            self.server,
            room_adapter,
            self.clock,
            secret=self._secret,
            token=self.token,
            metadata=messages.metadata(self.node_id, self.kind, self._run.params, VERSION),
            ice=self._ice,
        )
        room_adapter.mesh = self._joined.mesh
        await self._joined.enter()

    def _work(self) -> tuple[str, Coroutine[Any, Any, None]]:
        assert self._runner is not None
        return "runner", self._swarm(self._runner)

    async def _swarm(self, runner: Runner) -> None:
        """Run the swarm; when its time is over, the node leaves."""
        await runner.run()
        self._reason = "the time is over"
        self._leaving.set()

    async def _end(self, reason: str) -> None:
        """Close what is open, once; the log last."""
        if self.closed:
            return
        self.closed = True
        if self._joined is not None:
            await self._joined.close()
        await asyncio.to_thread(self._worker.shutdown)
        if self._log is not None:
            if self._runner is not None:
                self._runner.end(reason)
            tick = self._runner.tick if self._runner else None
            await asyncio.to_thread(self._log.close, "ended", tick)
        self._tell_closed()

    async def run(self, seconds: float) -> None:
        """Wait for `seconds` with a progress bar, where nothing is updated between cells."""
        await watch(self, seconds)

    # -- how it is -------------------------------------------------------------------------------------

    @property
    def params(self) -> Params:
        """The parameters; set them to change them between two ticks."""
        return self._wanted or self._run.params

    @params.setter
    def params(self, params: Params) -> None:
        if not isinstance(params, Params):
            raise UsageError(
                f"params = {shorten(params)}: give a chronoflux.Params, such as node.params.replace(…)"
            )
        self._running.change(params)
        self._wanted = params

    _wanted: Params | None = None

    def _change(self, values: Mapping[str, Any]) -> None:
        self.params = self.params.replace(**values)

    @property
    def world(self) -> World:
        """Width and height in px."""
        return self.params.world

    @property
    def peer_id(self) -> str:
        """This node's id in the room; its own name as long as there is none."""
        return self._room_adapter.peer_id if self._room_adapter else self.node_id

    @property
    def sent(self) -> int:
        """Events fired here."""
        return self._room_adapter.sent if self._room_adapter else 0

    @property
    def received(self) -> int:
        """Events of peers applied here."""
        return self._room_adapter.received if self._room_adapter else 0

    @property
    def t(self) -> float:
        """Simulated time, s."""
        return self._runner.t if self._runner else 0.0

    @property
    def metrics(self) -> dict[str, Any]:
        """The latest metrics on record."""
        return dict(self._runner.metrics) if self._runner else {}

    @property
    def peers(self) -> pd.DataFrame:
        """Who is in the room: one row a peer.

        ``name, kind, state`` (connecting, live, quiet, gone), ``via`` (direct; turn: a link
        through a TURN server; relay and server: through the signaling server), ``n``, ``H``, ``dpsi`` (phase
        difference to us, rad), ``rtt_ms``, ``offset_ms`` and ``uncertainty_ms`` (round trip of the best
        probe, the peer's mesh time minus ours, what that may be wrong by), ``refused`` (messages of it),
        ``dropped`` (messages for it that would have come late), ``reason`` (why not direct, and what else is
        odd), ``id``.
        """
        import pandas as pd

        own = self._runner.field if self._runner else None
        rows = (
            [peer.row(own, self.clock.now()) for peer in self._room_adapter.peers]
            if self._room_adapter
            else []
        )
        return pd.DataFrame(rows, columns=list(PEER_COLUMNS))

    @property
    def status(self) -> NodeStatus:
        """How the node is doing, in one line."""
        found = super().status
        return replace(
            found, problem=found.problem or (self._room_adapter.problem if self._room_adapter else None)
        )
