"""How a course passes from one to another, and how much later."""

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
"""How many times as many samples as lags there must be for turns; with 20 the least p would be 0.05."""


class Spread(NamedTuple):
    """How a course passes from one peer to another: its `delay` in s, and the `correlation` there."""

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
    """The delay at which a target follows a source most closely, and whether it follows at all.

    The lag, up to ±`longest`, of the greatest cross-correlation (Quian Quiroga and others, Physical Review
    E 65, 041903, 2002); negative when the target is ahead. Its p-value compares that maximum, over all these
    lags, with `count` maxima in which the source is another one. The null hypothesis is that the source is
    stationary and independent of the target, which events that both hear break. From 80 times as many samples
    as lags on it is turned round by another number of steps; of fewer, so many turns meet the same maximum
    that no small p could be right, and it is drawn anew
    (:func:`~chronoflux.analysis.surrogates.autoregressions`): then the source is also taken as a linear
    Gaussian process, seen through a monotone function, that forgets within a few steps. A start-up
    of either is left out of both, and what does not serve is refused
    (:func:`~chronoflux.analysis.stationarity.stationary_part`): the target is looked at too, since steps in
    both, too small to be seen in each, make p too small.

    Parameters
    ----------
    source, target
        Unbroken series on the same even steps of `step` s, shape (n,).
    stationary
        True: both are known to be stationary, and are not looked at.

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
    reach, told = int(longest / step + 1e-9), "taken as stationary, not looked at"
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
    follows = f"the target follows after {best * step:g} s" if p <= 0.05 else "it may be chance"
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
    """Whether turns serve to judge the greatest of ``2 · reach + 1`` lags: p is that share of n at least."""
    return n >= TURNS * (2 * reach + 1)


def correlation_around(x: ArrayLike, y: ArrayLike) -> Floats:
    """The correlation of y with x turned round by 0, 1, … n − 1 steps, by Fourier transforms: float64 (n,).

    ``x, y``: unbroken series of one length, shape (n,). Element s is high where y follows x after s steps.
    """
    a, b = series("x", x), series("y", y)
    same_length(x=a, y=b)
    n = len(a)
    a, b = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
    found: Floats = np.fft.irfft(np.fft.rfft(b) * np.fft.rfft(a).conj(), n) / n
    return found
