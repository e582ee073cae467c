"""Numbers on a circle: positions along a side of the torus, and phases."""

from __future__ import annotations

import numpy as np

from chronoflux.model.engine.jit import part


@part
def wrap(value: float, period: float) -> float:
    """`value` modulo `period`, in ``[0, period)`` even where rounding would give `period` itself."""
    rest = value - period * np.floor(value / period)
    rest = rest + period if rest < 0.0 else rest
    rest = rest - period if rest >= period else rest
    return rest if (rest >= 0.0) & (rest < period) else 0.0
