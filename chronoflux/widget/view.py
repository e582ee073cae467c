"""`NodeView`: the live picture of a node with its controls, as an ipywidgets box.

Messages from the page may arrive on any thread. They only call the source, which is thread-safe, or wake the
view's single task. Only that task draws, on the event loop that the view was made on.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

import ipywidgets

from chronoflux.errors import ChronofluxError
from chronoflux.model.snapshot import Snapshot
from chronoflux.render.picture import MeanField, compose, mean_field, picture_size, stride
from chronoflux.util.token_bucket import Bucket
from chronoflux.widget.canvas import Stage
from chronoflux.widget.controls import Toolbar, close_all
from chronoflux.widget.display_options import Looks
from chronoflux.widget.export import CLIP_RATE, CLIP_SECONDS, clip_file, log_file, picture_file
from chronoflux.widget.history import History
from chronoflux.widget.live_view import Live
from chronoflux.widget.parameters import Parameters
from chronoflux.widget.source import Source
from chronoflux.widget.status import status_html

log: logging.Logger = logging.getLogger(__name__)

FPS = 60.0
PANEL_PERIOD = 0.2
"""Seconds between two updates of the controls, the status and the peers."""
TRAIL = (8.0, 1.0)
"""Rate limit of intents from a drag: rate per second, and burst in seconds' worth of that rate."""
IDLE, HELD = 0.004, 0.05
"""Seconds between two polls of a source that had nothing new: while it plays, and while it is paused."""


