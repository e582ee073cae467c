"""`Replay`: runs of the past on one time line, as recorded or computed again.

It knows no widget: a position in time, whether it moves and how fast, and for each run what is to be seen
there. Moments are made on a thread of their own, as long as somebody looks.
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
