"""`FrameLoop`: the task behind a live picture. It composes and sends frames as fast as pages confirm them.

Messages from the page may arrive on any thread: :meth:`FrameLoop.call` takes them to the event loop on which
everything else here runs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from chronoflux.widget.frame_flow import FrameFlow
from chronoflux.widget.source import Source

UPDATE_PERIOD = 0.2
"""Seconds between two calls of `update`."""
POLL_PLAYING, POLL_PAUSED = 0.004, 0.05
"""Seconds between two polls of a source that had nothing new: while it plays, and while it is paused."""

Content = TypeVar("Content")


class FrameLoop(Generic[Content]):
    """Compose and send frames of `source` until it ends. Create it on a running event loop.

    Nothing is composed while no page watches.

    Parameters
    ----------
    source
        The source; it is asked whether it plays and whether it has ended.
    compose
        Returns the content of a frame, or None if nothing changed since the last one. Its argument says
        whether a page has opened that shows nothing yet, which needs a frame in any case.
    send
        Sends the content of a frame under a number, which the page confirms.
    fps
        The highest frame rate, 1/s.
    update
        Called every `UPDATE_PERIOD` seconds while a page watches.
    on_end
        Called after the last frame, with the error if one ended the loop.
    on_removed
        Called once the source has ended and every page has removed the picture.
    """

    flow: FrameFlow
    """The flow control of frames to the watching pages."""

    def __init__(
        self,
        source: Source,
        compose: Callable[[bool], Content | None],
        send: Callable[[Content, int], None],
        *,
        fps: float,
        update: Callable[[], None] = lambda: None,
        on_end: Callable[[BaseException | None], None] = lambda error: None,
        on_removed: Callable[[], None] = lambda: None,
    ) -> None:
        self.flow = FrameFlow(interval=1 / fps)
        self._source, self._compose, self._send = source, compose, send
        self._update, self._on_end, self._on_removed = update, on_end, on_removed
        self._displays: set[str] | None = None  # pages that display the picture; None before the first
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._task = self._loop.create_task(self._run(), name="chronoflux frames")
        self._task.add_done_callback(self._ended)
        source.on_close(self.wake)

    # -- on any thread ---------------------------------------------------------------------------------

    def call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function on the event loop."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the kernel is shutting down
            self._loop.call_soon_threadsafe(function, *arguments)

    def wake(self) -> None:
        """Look for something new now."""
        self.call(self._woken.set)

    def stop(self) -> None:
        """Stop without another frame."""
        self.call(self._task.cancel)

    # -- on the loop -----------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the time of the event loop's clock, s."""
        return self._loop.time()

    async def wait_closed(self) -> None:
        """Wait until the last frame was sent."""
        await asyncio.wait([self._task])

    def receive(self, message: dict[str, Any]) -> bool:
        """Handle a page's report about frames or visibility. Return whether `message` was one."""
        now = self._loop.time()
        match message:
            case {"shown": int(frame), "client": str(client)}:
                self.flow.confirm(client, frame, now)
            case {"watching": bool(watching), "displayed": bool(displayed), "client": str(client)}:
                self._set_watching(client, watching, displayed, now)
            case _:
                return False
        self._woken.set()
        return True

    def _set_watching(self, client: str, watching: bool, displayed: bool, now: float) -> None:
        self._displays = (self._displays or set()) - {client} | ({client} if displayed else set())
        if watching:
            self.flow.watch(client, now)
            if self._task.done():  # the loop sends no more frames: show the last state on a page just opened
                self._send_frame()
        else:
            self.flow.leave(client)
        self._report_removed()

    async def _run(self) -> None:
        next_update = 0.0
        while not self._source.closed:
            now = self._loop.time()
            if self.flow.watched and now >= next_update:
                next_update = now + UPDATE_PERIOD
                self._update()
            if self.flow.ready(now) and not self._send_frame():
                self.flow.postpone(now + (POLL_PLAYING if self._source.playing else POLL_PAUSED))
            wait = self.flow.wait(now)
            await self._sleep(None if wait is None else min(wait, max(next_update - now, 0.0)))

    def _send_frame(self) -> bool:
        """Send a frame if there is anything new to show. Return whether there was."""
        content = self._compose(self.flow.fresh)
        if content is None:
            return False
        self._send(content, self.flow.sent(self._loop.time()))
        return True

    async def _sleep(self, seconds: float | None) -> None:
        """Wait `seconds` (None: without limit), or until woken."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._on_end(task.exception())
            self._report_removed()

    def _report_removed(self) -> None:
        if self._task.done() and self._displays is not None and not self._displays:
            self._on_removed()
