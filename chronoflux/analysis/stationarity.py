"""Test whether a series may be compared with surrogates of itself, before any are made.

Circular shifts, blocks and IAAFT assume a stationary series: one distribution from beginning to end, and a
length of many times its memory. A shift of a rising curve has a step that the data lack, so unrelated rising
series would seem linked. Therefore the series is tested, and an unsuitable one is refused with the reason and
with what can be asked instead.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from chronoflux.analysis.validation import Floats, columns
from chronoflux.errors import ParameterError

FEWEST = 20
"""Least number of samples for a test."""
MEMORIES = 8.0
"""Least length of a series, in multiples of its memory. With less, the null distribution is too narrow by
more than the sampling error of a calibration."""
FALSE_ALARM = 0.05
"""Probability that stationary series fail the tests for a constant mean, median and spread at one start."""
STARTS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Shares of the record tried as start-up, the shortest first; more than half is never left out."""
BEGINNINGS, APART = (0.02, 0.05, 0.1), 3.3
"""Shares of a stretch whose means are compared with that of the second half, and the greatest difference
allowed, in standard errors."""
STILL = 0.01
"""A series whose second half spans less than this share of its whole range is at rest."""
ORDERS = 4
"""Greatest order of the autoregression that memory and long-run variance are estimated from."""
_INSTEAD = (
    "a stationary series: use null runs (analysis.null_runs) or counterfactuals, or stationary=True for a "
    "series that is known to be"
)


class Look(NamedTuple):
    """Result of the test: samples left out as `start`-up, and the longest `memory` after it, in samples.

    `memory` is the integrated autocorrelation time ``1 + 2 Σ ρ_k``; `n` samples are left.
    """

    start: int
    memory: float
    n: int

    def words(self, step: float | None = None) -> str:
        """Describe the result in a phrase; `step` is the distance of the samples in s."""
        if not self.start:
            return ""
        length = f"{self.start} samples" if step is None else f"{self.start * step:g} s"
        return f"the first {length} were left out as the start-up"


