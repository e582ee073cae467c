"""The toolbar: play and pause, step, reset and speed, a button for each event, a note.

Buttons are made from the registry `EVENTS`, so a new event needs no change here. Clicks may arrive on any
thread; `refresh` is called on the view's event loop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import ipywidgets

from chronoflux.errors import ChronofluxError
from chronoflux.model.events import EVENTS, EventKind
from chronoflux.model.simulation import Snapshot
from chronoflux.widget.elements import button, close_all
from chronoflux.widget.source import Source
from chronoflux.widget.typed_bases import Box

REQUEST_SHOWN = 2.0
"""Seconds for which a toggle shows the requested state; after that it shows the swarm's own."""

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Speeds offered for a live swarm."""
FRACTIONS = {0.25: "¼", 0.5: "½"}

STANDING: dict[str, Callable[[Snapshot], bool]] = {"lion_gate": lambda snapshot: snapshot.portal}
"""How to read from a snapshot whether a standing event is on. For others the node's record says so."""


class Toolbar(Box):
    """Controls for the run, its events and notes. `report` gets an error's line, or None after a success."""

    def __init__(self, source: Source, report: Callable[[str | None], None]) -> None:
        self._source, self._report = source, report
        self._requested: dict[str, tuple[bool, float]] = {}  # standing event → requested state, time
        self._on: dict[str, bool] = {}
        self._play = button("", "Start or pause the swarm; the node stays in its room")
        self._play.on_click(lambda _: self._try(self._toggle_play))
        self._step = button("Step", "Compute one tick, then pause", "step-forward")
        self._step.on_click(lambda _: self._try(source.step))
        self._reset = button(
            "Reset", "Draw new positions and phases; time, parameters and room stay the same", "refresh"
        )
        self._reset.on_click(lambda _: self._try(source.reset))
        self._speed = ipywidgets.Dropdown(description="speed", tooltip="Simulated seconds per second")
        self._speed.observe(self._set_speed, "value")
        self._updating_speed = False  # True while the code, not the user, changes the menu
        self._kinds: tuple[EventKind, ...] = ()
        self._events: list[ipywidgets.Button] = []
        self._note = ipywidgets.Text(
            description="note",
            placeholder="for the log, then Enter",
            tooltip="Write a note into the log",
            continuous_update=False,
        )
        self._note.observe(lambda change: self._try(lambda: self._write_note(change["new"])), "value")
        super().__init__()
        self.add_class("chronoflux-toolbar")

    def refresh(self, snapshot: Snapshot) -> None:
        """Update the buttons and the states they show."""
        playing = self._source.playing
        self._play.description = "Pause" if playing else "Play"
        self._play.icon = "pause" if playing else "play"
        self._show_speed(self._source.speed)
        if self._kinds != tuple(EVENTS):
            self._rebuild()
        for kind, event_button in zip(self._kinds, self._events, strict=True):
            if not toggles(kind):
                continue
            on = self._is_on(kind, snapshot)
            self._on[kind.name] = on
            event_button.description = f"{kind.label}: {'on' if on else 'off'}"
            event_button.button_style = "warning" if on else ""

    def disable(self) -> None:
        """Disable every control."""
        for control in self.children:
            control.disabled = True

    def _show_speed(self, speed: Any) -> None:
        offered = SPEEDS if speed in SPEEDS else (*SPEEDS, speed) if _is_number(speed) else (speed,)
        options = tuple((speed_label(one), one) for one in offered)
        self._updating_speed = True
        try:
            if self._speed.options != options:
                self._speed.options = options
            self._speed.value = speed
        finally:
            self._updating_speed = False
        self._speed.disabled = not _is_number(speed)

    def _set_speed(self, change: dict[str, Any]) -> None:
        if not self._updating_speed:
            self._try(lambda: setattr(self._source, "speed", change["new"]))

    def _rebuild(self) -> None:
        """Make the buttons of the events that are registered now."""
        old, self._kinds = self._events, tuple(EVENTS)
        self._events = [self._event_button(kind) for kind in self._kinds]
        run_controls = (self._play, self._step, self._reset, self._speed)
        self.children = [*run_controls, *self._events, self._note]
        for event_button in old:
            close_all(event_button)

    def _event_button(self, kind: EventKind) -> ipywidgets.Button:
        summary = (kind.effect.__doc__ or kind.label).strip().splitlines()[0]
        event_button = button(kind.label, summary.replace("`", ""))
        event_button.on_click(lambda _: self._try(lambda: self._fire(kind)))
        return event_button

    def _is_on(self, kind: EventKind, snapshot: Snapshot) -> bool:
        """Return the state that a toggle shows."""
        requested, at = self._requested.get(kind.name, (False, -math.inf))
        if time.monotonic() - at < REQUEST_SHOWN:
            return requested
        read = STANDING.get(kind.name)
        return self._source.recent.standing.get(kind.name, False) if read is None else read(snapshot)

    def _fire(self, kind: EventKind) -> None:
        data: dict[str, Any] = {}
        if toggles(kind):
            data["on"] = not self._on.get(kind.name, False)
        self._source.fire(kind.name, **data)
        if toggles(kind):
            self._on[kind.name] = data["on"]
            self._requested[kind.name] = data["on"], time.monotonic()

    def _write_note(self, text: str) -> None:
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
    return f"× {FRACTIONS.get(speed, f'{speed:g}')}" if _is_number(speed) else str(speed)


def _is_number(speed: Any) -> bool:
    return isinstance(speed, int | float)
