"""`Replay`: past runs on one timeline, as recorded or recomputed.

A replay has a position on the timeline, plays or pauses at a speed, and has a frame of each run at the
position. A background thread makes the frames while a view asks for them. Nothing here knows widgets.
"""

from chronoflux.replay.recomputed import Agreement
from chronoflux.replay.replay import SPEEDS, Happening, Replay
from chronoflux.replay.track import MODES, RECOMPUTED, RECORDED, Frame, Track, clock

__all__ = [
    "MODES",
    "RECOMPUTED",
    "RECORDED",
    "SPEEDS",
    "Agreement",
    "Frame",
    "Happening",
    "Replay",
    "Track",
    "clock",
]