def stationary_part(
    x: ArrayLike, *, name: str = "x", names: tuple[str, ...] | None = None, rest: float = 0.0
) -> Look:
    """Find the part of a series, or of several on one time axis, that can be compared with surrogates.

    The start-up left out is the shortest, up to half of the record, after which

    - no series is at rest (its second half spans at least 1 % of its range, and more than `rest`),
    - none begins at another level: the means of its first 2, 5 and 10 % differ from that of the record's
      second half by less than 3.3 standard errors,
    - each is at least eight times as long as its memory, the integrated autocorrelation time of an
      autoregression fitted by the Yule–Walker equations, of the values and of their ranks,
    - mean, median rank and spread are constant by the test of Kwiatkowski, Phillips, Schmidt and Shin
      (Journal of Econometrics 54, 159, 1992) with the long-run variance of that autoregression (Sul,
      Phillips and Choi, Oxford Bulletin of Economics and Statistics 67, 517, 2005), applied to the values,
      their ranks, and their distances from the median. Stationary series fail at one start in 20, and at all
      starts far more rarely.

    Parameters
    ----------
    x
        Evenly sampled, shape (n,), or (n, …), where every column must pass. Values that are not finite are an
        error.
    name, names
        Name of the series in an error: one for all, or one per column.
    rest
        A range, in units of x, that counts as no change, such as that of rounding.

    Raises
    ------
    ParameterError
        When no such part is found, with the reason: locked, always rising or falling, steps, a changing
        spread, or too short for its memory.

    Examples
    --------
    >>> import numpy as np
    >>> from chronoflux.analysis.stationarity import stationary_part
    >>> noise = np.random.default_rng(1).normal(size=400)
    >>> stationary_part(noise).start
    0
    >>> stationary_part(np.linspace(0, 30, 400) + noise)
    Traceback (most recent call last):
    ...
    chronoflux.errors.ParameterError: x = 'rises all the time' is not allowed: a stationary series: ...
    """
    values = np.asarray(x, dtype=np.float64)
    values = columns(name, values.reshape(len(values), -1) if values.ndim > 1 else values)
    n = len(values)
    called = names or (
        (name,) if values.shape[1] == 1 else tuple(f"{name}[:, {j}]" for j in range(values.shape[1]))
    )
    if n < FEWEST:
        raise ParameterError(name, f"{n} samples", f"at least {FEWEST}, to see whether it is stationary")
    if not np.isfinite(values).all():
        raise ParameterError(name, "values that are not finite", "an unbroken series: cut it at its gaps")
    for j, column in enumerate(values.T):
        if _at_rest(column, rest):
            words = "locked: nothing moves any more, or never did"
            allowed = (
                "a series that goes on changing: ask for the phase-locking value (analysis.pairs) "
                "or a counterfactual instead"
            )
            raise ParameterError(called[j], words, allowed)
    first: tuple[int, str] | None = None
    late = values[n // 2 :]
    for share in STARTS:
        start = round(share * n)
        part = values[start:]
        if len(part) < FEWEST:
            break
        memory, j, reason = _judge(part)
        if not reason and (apart := _begins_apart(part, late)) is not None:
            j, reason = apart, "its beginning is unlike the rest"
        if not reason:
            return Look(start, memory, len(part))
        first = first or (j, reason)
    j, reason = first or (0, f"{n} samples")
    raise ParameterError(called[j], reason, _INSTEAD)


def _judge(values: Floats) -> tuple[float, int, str]:
    """Return the longest memory in samples, the column that fails, and the reason."""
    level, longest = FALSE_ALARM / (3 * values.shape[1]), 1.0
    for j, x in enumerate(values.T):
        order, away = ranks(x), np.abs(x - np.median(x))
        seen = [(one, *memory_of(one)) for one in (x, order, away)]
        memory = max(seen[0][1], seen[1][1])
        changes = [_p_constant(one, variance) for one, _, variance in seen]
        longest = max(longest, memory)
        if memory * MEMORIES > len(x) or min(changes[:2]) < level:
            return longest, j, _course(x, order, memory)
        if changes[2] < level:
            return longest, j, "its spread changes"
    return longest, 0, ""


def _course(x: Floats, order: Floats, memory: float) -> str:
    """Describe the course of a series that fails."""
    n = len(x)
    time = np.arange(n) - (n - 1) / 2
    rise, short = float(np.corrcoef(time, order)[0, 1]), memory * MEMORIES > n
    walk, k = np.cumsum(order - order.mean())[:-1], np.arange(1, n)
    step = float((np.square(walk) * n / (k * (n - k))).max() / np.square(order - order.mean()).sum())
    if step > rise**2 + 0.1:
        return "its level changes in a step"
    if abs(rise) > (0.8 if short else 0.3):
        return f"{'rises' if rise > 0 else 'falls'} all the time"
    if short:
        return f"{n} samples, {n / memory:.0f} times its memory of {memory:.0f} samples"
    return "its level changes slowly"


def _begins_apart(values: Floats, late: Floats) -> int | None:
    """Return the column whose first samples have another mean than the record's later half, or None."""
    for j, (x, settled) in enumerate(zip(values.T, late.T, strict=True)):
        memory, long_run = memory_of(settled)
        for share in BEGINNINGS:
            few = max(2, round(share * len(x)))
            error = long_run / memory * min(1.0, memory / few) + long_run / len(settled)
            if (x[:few].mean() - settled.mean()) ** 2 > APART**2 * error:
                return j
    return None


def _at_rest(x: Floats, rest: float) -> bool:
    still, size = float(np.ptp(x[len(x) // 2 :])), float(np.abs(x).max(initial=0.0))
    return still <= max(STILL * float(np.ptp(x)), 1e-9 * size, rest)


def memory_of(x: Floats) -> tuple[float, float]:
    """Return the integrated autocorrelation time in samples (at least 1), and the long-run variance.

    Both are those of the autoregression that :func:`autoregression` fits.
    """
    n, variance = len(x), float(x.var())
    fitted = autoregression(x)
    if fitted is None:
        return float(n), variance * n
    weights, left = fitted
    time = left / max(1 - float(weights.sum()), 1 / n) ** 2
    return max(time, 1.0), variance * time


def autoregression(x: Floats) -> tuple[Floats, float] | None:
    """Fit an autoregression: return the weights, latest value first, and the residual share of variance.

    The order is 0 to 4, chosen by Schwarz's criterion; weights solve the Yule–Walker equations. Return None
    if x is constant, or determined by its past.
    """
    n = len(x)
    moved = x - x.mean()
    variance = float(moved @ moved) / n
    if variance <= 0:
        return None
    rho = np.array([1.0, *(float(moved[k:] @ moved[:-k]) / n / variance for k in range(1, ORDERS + 1))])
    weights, left = np.empty(0), 1.0
    best, chosen = 0.0, (weights, left)
    for order in range(1, ORDERS + 1):  # Levinson and Durbin
        reflected = (rho[order] - float(weights @ rho[order - 1 : 0 : -1])) / left
        weights = np.append(weights - reflected * weights[::-1], reflected)
        left *= 1 - reflected**2
        if left <= 1e-12:
            return None
        if (score := n * math.log(left) + order * math.log(n)) < best:
            best, chosen = score, (weights, left)
    return chosen


def ranks(values: Floats) -> Floats:
    """Return ranks from 0; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    found: Floats = (ends - (counts + 1) / 2)[inverse]
    return found


def _p_constant(x: Floats, long_run: float) -> float:
    """Return p of a constant mean, from cumulated deviations and the Cramér–von Mises distribution's tail."""
    if long_run <= 0:
        return 1.0
    walk = np.cumsum(x - x.mean())
    size = float(walk @ walk) / (len(x) ** 2 * long_run)
    return min(1.0, math.sqrt(2) * math.erfc(math.pi * math.sqrt(size / 2)))
