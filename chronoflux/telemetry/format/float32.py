"""Numbers in single precision: as the mesh sends them and as they are written."""

from __future__ import annotations

import numpy as np


def single(value: float) -> float:
    """`value` as float32, in the decimal digits that are written for it."""
    return float(str(np.float32(value)))


def widened(short: float) -> float:
    """The float32 that `short` was written for."""
    return float(np.float32(short))
