"""`Timeline`: the scrub bar of a replay, with a lane per run that shows its order and its events."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from traitlets import Bytes, Float, List, Unicode

from chronoflux.widget.typed_bases import AnyWidget

if TYPE_CHECKING:
    from chronoflux.replay import Replay

CURVE_POINTS = 600
"""Points in a run's curve of H."""
MAX_MARKS = 4000
"""Most events drawn; of more, every k-th is drawn."""
COLOURS = {
    "intent": "#5fb4b8",
    "lion_gate": "#f0a868",
    "pacemaker_flip": "#d65fd6",
    "params": "#8f9bb3",
    "reset": "#8f9bb3",
    "note": "#e6d35c",
    "stall": "#e5484d",
    "gap": "#e5484d",
    "missed": "#e5484d",
}
"""Colours of events by type; other types are grey. Peers' events are drawn hollow."""
OTHER_COLOUR = "#8f9bb3"


class Timeline(AnyWidget):
    """The scrub bar.

    `on_message` is called with each message of the page, on any thread: ``{"seek": seconds}``,
    ``{"step": ±1}`` or ``{"toggle": True}``.
    """

    _esm = (files("chronoflux.widget") / "timeline.js").read_text("utf-8")

    duration: Float[float, int | float] = Float(0.0).tag(sync=True)
    position: Float[float, int | float] = Float(0.0).tag(sync=True)
    names: List[Any] = List(Unicode()).tag(sync=True)
    curves: Bytes = Bytes(b"").tag(sync=True)
    marks: Any = List().tag(sync=True)

    def __init__(self, replay: Replay, on_message: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(**contents(replay), position=replay.position)
        self._duration = replay.duration
        self.add_class("chronoflux-timeline")
        self.on_msg(lambda _, content, __: on_message(content))

    def refresh(self, replay: Replay) -> None:
        """Show the replay's position, and the new records of a run that is still being written."""
        if replay.duration != self._duration:
            self._duration = replay.duration
            for name, value in contents(replay).items():
                setattr(self, name, value)
        self.position = round(replay.position, 3)


def contents(replay: Replay) -> dict[str, Any]:
    """Return the state of the scrub bar.

    ``duration`` (s); ``names`` of the runs; ``curves``: the bytes of float32 (runs, CURVE_POINTS), H over
    the time line, NaN outside a run; ``marks``: lists of second, run, colour, own, text.
    """
    events = replay.events[:: -(-len(replay.events) // MAX_MARKS) or 1]
    return {
        "duration": replay.duration,
        "names": [track.node for track in replay.runs],
        "curves": b"".join(curve(replay, run).tobytes() for run in range(len(replay.runs))),
        "marks": [
            [round(e.s, 3), e.run, COLOURS.get(e.mark.type.removeprefix("remote_"), OTHER_COLOUR), e.mark.own,
             e.mark.text]
            for e in events
        ],
    }  # fmt: skip


def curve(replay: Replay, run: int) -> NDArray[np.float32]:
    """Return H of a run, float32 (CURVE_POINTS,): means over bins of the time line, NaN in empty bins."""
    track = replay.runs[run]
    t, H = track.record.H
    seconds = np.array([replay.second(track, when) for when in t[[0, -1]]]) if len(t) else np.zeros(2)
    begin, end = (seconds / max(replay.duration, 1e-9) * CURVE_POINTS).tolist()
    place = begin + (t - t[0]) / max(t[-1] - t[0], 1e-9) * (end - begin) if len(t) else t
    known = np.isfinite(H)
    bins = np.clip(place[known].astype(np.int64), 0, CURVE_POINTS - 1)
    count = np.bincount(bins, minlength=CURVE_POINTS)
    total = np.bincount(bins, weights=H[known], minlength=CURVE_POINTS)
    with np.errstate(invalid="ignore"):
        return (total / count).astype(np.float32)
