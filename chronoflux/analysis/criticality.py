"""Transitions and bursts: early warnings, change points, avalanches."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from chronoflux.analysis.result import Result
from chronoflux.analysis.synchrony import runs
from chronoflux.analysis.validation import Floats, fraction, library, series, whole
from chronoflux.errors import ParameterError

MOST_POINTS = 4000
"""Longest series searched for change points; longer ones are averaged first, as the time is quadratic."""
ALTERNATIVES = ("exponential", "lognormal")
"""Alternatives that a power law is compared with."""


class Warnings(NamedTuple):
    """Variance and lag-1 correlation in windows ending at samples `end` (m,), and Kendall's τ of both."""

    end: Floats
    variance: Floats
    lag1: Floats
    variance_trend: Result
    lag1_trend: Result


class Avalanches(NamedTuple):
    """Excursions above a threshold: first and last sample (k, 2), `sizes`, `durations` (k,); number `cut`."""

    spans: Floats
    sizes: Floats
    durations: Floats
    cut: int


class Tail(NamedTuple):
    """A power-law tail ``p(x) ∝ x^−α`` from `least` on; `against` holds (log-likelihood ratio, p) per law.

    A positive ratio favours the power law, a negative one the alternative; p is the probability of a ratio
    that far from 0 if both fit equally well.
    """

    exponent: Result
    least: float
    against: dict[str, tuple[float, float]]


def variance_and_lag1(x: ArrayLike) -> tuple[Result, Result]:
    """Return the variance and the lag-1 autocorrelation of a series.

    An AR(1) series with coefficient a and noise σ has ``σ²/(1 − a²)`` and a: both grow as a state loses
    stability (Scheffer and others, Nature 461, 53, 2009).

    Parameters
    ----------
    x
        An unbroken, evenly sampled series, shape (n,), n ≥ 10.

    Examples
    --------
    A series that alternates between 1 and -1 has the lag-1 correlation -(n - 1) / n.

    >>> import numpy as np
    >>> from chronoflux.analysis import variance_and_lag1
    >>> variance, lag1 = variance_and_lag1(np.tile([1.0, -1.0], 50))
    >>> round(float(variance), 3), round(float(lag1), 3)
    (1.01, -0.99)
    """
    values = series("x", x, least=10)
    (variance,), (lag1,) = _moments(values[None])
    source = "Scheffer and others, Nature 461, 53, 2009"
    n = len(values)
    return (
        Result(
            name="variance",
            value=float(variance),
            unit="unit of x, squared",
            n=n,
            reading="grows with the lag-1 correlation where a state loses its hold",
            source=source,
        ),
        Result(
            name="lag-1 correlation",
            value=float(lag1),
            unit="1",
            n=n,
            reading="0: forgotten after a step; towards 1: ever slower to come back",
            source=source,
        ),
    )


