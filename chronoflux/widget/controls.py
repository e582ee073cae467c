"""The toolbar: play and pause, step, reset and speed, a button for each event, a note.

Buttons are made from the registry `EVENTS`, so a new event needs no change here. Clicks may arrive on any
thread; `refresh` is called on the view's event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ipywidgets

from chronoflux.errors import ChronofluxError
from chronoflux.model.events import EVENTS, EventKind
from chronoflux.model.simulation import Snapshot
from chronoflux.widget.source import Source
from chronoflux.widget.typed_bases import Box

ECHO = 2.0
"""Seconds for which a toggle shows the requested state; after that it shows the swarm's own."""

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Speeds offered for a live swarm."""
FRACTIONS = {0.25: "¼", 0.5: "½"}

STANDING: dict[str, Callable[[Snapshot], bool]] = {"lion_gate": lambda snapshot: snapshot.portal}
"""How to read from a snapshot whether a standing event is on. Others show the state last requested here."""


class Toolbar(Box):
    """Controls for the run, its events and notes. `report` gets an error's line, or None after a success."""

    def __init__(self, source: Source, report: Callable[[str | None], None]) -> None:
        self._source, self._report = source, report
        self._asked: dict[str, tuple[bool, float]] = {}  # standing event → requested state, time of request
        self._on: dict[str, bool] = {}
        self._play = _button("", "Let the swarm move, or hold it; the node stays in its room")
        self._play.on_click(lambda _: self._try(self._toggle_play))
        self._step = _button("Step", "Compute one tick, and hold the swarm", "step-forward")
        self._step.on_click(lambda _: self._try(source.step))
        self._reset = _button(
            "Reset", "Begin anew at other places and phases; time, parameters and room stay", "refresh"
        )
        self._reset.on_click(lambda _: self._try(source.reset))
        self._speed = ipywidgets.Dropdown(description="speed", tooltip="Simulated seconds a second")
        self._speed.observe(self._go_at, "value")
        self._telling = False  # True while the code, not the user, changes the menu
        self._kinds: tuple[EventKind, ...] = ()
        self._events: list[ipywidgets.Button] = []
        self._note = ipywidgets.Text(
            description="note",
            placeholder="for the log, then Enter",
            tooltip="Put a remark into the log",
            continuous_update=False,
        )
        self._note.observe(lambda change: self._try(lambda: self._keep_note(change["new"])), "value")
        super().__init__()
        self.add_class("chronoflux-toolbar")

    def refresh(self, snapshot: Snapshot) -> None:
        """Update the buttons and the states they show."""
        playing = self._source.playing
        self._play.description = "Pause" if playing else "Play"
        self._play.icon = "pause" if playing else "play"
        self._show_speed(self._source.speed)
        if self._kinds != tuple(EVENTS):
            self._build()
        for kind, button in zip(self._kinds, self._events, strict=True):
            if not toggles(kind):
                continue
            on = self._standing(kind, snapshot)
            self._on[kind.name] = on
            button.description = f"{kind.label}: {'on' if on else 'off'}"
            button.button_style = "warning" if on else ""

    def _show_speed(self, speed: Any) -> None:
        offered = SPEEDS if speed in SPEEDS else (*SPEEDS, speed) if _number(speed) else (speed,)
        options = tuple((speed_label(one), one) for one in offered)
        self._telling = True
        try:
            if self._speed.options != options:
                self._speed.options = options
            self._speed.value = speed
        finally:
            self._telling = False
        self._speed.disabled = not _number(speed)

    def _go_at(self, change: dict[str, Any]) -> None:
        if not self._telling:
            self._try(lambda: setattr(self._source, "speed", change["new"]))

    def disable(self) -> None:
        """Disable every control."""
        for control in self.children:
            control.disabled = True

    def _build(self) -> None:
        stale, self._kinds = self._events, tuple(EVENTS)
        self._events = [self._event_button(kind) for kind in self._kinds]
        how = (self._play, self._step, self._reset, self._speed)
        self.children = [*how, *self._events, self._note]
        for button in stale:
            close_all(button)

    def _event_button(self, kind: EventKind) -> ipywidgets.Button:
        button = _button(kind.label, (kind.effect.__doc__ or kind.label).strip().splitlines()[0])
        button.on_click(lambda _: self._try(lambda: self._fire(kind)))
        return button

    def _standing(self, kind: EventKind, snapshot: Snapshot) -> bool:
        shown = STANDING.get(kind.name)
        asked, at = self._asked.get(kind.name, (False, 0.0))
        if shown is None:
            return asked
        return asked if time.monotonic() - at < ECHO else shown(snapshot)

    def _fire(self, kind: EventKind) -> None:
        data: dict[str, Any] = {}
        if toggles(kind):
            data["on"] = not self._on.get(kind.name, False)
        self._source.fire(kind.name, **data)
        if toggles(kind):
            self._on[kind.name] = data["on"]
            self._asked[kind.name] = data["on"], time.monotonic()

    def _keep_note(self, text: str) -> None:
        if text.strip():
            self._source.note(text.strip())
            self._note.value = ""

    def _toggle_play(self) -> None:
        if self._source.playing:
            self._source.pause()
        else:
            self._source.play()

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except ChronofluxError as error:
            self._report(str(error))
        else:
            self._report(None)


def toggles(kind: EventKind) -> bool:
    """Return whether an event switches a lasting state on and off."""
    return kind.standing and "on" in kind.payload.__struct_fields__


def speed_label(speed: Any) -> str:
    """Format a speed for display, such as ``× ½``."""
    return f"× {FRACTIONS.get(speed, f'{speed:g}')}" if _number(speed) else str(speed)


def _number(speed: Any) -> bool:
    return isinstance(speed, int | float)


def close_all(widget: ipywidgets.Widget) -> None:
    """Close a widget and everything that belongs to it: children, canvases, layouts and styles."""
    for name in ("children", "_canvases"):
        for part in getattr(widget, name, ()):
            close_all(part)
    for name in ("layout", "style"):
        part = getattr(widget, name, None)
        if isinstance(part, ipywidgets.Widget):
            part.close()
    ipywidgets.Widget.close(widget)


def _button(label: str, tooltip: str, icon: str = "") -> ipywidgets.Button:
    return ipywidgets.Button(description=label, tooltip=tooltip, icon=icon)
