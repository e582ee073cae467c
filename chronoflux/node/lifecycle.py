"""`Lifecycle`: what everybody in a room has, with a swarm or without: a life on one event loop, and a log."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from chronoflux.errors import UsageError
from chronoflux.mesh.clock import MeshClock
from chronoflux.mesh.peer import Light
from chronoflux.telemetry import RunLog
from chronoflux.util.attributes import FixedAttributes

if TYPE_CHECKING:
    import pandas as pd

    from chronoflux.mesh.room_session import Room

log: logging.Logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class NodeStatus:
    """How a node is doing, for people: `light` sums it up, `text` is one line, `problem` what is wrong."""

    room: str
    node_id: str
    light: Light
    text: str
    problem: str | None


class Lifecycle(FixedAttributes, ABC):
    """See the module. `_begin`, `_work` and `_end` are those of whoever it is; once is all they live."""

    WHO = "node"
    NOT_STARTED = "the node has not started: await node.start(), or use cf.join(…)"
    room: str
    node_id: str
    clock: MeshClock
    closed: bool

    def __init__(self) -> None:
        self.clock = MeshClock()
        self.closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._joined: Room | None = None
        self._log: RunLog | None = None
        self._main: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._starting: asyncio.Task[Any] | None = None
        self._started = asyncio.Event()
        self._reason = "left"
        self._problem: str | None = None
        self._close_callbacks: list[Callable[[], None]] = []

    async def start(self) -> Self:
        """Open the log, join the room, begin.

        Raises
        ------
        LogError
            When the log folder cannot be written.
        SignalingError
            When the server refuses this node (a wrong token, not a ChronoFlux server).
        """
        self._loop = asyncio.get_running_loop()
        self._starting = asyncio.current_task()
        try:
            await self._begin()
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

    @abstractmethod
    async def _begin(self) -> None:
        """Open the log and enter the room: all that comes before the work."""

    @abstractmethod
    def _work(self) -> tuple[str, Coroutine[Any, Any, None]]:
        """What is done from then on, beside the room, and its name."""

    @abstractmethod
    async def _end(self, reason: str) -> None:
        """Close what is open, once; the log last."""

    async def _live(self) -> None:
        """The owner of everything that runs; ends when somebody leaves or something fails."""
        try:
            async with asyncio.TaskGroup() as tasks:
                name, work = self._work()
                tasks.create_task(work, name=name)
                if self._joined is not None:
                    tasks.create_task(self._joined.run(), name="room")
                await self._leaving.wait()
                if self._joined is not None:
                    await self._joined.leave(self._reason)
                raise _Left
        except* _Left:
            pass
        except* Exception as group:
            self._problem = f"the {self.WHO} stopped: {group.exceptions[0]!r}"
            log.exception("%s stopped", self.node_id)
        finally:
            await self._end(self._reason)

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

    def _tell_closed(self) -> None:
        for callback in self._close_callbacks:
            try:
                callback()
            except Exception:
                log.exception("%s: a callback at its end failed", self.node_id)

    @property
    def path(self) -> Path:
        """The run's folder."""
        if self._log is None:
            raise UsageError(self.NOT_STARTED)
        return self._log.path

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until the records so far are in the file, at most `timeout` seconds; whether they are."""
        return self._log is None or self._log.flush(timeout)

    def telemetry(self) -> pd.DataFrame:
        """This run's records so far."""
        from chronoflux.telemetry import load

        self.flush()
        return load(self.path)

    def export_log(self, path: str | Path) -> Path:
        """Write the log as the JSON array of the first ChronoFlux's runner."""
        from chronoflux.telemetry import export_json

        self.flush()
        return export_json(self.path, path)

    @property
    def status(self) -> NodeStatus:
        """How the node is doing, in one line."""
        light: Light = "alone"
        words = "left" if self.closed else "alone (no server wanted)"
        if self._joined is not None and not self.closed:
            light, words = self._joined.connection()
        problem = self._problem or (self._log.problem if self._log else None)
        return NodeStatus(self.room, self.node_id, light, words, problem)

    def __repr__(self) -> str:
        status = self.status
        return f"<{type(self).__name__} {status.node_id} in {status.room}: {status.text}>"


class _Left(Exception):
    """The member left in order."""


async def _finished(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])
