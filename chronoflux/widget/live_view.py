"""`Live`: base class of views that draw as fast as the watching pages confirm frames."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from chronoflux.widget.frame_flow import FrameFlow
from chronoflux.widget.source import Source
from chronoflux.widget.typed_bases import VBox


def page_code(name: str) -> str:
    """Return the JavaScript of a pane: ``watching.js``, which all panes share, then the file `name`."""
    folder = files("chronoflux.widget")
    return "\n".join((folder / part).read_text("utf-8") for part in ("watching.js", name))


class Live(VBox):
    """A box with a picture of a source. Subclasses call :meth:`_attend` before they make their parts."""

    def _attend(self, source: Source, fps: float) -> None:
        self._source, self._loop = source, asyncio.get_running_loop()
        self._flow = FrameFlow(interval=1 / fps)
        self._woken = asyncio.Event()

    @property
    def flow(self) -> FrameFlow:
        """The flow control of frames to the pages that show this view."""
        return self._flow

    # -- from the page and from the source, on any thread ----------------------------------------------

    def _hear(self, content: dict[str, Any]) -> None:
        self._call(self._heard, content)

    def _wake(self) -> None:
        self._call(self._woken.set)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the kernel is going down
            self._loop.call_soon_threadsafe(function, *arguments)

    # -- on the loop -----------------------------------------------------------------------------------

    @abstractmethod
    def _heard(self, content: dict[str, Any]) -> None:
        """Handle a message from the page."""

    async def _rest(self, seconds: float | None) -> None:
        """Wait `seconds` (None: without limit), or until woken."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()
