"""`RecordBuffer`: the arrays that a recording is written to while the engine runs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chronoflux.model.engine.arrays import Floats, Indices, Longs

ARRAYS = ("x", "y", "vx", "vy", "phi")
"""The arrays of a swarm that change in a tick and can be recorded; units as in a ``State``."""


class RecordBuffer(NamedTuple):
    """Where a recording is written: a row after every ``every`` ticks; with 0, none.

    ``begun``: ticks of the recording before this run. ``rows``: float64 (kinds, rows, m), to be written.
    ``kinds``: int64 (kinds,), positions in `ARRAYS`. ``columns``: int32 (n,), the column of each oscillator
    by index, or −1 if it is not recorded.
    """

    every: int
    begun: int
    rows: Floats
    kinds: Longs
    columns: Indices


NO_BUFFER = RecordBuffer(0, 0, np.empty((0, 0, 0)), np.empty(0, np.int64), np.empty(0, np.int32))
"""Records nothing."""
