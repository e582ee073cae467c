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
FALSE_ALARM, ALARM_ONCE = 0.05, 0.01
"""Probability that stationary series fail the tests for a constant mean, median and spread at one start; and
where only one start is tried."""
STARTS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Shares of the record tried as start-up, the shortest first; more than half is never left out."""
BEGINNINGS, APART = (0.02, 0.05, 0.1), 3.3
"""Shares of a stretch whose means are compared with that of the second half, and the greatest difference
allowed, in standard errors."""
STILL = 0.01
"""A series whose second half spans less than this share of its whole range is at rest."""
STEP, STEP_ONCE, EDGE = 12.0, 15.0, 0.05
"""Squared t-value above which a change of level counts, in a single series; the same where only one start is
tried; and the share of the series at either end in which none is searched for. Of stationary series of 300
samples one in 25 exceeds 12 if its memory is 19 samples, and one in 60 without memory."""
ORDERS = 4
"""Greatest order of the autoregression that memory and long-run variance are estimated from."""
_INSTEAD = (
    "a stationary series; otherwise choose another stretch, use null runs (analysis.null_runs) or a "
    "counterfactual, or stationary=True if it is known to be stationary"
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
    x: ArrayLike,
    *,
    name: str = "x",
    names: tuple[str, ...] | None = None,
    rest: float = 0.0,
    start_up: bool = True,
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
      starts far more rarely;
    - a step at an unknown moment, added to that autoregression, has a squared t-value below 12, and
      ``2 ln k`` more with k columns (Andrews, Econometrica 61, 821, 1993). This finds steps that make the
      memory seem long, and so escape the test before.

    Parameters
    ----------
    x
        Evenly sampled, shape (n,), or (n, …), where every column must pass. Values that are not finite are an
        error.
    name, names
        Name of the series in an error: one for all, or one per column.
    rest
        A range, in units of x, that counts as no change, such as that of rounding.
    start_up
        False: the start-up has been left out already. The whole series is tested, at a false-alarm level of
        0.01 in place of 0.05 per start, and a squared t-value of 15 in place of 12.

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
    chronoflux.errors.ParameterError: x = 'rises all the time' is not allowed: a stationary series; ...
    """
    values = np.asarray(x, dtype=np.float64)
    values = columns(name, values.reshape(len(values), -1) if values.ndim > 1 else values)
    n = len(values)
    called = names or (
        (name,) if values.shape[1] == 1 else tuple(f"{name}[:, {j}]" for j in range(values.shape[1]))
    )
    if n < FEWEST:
        raise ParameterError(name, f"{n} samples", f"at least {FEWEST} to test for stationarity")
    if not np.isfinite(values).all():
        raise ParameterError(name, "values that are not finite", "an unbroken series: cut it at its gaps")
    for j, column in enumerate(values.T):
        if _at_rest(column, rest):
            words = "locked: nothing moves any more"
            allowed = (
                "a series that changes until its end; use the phase-locking value (analysis.pairs) "
                "or a counterfactual instead"
            )
            raise ParameterError(called[j], words, allowed)
    first: tuple[int, str] | None = None
    late = values[n // 2 :]
    for share in STARTS if start_up else STARTS[:1]:
        start = round(share * n)
        part = values[start:]
        if len(part) < FEWEST:
            break
        memory, j, reason = _judge(part, once=not start_up)
        if not reason and (apart := _begins_apart(part, late)) is not None:
            j, reason = apart, "its beginning is unlike the rest"
        if not reason:
            return Look(start, memory, len(part))
        first = first or (j, reason)
    j, reason = first or (0, f"{n} samples")
    raise ParameterError(called[j], reason, _INSTEAD)


def _judge(values: Floats, *, once: bool) -> tuple[float, int, str]:
    """Return the longest memory in samples, the column that fails, and the reason."""
    level, longest = (ALARM_ONCE if once else FALSE_ALARM) / (3 * values.shape[1]), 1.0
    highest = (STEP_ONCE if once else STEP) + 2 * math.log(values.shape[1])
    for j, x in enumerate(values.T):
        order, away = ranks(x), np.abs(x - np.median(x))
        seen = [(one, *memory_of(one)) for one in (x, order, away)]
        memory = max(seen[0][1], seen[1][1])
        changes = [_p_constant(one, variance) for one, _, variance in seen]
        longest = max(longest, memory)
        if memory * MEMORIES > len(x) or min(changes[:2]) < level:
            return longest, j, _course(x, order, memory)
        if greatest_step(x) > highest:
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


def autoregression(
    x: Floats, *, orders: int = ORDERS, penalty: float | None = None
) -> tuple[Floats, float] | None:
    """Fit an autoregression: return the weights, latest value first, and the residual share of variance.

    The order is 0 to `orders`, with the least ``n ln(residual variance) + penalty · order``; a `penalty` of
    None is Schwarz's ln n, 2 is Akaike's. Weights solve the Yule–Walker equations. Return None if x is
    constant, or determined by its past.
    """
    n = len(x)
    orders, each = min(orders, n // 4), math.log(n) if penalty is None else penalty
    moved = x - x.mean()
    variance = float(moved @ moved) / n
    if variance <= 0:
        return None
    rho = np.array([1.0, *(float(moved[k:] @ moved[:-k]) / n / variance for k in range(1, orders + 1))])
    weights, left = np.empty(0), 1.0
    best, chosen = 0.0, (weights, left)
    for order in range(1, orders + 1):  # Levinson and Durbin
        reflected = (rho[order] - float(weights @ rho[order - 1 : 0 : -1])) / left
        weights = np.append(weights - reflected * weights[::-1], reflected)
        left *= 1 - reflected**2
        if left <= 1e-12:
            return None
        if (score := n * math.log(left) + order * each) < best:
            best, chosen = score, (weights, left)
    return chosen


def greatest_step(x: Floats) -> float:
    """Return the greatest squared t-value of a step at any moment, in an autoregression with such a step.

    The order is that of :func:`autoregression`; the weights are fitted again by least squares.
    """
    fitted = autoregression(x)
    order = 0 if fitted is None else len(fitted[0])
    later, n = x[order:], len(x) - order
    edge = max(5, round(EDGE * n))
    if fitted is None or n < 2 * edge + order + 2:
        return 0.0
    past = np.column_stack([np.ones(n), *(x[order - k : len(x) - k] for k in range(1, order + 1))])
    basis = np.linalg.qr(past)[0]
    rest = later - basis @ (basis.T @ later)
    # The step at moment k is 1 from k on. Its part outside the regression has these products and squares.
    along = np.cumsum(rest[::-1])[::-1]
    inside = np.square(np.cumsum(basis[::-1], axis=0)[::-1]).sum(axis=1)
    squares = np.maximum(np.arange(n, 0, -1.0) - inside, 1e-9)
    gain = float((np.square(along) / squares)[edge : n - edge].max())
    left = float(rest @ rest) - gain
    return math.inf if left <= 0 else gain * (n - order - 2) / left


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
