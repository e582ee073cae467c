"""Significance: p-values, multiple tests, and `assess`, which tests a measure in one call."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chronoflux.analysis.result import Result
from chronoflux.analysis.stationarity import FEWEST, Look, stationary_part
from chronoflux.analysis.surrogates import (
    Maker,
    autoregressions,
    block_shuffles,
    circular_shifts,
    iaaft,
    matched_ends,
)
from chronoflux.analysis.validation import Floats, fraction, numbers, series, whole
from chronoflux.errors import ParameterError
from chronoflux.model.metrics import null_order

Tail = Literal["greater", "less", "both"]
Measured = TypeVar("Measured", bound=Result | tuple[Result, ...])
"""What a measure returns: one result, or several that are tested by the same surrogates."""

P_VALUE = "Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9, 39, 2010"
"""Reference of p-values by surrogates."""


class NullBand(NamedTuple):
    """Mean of the order parameter of unrelated phases, and its upper percentile."""

    mean: float
    high: float


class Family(NamedTuple):
    """p-values of several tests, adjusted for multiple testing, and a mask of the significant ones."""

    p: Floats
    found: NDArray[np.bool_]


def null_band(n: int, *, level: float = 0.95) -> NullBand:
    """Return mean ``√(π/4n)`` and percentile ``√(−ln(1 − level) / n)`` of `H` of n unrelated phases.

    Both follow from the Rayleigh distribution, valid from about n = 10 (Mardia and Jupp, Directional
    Statistics, 2000); below, they are clipped to 1.

    Examples
    --------
    >>> from chronoflux.analysis import null_band
    >>> band = null_band(100)
    >>> round(band.mean, 3), round(band.high, 3)
    (0.089, 0.173)
    """
    whole("n", n, 1)
    return NullBand(null_order(n)[0], min(math.sqrt(-math.log1p(-fraction("level", level)) / n), 1.0))


def p_value(value: float, null: ArrayLike, *, tail: Tail = "greater", level: float = 0.05) -> float:
    """Return ``(b + 1) / (m + 1)``, where b of m surrogates are at least as extreme; it is never 0.

    Phipson and Smyth, Statistical Applications in Genetics and Molecular Biology 9, 39, 2010.

    Parameters
    ----------
    value, null
        The measured value, and those of the surrogates, shape (m,).
    tail
        Which values count as extreme; ``"both"`` doubles the smaller side.
    level
        Significance level.

    Raises
    ------
    ParameterError
        When m surrogates cannot give a p of `level` or less for any value.

    Examples
    --------
    The measured value is above all 99 surrogates: (0 + 1) / (99 + 1).

    >>> import numpy as np
    >>> from chronoflux.analysis import p_value
    >>> p_value(5.0, np.linspace(0, 4, 99))
    0.01
    """
    found = series("null", null, least=1, varies=False)
    if not math.isfinite(value):
        raise ParameterError("value", value, "a finite number")
    sides = 2 if tail == "both" else 1
    _enough(len(found), level / sides)
    above = (1 + int(np.count_nonzero(found >= value))) / (len(found) + 1)
    below = (1 + int(np.count_nonzero(found <= value))) / (len(found) + 1)
    if tail not in ("greater", "less", "both"):
        raise ParameterError("tail", tail, "greater, less or both")
    return {"greater": above, "less": below, "both": min(1.0, 2 * min(above, below))}[tail]


def maximum_statistic(values: ArrayLike, null: ArrayLike, *, level: float = 0.05) -> Family:
    """Return p-values against the maximum of each surrogate, which controls the family-wise error rate.

    Westfall and Young, Resampling-Based Multiple Testing, 1993; Nichols and Holmes, Human Brain Mapping 15,
    1, 2002. The probability of any false finding in k tests is at most `level`. It needs no more surrogates
    than a single test, and holds for any dependence of the tests, if each surrogate was made for all of them
    at once. Values of different spread should be standardised first.

    Parameters
    ----------
    values
        One value per test, shape (k,); greater is more extreme.
    null
        The values of m surrogates, shape (m, k).

    Examples
    --------
    >>> import numpy as np
    >>> from chronoflux.analysis import maximum_statistic
    >>> null = np.random.default_rng(1).normal(size=(99, 3))
    >>> family = maximum_statistic([6.0, 0.2, 1.0], null)
    >>> family.p.round(2), family.found
    (array([0.01, 0.75, 0.23]), array([ True, False, False]))
    """
    found = series("values", values, least=1, varies=False)
    surrogates = numbers("null", null)
    if surrogates.ndim != 2 or surrogates.shape[1] != len(found) or not np.isfinite(surrogates).all():
        raise ParameterError("null", surrogates.shape, f"finite values of shape (surrogates, {len(found)})")
    _enough(len(surrogates), level)
    largest = np.sort(surrogates.max(axis=1))
    above = len(largest) - np.searchsorted(largest, found, side="left")
    p = (1 + above) / (len(largest) + 1)
    return Family(p, p <= level)


def false_discovery(p: ArrayLike, *, surrogates: int | None = None, level: float = 0.05) -> Family:
    """Return p-values adjusted to control the false discovery rate at `level`.

    Benjamini and Hochberg, Journal of the Royal Statistical Society B 57, 289, 1995. It holds for tests that
    are independent or positively dependent.

    Parameters
    ----------
    p
        p-values of k tests, shape (k,).
    surrogates
        Number of surrogates behind each p-value; None: from a formula.

    Raises
    ------
    ParameterError
        When there are too few surrogates to detect one true effect among the k: their smallest p,
        ``1 / (surrogates + 1)``, is above ``level / k``. Use :func:`maximum_statistic` then.

    Examples
    --------
    >>> from chronoflux.analysis import false_discovery
    >>> family = false_discovery([0.01, 0.02, 0.03, 0.5])
    >>> family.p.round(3), family.found
    (array([0.04, 0.04, 0.04, 0.5 ]), array([ True,  True,  True, False]))
    """
    values = series("p", p, least=1, varies=False)
    if values.min() < 0 or values.max() > 1:
        raise ParameterError("p", (float(values.min()), float(values.max())), "from 0 to 1")
    k = len(values)
    if surrogates is not None:
        _enough(surrogates, level / k, f" for {k} tests, or the maximum statistic, which needs fewer")
    fraction("level", level)
    order = np.argsort(values)
    scaled = values[order] * k / np.arange(1, k + 1)
    adjusted = np.empty(k)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return Family(adjusted, adjusted <= level)


def assess(
    measure: Callable[..., Measured],
    *arrays: ArrayLike,
    surrogate: Literal["shift", "iaaft", "ar", "block"] | Maker = "shift",
    count: int = 199,
    tail: Tail = "greater",
    which: int = 0,
    together: bool = True,
    block: int | None = None,
    segments: int = 10,
    level: float = 0.05,
    seed: int = 0,
    stationary: bool = False,
    start_up: bool = True,
    **options: Any,
) -> Measured:
    """Return a measure's result with its uncertainty and its p-value.

    The p-value compares the result with `count` surrogates of one of the arrays. The uncertainty is the
    standard deviation of the measure over `segments` equal, successive segments, divided by the root of their
    number (batch means; Law and Kelton, Simulation Modeling and Analysis, 2000). It holds if segments are
    much longer than the memory; it is None when a segment is too short to be measured, or when the arrays
    differ in length.

    All kinds of surrogates assume that the array they replace is stationary. Therefore this is tested
    (:func:`~chronoflux.analysis.stationarity.stationary_part`), for all arrays of the same length, because
    trends and steps in several of them, too small to be noticed in one, would be taken for a link. A start-up
    is left out of all arrays, which the reading says, and unsuitable arrays are refused. An evenly spaced
    array is a time axis, and is not tested. IAAFT also assumes a periodic series, so the stretch
    whose ends match best is measured (Schreiber and Schmitz, Physica D 142, 346, 2000). The null hypotheses:

    - ``"shift"``: that array is stationary and independent of the others (with ``together=False``: its
      columns are independent of each other); common influences, such as events, violate it unless they are
      part of the measure;
    - ``"iaaft"``: the series is a stationary linear Gaussian process, seen through a monotone function;
    - ``"ar"``: the same, with a memory of a few steps: :func:`autoregressions`;
    - ``"block"``: the series is stationary, with a memory shorter than a block.

    Two phases that rotate evenly stay locked under any shift: their locking value is no evidence of coupling,
    and p will be large. Their frequencies must differ when they are not coupled.

    Parameters
    ----------
    measure
        A function of the arrays that returns a :class:`Result`, or a tuple of them, such as
        :func:`~chronoflux.analysis.integration.emergence_nats`; `options` are passed to it.
    arrays
        Series whose first axis is time.
    surrogate
        ``"shift"``: :func:`circular_shifts`, for relations between two series; ``"iaaft"`` or ``"ar"``, for
        nonlinearity in one series; ``"block"``: :func:`block_shuffles` with `block`; or a function of an
        array, a count and a generator that yields surrogates.
    count, seed
        Number of surrogates, and their seed.
    which
        Index of the array that is replaced by surrogates: for a transfer entropy the source, 0.
    together
        For ``"shift"``; False shifts the columns of that array (its parts) against each other.
    stationary
        True: the arrays are not tested, because they are known to be stationary, or because the question is
        whether they are, as with early warnings. The reading says so.
    start_up
        False: the start-up has been left out already, and is not searched for.

    Raises
    ------
    ParameterError
        When an array is not stationary, is at rest, or is too short for its memory; when a
        block is shorter than twice the memory; when the measure refuses the arrays; when `count` is too small
        for `level`.

    Examples
    --------
    Two series with a correlation of 1/√2 share (ln 2) / 2 = 0.35 nats; 199 circular shifts share less.

    >>> import numpy as np
    >>> from chronoflux.analysis import assess, mutual_information_nats
    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=2000)
    >>> y = x + rng.normal(size=2000)
    >>> found = assess(mutual_information_nats, x, y)
    >>> round(float(found), 2), found.p, found.surrogates
    (0.34, 0.005, 199)
    """
    given = [numbers(f"array {i}", array) for i, array in enumerate(arrays)]
    if not 0 <= which < len(given):
        raise ParameterError("which", which, f"one of the {len(given)} arrays, from 0")
    _enough(count, level / (2 if tail == "both" else 1))
    maker = _maker(surrogate, together, block)
    told = ""
    if not callable(surrogate):
        if np.isfinite(given[which]).sum() < FEWEST:
            measure(*given, **options)  # raises an error that says what it needs
        given, told = _looked_at(given, which, surrogate, block, stationary, start_up)
    measured = measure(*given, **options)
    results = _results(measured)
    null = np.empty((count, len(results)))
    made = maker(given[which], count, np.random.default_rng(seed))
    for i, replaced in enumerate(made):
        null[i] = _values(measure(*given[:which], replaced, *given[which + 1 :], **options))
    judged = []
    for result, chance, spread in zip(
        results, null.T, _batch_errors(measure, given, segments, options, len(results)), strict=True
    ):
        p = p_value(result.value, chance, tail=tail, level=level)
        verdict = "more than chance" if p <= level else "chance may give as much"
        verdict = "" if result.undecided else verdict
        reading = "; ".join(words for words in (result.reading, verdict, told) if words)
        judged.append(result.replace(p=p, surrogates=count, uncertainty=spread, reading=reading))
    answer = judged[0] if isinstance(measured, Result) else getattr(measured, "_make", tuple)(judged)
    return cast("Measured", answer)


def _results(measured: Any) -> tuple[Result, ...]:
    found = measured if isinstance(measured, tuple) else (measured,)
    if not found or not all(isinstance(one, Result) for one in found):
        allowed = "a function that returns a Result, or a tuple of them"
        raise ParameterError("measure", type(measured).__name__, allowed)
    return found


def _values(measured: Any) -> list[float]:
    return [one.value for one in _results(measured)]


def _maker(surrogate: str | Maker, together: bool, block: int | None) -> Maker:
    if callable(surrogate):
        return surrogate
    if surrogate == "shift":
        return partial(circular_shifts, together=together)
    if surrogate == "iaaft":
        return iaaft
    if surrogate == "ar":
        return autoregressions
    if surrogate == "block" and block is not None:
        return partial(block_shuffles, block=block)
    allowed = "shift, iaaft, ar, block (with the length of a block as `block`), or a function"
    raise ParameterError("surrogate", surrogate, allowed)


def _looked_at(
    given: list[Floats], which: int, surrogate: str, block: int | None, stationary: bool, start_up: bool
) -> tuple[list[Floats], str]:
    """Return the arrays without their start-up, and a phrase that describes it.

    All arrays of the length of the one to be replaced are tested, but for time axes.
    """
    told: list[str] = []
    alike = len({len(array) for array in given}) == 1
    if stationary:
        told.append("taken as stationary without a test")
    else:
        length, tested, names = len(given[which]), list[Floats](), list[str]()
        for i, array in enumerate(given):
            if i == which or (len(array) == length and not _is_time(array)):
                parts = array.reshape(length, -1)
                tested.append(parts)
                names += ["samples" if len(given) == 1 else f"array {i}"] * parts.shape[1]
        series_of = np.hstack(tested)
        kept = np.flatnonzero(np.isfinite(series_of).all(axis=1))
        look: Look = stationary_part(series_of[kept], names=tuple(names), start_up=start_up)
        if surrogate == "block" and block is not None and block < 2 * look.memory:
            raise ParameterError("block", block, f"at least twice the memory of {look.memory:.3g} samples")
        if look.start and alike:
            given = [array[kept[look.start] :] for array in given]
            told.append(look.words())
        elif look.start:
            raise ParameterError(f"array {which}", look.words(), "an array without its start-up")
    if surrogate == "iaaft" and alike:
        part = matched_ends(given[which])
        if part.stop - part.start < len(given[which]):
            told.append(f"{part.stop - part.start} samples with matching ends used")
        given = [array[part] for array in given]
    return given, "; ".join(told)


def _is_time(array: Floats) -> bool:
    """Return whether an array is a time axis: values that grow by the same amount each time."""
    if array.ndim != 1 or len(array) < 3:
        return False
    steps = np.diff(array)
    return bool(steps.min() > 0 and np.ptp(steps) <= 1e-6 * steps.max())


def _batch_errors(
    measure: Callable[..., Any], arrays: list[Floats], segments: int, options: dict[str, Any], count: int
) -> list[float] | list[None]:
    whole("segments", segments, 2)
    if len({len(array) for array in arrays}) > 1:  # such as a series and the moments of its events
        return [None] * count
    length = len(arrays[0]) // segments
    stretches = [slice(i * length, (i + 1) * length) for i in range(segments)]
    try:
        found = [_values(measure(*(array[part] for array in arrays), **options)) for part in stretches]
    except ParameterError:
        return [None] * count
    return [float(np.std(values, ddof=1)) / math.sqrt(segments) for values in zip(*found, strict=True)]


def _enough(surrogates: int, level: float, more: str = "") -> None:
    """Refuse fewer surrogates than a p of `level` or less needs."""
    fraction("level", level)
    needed = math.ceil(1 / level - 1e-9) - 1
    if surrogates < needed:
        raise ParameterError("surrogates", surrogates, f"at least {needed} to reach p ≤ {level:.3g}{more}")
