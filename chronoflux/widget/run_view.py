"""`RunView`: one run of a replay, with its picture, status line and display options."""

from __future__ import annotations

from chronoflux.replay import Track
from chronoflux.widget.elements import close_all
from chronoflux.widget.frame_flow import FrameFlow
from chronoflux.widget.swarm_display import SwarmDisplay
from chronoflux.widget.swarm_state import track_state
from chronoflux.widget.typed_bases import VBox


class RunView(VBox):
    """One run of a replay, without controls, as the past cannot change. Create it on a running event loop."""

    def __init__(self, track: Track) -> None:
        self._display = SwarmDisplay(track, lambda: track_state(track), on_removed=self.close)
        self._display.refresh()
        super().__init__([self._display.canvas, self._display.status, self._display.options])
        self.add_class("chronoflux-view")

    @property
    def flow(self) -> FrameFlow:
        """The flow control of frames to the pages that show this view."""
        return self._display.flow

    def close(self) -> None:
        """Stop drawing, remove the view from the page and its parts from the kernel. From any thread."""
        if self.comm is None:
            return
        close_all(self)
        self._display.stop()

    async def wait_closed(self) -> None:
        """Wait until drawing and saving have stopped."""
        await self._display.wait_closed()
