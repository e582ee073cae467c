"""`SwarmDisplay`: a swarm's live picture with its status line and display options.

The way of a frame: the :class:`~chronoflux.widget.frame_loop.FrameLoop` calls ``_compose``, which reads the
swarm's state and makes a picture of its snapshot (:func:`chronoflux.render.picture.compose`), and then
:meth:`~chronoflux.widget.canvas.PictureCanvas.send_picture`, which sends the picture to the page.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import ipywidgets

from chronoflux.errors import ChronofluxError
from chronoflux.render.picture import MeanField, Picture, compose, picture_size
from chronoflux.util.token_bucket import Bucket
from chronoflux.widget.canvas import PictureCanvas
from chronoflux.widget.display_options import DisplayOptions
from chronoflux.widget.export import Exporter
from chronoflux.widget.frame_flow import FrameFlow
from chronoflux.widget.frame_loop import FrameLoop
from chronoflux.widget.source import Source
from chronoflux.widget.status_line import status_html
from chronoflux.widget.swarm_state import SwarmState, peer_fields

log: logging.Logger = logging.getLogger(__name__)

FPS = 60.0
DRAG_RATE = (8.0, 1.0)
"""Rate limit of intents from a drag: rate per second, and burst in seconds' worth of that rate."""


class SwarmDisplay:
    """Picture, status line and display options of `source`. Create it on a running event loop.

    A view arranges the three widgets ``canvas``, ``status`` and ``options``.

    Parameters
    ----------
    source
        What is shown; it may end.
    read
        Returns the source's current state.
    fps
        The highest frame rate, 1/s.
    show_time
        Whether the status line shows the simulated time.
    update
        Called a few times a second while a page watches, before the status line is updated.
    on_end
        Called when the source has ended, or drawing has failed.
    on_removed
        Called once the source has ended and every page has removed the picture.
    """

    canvas: PictureCanvas
    status: ipywidgets.HTML
    options: DisplayOptions
    state: SwarmState
    """The state that was read last."""

    def __init__(
        self,
        source: Source,
        read: Callable[[], SwarmState],
        *,
        fps: float = FPS,
        show_time: bool = False,
        update: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
        on_removed: Callable[[], None] = lambda: None,
    ) -> None:
        self._source, self._read, self._show_time = source, read, show_time
        self._update, self._on_end = update, on_end
        self.state = read()
        self._peers: list[MeanField] = []
        self._drawn: tuple[Any, ...] = ()
        self._problem: str | None = None
        self.canvas = PictureCanvas(
            picture_size(self.state.snapshot.params.world),
            lambda message: self._frames.call(self._receive, message),
        )
        self._frames = FrameLoop(
            source,
            self._compose,
            self.canvas.send_picture,
            fps=fps,
            update=self.refresh,
            on_end=self._ended,
            on_removed=on_removed,
        )
        self.status = ipywidgets.HTML()
        self._exporter = Exporter(source, self.canvas.send_file, self.report)
        self.options = DisplayOptions(
            lambda what: self._frames.call(self._exporter.start, what, self.options.palette)
        )
        self._drag_rate = Bucket(*DRAG_RATE, self._frames.time())

    @property
    def flow(self) -> FrameFlow:
        """The flow control of frames to the watching pages."""
        return self._frames.flow

    def report(self, problem: str | None) -> None:
        """Show a problem in the status line; None: the last action succeeded. From any thread."""
        self._problem = problem
        self._frames.wake()

    def stop(self) -> None:
        """Stop drawing and saving. From any thread."""
        self._frames.stop()
        self._frames.call(self._exporter.stop)

    async def wait_closed(self) -> None:
        """Wait until drawing and saving have stopped."""
        await self._frames.wait_closed()
        await self._exporter.wait_closed()

    # -- on the loop -----------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Update the status line and the peers on the phase clock."""
        self._update()
        self._peers = peer_fields(self._source)
        self._show_status()

    def _compose(self, fresh: bool) -> Picture | None:
        """Return the picture of the current state; None if it was drawn already and no page needs it anew."""
        if not self._source.closed:
            self.state = self._read()
        palette = self.options.palette
        drawn = self.state.version, tuple(self._peers), palette
        if drawn == self._drawn and not fresh:
            return None
        self._drawn = drawn
        return compose(self.state.snapshot, self._peers, palette, self.state.mean_field)

    def _receive(self, message: dict[str, Any]) -> None:
        """Handle a message of the page."""
        if self._frames.receive(message):
            return
        match message:
            case {"click": [int() | float() as x, int() | float() as y]}:
                self._fire_intent(x, y)
            case {"drag": [int() | float() as x, int() | float() as y]}:
                if self._drag_rate.take(1, self._frames.time()):
                    self._fire_intent(x, y)
            case _:
                log.warning("unknown message from the page: %.100r", message)

    def _fire_intent(self, x: float, y: float) -> None:
        """Fire an intent where the picture was clicked; `x` and `y` are fractions of its sides."""
        if not (math.isfinite(x) and math.isfinite(y)):
            return
        W, H = self.state.snapshot.params.world
        try:
            self._source.fire("intent", x=min(max(x, 0.0), 1.0) * W, y=min(max(y, 0.0), 1.0) * H)
        except ChronofluxError as error:
            self.report(str(error))
        else:
            self.report(None)

    def _show_status(self) -> None:
        state, options = self.state, self.options
        self.status.value = status_html(
            self._source.status,
            {**self._source.metrics, "H": state.mean_field.R},
            state.n,
            self._problem,
            t=state.snapshot.t if self._show_time else None,
            drawn=state.drawn,
            pace=self.flow.pace(self._frames.time()) if options.show_frame_rate else None,
        )

    def _ended(self, error: BaseException | None) -> None:
        if error is not None:
            log.error("the display stopped", exc_info=error)
            self._problem = f"the display stopped: {error!r}"
        self._on_end()
        self._show_status()
