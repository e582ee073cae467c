"""Argument checks that several packages need."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from chronoflux.errors import ParameterError


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return `value` as an int.

    Raises
    ------
    ParameterError
        Unless `value` is an integer of at least `least` and at most `most`; booleans are refused.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ParameterError(name, value, f"a whole number >= {least}")
    if most is not None and int(value) > most:
        raise ParameterError(name, value, f"at most {most}")
    return int(value)
