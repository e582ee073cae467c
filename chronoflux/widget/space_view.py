"""`SpaceView`: a swarm in three dimensions, drawn by k3d, an optional extra: ``chronoflux[3d]``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any
from uuid import uuid4

import ipywidgets
from traitlets import Unicode

from chronoflux.errors import ParameterError, UsageError
from chronoflux.render.palettes import PALETTES
from chronoflux.render.point_cloud import LAYOUTS, Helix, PointCloud, compose_cloud, packed_colours
from chronoflux.widget.display_options import palette_choice
from chronoflux.widget.elements import close_all, page_code, style_sheet
from chronoflux.widget.frame_flow import FrameFlow
from chronoflux.widget.frame_loop import FrameLoop
from chronoflux.widget.source import Source
from chronoflux.widget.swarm_state import node_state
from chronoflux.widget.typed_bases import AnyWidget, VBox

log: logging.Logger = logging.getLogger(__name__)

FPS = 20.0
INSTALL = 'the view in 3-D needs k3d: python -m pip install "chronoflux[3d]", then restart the kernel'
CAMERAS: dict[str, list[float]] = {
    "torus": [1.05, -1.75, 1.75, 0, 0, -0.05, 0, 0, 1],
    "helix": [1.5, -1.9, 1.9, 0, 0, 0, 0, 0, 1],
    "height": [0.0, -1.3, 0.95, 0, -0.1, 0, 0, 0, 1],
}
"""Camera position, target and up vector of each layout, in k3d's order."""


class Pane(AnyWidget):
    """A transparent pane over the plot: receives confirmations and visibility, on any thread."""

    _esm = page_code("space_view.js")
    _css = style_sheet()
    name: Unicode[str, str | bytes] = Unicode().tag(sync=True)

    def __init__(self, on_message: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(name=uuid4().hex)
        self.add_class("chronoflux-pane")
        self.on_msg(lambda _, content, __: on_message(content))


class SpaceView(VBox):
    """The live three-dimensional view of a source's swarm. Create it on a running event loop.

    Everything is one cloud of points: a frame is one message and one drawing call, fast enough for browsers
    without a graphics card. Nothing is sent while no page watches, and at most two frames are unconfirmed.

    Parameters
    ----------
    source
        The node or the track to show.
    layout
        One of `LAYOUTS`; the layout and the palette can also be chosen on the page.
    fps
        Most frames per second.

    Raises
    ------
    ParameterError
        When `layout` is unknown.
    UsageError
        When k3d is not installed.
    """

    def __init__(self, source: Source, layout: str = "torus", *, fps: float = FPS) -> None:
        if layout not in LAYOUTS:
            raise ParameterError("layout", layout, "one of " + ", ".join(LAYOUTS))
        try:
            self._k3d = import_module("k3d")
        except ModuleNotFoundError as error:
            raise UsageError(INSTALL) from error
        self._source, self._state = source, node_state(source)
        self._helix = Helix()
        self._drawn: tuple[Any, ...] = ()
        self._plot = self._k3d.plot(
            height=520, grid_visible=False, menu_visibility=False, antialias=0,
            camera_auto_fit=False, colorbar_object_id=0, axes_helper=0,
        )  # fmt: skip
        self._layout = ipywidgets.ToggleButtons(options=list(LAYOUTS), value=layout)
        self._palette = palette_choice()
        self._frames = FrameLoop(source, self._compose, self._send, fps=fps, on_end=_log_failure)
        for control in (self._layout, self._palette):
            control.observe(lambda _: self._frames.call(self._rebuild), "value")
        self._pane = Pane(lambda message: self._frames.call(self._frames.receive, message))
        scene = ipywidgets.Box([self._plot, self._pane])
        scene.add_class("chronoflux-space")
        bar = ipywidgets.Box([self._layout, self._palette])
        bar.add_class("chronoflux-toolbar")
        super().__init__([bar, scene])
        self._rebuild()

    @property
    def flow(self) -> FrameFlow:
        """The flow control of frames to the pages that show this view."""
        return self._frames.flow

    def close(self) -> None:
        """Stop drawing and remove the view's parts from the kernel. May be called from any thread."""
        if self.comm is None:
            return
        for item in self._plot.objects:
            close_all(item)
        close_all(self)
        self._frames.stop()

    async def wait_closed(self) -> None:
        """Wait until drawing has stopped."""
        await self._frames.wait_closed()

    # -- on the loop -----------------------------------------------------------------------------------

    def _rebuild(self) -> None:
        """Rebuild the plot for the chosen layout and palette."""
        if self.comm is None:
            return
        self._helix, self._drawn = Helix(), ()
        self._show(self._cloud())
        self._plot.background_color = int(packed_colours(PALETTES[self._palette.value].field[:1])[0])
        self._plot.camera = CAMERAS[self._layout.value]
        self._frames.wake()

    def _show(self, cloud: PointCloud) -> None:
        """Put a cloud of another size, or of another layout, into the plot."""
        plot = self._plot
        for item in list(plot.objects):
            plot -= item
            close_all(item)
        self._points = self._k3d.points(
            cloud.positions, colors=cloud.colours, point_sizes=cloud.sizes, shader="flat"
        )
        plot += self._points

    def _cloud(self) -> PointCloud:
        palette = PALETTES[self._palette.value]
        return compose_cloud(self._state.snapshot, self._layout.value, palette, self._helix)

    def _compose(self, fresh: bool) -> PointCloud | None:
        """Return the cloud of the current state; None if it was sent already and no page needs it anew."""
        self._state = node_state(self._source)
        if self._state.version == self._drawn and not fresh:
            return None
        self._drawn = self._state.version
        return self._cloud()

    def _send(self, cloud: PointCloud, number: int) -> None:
        """Send `cloud` as frame `number`."""
        if len(cloud.positions) != len(self._points.positions):  # the number of oscillators changed
            self._show(cloud)
        else:
            with self._points.hold_sync():
                self._points.positions, self._points.colors = cloud.positions, cloud.colours
        self._pane.send({"frame": number})


def _log_failure(error: BaseException | None) -> None:
    if error is not None:
        log.error("the view in 3-D stopped", exc_info=error)
