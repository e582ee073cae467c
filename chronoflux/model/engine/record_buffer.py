"""`RecordBuffer`: the arrays that a recording is written into while the engine runs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.engine.arrays import Floats, Longs

ARRAYS = ("x", "y", "vx", "vy", "phi")
"""What there is of each oscillator that changes, and can be recorded; units as in a ``State``."""


class RecordBuffer(NamedTuple):
    """Where a recording goes: a row after every ``every`` ticks, 0: none; ``begun`` were before this run.

    ``rows``: float64 (kinds, rows, m), to be written; ``kinds``: int64, the place in `ARRAYS` of each kind.
    ``columns``: int32 (n,), the column of each oscillator, or −1, by names.
    """

    every: int
    begun: int
    rows: Floats
    kinds: Longs
    columns: NDArray[np.int32]


NO_BUFFER = RecordBuffer(0, 0, np.empty((0, 0, 0)), np.empty(0, np.int64), np.empty(0, np.int32))
