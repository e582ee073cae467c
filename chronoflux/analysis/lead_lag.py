"""Lead and lag: whether one series follows another, and with what delay."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from chronoflux.analysis.result import Result
from chronoflux.analysis.stationarity import stationary_part
from chronoflux.analysis.surrogates import autoregressions
from chronoflux.analysis.validation import Floats, same_length, series, whole
from chronoflux.errors import ParameterError

TURNS = 80
"""Least ratio of samples to lags for circular shifts; with 20 the least p would be 0.05."""


class Spread(NamedTuple):
    """How one series follows another: the `delay` in s, and the `correlation` at that delay."""

    delay: Result
    correlation: Result


def spread(
    source: ArrayLike,
    target: ArrayLike,
    *,
    step: float,
    longest: float,
    count: int = 199,
    seed: int = 0,
    stationary: bool = False,
) -> Spread:
    """Return the delay at which a target follows a source most closely, with its significance.

    The delay is the lag, up to ±`longest`, of the greatest cross-correlation (Quian Quiroga and others,
    Physical Review E 65, 041903, 2002); it is negative when the target leads. The p-value compares this
    maximum over all lags with the maxima of `count` surrogates of the source. The null hypothesis is that the
    source is stationary and independent of the target; events that affect both violate it.

    With at least 80 times as many samples as lags, surrogates are circular shifts. With fewer, too many
    shifts contain the same maximum for small p to be right; surrogates are then draws of an autoregression
    (:func:`~chronoflux.analysis.surrogates.autoregressions`), and the null hypothesis adds that the source is
    a linear Gaussian process with short memory, seen through a monotone function.

    A start-up of either series is left out of both, and unsuitable series are refused
    (:func:`~chronoflux.analysis.stationarity.stationary_part`). The target is tested too, since steps in
    both, too small to be detected in each, make p too small.

    Parameters
    ----------
    source, target
        Unbroken series at the same even steps of `step` s, shape (n,).
    step
        Distance of the samples, s.
    longest
        Greatest delay, s.
    count, seed
        Number of surrogates, and their seed.
    stationary
        True: both are known to be stationary, and are not tested.

    Examples
    --------
    The target repeats the source 3 s later.

    >>> import numpy as np
    >>> from chronoflux.analysis import spread
    >>> x = np.random.default_rng(1).normal(size=600)
    >>> found = spread(x, np.roll(x, 3), step=1.0, longest=10.0)
    >>> float(found.delay), round(float(found.correlation), 2), found.delay.p
    (3.0, 1.0, 0.005)
    """
    x, y = series("source", source, least=20), series("target", target, least=20)
    same_length(source=x, target=y)
    if not step > 0:
        raise ParameterError("step", step, "above 0 s")
    reach, told = int(longest / step + 1e-9), "taken as stationary without a test"
    if not stationary and 1 <= reach < len(x) // 4:
        look = stationary_part(np.column_stack([x, y]), names=("source", "target"))
        x, y, told = x[look.start :], y[look.start :], look.words(step)
    n = len(x)
    if not 1 <= reach < n // 4:
        raise ParameterError("longest", longest, f"from {step:g} s to a quarter of {n * step:g} s")
    around = correlation_around(x, y)
    lags = np.arange(-reach, reach + 1)
    value, best = float(around[lags].max()), int(lags[np.argmax(around[lags])])
    rng = np.random.default_rng(seed)
    if long_enough(n, reach):
        whole("count", count, 19, n - 1)
        chosen = rng.permutation(np.arange(1, n))[:count]
        null = around[(lags + chosen[:, None]) % n].max(axis=1)
    else:
        whole("count", count, 19)
        null = np.array(
            [correlation_around(drawn, y)[lags].max() for drawn in autoregressions(x, count, rng)]
        )
    p = (1 + int(np.count_nonzero(null >= value))) / (count + 1)
    follows = f"the target follows after {best * step:g} s" if p <= 0.05 else "chance may give as much"
    delay = Result(
        name="delay",
        value=best * step,
        unit="s",
        n=n,
        p=p,
        surrogates=count,
        reading="; ".join(words for words in (follows, told) if words),
        source="cross-correlation; Quian Quiroga and others, Physical Review E 65, 041903, 2002",
    )
    return Spread(delay, delay.replace(name="correlation at that delay", value=value, unit="1"))


def long_enough(n: int, reach: int) -> bool:
    """Return whether n samples suffice to test the greatest of ``2 · reach + 1`` lags by circular shifts.

    The least possible p is the share of these lags in n.
    """
    return n >= TURNS * (2 * reach + 1)


def correlation_around(x: ArrayLike, y: ArrayLike) -> Floats:
    """Return the correlation of y with x circularly shifted by 0, 1, … n − 1 steps, float64 (n,).

    ``x, y``: unbroken series of the same length, shape (n,). Element s is high where y follows x after s
    steps. It uses Fourier transforms.
    """
    a, b = series("x", x), series("y", y)
    same_length(x=a, y=b)
    n = len(a)
    a, b = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
    found: Floats = np.fft.irfft(np.fft.rfft(b) * np.fft.rfft(a).conj(), n) / n
    return found
