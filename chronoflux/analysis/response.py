"""Responses to events: superposed epochs, recovery time, dose and response."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from chronoflux.analysis.result import Result
from chronoflux.analysis.stationarity import ranks
from chronoflux.analysis.validation import (
    Floats,
    complete,
    fraction,
    gappy,
    growing,
    same_length,
    series,
    whole,
)
from chronoflux.errors import ParameterError

FEWEST = 5
"""Least number of events for a band, as resampling fewer covers the mean too rarely."""
MOST_RESAMPLED = 2000
"""Most events that are resampled; with more the band is the normal one, to which resampling has converged."""


class Epochs(NamedTuple):
    """The mean course around events: `lag` in s (m,), `mean`, `low`, `high` (m,), all `courses` (n, m).

    The band from `low` to `high` is pointwise; both are NaN with fewer than 5 events.
    `left_out` counts the events whose epoch is not completely on record; `level` is that of the band.
    ``response`` and ``carry_over`` are the mean change and the change in the rest after it, each with its p,
    if there were controls: see :func:`chronoflux.analysis.event_epochs`.
    """

    lag: Floats
    mean: Floats
    low: Floats
    high: Floats
    courses: Floats
    left_out: int
    level: float = 0.95
    response: Result | None = None
    carry_over: Result | None = None


class Response(NamedTuple):
    """Dependence of a response on the dose: `slope` of a straight line, and `rank` correlation."""

    slope: Result
    rank: Result


def superposed_epochs(
    x: ArrayLike,
    t: ArrayLike,
    events: ArrayLike,
    *,
    before: float = 10.0,
    after: float = 30.0,
    step: float = 1.0,
    gap: float | None = None,
    baseline: bool = True,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Epochs:
    """Return the mean of a quantity around events, with a bootstrap band at each moment.

    Chree, Philosophical Transactions A 212, 75, 1913. The band is the bootstrap-t interval over events drawn
    with replacement (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 12). It is
    pointwise: it holds for each moment by itself, not for the whole course. It assumes independent events.
    With fewer than 5 events there is no band (NaN); with more than 2,000 it is the normal one, to which
    resampling has converged.

    Parameters
    ----------
    x, t
        The quantity, and its increasing times in s, shape (n,); values between samples are interpolated.
    events
        Times of the events in s, shape (k,).
    before, after, step
        The epoch: from `before` s before to `after` s after the event, every `step` s.
    gap
        Longest distance of two samples, in s, that is interpolated; None: 2.5 times the median. Epochs that
        contain a longer one or a missing value, or exceed the record, are left out and counted.
    baseline
        Whether to subtract each epoch's mean before the event.
    level
        Level of the band.
    resamples, seed
        Number of bootstrap resamples, and their seed.

    Raises
    ------
    ParameterError
        When fewer than three epochs are left.

    Examples
    --------
    Every 50 s the quantity jumps by 1 and decays with a time constant of 5 s.

    >>> import numpy as np
    >>> from chronoflux.analysis import superposed_epochs
    >>> t = np.arange(500.0)
    >>> found = superposed_epochs(np.exp(-(t % 50) / 5), t, np.arange(50, 450, 50), before=5, after=10)
    >>> found.courses.shape, found.mean[found.lag == 5].round(2)
    ((8, 16), array([0.37]))
    """
    lag = epoch_lags(before, after, step)
    courses = epoch_courses(x, t, events, lag, gap=gap)
    return superpose(lag, courses, baseline=baseline, level=level, resamples=resamples, seed=seed)


def epoch_lags(before: float, after: float, step: float) -> Floats:
    """Return the moments of an epoch, in s from the event, including 0: float64 (m,)."""
    if not (before >= 0 and after > 0 and 0 < step <= before + after):
        raise ParameterError(
            "before, after, step", (before, after, step), "s, with 0 < step ≤ before + after"
        )
    return step * np.arange(-math.floor(before / step + 1e-9), math.floor(after / step + 1e-9) + 1.0)


def epoch_courses(
    x: ArrayLike, t: ArrayLike, events: ArrayLike, lag: Floats, *, gap: float | None = None
) -> Floats:
    """Return the quantity at each lag from each event, float64 (k, m), NaN where it is not on record.

    The arguments are those of :func:`superposed_epochs`. Courses of several records can be stacked and
    superposed.
    """
    values, times = gappy("x", x), growing("t", t)
    moments = series("events", events, least=0, varies=False)
    same_length(x=values, t=times)
    longest = 2.5 * float(np.median(np.diff(times))) if gap is None else gap
    return _interpolated(values, times, moments[:, None] + lag, longest)


def superpose(
    lag: Floats,
    courses: Floats,
    *,
    baseline: bool = True,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Epochs:
    """Superpose courses (k, m) around events; courses with a missing value are left out and counted.

    See :func:`superposed_epochs`.
    """
    fraction("level", level), whole("resamples", resamples, 100)
    if baseline:
        if not (lag < 0).any():
            raise ParameterError("lag", float(lag[0]), "beginning before the event, or baseline=False")
        courses = courses - courses[:, lag < 0].mean(axis=1, keepdims=True)
    (courses,), left_out = complete("epochs", courses, least=3, what="events completely on record")
    low, high = _band(courses, level, resamples, np.random.default_rng(seed))
    return Epochs(lag, courses.mean(axis=0), low, high, courses, left_out, level)


def _band(courses: Floats, level: float, resamples: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the bootstrap-t interval of the mean at each moment; NaN with fewer than `FEWEST` courses."""
    n, mean = len(courses), courses.mean(axis=0)
    if n < FEWEST:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    error = courses.std(axis=0, ddof=1) / math.sqrt(n)
    if n > MOST_RESAMPLED:
        half = NormalDist().inv_cdf((1 + level) / 2) * error
        return mean - half, mean + half
    away = courses - mean
    shares = rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n  # how often each event was drawn
    shares = shares[shares.max(axis=1) < 1]  # one event drawn n times has no spread
    moved = shares @ away
    spread = np.sqrt(np.maximum(shares @ np.square(away) - np.square(moved), 0.0) / (n - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(spread > 0, moved / spread, 0.0)
    lower, upper = np.quantile(t, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return mean - upper * error, mean - lower * error


def epoch_response(found: Epochs, *, count: int = 199, level: float = 0.05, seed: int = 0) -> Result:
    """Return the mean change at the moment after the event where it is most significant, with its p-value.

    This is the moment with the greatest ``|Σ c| / √(Σ c²)`` over the courses c. The p-value compares this
    statistic with its maximum over all moments when each whole course gets a random sign (Winkler and others,
    NeuroImage 92, 381, 2014). Unlike a pointwise band, it accounts for testing all moments. It assumes
    independent events, and chance changes that are symmetric about 0. If there are fewer than `count` sign
    patterns, each is used once. The least p of n events is ``2^(1−n)``; if it is above `level` there is no p.

    Parameters
    ----------
    found
        From :func:`superposed_epochs` with a baseline, so that no response means 0.
    count
        Number of random sign patterns; 0: no p-value, as when
        :func:`~chronoflux.analysis.significance.assess` tests with
        :func:`~chronoflux.analysis.surrogates.event_shuffles` instead.
    level
        Significance level.
    seed
        Seed of the signs.

    Examples
    --------
    Every 50 s the quantity jumps by 1.

    >>> import numpy as np
    >>> from chronoflux.analysis import epoch_response, superposed_epochs
    >>> t = np.arange(500.0)
    >>> x = np.exp(-(t % 50) / 5) + 0.1 * np.random.default_rng(1).normal(size=500)
    >>> found = epoch_response(superposed_epochs(x, t, np.arange(50, 450, 50)))
    >>> round(float(found), 1), found.reading
    (1.0, '0 s after it; more than chance')
    """
    fraction("level", level)
    if count:
        whole("count", count, math.ceil(1 / level - 1e-9) - 1)
    after = found.lag >= 0
    courses, lag = found.courses[:, after], found.lag[after]
    n = len(courses)
    size = np.sqrt(np.square(courses).sum(axis=0))
    if not size.any():
        raise ParameterError("epochs", "0 after every event", "a quantity that varies")
    size[size == 0] = np.inf
    seen = np.abs(courses.sum(axis=0)) / size
    top = int(np.argmax(seen))
    needed = math.ceil(1 - math.log2(level) - 1e-9)
    p, verdict = None, f"{n} events are too few to tell it from chance: at least {needed}" if count else ""
    if count and n >= needed:
        signs = _signs(n, count, np.random.default_rng(seed))
        null = (np.abs(signs @ courses) / size).max(axis=1)
        count = len(signs)
        p = (1 + int(np.count_nonzero(null >= seen[top] - 1e-12))) / (count + 1)
        verdict = _verdict(p, level)
    return Result(
        name="response to the event",
        value=float(courses[:, top].mean()),
        unit="unit of x",
        n=n,
        masked=found.left_out,
        uncertainty=float(courses[:, top].std(ddof=1)) / math.sqrt(n),
        p=p,
        surrogates=count if p is not None else 0,
        reading="; ".join(words for words in (f"{lag[top]:g} s after it", verdict) if words),
        source="superposed epochs: Chree, Philosophical Transactions A 212, 75, 1913; random signs: Winkler, "
        "Ridgway, Webster, Smith, Nichols, NeuroImage 92, 381, 2014",
    )


def _signs(n: int, count: int, rng: np.random.Generator) -> Floats:
    """Return rows of random signs for n courses; of fewer patterns than `count`, each once but all alike."""
    if n - 1 > math.log2(count):
        minus = rng.integers(0, 2, (count, n))
    else:
        minus = np.arange(1, 2 ** (n - 1))[:, None] >> np.arange(n) & 1
    return np.where(minus, -1.0, 1.0)


def _interpolated(values: Floats, times: Floats, at: Floats, longest: float) -> Floats:
    """Interpolate values linearly at the times `at`; NaN beyond the record or across a gap."""
    right = np.clip(np.searchsorted(times, at, side="left"), 1, len(times) - 1)
    span = times[right] - times[right - 1]
    share = (at - times[right - 1]) / span
    # A moment on a sample needs only that sample.
    left_value = np.where(share >= 1, 0.0, values[right - 1])
    right_value = np.where(share <= 0, 0.0, values[right])
    found = left_value * (1 - share) + right_value * share
    within = (at >= times[0]) & (at <= times[-1])
    return np.where(within & ((span <= longest) | (share <= 0) | (share >= 1)), found, np.nan)


def recovery_time(lag: ArrayLike, course: ArrayLike, *, fraction_left: float = 1 / math.e) -> float | None:
    """Return the time in s from the greatest deviation after an event to a fraction of it, or None.

    Deviations are from 0, as :func:`superposed_epochs` with a baseline gives them. The deviation must stay
    below the fraction to the end of the epoch. The time is interpolated linearly between samples. An
    exponential recovery ``e^{−t/τ}`` gives τ at the default fraction, 1/e.

    Parameters
    ----------
    lag, course
        Increasing times since the event in s, and the course, shape (n,).
    fraction_left
        Fraction of the greatest deviation, between 0 and 1.

    Examples
    --------
    An exponential recovery returns its time constant.

    >>> import numpy as np
    >>> from chronoflux.analysis import recovery_time
    >>> lag = np.arange(0, 30, 0.1)
    >>> round(recovery_time(lag, np.exp(-lag / 5)), 2)
    5.0
    """
    times, values = growing("lag", lag, least=3), series("course", course, least=3)
    same_length(lag=times, course=values)
    fraction("fraction_left", fraction_left)
    after = times >= 0
    if np.count_nonzero(after) < 2:
        raise ParameterError("lag", float(times[-1]), "two moments or more from the event on")
    times, size = times[after], np.abs(values[after])
    top = int(np.argmax(size))
    limit = fraction_left * size[top]
    last = int(np.flatnonzero(size > limit)[-1])
    if last == len(size) - 1:
        return None
    part = (size[last] - limit) / (size[last] - size[last + 1])
    return float(times[last] + part * (times[last + 1] - times[last]) - times[top])


def dose_response(
    dose: ArrayLike,
    response: ArrayLike,
    *,
    unit: str = "response per dose",
    count: int = 1999,
    seed: int = 0,
) -> Response:
    """Return the slope of the response against the dose, and Spearman's rank correlation, with p-values.

    The slope is by least squares; its uncertainty is the standard deviation over events drawn with
    replacement. Both p-values are two-sided and come from `count` permutations of the doses. This assumes
    exchangeable events, so they must be far enough apart for earlier effects to have decayed. With more than
    2,000 events both use the formulas to which they converge: White's error (Econometrica 48, 817, 1980), and
    a normal distribution of variance 1/(n − 1) for a correlation of permuted values.

    Parameters
    ----------
    dose, response
        One value per event, shape (k,), k ≥ 5; events with a missing value are left out and counted.
    unit
        Unit of the slope, for display.
    count, seed
        Number of permutations, and their seed.

    Examples
    --------
    >>> import numpy as np
    >>> from chronoflux.analysis import dose_response
    >>> dose = np.linspace(0.1, 1.0, 10)
    >>> found = dose_response(dose, 2 * dose)
    >>> round(float(found.slope), 3), round(float(found.rank), 3), found.rank.p
    (2.0, 1.0, 0.0005)
    """
    doses, responses = gappy("dose", dose), gappy("response", response)
    same_length(dose=doses, response=responses)
    (doses, responses), masked = complete(
        "epochs", doses, responses, least=5, what="complete events with a dose"
    )
    series("dose", doses), series("response", responses)
    whole("count", count, 199)
    rng = np.random.default_rng(seed)
    n = len(doses)
    few = n <= MOST_RESAMPLED
    orders = rng.permuted(np.tile(np.arange(n), (count, 1)), axis=1) if few else None

    def judged(a: Floats, b: Floats) -> tuple[float, float]:
        a, b = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
        value = float(a @ b) / n
        if orders is None:
            return value, math.erfc(abs(value) * math.sqrt((n - 1) / 2))
        far = np.count_nonzero(np.abs(a[orders] @ b) / n >= abs(value) - 1e-12)
        return value, (1 + int(far)) / (count + 1)

    correlation, p = judged(doses, responses)
    rise = correlation * float(responses.std() / doses.std())
    slope = Result(
        name="slope of the response over the dose",
        value=rise,
        unit=unit,
        n=n,
        masked=masked,
        uncertainty=_slope_error(doses, responses, rise, count if few else 0, rng),
        p=p,
        surrogates=count if few else 0,
        reading=f"{'grows' if correlation > 0 else 'falls'} with the dose; {_verdict(p)}",
        source="least squares; permutation test: Good, Permutation Tests, 2000",
    )
    rank, p = judged(ranks(doses), ranks(responses))
    return Response(
        slope,
        Result(
            name="rank correlation of dose and response (Spearman)",
            value=rank,
            unit="1",
            n=n,
            masked=masked,
            p=p,
            surrogates=count if few else 0,
            reading="±1 would be always more, or less, with more",
            source="Spearman, American Journal of Psychology 15, 72, 1904",
        ),
    )


def _slope_error(x: Floats, y: Floats, slope: float, draws: int, rng: np.random.Generator) -> float:
    """Return the standard error of a slope, by `draws` bootstrap resamples, or by White's formula with 0."""
    if not draws:
        away = x - x.mean()
        rest = y - y.mean() - slope * away
        return float(np.sqrt(np.square(away * rest).sum()) / np.square(away).sum())
    picks = rng.integers(len(x), size=(draws, len(x)))
    drawn, answered = x[picks], y[picks]
    drawn = drawn - drawn.mean(axis=1, keepdims=True)
    size = np.square(drawn).sum(axis=1)
    slopes = (drawn * answered).sum(axis=1)[size > 0] / size[size > 0]
    return float(slopes.std(ddof=1))


def _verdict(p: float, level: float = 0.05) -> str:
    return "more than chance" if p <= level else "chance may give as much"
