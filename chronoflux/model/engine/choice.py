"""The environment variable ``CHRONOFLUX_ENGINE`` chooses the engine. Importing this loads neither of them."""

from __future__ import annotations

import os

from chronoflux.errors import ParameterError

VARIABLE = "CHRONOFLUX_ENGINE"
COMPILED, PLAIN = "compiled", "plain"


def chosen_engine() -> str:
    """``"compiled"``, or ``"plain"`` if the environment says so.

    Raises
    ------
    ParameterError
        When the environment names anything else.
    """
    name = os.environ.get(VARIABLE, COMPILED)
    if name not in (COMPILED, PLAIN):
        raise ParameterError(VARIABLE, name, f"{COMPILED!r} (the default) or {PLAIN!r}")
    return name
