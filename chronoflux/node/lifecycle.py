"""`Lifecycle`: start, run and leave of a node or recorder, on one event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

from chronoflux.errors import UsageError
from chronoflux.mesh.peer import Light
from chronoflux.telemetry import RunLog
from chronoflux.util.attributes import FixedAttributes

if TYPE_CHECKING:
    import pandas as pd

    from chronoflux.mesh.room_session import Room

log: logging.Logger = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True)
class NodeStatus:
    """The status of a node: `light` in one word, `text` in one line, `problem` if there is one."""

    room: str
    node_id: str
    light: Light
    text: str
    problem: str | None


class Lifecycle:
    """The life of one participant: its tasks, its session in the room, and its log. It runs once.

    Parameters
    ----------
    room, node_id
        The room's name and the participant's, for messages.
    what
        ``"node"`` or ``"recorder"``, for messages.
    begin
        Opens the log (`log`) and enters the room (`enter`).
    work
        Runs after `begin`, beside the session in the room, until it is cancelled.
    end
        Closes what `begin` opened, the log last. Called once, after the session in the room was closed, with
        the reason.
    """

    log: RunLog | None
    """The run's log; None before it is open."""
    session: Room | None
    """The session in the room; None for a node alone, and before it enters."""
    closed: bool
    """Whether the participant has left."""

    def __init__(
        self,
        room: str,
        node_id: str,
        what: str,
        *,
        begin: Callable[[], Awaitable[None]],
        work: Callable[[], Coroutine[object, object, None]],
        end: Callable[[str], Awaitable[None]],
    ) -> None:
        self._room, self._node_id, self._what = room, node_id, what
        self._begin, self._work, self._end = begin, work, end
        self.log = None
        self.session = None
        self.closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._starting: asyncio.Task[object] | None = None
        self._started = asyncio.Event()
        self._reason = "left"
        self._problem: str | None = None
        self._close_callbacks: list[Callable[[], None]] = []

    @property
    def not_started(self) -> UsageError:
        """The error of a participant that is used before it has started."""
        return UsageError(f"the {self._what} has not started: await its start(), or use cf.join(…)")

    async def start(self) -> None:
        """Begin, and run until `leave`."""
        self._loop = asyncio.get_running_loop()
        self._starting = asyncio.current_task()
        try:
            await self._begin()
            self._main = asyncio.create_task(self._run(), name=f"node {self._node_id}")
            if self.session is not None:
                await self.session.first_answer()
        except BaseException:
            self._starting = None
            await self._leave("failed to start")
            raise
        finally:
            self._starting = None
            self._started.set()

    async def enter(self, session: Room) -> None:
        """Enter the room. The session is run beside the work from then on, and closed at the end."""
        self.session = session
        await session.enter()

    async def _run(self) -> None:
        """Own every task of the participant, until it leaves or one of them fails."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._work(), name=self._what)
                if self.session is not None:
                    tasks.create_task(self.session.run(), name="room")
                await self._leaving.wait()
                if self.session is not None:
                    await self.session.leave(self._reason)
                raise _Left
        except* _Left:
            pass
        except* Exception as group:
            self._problem = f"the {self._what} stopped: {group.exceptions[0]!r}"
            log.exception("%s stopped", self._node_id)
        finally:
            await self._close()

    async def _close(self) -> None:
        if self.closed:
            return
        self.closed = True
        if self.session is not None:
            await self.session.close()
        await self._end(self._reason)
        for callback in self._close_callbacks:
            try:
                callback()
            except Exception:
                log.exception("%s: a callback of on_close failed", self._node_id)

    def request_leave(self, reason: str) -> None:
        """Make the participant leave, without waiting for it. Called on its loop."""
        self._reason = reason
        self._leaving.set()

    async def leave(self, reason: str) -> None:
        """Leave, from any loop, and wait until everything is closed. A second call does nothing."""
        if self._main is None or not self._main.done():
            await self.on_loop(self._leave(reason))

    async def _leave(self, reason: str) -> None:
        self.request_leave(reason)
        if self._starting is not None:
            self._starting.cancel()  # `start` closes what it has opened
            await self._started.wait()
        elif self._main is not None:
            await asyncio.wait([self._main])
        else:
            await self._close()

    async def wait_closed(self) -> None:
        """Wait until the participant has left."""
        if self._main is not None:
            await self.on_loop(_finished(self._main))

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call a function when the participant has left; at once, if it has."""
        if self.closed:
            callback()
        else:
            self._close_callbacks.append(callback)

    async def on_loop(self, work: Coroutine[object, object, T]) -> T:
        """Await `work` on the participant's own loop, from whichever loop this is called."""
        if self._loop is None or self._loop is asyncio.get_running_loop():
            return await work
        if not self._loop.is_running():
            work.close()
            raise UsageError(
                f"the event loop of {self._what} {self._node_id} does not run any more: join again"
            )
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def call(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a function on the participant's loop, from any thread: at once if this is that loop's."""
        if self._loop is None or self.closed:
            raise UsageError(f"{self._what} {self._node_id} is not running: join again")
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            function(*args, **kwargs)
        else:
            self._loop.call_soon_threadsafe(lambda: function(*args, **kwargs))

    def status(self) -> NodeStatus:
        """Return the participant's status."""
        light: Light = "alone"
        text = "left" if self.closed else "alone (no server wanted)"
        if self.session is not None and not self.closed:
            light, text = self.session.connection()
        problem = self._problem or (self.log.problem if self.log else None)
        return NodeStatus(self._room, self._node_id, light, text, problem)


class LifecycleMethods(FixedAttributes):
    """The methods that nodes and recorders have in common. A mixin: it uses `_lifecycle` alone."""

    _lifecycle: Lifecycle

    async def start(self) -> Self:
        """Open the log, join the room and begin to run.

        Raises
        ------
        LogError
            When the log folder cannot be written.
        SignalingError
            When the server refuses this node (a wrong token, not a ChronoFlux server).
        """
        await self._lifecycle.start()
        return self

    async def leave(self, reason: str = "left") -> None:
        """Tell the peers, end the run and close the log. A second call does nothing."""
        await self._lifecycle.leave(reason)

    async def on_loop(self, work: Coroutine[object, object, T]) -> T:
        """Await a coroutine on the node's own event loop, from whichever loop this is called."""
        return await self._lifecycle.on_loop(work)

    async def wait_closed(self) -> None:
        """Wait until the node has left, by itself or by a call of `leave`."""
        await self._lifecycle.wait_closed()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exception: object) -> None:
        await self.leave()

    def on_close(self, callback: Callable[[], None]) -> None:
        """Register a function to call when the node has left; if it has, the function is called at once."""
        self._lifecycle.on_close(callback)

    @property
    def closed(self) -> bool:
        """Whether the node has left."""
        return self._lifecycle.closed

    @property
    def path(self) -> Path:
        """The run's folder. Raises :class:`UsageError` before the node has started."""
        if self._lifecycle.log is None:
            raise self._lifecycle.not_started
        return self._lifecycle.log.path

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until all records so far are on disk, at most `timeout` seconds. Return whether they are."""
        return self._lifecycle.log is None or self._lifecycle.log.flush(timeout)

    def telemetry(self) -> pd.DataFrame:
        """Return this run's records so far, as :func:`chronoflux.load` does."""
        from chronoflux.telemetry import load

        self.flush()
        return load(self.path)

    def export_log(self, path: str | Path) -> Path:
        """Write the log as one JSON array, the format of the first ChronoFlux. Return the file's path."""
        from chronoflux.telemetry import export_json

        self.flush()
        return export_json(self.path, path)

    @property
    def status(self) -> NodeStatus:
        """The node's status, in one line."""
        return self._lifecycle.status()

    def __repr__(self) -> str:
        status = self.status
        return f"<{type(self).__name__} {status.node_id} in {status.room}: {status.text}>"


class _Left(Exception):
    """The participant left in order."""


async def _finished(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])
