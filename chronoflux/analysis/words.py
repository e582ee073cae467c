"""Turn errors into reasons for a report: readable text without argument names and code."""

from __future__ import annotations

import re
from numbers import Real

from chronoflux.errors import ChronofluxError, LogError, ParameterError, shorten

ANYTHING = ("x", "y", "frame", "series", "samples", "measure", "value", "epochs", "micro", "target", "source")
"""Argument names that mean nothing to a reader and are left out."""
_CODE = (r" \(analysis\.\w+\)", r",? or stationary=True.*")
"""Parts of an error's text that address programmers; they are removed."""


def in_words(error: ChronofluxError, *, named: bool = True) -> str:
    """Return what was found and what is needed instead.

    `named` says whether to include the name of the series, if it has one.

    Examples
    --------
    >>> in_words(ParameterError("nodes", 1, "at least 2 in the room"))
    '1 node; needed: at least 2 in the room'
    >>> in_words(ParameterError("x", "constant", "a quantity that varies"))
    'constant; needed: a quantity that varies'
    >>> in_words(ParameterError("H of n1", "rises all the time", "null runs (analysis.null_runs)"))
    'H of n1: rises all the time; needed: null runs'
    """
    if isinstance(error, LogError):
        return f"{error.path.name}: {error.reason}"
    if not isinstance(error, ParameterError):
        return str(error)
    words = f"{_found(error.name, error.value, named)}; needed: {error.allowed}"
    for code in _CODE:
        words = re.sub(code, "", words)
    return words


def _found(name: str, value: object, named: bool) -> str:
    if isinstance(value, Real) and not isinstance(value, bool):
        things = name if value != 1 else name.removesuffix("s")
        return f"{float(value):g} {things}"
    if isinstance(value, tuple) and value and all(isinstance(one, int) for one in value):
        return f"{' × '.join(map(str, value))} values"
    text = value if isinstance(value, str) else shorten(value)
    name = re.sub(r"\[:, \d+\]$", "", name)
    return text if name in ANYTHING or not named else f"{name}: {text}"