class NodeView(Live):
    """The picture of `source`, its controls and its status. Create it on a running event loop.

    It may be displayed any number of times, and a source may have any number of views. Nothing is drawn
    while no page watches. After the source has ended, the last picture stays until it is removed from the
    page. `fps` is the highest frame rate.
    """

    STEERED = True
    """Whether the source is a live swarm, which gets controls and a history."""

    def __init__(self, source: Source, *, fps: float = FPS) -> None:
        self._attend(source, fps)
        self._displays: set[str] | None = None  # pages that display this view; None before the first
        self._trail = Bucket(*TRAIL, self._loop.time())
        self._trouble: str | None = None
        self._peers: list[MeanField] = []  # psi is relative to the swarm's own
        self._snapshot = source.snapshot()
        self._drawn: tuple[Any, ...] = ()
        self._toolbar = Toolbar(source, self._report) if self.STEERED else None
        self._parameters = Parameters(source, self._report) if self.STEERED else None
        self._history = History(source) if self.STEERED else None
        self._status = ipywidgets.HTML()
        self._looks = Looks(lambda what: self._call(self._save, what))
        self._saving: asyncio.Task[None] | None = None
        self._stage = Stage(picture_size(self._snapshot.params.world), self._hear)
        body = ipywidgets.Box(_there(self._stage, self._parameters))
        body.add_class("chronoflux-body")
        self._refresh_panel()
        super().__init__(_there(self._toolbar, body, self._status, self._history, self._looks))
        self.add_class("chronoflux-view")
        self._task = self._loop.create_task(self._run(), name="chronoflux view")
        self._task.add_done_callback(self._ended)
        source.on_close(self._wake)

    def close(self) -> None:
        """Stop drawing, remove the view from the page and its parts from the kernel. From any thread."""
        if self.comm is None:
            return
        close_all(self)
        self._call(self._stop)

    async def wait_closed(self) -> None:
        """Wait until drawing and saving have stopped."""
        await asyncio.wait([self._task] if self._saving is None else [self._task, self._saving])

    def _stop(self) -> None:
        self._task.cancel()
        if self._saving is not None:
            self._saving.cancel()

    # -- from the page and from the source, on any thread ----------------------------------------------

    def _report(self, trouble: str | None) -> None:
        self._trouble = trouble
        self._wake()

    # -- on the loop -----------------------------------------------------------------------------------

    def _heard(self, content: dict[str, Any]) -> None:
        """Handle a message of `frames.js`."""
        now = self._loop.time()
        match content:
            case {"shown": int(frame), "client": str(client)}:
                self._flow.confirm(client, frame, now)
            case {"watching": bool(watching), "displayed": bool(displayed), "client": str(client)}:
                self._look(client, watching, displayed, now)
            case {"click": [int() | float() as x, int() | float() as y]}:
                self._click(x, y)
            case {"trail": [int() | float() as x, int() | float() as y]}:
                if self._trail.take(1, now):
                    self._click(x, y)
            case _:
                log.warning("the page said something unknown: %.100r", content)
        self._woken.set()

    def _look(self, client: str, watching: bool, displayed: bool, now: float) -> None:
        self._displays = (self._displays or set()) - {client} | ({client} if displayed else set())
        if not watching:
            self._flow.leave(client)
        else:
            self._flow.watch(client, now)
            if self._task.done():  # the task no longer draws: show the last picture on a page just opened
                self._draw()
        self._close_if_done()

    def _click(self, x: float, y: float) -> None:
        """Fire an intent where the picture was clicked; `x` and `y` are fractions of its sides."""
        if not (math.isfinite(x) and math.isfinite(y)):
            return
        W, H = self._snapshot.params.world
        try:
            self._source.fire("intent", x=min(max(x, 0.0), 1.0) * W, y=min(max(y, 0.0), 1.0) * H)
        except ChronofluxError as error:
            self._trouble = str(error)
        else:
            self._trouble = None

    async def _run(self) -> None:
        """Draw as fast as the watching pages confirm, and update the panel, until the source ends."""
        look = 0.0
        while not self._source.closed:
            now = self._loop.time()
            if self._flow.watched and now >= look:
                look = now + PANEL_PERIOD
                self._refresh_panel()
            if self._flow.ready(now) and not self._draw():
                self._flow.postpone(now + (IDLE if self._source.playing else HELD))
            wait = self._flow.wait(now)
            await self._rest(None if wait is None else min(wait, max(look - now, 0.0)))

    def _draw(self) -> bool:
        """Send a frame if there is anything new to see. Return whether there was."""
        if not self._source.closed:
            self._snapshot = self._source.snapshot()
        seen = self._seen()
        if seen == self._drawn and not self._flow.fresh:
            return False
        self._drawn = seen
        # Compute everything before the frame gets its number, so that a failure leaves nothing unconfirmed.
        picture = compose(self._snapshot, self._peers, self._looks.palette, self._own())
        self._stage.show(picture, self._flow.sent(self._loop.time()))
        return True

    def _seen(self) -> tuple[Any, ...]:
        """Return what identifies a picture: equal values mean that nothing new is to be drawn."""
        snapshot = self._snapshot
        return snapshot.tick, snapshot.portal, snapshot.params, tuple(self._peers), self._looks.palette

    def _own(self) -> MeanField:
        """Return the mean field of the swarm."""
        return mean_field(self._snapshot)

    def _number(self) -> int:
        """Return the number of oscillators, including those whose state is not known."""
        return len(self._snapshot.x)

    def _refresh_panel(self) -> None:
        """Apply changed parameters, then update the controls, the status line and the peers' hands."""
        if self._parameters is not None:
            self._parameters.apply()
            self._parameters.refresh()
        if self._toolbar is not None:
            self._toolbar.refresh(self._snapshot)
        self._peers = _peers_hands(self._source)
        self._show_status()
        if self._history is not None:
            self._history.refresh(len(self._snapshot.x), self._own().R, self._loop.time())

    def _show_status(self) -> None:
        metrics = {**self._source.metrics, "H": self._own().R}
        known = len(self._snapshot.x)
        self._status.value = status_html(
            self._source.status,
            metrics,
            self._number(),
            self._trouble,
            t=self._snapshot.t if self.STEERED else None,
            drawn=-(-known // stride(known)) if known else None,
            pace=self._flow.pace(self._loop.time()) if self._looks.pace else None,
        )

    def _save(self, what: str) -> None:
        """Start saving one of `EXPORTS`, unless something is being saved already."""
        if self._saving is None or self._saving.done():
            self._saving = self._loop.create_task(self._saved(what), name=f"chronoflux save {what}")

    async def _saved(self, what: str) -> None:
        name, palette = f"{self._source.status.room}-{self._source.status.node_id}", self._looks.palette
        try:
            if what == "log":
                file = await asyncio.to_thread(log_file, self._source, name)
            elif what == "picture":
                file = await asyncio.to_thread(picture_file, self._snapshot, palette, name)
            else:
                file = await asyncio.to_thread(clip_file, await self._filmed(), palette, name)
        except (ChronofluxError, OSError) as error:
            self._report(f"{what} not saved: {error}")
        except Exception as error:
            log.exception("saving the %s failed", what)
            self._report(f"{what} not saved: {error!r}")
        else:
            self._stage.keep(*file)
            self._report(None)

    async def _filmed(self) -> list[Snapshot]:
        """Collect snapshots over the next `CLIP_SECONDS`, at `CLIP_RATE` per second."""
        shown = [self._snapshot]
        while not self._source.closed and len(shown) < CLIP_RATE * CLIP_SECONDS:
            await asyncio.sleep(1 / CLIP_RATE)
            shown.append(self._source.snapshot())
        return shown

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Handle the end of the task: disable the controls, and report a failure of drawing."""
        if task.cancelled():
            return
        if error := task.exception():
            log.error("the display stopped", exc_info=error)
            self._trouble = f"the display stopped: {error!r}"
        for controls in (self._toolbar, self._parameters):
            if controls is not None:
                controls.disable()
        self._show_status()
        self._close_if_done()

    def _close_if_done(self) -> None:
        """Close the view if its task has ended and it was removed from every page."""
        if self._task.done() and self._displays is not None and not self._displays:
            self.close()


def _there(*parts: ipywidgets.Widget | None) -> list[ipywidgets.Widget]:
    return [part for part in parts if part is not None]


def _peers_hands(source: Source) -> list[MeanField]:
    """Return the known mean fields of the peers, ``psi`` relative to the source's own."""
    if not source.metrics.get("peers"):
        return []
    known = source.peers[["name", "id", "H", "dpsi"]].dropna(subset=["H", "dpsi"])
    return [
        MeanField(float(H), float(dpsi), str(name or peer))
        for name, peer, H, dpsi in known.itertuples(index=False)
    ]
