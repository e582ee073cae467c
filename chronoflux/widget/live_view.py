"""`Live`: what pictures share that are drawn as fast as the pages that watch them confirm."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import ipywidgets

from chronoflux.widget.frame_flow import FrameFlow
from chronoflux.widget.source import Source


def page_code(name: str) -> str:
    """The program of a pane over a picture: a file of this folder, with what all panes share before it."""
    folder = files("chronoflux.widget")
    return "\n".join((folder / part).read_text("utf-8") for part in ("watching.js", name))


class Live(ipywidgets.VBox):  # type: ignore[misc]
    """A box with a picture of a source. Its class calls :meth:`_attend` first, and then makes its parts."""

    def _attend(self, source: Source, fps: float) -> None:
        self._source, self._loop = source, asyncio.get_running_loop()
        self._flow = FrameFlow(interval=1 / fps)
        self._woken = asyncio.Event()

    @property
    def flow(self) -> FrameFlow:
        """The flow of frames to the pages that show this."""
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
        """Take in what the page says."""

    async def _rest(self, seconds: float | None) -> None:
        """Wait so long, or until woken."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()
