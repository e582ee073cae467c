"""Input checks of all measures: bad input is refused by name, or left out and counted, never hidden."""

from __future__ import annotations

import math
from importlib import import_module
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chronoflux.errors import ParameterError, UsageError

Floats = NDArray[np.float64]


def numbers(name: str, values: ArrayLike) -> Floats:
    """Convert real numbers of any shape to float64; NaN is allowed.

    Raises
    ------
    ParameterError
        For input that is not numeric; for complex numbers, which would lose a part; for dates, which would
        lose their unit.
    """
    try:
        kind = (values if hasattr(values, "dtype") else np.asarray(values)).dtype.kind
        found = np.asarray(values, dtype=np.float64) if kind not in "cmM" else None
    except (TypeError, ValueError) as error:
        raise ParameterError(name, values, f"numbers ({error})") from error
    if kind == "c":
        raise ParameterError(name, "complex numbers", "real ones: their abs() or np.angle()")
    if found is None:
        raise ParameterError(name, "dates or times", "plain numbers: seconds since one of them")
    return found


def series(name: str, values: ArrayLike, *, least: int = 2, varies: bool = True) -> Floats:
    """Convert an unbroken series of finite numbers, shape (n,), to float64.

    Raises
    ------
    ParameterError
        When it is not one-dimensional, is shorter than `least`, contains NaN or infinity, or, with `varies`,
        is constant.
    """
    found = numbers(name, values)
    if found.ndim != 1:
        raise ParameterError(name, found.shape, "a series of shape (n,)")
    gaps = int(np.count_nonzero(~np.isfinite(found)))
    if gaps:
        raise ParameterError(
            name, f"{gaps} of {len(found)} values not finite", "an unbroken series: cut it at its gaps"
        )
    return _enough(name, found, least, varies)


def columns(name: str, values: ArrayLike) -> Floats:
    """Convert samples to rows, float64 (n, d); a series (n,) becomes one column. NaN is allowed."""
    found = numbers(name, values)
    if found.ndim not in (1, 2) or (found.ndim == 2 and not found.shape[1]):
        raise ParameterError(name, found.shape, "shape (n,), or (n, d) with d ≥ 1")
    return found[:, None] if found.ndim == 1 else found


def gappy(name: str, values: ArrayLike) -> Floats:
    """Convert a series with gaps, shape (n,), to float64; values that are not finite become NaN."""
    found = numbers(name, values)
    if found.ndim != 1:
        raise ParameterError(name, found.shape, "a series of shape (n,)")
    return np.where(np.isfinite(found), found, np.nan)


def growing(name: str, values: ArrayLike, *, least: int = 2) -> Floats:
    """Convert an unbroken series of strictly increasing times in s, shape (n,), to float64.

    Raises
    ------
    ParameterError
        As :func:`series` does, and when the times do not increase.
    """
    found = series(name, values, least=least, varies=False)
    if len(found) > 1 and not np.diff(found).min() > 0:
        raise ParameterError(name, "not growing", "growing times in s")
    return found


def same_length(**arrays: Floats) -> None:
    """Refuse arrays of different lengths."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ParameterError("lengths", lengths, "as many samples in each")


def complete(
    name: str, *arrays: Floats, least: int, what: str = "complete samples"
) -> tuple[list[Floats], int]:
    """Return the rows that are finite in every array (n, …), and the number of rows left out.

    Raises
    ------
    ParameterError
        When fewer than `least` rows are left.
    """
    keep = np.ones(len(arrays[0]), dtype=np.bool_)
    for array in arrays:
        keep &= np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    kept, masked = int(keep.sum()), int((~keep).sum())
    if kept < least:
        raise ParameterError(name, f"{kept} {what}, {masked} left out", f"at least {least}")
    return [array[keep] for array in arrays], masked


def varying(name: str, values: Floats) -> Floats:
    """Refuse samples (n, d) with a constant column, which no measure can use."""
    spread = np.ptp(values, axis=0)
    if np.any(spread <= 1e-12 * np.abs(values).max(initial=0.0)):
        raise ParameterError(name, "constant", "a quantity that varies")
    return values


def whole(name: str, value: int, least: int, most: int | None = None) -> int:
    """Return `value` as an int; refuse anything but a whole number from `least` to `most`."""
    given = isinstance(value, Real) and math.isfinite(value) and int(value) == value
    if not given or value < least or (most is not None and value > most):
        allowed = f"a whole number, at least {least}" + (f" and at most {most}" if most is not None else "")
        raise ParameterError(name, value, allowed)
    return int(value)


def fraction(name: str, value: float) -> float:
    """Return `value` as a float; refuse anything but a number between 0 and 1, both excluded."""
    if not isinstance(value, Real) or not 0 < value < 1:
        raise ParameterError(name, value, "between 0 and 1")
    return float(value)


def library(name: str, what: str) -> Any:
    """Import a module of the extra ``analysis`` on first use.

    Raises
    ------
    UsageError
        When it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        raise UsageError(f"{what} needs {package}: python -m pip install 'chronoflux[analysis]'") from error


def _enough(name: str, found: Floats, least: int, varies: bool) -> Floats:
    if len(found) < least:
        raise ParameterError(name, f"{len(found)} samples", f"at least {least}")
    if varies:
        varying(name, found[:, None])
    return found
