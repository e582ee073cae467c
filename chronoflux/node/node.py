"""`Node`: a simulation, its part in a room, and a log, on one event loop."""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import os
from collections.abc import Mapping
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
from chronoflux.node.controls import LiveSwarm, NodeControls
from chronoflux.node.event_source import EventSource
from chronoflux.node.identity import node_name
from chronoflux.node.lifecycle import Lifecycle, LifecycleMethods, NodeStatus
from chronoflux.node.options import NodeOptions, init_takes
from chronoflux.node.pacing import FullSpeed, Pace, RealTime, Speed, checked_speed
from chronoflux.node.room_adapter import RoomAdapter
from chronoflux.node.run_setup import RunSetup
from chronoflux.node.runner import Runner
from chronoflux.notebook.kernel import in_notebook
from chronoflux.notebook.progress_bar import watch
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.recent import RecentRecord
from chronoflux.util.views import Viewable
from chronoflux.version import VERSION

if TYPE_CHECKING:
    import pandas as pd

log: logging.Logger = logging.getLogger(__name__)
SLOW_START = 5.0  # s after which a start that takes long is explained


class Node(LifecycleMethods, NodeControls, Viewable):
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
    server: str | None
    token: str | None
    log_dir: Path
    clock: MeshClock
    _VIEW = "node"

    @init_takes(NodeOptions)
    def __init__(self, options: NodeOptions) -> None:
        self._setup = RunSetup(options)
        options = self._setup.options
        self.seed, self.server, self.token = self._setup.seed, options.server, options.token
        self.kind = options.kind or ("notebook" if in_notebook() else "headless")
        self.room, self.node_id = options.room, node_name(options.node_id, self.kind)
        self.log_dir = Path(options.log_dir)
        self._speed: Speed = options.speed
        self._wanted_params: Params | None = None
        self._live: LiveSwarm | None = None
        self._duration, self._snapshots, self._ice = options.duration, options.snapshots, options.ice
        self._secret = os.urandom(16)
        self.clock = MeshClock(self._swarm_time, self._swarm_time) if self._speed == "max" else MeshClock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="chronoflux")
        self._lifecycle = Lifecycle(
            self.room, self.node_id, "node", begin=self._begin, work=self._work, end=self._end
        )

    # -- start and end ---------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Make the swarm and its log, and enter the room."""
        loop = asyncio.get_running_loop()
        if not self._setup.resumes:
            await loop.run_in_executor(self._worker, self._open_log)
        building = loop.run_in_executor(self._worker, self._setup.build)
        if not (await asyncio.wait([building], timeout=SLOW_START))[0]:
            log.warning("loading the kernels, or compiling them (once on this machine): up to a minute")
        simulation = await building
        resumed = None
        if self._setup.resumes:
            resumed = await loop.run_in_executor(self._worker, self._resume_log)
        run_log = self._lifecycle.log
        assert run_log is not None
        adapter = RoomAdapter(
            self.node_id,
            self.kind,
            self.clock,
            run_log,
            world=lambda: self.world,
            fire=self.fire,
            change=self._change,
        )
        runner = adapter.runner = Runner(
            simulation,
            run_log,
            self.clock,
            adapter,
            self._worker,
            schedule=self._setup.schedule,
            pace=self._pace(run_log),
            duration=self._duration,
            snapshots=self._snapshots,
        )
        events = EventSource(adapter, self.seed, self._event_seconds, self._lifecycle.call)
        self._live = LiveSwarm(runner, adapter, events)
        if self.server is not None:
            await self._enter(self.server, adapter)
        runner.begin(resumed, record_pending=self._setup.record_pending)
        for action in self._setup.remaining:
            adapter.on_scheduled(action)

    def _open_log(self) -> None:
        """Open the log, on the worker. `_end` waits for it, so an interrupted start leaves no open log."""
        who = {"room": self.room, "node": self.node_id, "kind": self.kind}
        self._lifecycle.log = self._setup.new_log(self.log_dir, **who, speed=self._speed)

    def _resume_log(self) -> Mapping[str, object]:
        """Open the log of the run to resume, on the worker. Return the data of its ``resume`` record."""
        self._lifecycle.log = self._setup.old_log()
        return self._setup.resume(self._lifecycle.log)

    def _pace(self, log: RunLog) -> Pace:
        return FullSpeed(log) if self._speed == "max" else RealTime(self.clock, self._speed, self.node_id)

    def _swarm_time(self) -> float:
        """Return mesh time at full speed, ms: the time that has passed in the swarm since its start."""
        at = self._live.runner.mesh_time if self._live is not None else math.nan
        return utc_ms() if math.isnan(at) else at

    async def _enter(self, server: str, adapter: RoomAdapter) -> None:
        """Enter the room; with ``server="auto"``, host the server if nobody does."""
        # Imports aiortc and PyAV, half a second that a node alone does not need, off the loop.
        module = await asyncio.to_thread(importlib.import_module, "chronoflux.mesh.room_session")
        session = module.Room(
            self.room,
            server,
            adapter,
            self.clock,
            secret=self._secret,
            token=self.token,
            metadata=messages.metadata(self.node_id, self.kind, self._setup.params, VERSION),
            ice=self._ice,
        )
        adapter.mesh = session.mesh
        await self._lifecycle.enter(session)

    async def _work(self) -> None:
        """Run the swarm; when its duration is over, the node leaves."""
        await self._swarm.runner.run()
        self._lifecycle.request_leave("the time is over")

    async def _end(self, reason: str) -> None:
        """End the swarm and close the log."""
        await asyncio.to_thread(self._worker.shutdown)
        if self._lifecycle.log is not None:
            runner = self._live.runner if self._live else None
            if runner is not None:
                runner.end(reason)
            tick = None if runner is None else runner.tick
            await asyncio.to_thread(self._lifecycle.log.close, "ended", tick)

    async def run(self, seconds: float) -> None:
        """Wait for `seconds` with a progress bar, where nothing is updated between cells."""
        await watch(self, seconds)

    # -- inside ----------------------------------------------------------------------------------------

    @property
    def _swarm(self) -> LiveSwarm:
        if self._live is None:
            raise self._lifecycle.not_started
        return self._live

    def _change(self, values: Mapping[str, Any]) -> None:
        self.params = self.params.replace(**values)

    def _event_seconds(self) -> float:
        """Return the time in which events are limited, s: that of the peers; alone, that of the swarm."""
        fast = self._speed if self.server is None and self._speed != "max" else 1.0
        return self.clock.mono() / 1000 * fast

    # -- state -----------------------------------------------------------------------------------------

    @property
    def params(self) -> Params:
        """The parameters. Set them to change them between two ticks."""
        return self._wanted_params or self._setup.params

    @params.setter
    def params(self, params: Params) -> None:
        if not isinstance(params, Params):
            raise UsageError(
                f"params = {shorten(params)}: give a chronoflux.Params, such as node.params.replace(…)"
            )
        self._swarm.runner.commands.set_params(params)
        self._wanted_params = params

    @property
    def speed(self) -> Speed:
        """Simulated seconds per second, or ``"max"``. Set a number to change the speed of a running node."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        swarm, wanted = self._swarm, checked_speed(speed, alone=True)
        if isinstance(wanted, str) or isinstance(self._speed, str):
            raise UsageError(
                f'speed = {shorten(speed)}: "max" holds for a whole run, from its start; use '
                'cf.join(server=None, speed="max")'
            )
        self._speed = wanted
        if self.server is None:
            swarm.events.restart_limit()
        swarm.runner.commands.set_speed(wanted)

    @property
    def playing(self) -> bool:
        """Whether the swarm moves."""
        return self._live is not None and self._live.runner.commands.playing

    @property
    def recent(self) -> RecentRecord:
        """The latest records: samples of the order, events, and which standing events are on."""
        return self._live.runner.commands.recent if self._live else RecentRecord()

    @property
    def world(self) -> World:
        """Width and height in px."""
        return self.params.world

    @property
    def peer_id(self) -> str:
        """This node's id in the room; its own name before it has joined."""
        return self._live.room_adapter.peer_id if self._live else self.node_id

    @property
    def sent(self) -> int:
        """Number of events fired here."""
        return self._live.room_adapter.sent if self._live else 0

    @property
    def received(self) -> int:
        """Number of events of peers that were applied here."""
        return self._live.room_adapter.received if self._live else 0

    @property
    def t(self) -> float:
        """Simulated time, s."""
        return self._live.runner.t if self._live else 0.0

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the last record; empty before the first."""
        return dict(self._live.runner.metrics) if self._live else {}

    @property
    def peers(self) -> pd.DataFrame:
        """The peers in the room: a DataFrame with one row per peer.

        Columns: ``name``, ``kind``, ``state`` (connecting, live, quiet, gone), ``via`` (direct; turn: a link
        through a TURN server; relay and server: through the signaling server), ``n`` (oscillators), ``H``,
        ``dpsi`` (phase difference to this node, rad), ``rtt_ms`` (round trip of the best probe),
        ``offset_ms`` (the peer's mesh time minus this node's), ``uncertainty_ms`` (of the offset),
        ``refused`` (messages of the peer), ``dropped`` (messages for it that would have come late),
        ``reason`` (why the link is not direct, and other problems), ``id``.
        """
        import pandas as pd

        if self._live is None:
            return pd.DataFrame(columns=list(PEER_COLUMNS))
        own, now = self._live.runner.field, self.clock.now()
        rows = [peer.row(own, now) for peer in self._live.room_adapter.peers]
        return pd.DataFrame(rows, columns=list(PEER_COLUMNS))

    @property
    def status(self) -> NodeStatus:
        """The node's status, in one line."""
        found = self._lifecycle.status()
        if found.problem is None and self._live is not None:
            return replace(found, problem=self._live.room_adapter.problem)
        return found
