"""Which engine computes the ticks: ``CHRONOFLUX_ENGINE``. Light: nothing of either engine is imported."""

from __future__ import annotations

import os

from chronoflux.errors import ParameterError

VARIABLE = "CHRONOFLUX_ENGINE"
COMPILED, PLAIN = "compiled", "plain"


def chosen() -> str:
    """``"compiled"``, or ``"plain"`` where the environment says so.

    Raises
    ------
    ParameterError
        When the environment names another one.
    """
    name = os.environ.get(VARIABLE, COMPILED)
    if name not in (COMPILED, PLAIN):
        raise ParameterError(VARIABLE, name, f"{COMPILED!r} (as when it is not set) or {PLAIN!r}")
    return name
