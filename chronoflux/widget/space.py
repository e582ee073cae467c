"""`Space`: a swarm in three dimensions, drawn by k3d, an optional extra: ``pip install "chronoflux[3d]"``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from typing import Any
from uuid import uuid4

import ipywidgets
from traitlets import Unicode

from chronoflux.errors import ParameterError, UsageError
from chronoflux.render.palettes import PALETTES, Palette
from chronoflux.render.point_cloud import LAYOUTS, Helix, PointCloud, compose_cloud, packed_colours
from chronoflux.widget.controls import close_all
from chronoflux.widget.display_options import palette_choice
from chronoflux.widget.live_view import Live, page_code
from chronoflux.widget.source import Source
from chronoflux.widget.typed_bases import AnyWidget

log: logging.Logger = logging.getLogger(__name__)

FPS = 20.0
HELD = 0.02
"""Seconds between two polls of a source that had nothing new."""
INSTALL = 'the picture in 3-D needs k3d: python -m pip install "chronoflux[3d]", then restart the kernel'


class Pane(AnyWidget):
    """A transparent pane over the picture: receives confirmations and visibility, on any thread."""

    _esm = page_code("space.js")
    _css = (files("chronoflux.widget") / "view.css").read_text("utf-8")
    name: Unicode[str, str | bytes] = Unicode().tag(sync=True)

    def __init__(self, hear: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(name=uuid4().hex)
        self.add_class("chronoflux-pane")
        self.on_msg(lambda _, content, __: hear(content))


class Space(Live):
    """The live three-dimensional view of a source's swarm. Create it on a running event loop.

    Everything is one cloud of points: a frame is one message and one drawing call, fast enough for browsers
    without a graphics card. Nothing is sent while no page watches, and at most two frames are unconfirmed.

    Parameters
    ----------
    source
        The node or the track to show.
    layout
        One of :data:`LAYOUTS`; the layout and the palette can also be chosen on the page.
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
        self._attend(source, fps)
        self._drawn: tuple[Any, ...] = ()
        self._helix = Helix()
        self._snapshot = source.snapshot()
        self._plot = self._k3d.plot(
            height=520, grid_visible=False, menu_visibility=False, antialias=0,
            camera_auto_fit=False, colorbar_object_id=0, axes_helper=0,
        )  # fmt: skip
        self._choice = ipywidgets.ToggleButtons(options=list(LAYOUTS), value=layout)
        self._colours = palette_choice()
        for control in (self._choice, self._colours):
            control.observe(lambda _: self._call(self._arrange), "value")
        pane = Pane(self._hear)
        self._send = pane.send
        scene = ipywidgets.Box([self._plot, pane])
        scene.add_class("chronoflux-space")
        bar = ipywidgets.Box([self._choice, self._colours])
        bar.add_class("chronoflux-toolbar")
        super().__init__([bar, scene])
        self._arrange()
        self._task = self._loop.create_task(self._run(), name="chronoflux space")
        self._task.add_done_callback(self._ended)
        source.on_close(self._wake)

    def close(self) -> None:
        """Stop drawing and remove the view's parts from the kernel. May be called from any thread."""
        if self.comm is None:
            return
        for thing in self._plot.objects:
            close_all(thing)
        close_all(self)
        self._call(self._task.cancel)

    async def wait_closed(self) -> None:
        """Wait until drawing has stopped."""
        await asyncio.wait([self._task])

    # -- on the loop -----------------------------------------------------------------------------------

    def _heard(self, content: dict[str, Any]) -> None:
        now = self._loop.time()
        match content:
            case {"shown": int(frame), "client": str(client)}:
                self._flow.confirm(client, frame, now)
            case {"watching": True, "client": str(client)}:
                self._flow.watch(client, now)
            case {"watching": False, "client": str(client)}:
                self._flow.leave(client)
        self._woken.set()

    async def _run(self) -> None:
        while not self._source.closed:
            now = self._loop.time()
            if self._flow.ready(now) and not self._draw():
                self._flow.postpone(now + HELD)
            await self._rest(self._flow.wait(now))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            log.error("the picture in space stopped", exc_info=error)

    def _arrange(self) -> None:
        """Rebuild the plot for the chosen layout and palette."""
        if self.comm is None:
            return
        layout, plot = self._choice.value, self._plot
        for thing in list(plot.objects):
            plot -= thing
            close_all(thing)
        self._helix, self._drawn = Helix(), ()
        places, colours, sizes = self._cloud()
        self._points = self._k3d.points(places, colors=colours, point_sizes=sizes, shader="flat")
        plot += self._points
        plot.background_color = int(packed_colours(self._palette.field[:1])[0])
        plot.camera = CAMERAS[layout]
        self._woken.set()

    @property
    def _palette(self) -> Palette:
        return PALETTES[self._colours.value]

    def _cloud(self) -> PointCloud:
        return compose_cloud(self._snapshot, self._choice.value, self._palette, self._helix)

    def _draw(self) -> bool:
        """Send a frame if there is anything new to see. Return whether there was."""
        self._snapshot = snapshot = self._source.snapshot()
        seen = snapshot.tick, snapshot.portal, snapshot.params, len(snapshot.phi), snapshot.phi[:1].tobytes()
        if seen == self._drawn and not self._flow.fresh:
            return False
        self._drawn = seen
        places, colours, _ = self._cloud()
        if len(places) != len(self._points.positions):  # the number of oscillators changed
            self._arrange()
        else:
            with self._points.hold_sync():
                self._points.positions, self._points.colors = places, colours
        self._send({"frame": self._flow.sent(self._loop.time())})
        return True


CAMERAS: dict[str, list[float]] = {
    "torus": [1.05, -1.75, 1.75, 0, 0, -0.05, 0, 0, 1],
    "helix": [1.5, -1.9, 1.9, 0, 0, 0, 0, 0, 1],
    "height": [0.0, -1.3, 0.95, 0, -0.1, 0, 0, 0, 1],
}
"""Camera position, target and up vector of each layout, in k3d's order."""
