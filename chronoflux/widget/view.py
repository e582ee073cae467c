"""`NodeView`: the live picture of a node with its controls, as an ipywidgets box.

The page and the kernel meet here. What comes from the page may come on any thread; it only calls the
source, which bears that, or wakes the view's one task, which alone draws, on the loop it was made on.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

import ipywidgets

from chronoflux.errors import ChronofluxError
from chronoflux.model.snapshot import Snapshot
from chronoflux.util.token_bucket import Bucket
from chronoflux.widget.canvas import Stage
from chronoflux.widget.controls import Toolbar, close_all
from chronoflux.widget.display_options import Looks
from chronoflux.widget.export import CLIP_RATE, CLIP_SECONDS, clip_file, log_file, picture_file
from chronoflux.widget.frame import Hand, compose, own_hand, picture_size, sampled
from chronoflux.widget.history import History
from chronoflux.widget.live_view import Live
from chronoflux.widget.parameters import Parameters
from chronoflux.widget.source import Source
from chronoflux.widget.status import status_html

log = logging.getLogger(__name__)

FPS = 60.0
PANEL_PERIOD = 0.2
"""Seconds between looks at the controls, the status and the peers."""
TRAIL = (8.0, 1.0)
"""Intents a second that a drag leaves, and how many seconds' worth at once."""
IDLE, HELD = 0.004, 0.05
"""Seconds until a source that had nothing new is asked again: while it plays, and while it is held."""


class NodeView(Live):
    """The picture of `source`, its controls and its status; to be made on a running event loop.

    It may be displayed any number of times, and a source may have any number of views. Nothing is drawn
    while nobody watches. When the source ends, the last picture stays, until it is taken off the page.
    """

    STEERED = True
    """Whether the swarm is of the present: there are controls for it, and its history is taken down."""

    def __init__(self, source: Source, *, fps: float = FPS) -> None:
        self._attend(source, fps)
        self._displays: set[str] | None = None  # pages that display it; None before the first
        self._trail = Bucket(*TRAIL, self._loop.time())
        self._trouble: str | None = None
        self._peers: list[Hand] = []  # psi relative to our own
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
        """Stop drawing, take the view off the page and its parts out of the kernel. From any thread."""
        if self.comm is None:
            return
        close_all(self)
        self._call(self._stop)

    async def wait_closed(self) -> None:
        """Wait until nothing is drawn any more."""
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
        """Take in what `frames.js` says."""
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
            if self._task.done():  # nobody else would: the last picture, for a page just opened
                self._draw()
        self._close_if_done()

    def _click(self, x: float, y: float) -> None:
        """An intent where the picture was clicked, at fractions of its sides."""
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
        """Draw as fast as the pages that watch confirm, and look after the panel, until the source ends."""
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
        """Send a frame, if there is anything new to see; whether there was."""
        if not self._source.closed:
            self._snapshot = self._source.snapshot()
        seen = self._seen()
        if seen == self._drawn and not self._flow.fresh:
            return False
        self._drawn = seen
        # All is computed before the frame gets its number: a failure leaves nothing unconfirmed.
        picture = compose(self._snapshot, self._peers, self._looks.palette, self._own())
        self._stage.show(picture, self._flow.sent(self._loop.time()))
        return True

    def _seen(self) -> tuple[Any, ...]:
        """What tells one picture from the next."""
        snapshot = self._snapshot
        return snapshot.tick, snapshot.portal, snapshot.params, tuple(self._peers), self._looks.palette

    def _own(self) -> Hand:
        """The mean field of the swarm."""
        return own_hand(self._snapshot)

    def _number(self) -> int:
        """Of oscillators, also where not all of them are known."""
        return len(self._snapshot.x)

    def _refresh_panel(self) -> None:
        """Bring controls, status line and the peers' hands up to date; apply what was moved."""
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
            drawn=-(-known // sampled(known)) if known else None,
            pace=self._flow.pace(self._loop.time()) if self._looks.pace else None,
        )

    def _save(self, what: str) -> None:
        """Have something saved by the page, if nothing is being saved."""
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
        """The swarm over the next seconds."""
        shown = [self._snapshot]
        while not self._source.closed and len(shown) < CLIP_RATE * CLIP_SECONDS:
            await asyncio.sleep(1 / CLIP_RATE)
            shown.append(self._source.snapshot())
        return shown

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The source has ended, the view was closed, or drawing failed: say which."""
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
        """An ended view that was taken off every page is of no use to anybody any more."""
        if self._task.done() and self._displays is not None and not self._displays:
            self.close()


def _there(*parts: ipywidgets.Widget | None) -> list[ipywidgets.Widget]:
    return [part for part in parts if part is not None]


def _peers_hands(source: Source) -> list[Hand]:
    """The peers' mean fields as far as known, ``psi`` relative to the source's own."""
    if not source.metrics.get("peers"):
        return []
    known = source.peers[["name", "id", "H", "dpsi"]].dropna(subset=["H", "dpsi"])
    return [
        Hand(str(name or peer), float(H), float(dpsi))
        for name, peer, H, dpsi in known.itertuples(index=False)
    ]
