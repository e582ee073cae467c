"""What follows an event: epochs laid over each other, recovery, dose and response."""

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
"""Events without which there is no band: resampling fewer covers the mean too seldom."""
MOST_RESAMPLED = 2000
"""From more events on the band is the normal one, to which resampling has converged by then."""


class Epochs(NamedTuple):
    """The mean course round events: `lag` in s (m,), `mean`, `low`, `high` (m,), all `courses` (n, m).

    The band from `low` to `high` is pointwise; both are NaN with fewer than 5 events.
    `left_out` counts the events whose epoch is not wholly on record; `level` is that of the band.
    ``response`` and ``carry_over`` are the mean change and what is left of it after a rest, each with its p,
    where there were controls to compare with: see :func:`chronoflux.analysis.event_epochs`.
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
    """How a response grows with the dose: the `slope` of a straight line, and the `rank` correlation."""

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
    """The mean of a quantity round events, with a bootstrap band at each moment.

    Chree, Philosophical Transactions A 212, 75, 1913. The band is the bootstrap-t interval over events drawn
    with replacement (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 12). It is
    pointwise: it holds for each moment by itself, not for the whole course. It takes the events as
    independent of each other. With fewer than 5 events there is no band (NaN); with more than 2,000 it is
    the normal one, to which resampling has converged by then.

    Parameters
    ----------
    x, t
        The quantity and its times in s, growing, shape (n,); values between samples are interpolated.
    events
        Moments in s, shape (k,).
    before, after, step
        The epoch in s: from `before` s before to `after` s after, every `step` s.
    gap
        Longest distance in s between two samples that may be interpolated over; None: 2.5 times the
        median. Epochs with a longer one, a missing value, or beyond the record are left out and counted.
    baseline
        Take off each epoch's mean before the event.

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
    """The moments of an epoch, in s from the event, which is one of them: float64 (m,)."""
    if not (before >= 0 and after > 0 and 0 < step <= before + after):
        raise ParameterError(
            "before, after, step", (before, after, step), "s, with 0 < step ≤ before + after"
        )
    return step * np.arange(-math.floor(before / step + 1e-9), math.floor(after / step + 1e-9) + 1.0)


def epoch_courses(
    x: ArrayLike, t: ArrayLike, events: ArrayLike, lag: Floats, *, gap: float | None = None
) -> Floats:
    """The quantity at each lag from each event, float64 (k, m), NaN where it is not on record.

    Arguments as of :func:`superposed_epochs`; with several records these are stacked and superposed.
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
    """Courses (k, m) round events laid over each other; those with a missing value are left out and counted.

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
    """The bootstrap-t interval of the mean at each moment; NaN with fewer than `FEWEST` courses."""
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
    """The mean change at the moment after the event at which it stands out most, and whether it is chance.

    The moment with the greatest ``|Σ c| / √(Σ c²)`` over the courses c. Its p-value compares that with the
    greatest over all moments when each whole course is given a sign at random (Winkler and others,
    NeuroImage 92, 381, 2014): so, other than a band at one moment, it allows for having looked at all. It
    takes the events as independent, and chance as often upwards as downwards. Ways to give signs that are
    fewer than `count` are taken once each. n events give ``2^(1−n)`` at least: above `level` there is no p.

    Parameters
    ----------
    found
        From :func:`superposed_epochs` with a baseline, so that no response is 0.
    count
        How many times signs are drawn; 0: no p-value, as when
        :func:`~chronoflux.analysis.significance.assess` judges by
        :func:`~chronoflux.analysis.surrogates.event_shuffles` instead.

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
    """Signs for n courses, a row each time; where there are fewer ways, each once (but for all alike)."""
    if n - 1 > math.log2(count):
        minus = rng.integers(0, 2, (count, n))
    else:
        minus = np.arange(1, 2 ** (n - 1))[:, None] >> np.arange(n) & 1
    return np.where(minus, -1.0, 1.0)


def _interpolated(values: Floats, times: Floats, at: Floats, longest: float) -> Floats:
    """Values at given times, linearly between neighbours; NaN beyond the record or across a gap."""
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
    """The time in s from the greatest deviation after an event until only a fraction of it is left; or None.

    Deviations are from 0, as :func:`superposed_epochs` with a baseline gives them; "until" means for good,
    within the epoch; between samples on a straight line. An exponential recovery ``e^{−t/τ}`` has τ at the
    default fraction, 1/e.

    Parameters
    ----------
    lag, course
        Times since the event in s, growing, and the course, shape (n,).

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
    """How a response grows with the dose: the slope of a straight line, and Spearman's rank correlation.

    The slope is by least squares, its uncertainty the spread over events drawn with replacement. Both
    p-values, two-sided, come from `count` orders in which the doses are dealt out again: that takes the
    events as exchangeable, so as far enough apart to have been forgotten. From more than 2,000 events on
    both are the formulas to which they converge: White's error (Econometrica 48, 817, 1980), and a normal
    law of variance 1/(n − 1) for a correlation of shuffled values.

    Parameters
    ----------
    dose, response
        One of each for every event, shape (k,), k ≥ 5; events with a missing value are left out and counted.
    unit
        The unit of the slope, for the reader.

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
    """Standard error of a slope: over events drawn again `draws` times; with none by White's formula."""
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
