"""Periodic numbers: positions along a side of the torus, and phases."""

from __future__ import annotations

import numpy as np

from chronoflux.model.engine.jit import device_function


@device_function
def wrap(value: float, period: float) -> float:
    """`value` modulo `period`, in ``[0, period)`` even where rounding would give `period`."""
    rest = value - period * np.floor(value / period)
    rest = rest + period if rest < 0.0 else rest
    rest = rest - period if rest >= period else rest
    return rest if (rest >= 0.0) & (rest < period) else 0.0