def early_warnings(x: ArrayLike, *, window: int, detrend: float | None = None, step: int = 1) -> Warnings:
    """Return variance and lag-1 correlation in sliding windows, and their trends (Kendall's τ, −1 to 1).

    Dakos and others, PNAS 105, 14308, 2008; PLOS ONE 7, e41010, 2012. Windows overlap, so τ's usual p-value
    is invalid here: test τ by surrogates (:func:`chronoflux.analysis.significance.assess` on
    ``early_warnings(…).lag1_trend``, with surrogates that keep the spectrum).

    Parameters
    ----------
    x
        An unbroken, evenly sampled series, shape (n,).
    window
        Samples in a window, from 10 to n/2.
    detrend
        Width, in samples, of the Gaussian moving average that is subtracted first; None: no detrending.
    step
        Samples between the starts of two windows.

    Examples
    --------
    Noise whose spread grows from 1 to 3: its variance grows with it.

    >>> import numpy as np
    >>> from chronoflux.analysis import early_warnings
    >>> x = np.random.default_rng(1).normal(size=1000) * np.linspace(1, 3, 1000)
    >>> found = early_warnings(x, window=200, step=50)
    >>> len(found.end), round(float(found.variance_trend), 2), found.variance_trend.reading
    (17, 0.99, 'grows')
    """
    values = series("x", x, least=20)
    whole("window", window, 10, len(values) // 2), whole("step", step, 1)
    if detrend is not None:
        if not detrend > 0:
            raise ParameterError("detrend", detrend, "above 0 samples")
        smooth = library("scipy.ndimage", "detrending").gaussian_filter1d
        values = values - smooth(values, detrend, mode="nearest")
    windows = np.lib.stride_tricks.sliding_window_view(values, window)[::step]
    if len(windows) < 4:
        raise ParameterError("step", step, "small enough for four windows")
    variance, lag1 = _moments(windows)
    end = np.arange(len(windows), dtype=np.float64) * step + window - 1
    kendall = library("scipy.stats", "early_warnings").kendalltau

    def trend(name: str, found: Floats) -> Result:
        tau = float(kendall(end, found).statistic)
        return Result(
            name=f"trend of the {name} (Kendall's τ)",
            value=tau,
            unit="1",
            n=len(found),
            reading="grows" if tau > 0 else "does not grow",
            source="Dakos and others, PLOS ONE 7, e41010, 2012",
        )

    return Warnings(end, variance, lag1, trend("variance", variance), trend("lag-1 correlation", lag1))


def _moments(windows: Floats) -> tuple[Floats, Floats]:
    """Return the variance (n − 1) and the lag-1 correlation of each row."""
    rest = windows - windows.mean(axis=1, keepdims=True)
    squares = np.square(rest).sum(axis=1)
    if squares.min() <= 0:
        raise ParameterError("x", "constant over a window", "a series that varies, or a longer window")
    return squares / (windows.shape[1] - 1), (rest[:, 1:] * rest[:, :-1]).sum(axis=1) / squares


def change_points(x: ArrayLike, *, strictness: float = 1.0, least: int = 10) -> Floats:
    """Return the samples at which the mean of a series changes its level, float64 (k,).

    The segmentation minimises the squared error plus ``2 · strictness · σ² ln n`` per change (PELT; Killick,
    Fearnhead, Eckley, Journal of the American Statistical Association 107, 1590, 2012, with the penalty of
    Yao, Statistics and Probability Letters 6, 181, 1988). ``σ²`` is the long-run variance of the noise, from
    the variance of means over `least` samples, so slow fluctuations do not count as changes. Fluctuations
    longer than `least` do: choose `least` at least as long as the series' memory. A series of more than
    4,000 samples is first averaged over stretches, and the result is rounded to their starts.

    Parameters
    ----------
    x
        An unbroken, evenly sampled series, shape (n,), at least 4 · `least` samples.
    strictness
        Factor of the penalty; above 1 it gives fewer changes.
    least
        Shortest segment, in samples.

    Examples
    --------
    >>> import numpy as np
    >>> from chronoflux.analysis import change_points
    >>> x = np.repeat([0.0, 3.0], 200) + np.random.default_rng(1).normal(size=400)
    >>> change_points(x)
    array([200.])
    """
    whole("least", least, 2)
    if not strictness > 0:
        raise ParameterError("strictness", strictness, "above 0")
    values = series("x", x, least=4 * least)
    stretch = max(1, -(-len(values) // MOST_POINTS))
    count = len(values) // stretch
    means = values[: count * stretch].reshape(count, stretch).mean(axis=1)
    short = max(2, -(-least // stretch))
    noise = _long_run_variance(means, short)
    if noise <= 0:
        raise ParameterError("x", "constant over stretches", "a series with noise on it")
    search = library("ruptures", "change_points").KernelCPD(kernel="linear", min_size=short)
    penalty = 2 * strictness * noise * math.log(count)
    found = search.fit(means[:, None]).predict(pen=penalty)[:-1]
    return np.array(found, dtype=np.float64) * stretch


def _long_run_variance(values: Floats, block: int) -> float:
    """Return `block` times the variance of block means, from successive differences, few of them steps."""
    count = len(values) // block
    means = values[: count * block].reshape(count, block).mean(axis=1)
    deviation = float(np.median(np.abs(np.diff(means)))) / 0.6745 / math.sqrt(2)
    return block * deviation**2


def avalanches(x: ArrayLike, threshold: float | None = None) -> Avalanches:
    """Return the excursions above a threshold: their sizes (area above it) and durations (samples).

    Poil and others, Human Brain Mapping 29, 770, 2008. The first and the last excursion are left out, and
    counted, if the record cuts them.

    Parameters
    ----------
    x
        An unbroken, evenly sampled series, shape (n,).
    threshold
        Threshold in units of x; None: the median.

    Examples
    --------
    >>> from chronoflux.analysis import avalanches
    >>> found = avalanches([0, 0, 2, 3, 0, 0, 1, 1, 1, 0], threshold=0)
    >>> found.sizes, found.durations
    (array([5., 3.]), array([2., 3.]))
    """
    values = series("x", x, least=10)
    level = float(np.median(values)) if threshold is None else float(threshold)
    spans = runs(values > level)
    inner = (spans[:, 0] > 0) & (spans[:, 1] < len(values) - 1)
    kept = spans[inner]
    above = np.concatenate([[0.0], np.cumsum(np.maximum(values - level, 0.0))])
    sizes = above[kept[:, 1] + 1] - above[kept[:, 0]]
    durations = (kept[:, 1] - kept[:, 0] + 1).astype(np.float64)
    return Avalanches(kept.astype(np.float64), sizes, durations, len(spans) - len(kept))


def power_law_tail(sizes: ArrayLike, *, discrete: bool = False, level: float = 0.05) -> Tail:
    """Fit a power law to the tail of sizes, and compare it with alternative distributions.

    It uses maximum likelihood above the lower cutoff with the best fit, and Vuong's likelihood-ratio test
    (Clauset, Shalizi, Newman, SIAM Review 51, 661, 2009; the package ``powerlaw``: Alstott, Bullmore, Plenz,
    PLOS ONE 9, e85777, 2014). A straight line in a log-log plot is no evidence: a power law needs to fit
    better than its alternatives, and often it cannot be distinguished from a lognormal.

    Parameters
    ----------
    sizes
        Sizes above 0, shape (k,), k ≥ 50.
    discrete
        True for integers, such as durations in samples.
    level
        A comparison with a p below this level counts as decided.

    Examples
    --------
    Sizes drawn from a power law with the exponent 2.5.

    >>> import numpy as np
    >>> from chronoflux.analysis import power_law_tail
    >>> sizes = np.random.default_rng(1).pareto(1.5, size=400) + 1
    >>> tail = power_law_tail(sizes)
    >>> round(float(tail.exponent), 1), tail.exponent.reading
    (2.5, 'not told apart from lognormal')
    """
    values = series("sizes", sizes, least=50)
    fraction("level", level)
    if values.min() <= 0:
        raise ParameterError("sizes", float(values.min()), "above 0")
    fitting = library("powerlaw", "power_law_tail")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # powerlaw 2.0 warns about its own old names, and about fits it drops
        fit = fitting.Fit(values, discrete=discrete, verbose=0)
        against = {
            name: tuple(map(float, fit.distribution_compare("power_law", name, normalized_ratio=True)))
            for name in ALTERNATIVES
        }
        exponent, error = float(fit.power_law.alpha), float(fit.power_law.standard_err)
    beaten = [name for name, (ratio, p) in against.items() if ratio < 0 and p < level]
    undecided = [name for name, (_, p) in against.items() if not p < level]
    verdict = (
        f"no power law: {_names(beaten)} fits better"
        if beaten
        else f"not told apart from {_names(undecided)}"
        if undecided
        else "a power law fits better than every alternative tried"
    )
    result = Result(
        name="exponent α of a power-law tail",
        value=exponent,
        unit="1",
        n=int(np.count_nonzero(values >= fit.xmin)),
        masked=int(np.count_nonzero(values < fit.xmin)),
        uncertainty=error,
        reading=verdict,
        source="Clauset, Shalizi, Newman, SIAM Review 51, 661, 2009; "
        "Alstott, Bullmore, Plenz, PLOS ONE 9, e85777, 2014",
    )
    return Tail(result, float(fit.xmin), against)  # type: ignore[arg-type]


def _names(laws: list[str]) -> str:
    return ", ".join(law.replace("_", " ") for law in laws)
