"""Why something could not be measured, in words for a page: no names of arguments, no text of an error."""

from __future__ import annotations

from numbers import Real

from chronoflux.errors import ChronofluxError, LogError, ParameterError, shorten

ANYTHING = ("x", "y", "frame", "series", "samples", "measure", "value", "epochs", "micro", "target", "source")
"""Names of arguments that say nothing to a reader beside what was found."""


def in_words(error: ChronofluxError) -> str:
    """What was found and what is needed instead.

    Examples
    --------
    >>> in_words(ParameterError("nodes", 1, "at least 2 in the room"))
    '1 node; needed: at least 2 in the room'
    >>> in_words(ParameterError("x", "constant", "a quantity that varies"))
    'constant; needed: a quantity that varies'
    """
    if isinstance(error, LogError):
        return f"{error.path.name}: {error.reason}"
    if not isinstance(error, ParameterError):
        return str(error)
    return f"{_found(error.name, error.value)}; needed: {error.allowed}"


def _found(name: str, value: object) -> str:
    if isinstance(value, Real) and not isinstance(value, bool):
        things = name if value != 1 else name.removesuffix("s")
        return f"{float(value):g} {things}"
    if isinstance(value, tuple) and value and all(isinstance(one, int) for one in value):
        return f"{' × '.join(map(str, value))} values"
    text = value if isinstance(value, str) else shorten(value)
    return text if name in ANYTHING else f"{name}: {text}"
