"""What every measure asks of its input: refused by name, or left out with a count, never quietly averaged."""

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
    """Real numbers of any shape, as float64; NaN may be among them.

    Raises
    ------
    ParameterError
        For what is not a number, for complex numbers, of which a part would be lost, and for dates, whose
        unit would be.
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
    """An unbroken series of finite numbers, shape (n,), as float64.

    Raises
    ------
    ParameterError
        When it is not one-dimensional, shorter than `least`, holds NaN or infinity, or, with `varies`, is
        constant.
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
    """Samples as rows, shape (n, d), float64; a series (n,) is one column. NaN may be among them."""
    found = numbers(name, values)
    if found.ndim not in (1, 2) or (found.ndim == 2 and not found.shape[1]):
        raise ParameterError(name, found.shape, "shape (n,), or (n, d) with d ≥ 1")
    return found[:, None] if found.ndim == 1 else found


def gappy(name: str, values: ArrayLike) -> Floats:
    """A series with gaps, shape (n,), as float64: whatever is not finite is NaN."""
    found = numbers(name, values)
    if found.ndim != 1:
        raise ParameterError(name, found.shape, "a series of shape (n,)")
    return np.where(np.isfinite(found), found, np.nan)


def growing(name: str, values: ArrayLike, *, least: int = 2) -> Floats:
    """Times in s: an unbroken series, each greater than the one before.

    Raises
    ------
    ParameterError
        Also when one is not.
    """
    found = series(name, values, least=least, varies=False)
    if len(found) > 1 and not np.diff(found).min() > 0:
        raise ParameterError(name, "not growing", "growing times in s")
    return found


def same_length(**arrays: Floats) -> None:
    """Refuse arrays that do not go on for equally long."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ParameterError("lengths", lengths, "as many samples in each")


def complete(
    name: str, *arrays: Floats, least: int, what: str = "complete samples"
) -> tuple[list[Floats], int]:
    """The rows that are finite in every array (n, …), and how many were left out.

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
    """Refuse samples (n, d) of which a column is constant, as nothing can be said about it."""
    spread = np.ptp(values, axis=0)
    if np.any(spread <= 1e-12 * np.abs(values).max(initial=0.0)):
        raise ParameterError(name, "constant", "a quantity that varies")
    return values


def whole(name: str, value: int, least: int, most: int | None = None) -> int:
    """A whole number from `least` to `most`."""
    given = isinstance(value, Real) and math.isfinite(value) and int(value) == value
    if not given or value < least or (most is not None and value > most):
        allowed = f"a whole number, at least {least}" + (f" and at most {most}" if most is not None else "")
        raise ParameterError(name, value, allowed)
    return int(value)


def fraction(name: str, value: float) -> float:
    """A number between 0 and 1, both excluded."""
    if not isinstance(value, Real) or not 0 < value < 1:
        raise ParameterError(name, value, "between 0 and 1")
    return float(value)


def library(name: str, what: str) -> Any:
    """A module of the extra ``analysis``, loaded on first use.

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
