"""`NodeView`: the live view of a node with its controls, as an ipywidgets box."""

from __future__ import annotations

import ipywidgets

from chronoflux.widget.elements import close_all
from chronoflux.widget.frame_flow import FrameFlow
from chronoflux.widget.history import History
from chronoflux.widget.parameter_panel import ParameterPanel
from chronoflux.widget.source import Source
from chronoflux.widget.swarm_display import FPS, SwarmDisplay
from chronoflux.widget.swarm_state import node_state
from chronoflux.widget.toolbar import Toolbar
from chronoflux.widget.typed_bases import VBox


class NodeView(VBox):
    """The picture of `source`, its controls and its status. Create it on a running event loop.

    It may be displayed any number of times, and a source may have any number of views. Nothing is drawn
    while no page watches. After the source has ended, the last picture stays until it is removed from the
    page. `fps` is the highest frame rate.
    """

    def __init__(self, source: Source, *, fps: float = FPS) -> None:
        self._display = SwarmDisplay(
            source,
            lambda: node_state(source),
            fps=fps,
            show_time=True,
            update=self._update_controls,
            on_end=self._disable,
            on_removed=self.close,
        )
        self._toolbar = Toolbar(source, self._display.report)
        self._parameters = ParameterPanel(source, self._display.report)
        self._history = History(source)
        body = ipywidgets.Box([self._display.canvas, self._parameters])
        body.add_class("chronoflux-body")
        self._display.refresh()
        super().__init__([self._toolbar, body, self._display.status, self._history, self._display.options])
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

    def _update_controls(self) -> None:
        """Apply changed parameters, then show the source's state in the controls and the history."""
        self._parameters.apply()
        self._parameters.refresh()
        self._toolbar.refresh(self._display.state.snapshot)
        self._history.refresh(self._display.state.n)

    def _disable(self) -> None:
        self._toolbar.disable()
        self._parameters.disable()
