"""Numbers on a circle: positions along a side of the torus, and phases."""

from __future__ import annotations

from chronoflux.model.jit import kernel


@kernel
def wrap(value: float, period: float) -> float:
    """`value` modulo `period`, in ``[0, period)`` even where rounding would give `period` itself."""
    if 0.0 <= value < period:
        return value
    value = value % period
    return value if value < period else 0.0
