"""`ReplayView`: the view of recorded runs, with a scrub bar instead of the swarm's controls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets

from chronoflux.errors import ChronofluxError
from chronoflux.replay import MODES, RECOMPUTED, SPEEDS, Replay, Track, clock
from chronoflux.widget.elements import button, close_all
from chronoflux.widget.run_view import RunView
from chronoflux.widget.timeline import Timeline
from chronoflux.widget.toolbar import speed_label
from chronoflux.widget.typed_bases import VBox

UPDATE_PERIOD = 0.1
"""Seconds between two updates of the scrub bar and the status."""


class ReplayView(VBox):
    """The view of a replay in a notebook. Closing the view leaves the replay open.

    Create it on a running event loop. `picture` makes the view of each run, a widget with a ``flow``
    (:class:`~chronoflux.widget.frame_flow.FrameFlow`).
    """

    def __init__(self, replay: Replay, picture: Callable[[Track], Any] = RunView) -> None:
        self._replay = replay
        self._loop = asyncio.get_running_loop()
        self._views = [picture(track) for track in replay.runs]
        self._problem: str | None = None
        self._timeline = Timeline(replay, self._receive)
        self._status = ipywidgets.HTML()
        runs = ipywidgets.Box(self._views)
        runs.add_class("chronoflux-runs")
        super().__init__([self._make_bar(), self._timeline, self._status, runs])
        self.add_class("chronoflux-replay")
        self.refresh()
        self._task = self._loop.create_task(self._run(), name="chronoflux replay view")
        replay.on_close(lambda: self._call(self.refresh))

    @property
    def views(self) -> list[Any]:
        """The view of each run."""
        return list(self._views)

    def _make_bar(self) -> ipywidgets.Box:
        replay = self._replay
        self._play = button("Play", "Play or pause (space)", "play")
        self._play.on_click(lambda _: self._try(self._toggle))
        back = button("", "Previous event (page up)", "step-backward")
        back.on_click(lambda _: self._try(lambda: replay.step(-1)))
        forward = button("", "Next event (page down)", "step-forward")
        forward.on_click(lambda _: self._try(lambda: replay.step(1)))
        self._speed = ipywidgets.Dropdown(
            options=[(speed_label(speed), speed) for speed in SPEEDS],
            value=replay.speed if replay.speed in SPEEDS else 1.0,
            description="Speed",
        )
        self._speed.observe(lambda change: self._try(lambda: self._set(speed=change["new"])), "value")
        self._mode = ipywidgets.ToggleButtons(
            options=list(MODES),
            value=replay.mode,
            tooltips=[
                "What is on record: metrics and events, phases where they were recorded, saved states",
                "Every tick is recomputed from seed, parameters and inputs, and compared with the record",
            ],
        )
        self._mode.observe(lambda change: self._try(lambda: self._set(mode=change["new"])), "value")
        bar = ipywidgets.Box([back, self._play, forward, self._speed, self._mode])
        bar.add_class("chronoflux-toolbar")
        return bar

    # -- from the page, on any thread ------------------------------------------------------------------

    def _receive(self, content: dict[str, Any]) -> None:
        match content:
            case {"seek": int() | float() as s}:
                self._try(lambda: self._replay.seek(s))
            case {"step": int(direction)}:
                self._try(lambda: self._replay.step(1 if direction > 0 else -1))
            case {"toggle": True}:
                self._try(self._toggle)

    def _toggle(self) -> None:
        if self._replay.playing:
            self._replay.pause()
        else:
            self._replay.play()

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self._replay, name, value)

    def _try(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except ChronofluxError as error:
            self._problem = str(error)
        else:
            self._problem = None
        self._call(self.refresh)

    def _call(self, function: Callable[[], Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the kernel is going down
            self._loop.call_soon_threadsafe(function)

    # -- on the loop -----------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._replay.closed:
            if any(view.flow.watched for view in self._views):
                self.refresh()
            await asyncio.sleep(UPDATE_PERIOD)

    def refresh(self) -> None:
        """Show the replay's position, state and mode."""
        if self.comm is None:
            return
        replay = self._replay
        playing = replay.playing
        self._play.description = "Pause" if playing else "Play"
        self._play.icon = "pause" if playing else "play"
        if replay.speed in SPEEDS:
            self._speed.value = replay.speed
        self._mode.value = replay.mode
        if replay.closed:
            for control in (self._play, self._speed, self._mode):
                control.disabled = True
        self._timeline.refresh(replay)
        self._status.value = replay_html(replay, self._problem)

    def close(self) -> None:
        """Remove the view from the page and its parts from the kernel. May be called from any thread."""
        if self.comm is None:
            return
        views, self._views = self._views, []
        for view in views:
            view.close()
        close_all(self)
        self._call(self._task.cancel)

    async def wait_closed(self) -> None:
        """Wait until drawing has stopped."""
        await asyncio.wait([self._task])


def replay_html(replay: Replay, problem: str | None = None) -> str:
    """Return the line below the scrub bar as HTML: mode, position, agreement and problems."""
    parts = [
        f'<b class="chronoflux-mode">{escape(replay.mode)}</b>',
        f"{clock(replay.position)} of {clock(replay.duration)}",
        f"{len(replay.events):,} events",
    ]
    if replay.mode == RECOMPUTED and (agreement := replay.agreement) is not None:
        kind = "problem" if agreement.differences else "good" if agreement else "fact"
        parts.append(f'<span class="chronoflux-{kind}">{escape(str(agreement))}</span>')
    if any(track.growing for track in replay.runs):
        parts.append("still being written")
    if replay.closed:
        parts.append("closed")
    line = "".join(f'<span class="chronoflux-fact">{part}</span>' for part in parts)
    problems = [text for text in (replay.problem, problem) if text]
    warnings = "".join(f'<div class="chronoflux-problem">⚠ {escape(text)}</div>' for text in problems)
    return f'<div class="chronoflux-status">{line}</div>{warnings}'
