"""`Node`: a simulation, its part in a room, and a log, on one event loop."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from chronoflux.envoy import Envoy
from chronoflux.errors import UsageError, shorten
from chronoflux.foreground import watch
from chronoflux.identity import in_notebook, node_name
from chronoflux.mesh import messages
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.gossip import new_id
from chronoflux.mesh.ice import Ice, Policy
from chronoflux.mesh.peer import PEER_COLUMNS, Light
from chronoflux.model.events import EVENTS, World
from chronoflux.model.params import Params
from chronoflux.model.schedule import Action
from chronoflux.model.simulation import Simulation, Snapshot
from chronoflux.recompute import Continuation
from chronoflux.replay import Replay
from chronoflux.runner import Runner, warm_up
from chronoflux.schedules import facts_of, open_schedule, recall_schedule
from chronoflux.signal.checks import room_name, server_url
from chronoflux.signal.limits import Bucket
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.snapshots import MOST
from chronoflux.version import VERSION

if TYPE_CHECKING:
    import pandas as pd

    from chronoflux.mesh.room import Room

log = logging.getLogger(__name__)
T = TypeVar("T")
PATIENCE = 5.0  # s before a word is said about what takes so long
NOT_STARTED = "the node has not started: await node.start(), or use cf.join(…)"
EVENT_RATE = (20.0, 2.0)  # events/s, and how many seconds' worth at once


@dataclass(frozen=True)
class NodeStatus:
    """How a node is doing, for people: `light` sums it up, `text` is one line, `problem` what is wrong."""

    room: str
    node_id: str
    light: Light
    text: str
    problem: str | None


class Node:
    """One participant: a swarm, its room and its log.

    Made by :func:`chronoflux.join`, which documents the arguments; or ``async with Node("room1") as node``.
    Every public method may be called from any thread.
    """

    def __init__(
        self,
        room: str = "chrono-default",
        *,
        server: str | None = "auto",
        params: Params | None = None,
        seed: int | None = None,
        node_id: str | None = None,
        token: str | None = None,
        schedule: str | Path | None = None,
        schedule_start: str | None = None,
        log_dir: str | Path = "logs",
        resume: str | Path | None = None,
        kind: str | None = None,
        speed: float = 1.0,
        snapshots: int = MOST,
        ice_servers: Sequence[Mapping[str, Any]] | None = None,
        ice_transport_policy: Policy = "all",
    ) -> None:
        self._past = None if resume is None else Replay(resume)
        if self._past is not None:
            _refuse_with_resume(params=params, seed=seed, schedule=schedule, schedule_start=schedule_start)
            facts = self._past.facts
            params, seed = self._past.params, self._past.seed
            room, node_id, kind = facts.get("room", room), facts.get("node", node_id), facts.get("kind", kind)
        self.kind = kind or ("notebook" if in_notebook() else "headless")
        self.room, self.node_id = room_name(room), node_name(node_id, self.kind)
        self.server = server if server in (None, "auto") else server_url(server)
        self.token, self.log_dir = token, Path(log_dir)
        if not isinstance(params, Params | None):
            raise UsageError(f"params = {shorten(params)}: give a chronoflux.Params(…)")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
            raise UsageError(f"seed = {shorten(seed)}: give a whole number >= 0, or none")
        self._first_params = params or Params()
        self.seed = random.SystemRandom().getrandbits(63) if seed is None else seed
        if self._past is None:
            self._schedule = open_schedule(schedule, self.seed, self._first_params, start=schedule_start)
        else:
            self._schedule = recall_schedule(self._past.facts, self.seed, self._first_params)
        self._speed, self._snapshots = speed, snapshots
        self._ice = Ice.wanted(ice_servers, ice_transport_policy)
        self._secret = os.urandom(16)
        self._places = random.Random(self.seed ^ 0x5EED)
        self.clock = MeshClock()
        self.closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="chronoflux")
        self._runner: Runner | None = None
        self._envoy: Envoy | None = None
        self._joined: Room | None = None
        self._log: RunLog | None = None
        self._main: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._starting: asyncio.Task[Any] | None = None
        self._started = asyncio.Event()
        self._rate = Bucket(*EVENT_RATE, time.monotonic())
        self._reason = "left"
        self._problem: str | None = None
        self._close_callbacks: list[Callable[[], None]] = []
        self._continuation: Continuation | None = None
        self._left: list[Action] = []

    # -- life ------------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Make the swarm and its log, join the room, begin to run.

        Raises
        ------
        LogError
            When the log folder cannot be written.
        SignalingError
            When the server refuses this node (a wrong token, not a ChronoFlux server).
        """
        self._loop = loop = asyncio.get_running_loop()
        self._starting = asyncio.current_task()
        try:
            if self._past is None:
                await loop.run_in_executor(self._worker, self._open_log)
            building = loop.run_in_executor(self._worker, self._build)
            if not (await asyncio.wait([building], timeout=PATIENCE))[0]:
                log.warning("loading the kernels, or compiling them (once on this machine): up to a minute")
            simulation = await building
            resumed = await loop.run_in_executor(self._worker, self._go_on) if self._past else None
            assert self._log is not None
            self._envoy = Envoy(
                self.node_id,
                self.kind,
                self.clock,
                self._log,
                world=lambda: self.world,
                fire=self.fire,
                change=self._change,
            )
            self._runner = self._envoy.runner = Runner(
                simulation,
                self._log,
                self.clock,
                self._envoy,
                self._worker,
                schedule=self._schedule,
                speed=self._speed,
                snapshots=self._snapshots,
            )
            if self.server is not None:
                await self._enter(self._envoy)
            found = self._continuation
            self._runner.begin(resumed, owed=found is not None and found.owed)
            for action in self._left:
                self._envoy.on_scheduled(action)
            self._main = asyncio.create_task(self._live(), name=f"node {self.node_id}")
            if self._joined is not None:
                await self._joined.first_word()
        except BaseException:
            self._starting = None
            await self._leave("failed to start")
            raise
        finally:
            self._starting = None
            self._started.set()
        return self

    def _open_log(self) -> None:
        """On the worker, which `_end` waits for: so a start that is interrupted leaves no open log."""
        self._log = RunLog(
            self.log_dir,
            room=self.room,
            node=self.node_id,
            kind=self.kind,
            params=self._first_params,
            seed=self.seed,
            schedule=self._schedule.name,
            extra=facts_of(self._schedule),
        )

    def _build(self) -> Simulation:
        """Everything that takes long, away from the event loop."""
        importlib.import_module("pandas")  # for `peers` and `telemetry`, which are asked for on the loop
        warm_up(self._first_params)
        if self._past is None:
            return Simulation(self._first_params, seed=self.seed)
        self._continuation = self._past.continuation()
        return self._continuation.simulation

    def _go_on(self) -> dict[str, Any]:
        """Open the log of the run that goes on, and find what its schedule has left for this tick."""
        past, found = self._past, self._continuation
        assert past is not None
        assert found is not None
        simulation = found.simulation
        self._first_params, dt, world = simulation.params, simulation.params.dt, simulation.params.world
        self._log = RunLog.resume(past.path, past.facts, seq=found.seq, inputs=found.inputs)
        now = round(simulation.t, 9)
        if self._schedule.start is None:  # else it is taken up where mesh time has it
            self._left = self._schedule.resume(now - dt / 2, now, world, found.done)
        gap = None if found.t_wall is None else round(time.time() - found.t_wall / 1000, 3)
        return found.facts | {"gap_s": gap, "torn_bytes": self._log.torn}

    async def _enter(self, envoy: Envoy) -> None:
        """Make this node's part in the room; with ``server="auto"`` also the server if nobody has one."""
        # Half a second of imports (aiortc, PyAV) that a node on its own never needs, off the loop.
        module = await asyncio.to_thread(importlib.import_module, "chronoflux.mesh.room")
        assert self.server is not None
        self._joined = module.Room(
            self.room,
            self.server,
            envoy,
            self.clock,
            secret=self._secret,
            token=self.token,
            metadata=messages.metadata(self.node_id, self.kind, self._first_params, VERSION),
            ice=self._ice,
        )
        envoy.mesh = self._joined.mesh
        await self._joined.enter()

    async def _live(self) -> None:
        """The owner of everything that runs; ends when the node leaves or something fails."""
        assert self._runner is not None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._runner.run(), name="runner")
                if self._joined is not None:
                    tasks.create_task(self._joined.run(), name="room")
                await self._leaving.wait()
                if self._joined is not None:
                    await self._joined.leave(self._reason)
                raise _Left
        except* _Left:
            pass
        except* Exception as group:
            self._problem = f"the node stopped: {group.exceptions[0]!r}"
            log.exception("%s stopped", self.node_id)
        finally:
            await self._end(self._reason)

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
        for callback in self._close_callbacks:
            try:
                callback()
            except Exception:
                log.exception("%s: a callback at its end failed", self.node_id)

    async def leave(self, reason: str = "left") -> None:
        """Say goodbye to the peers, end the run, close the log. Again: nothing happens."""
        if self._main is None or not self._main.done():
            await self.on_loop(self._leave(reason))

    async def _leave(self, reason: str) -> None:
        self._reason = reason
        self._leaving.set()
        if self._starting is not None:
            self._starting.cancel()  # it ends what it has begun
            await self._started.wait()
        elif self._main is not None:
            await asyncio.wait([self._main])
        else:
            await self._end(reason)

    async def on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something on the node's own loop, from whichever loop this is called."""
        if self._loop is None or self._loop is asyncio.get_running_loop():
            return await work
        if not self._loop.is_running():
            work.close()
            raise UsageError(
                f"the event loop of node {self.node_id} stands still: it cannot be reached any more"
            )
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def wait_closed(self) -> None:
        """Wait until the node ended by itself or by somebody's `leave`."""
        if self._main is not None:
            await self.on_loop(_finished(self._main))

    async def run(self, seconds: float) -> None:
        """Wait for `seconds` with a progress bar, where nothing is updated between cells."""
        await watch(self, seconds)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exception: object) -> None:
        await self.leave()

    def on_close(self, callback: Callable[[], None]) -> None:
        """Have a function called when the node has ended (at once, if it has)."""
        if self.closed:
            callback()
        else:
            self._close_callbacks.append(callback)

    # -- what a user does ------------------------------------------------------------------------------

    def fire(self, name: str, **data: Any) -> str:
        """Fire an event of any registered kind here and at every peer; positions not given are drawn.

        Returns the event's id. Raises :class:`ParameterError` when the event is unknown or its data wrong,
        :class:`UsageError` at more than 20 a second, which peers would not take (40 at once are all right).
        """
        kind = EVENTS[name]
        placed = kind.place(data, self.world, self._places)
        unknown = set(placed) - set(kind.payload.__struct_fields__)
        if unknown:
            raise UsageError(
                f"{name} has no {', '.join(sorted(unknown))}; it has {kind.payload.__struct_fields__}"
            )
        whole = kind.check(placed, self.world)
        if not self._rate.take(1, time.monotonic()):
            raise UsageError(
                f"{name} was not fired: more than 20 events a second, which peers would not take"
            )
        key = new_id()
        self._call(self._speaking.publish, kind, whole, key)
        return key

    def intent(self, x: float | None = None, y: float | None = None, **more: float) -> str:
        """A pulse of pressure at ``x, y`` px (drawn if not given); ``E``, ``sigma`` as in the model."""
        place = {name: value for name, value in (("x", x), ("y", y)) if value is not None}
        return self.fire("intent", **place, **more)

    def lion_gate(self, on: bool = True) -> str:
        """Portal mode on (or off), here and at every peer."""
        return self.fire("lion_gate", on=on)

    def pacemaker_flip(self) -> str:
        """Flip velocities and phases, here and at every peer."""
        return self.fire("pacemaker_flip")

    def note(self, text: str) -> None:
        """Put a remark of yours into the log."""
        runner = self._running
        runner.put(lambda simulation: runner.note("note", data={"text": str(text)}))

    def take_snapshot(self) -> None:
        """Keep the swarm and its picture in the run's folder, under ``snapshots/``."""
        self._running.take_snapshot()

    def play(self) -> None:
        """Go on."""
        self._running.play(True)

    def pause(self) -> None:
        """Hold the swarm; the node stays in its room."""
        self._running.play(False)

    @property
    def playing(self) -> bool:
        """Whether the swarm moves."""
        return self._runner is not None and self._runner.playing

    @property
    def params(self) -> Params:
        """The parameters; set them to change them between two ticks."""
        return self._wanted or self._first_params

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
        return self._envoy.peer_id if self._envoy else self.node_id

    @property
    def sent(self) -> int:
        """Events fired here."""
        return self._envoy.sent if self._envoy else 0

    @property
    def received(self) -> int:
        """Events of peers applied here."""
        return self._envoy.received if self._envoy else 0

    @property
    def path(self) -> Path:
        """The run's folder."""
        if self._log is None:
            raise UsageError(NOT_STARTED)
        return self._log.path

    @property
    def metrics(self) -> dict[str, Any]:
        """The latest metrics on record."""
        return dict(self._runner.metrics) if self._runner else {}

    def snapshot(self) -> Snapshot:
        """The swarm as it is, read-only."""
        return self._running.snapshot()

    @property
    def peers(self) -> pd.DataFrame:
        """Who is in the room: one row a peer.

        ``name, kind, state`` (connecting, live, quiet, gone), ``via`` (direct, relay, server), ``n``, ``H``,
        ``dpsi`` (phase difference to us, rad), ``rtt_ms``, ``offset_ms`` and ``uncertainty_ms`` (round trip
        of the best probe, the peer's mesh time minus ours, what that may be wrong by), ``refused`` (messages
        of it), ``dropped`` (messages for it that would have come late), ``reason`` (why not direct, and what
        else is odd), ``id``.
        """
        import pandas as pd

        own = self._runner.field if self._runner else None
        rows = [peer.row(own, self.clock.now()) for peer in self._envoy.peers] if self._envoy else []
        return pd.DataFrame(rows, columns=list(PEER_COLUMNS))

    def telemetry(self) -> pd.DataFrame:
        """This run's records so far."""
        from chronoflux.telemetry import load

        if self._log is not None:
            self._log.flush()
        return load(self.path)

    def export_log(self, path: str | Path) -> Path:
        """Write the log as the JSON array of the first ChronoFlux's runner."""
        from chronoflux.telemetry import export_json

        if self._log is not None:
            self._log.flush()
        return export_json(self.path, path)

    @property
    def status(self) -> NodeStatus:
        """How the node is doing, in one line."""
        light: Light = "alone"
        words = "left" if self.closed else "alone (no server wanted)"
        if self._joined is not None and not self.closed:
            light, words = self._joined.connection()
        problem = self._problem or (self._log.problem if self._log else None)
        problem = problem or (self._runner.problem if self._runner else None)
        return NodeStatus(self.room, self.node_id, light, words, problem)

    def __repr__(self) -> str:
        status = self.status
        return f"<Node {status.node_id} in {status.room}: {status.text}>"

    # -- inside ----------------------------------------------------------------------------------------

    @property
    def _running(self) -> Runner:
        if self._runner is None:
            raise UsageError(NOT_STARTED)
        return self._runner

    @property
    def _speaking(self) -> Envoy:
        if self._envoy is None:
            raise UsageError(NOT_STARTED)
        return self._envoy

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have a function called on the node's loop, from any thread."""
        if self._loop is None or self.closed:
            raise UsageError(f"node {self.node_id} is not running: join again")
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            function(*arguments)
        else:
            self._loop.call_soon_threadsafe(function, *arguments)


class _Left(Exception):
    """The node left in order."""


async def _finished(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])


def _refuse_with_resume(**given: object) -> None:
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise UsageError(f"resume goes on with what the run began with: leave out {', '.join(names)}")
