"""Single-precision numbers, as the mesh sends them and as logs hold them."""

from __future__ import annotations

import numpy as np


def single(value: float) -> float:
    """Round `value` to float32 and return its shortest decimal form."""
    return float(str(np.float32(value)))


def widened(short: float) -> float:
    """Return the float32 value that the decimal `short` stands for."""
    return float(np.float32(short))
