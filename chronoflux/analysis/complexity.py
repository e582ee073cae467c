"""Complexity and scaling of one series: Lempel–Ziv, permutation entropy, detrended fluctuation analysis.

The package antropy has these three too, but compiles for half a minute at each import; here each takes a few
lines.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from chronoflux.analysis.result import Result
from chronoflux.analysis.validation import series, whole
from chronoflux.errors import ParameterError


def lempel_ziv(x: ArrayLike) -> Result:
    """Return the Lempel–Ziv complexity of a series binarised at its median, ``c(n) · log₂n / n``; unit 1.

    ``c(n)`` is the number of words when each new word is the shortest that has not occurred before (Lempel
    and Ziv, IEEE Transactions on Information Theory 22, 75, 1976). White noise slowly tends to 1 from above,
    a periodic series to 0.

    Parameters
    ----------
    x
        An unbroken, evenly sampled series, shape (n,), n ≥ 100.

    Examples
    --------
    >>> import numpy as np
    >>> from chronoflux.analysis import lempel_ziv
    >>> noise = np.random.default_rng(1).normal(size=2000)
    >>> round(float(lempel_ziv(noise)), 2), round(float(lempel_ziv(np.sin(np.arange(2000)))), 2)
    (1.04, 0.05)
    """
    values = series("x", x, least=100)
    symbols = (values > np.median(values)).astype(np.uint8).tobytes()
    n = len(symbols)
    value = count_words(symbols) * math.log2(n) / n
    return Result(
        name="Lempel–Ziv complexity",
        value=value,
        unit="1",
        n=n,
        reading="0: wholly repetitive; 1: as much new as in white noise",
        source="Lempel and Ziv, IEEE Transactions on Information Theory 22, 75, 1976",
    )


def count_words(symbols: bytes) -> int:
    """Count the words of the exhaustive history: each is the shortest that does not occur before its end."""
    words, start, n = 0, 0, len(symbols)
    while start < n:
        length, found = 1, 0
        while start + length <= n:
            word = symbols[start : start + length]
            # A longer word can begin no earlier than the shorter one that it continues.
            found = symbols.find(word, found, start + length - 1)
            if found < 0:
                break
            length += 1
        words += 1
        start += length
    return words


def permutation_entropy(x: ArrayLike, *, order: int = 3, delay: int = 1) -> Result:
    """Return the entropy of the ordinal patterns of `order` successive values over ``ln(order!)``; 0 to 1.

    Bandt and Pompe, Physical Review Letters 88, 174102, 2002. White noise has 1, an increasing series 0.
    Equal values are ranked in the order in which they occur.

    Test it with ``assess(…, surrogate="ar", tail="both")``, not with IAAFT: with IAAFT a share of 0.08 to
    0.11 of AR(1) series with coefficient 0.9 have p ≤ 0.05.

    Parameters
    ----------
    x
        An unbroken, evenly sampled series, shape (n,), at least 5 · order! values.
    order, delay
        Number of values in a pattern, 2 to 7, and number of steps between them.

    Examples
    --------
    >>> import numpy as np
    >>> from chronoflux.analysis import permutation_entropy
    >>> noise = np.random.default_rng(1).normal(size=2000)
    >>> round(float(permutation_entropy(noise)), 2), float(permutation_entropy(np.arange(100.0)))
    (1.0, 0.0)
    """
    whole("order", order, 2, 7), whole("delay", delay, 1)
    patterns = math.factorial(order)
    values = series("x", x, least=5 * patterns + (order - 1) * delay)
    n = len(values) - (order - 1) * delay
    windows = np.stack([values[i * delay : i * delay + n] for i in range(order)], axis=1)
    code = np.argsort(windows, axis=1, kind="stable") @ order ** np.arange(order)
    _, counts = np.unique(code, return_counts=True)
    share = counts / n
    return Result(
        name=f"permutation entropy of order {order}",
        value=abs(float(-(share * np.log(share)).sum() / math.log(patterns))),
        unit="1",
        n=n,
        reading="0: always in the same order; 1: every order as often, as in white noise",
        source="Bandt and Pompe, Physical Review Letters 88, 174102, 2002",
    )


def detrended_fluctuation(x: ArrayLike) -> Result:
    """Return the exponent α of detrended fluctuation analysis, ``F(s) ∝ s^α``; dimensionless.

    Peng and others, Physical Review E 49, 1685, 1994. ``F(s)`` is the fluctuation about straight lines in
    windows of s samples. White noise has 0.5, 1/f noise 1, Brownian motion 1.5. Windows range from 8 to n/8
    samples, in about 20 sizes at most, evenly spaced in ``ln s``. The uncertainty is that of the fitted
    slope; it is too small, as the sizes share the same data.

    Parameters
    ----------
    x
        An unbroken, evenly sampled series, shape (n,), n ≥ 200.

    Examples
    --------
    White noise has 0.5; its cumulative sum, a random walk, has 1.5.

    >>> import numpy as np
    >>> from chronoflux.analysis import detrended_fluctuation
    >>> noise = np.random.default_rng(1).normal(size=5000)
    >>> round(float(detrended_fluctuation(noise)), 1), round(float(detrended_fluctuation(noise.cumsum())), 1)
    (0.5, 1.5)
    """
    values = series("x", x, least=200)
    profile = np.cumsum(values - values.mean())
    sizes = np.unique(np.geomspace(8, len(values) / 8, 20).astype(np.int64))
    fluctuation = np.array([_fluctuation(profile, int(size)) for size in sizes])
    if fluctuation.min() <= 0:
        raise ParameterError("x", "straight in parts", "a series that fluctuates")
    (slope, _), covariance = np.polyfit(np.log(sizes), np.log(fluctuation), 1, cov=True)
    return Result(
        name="DFA exponent α",
        value=float(slope),
        unit="1",
        n=len(values),
        uncertainty=float(math.sqrt(covariance[0, 0])),
        reading=_memory(float(slope)),
        source="Peng, Buldyrev, Havlin, Simons, Stanley, Goldberger, Physical Review E 49, 1685, 1994",
    )


def _fluctuation(profile: np.ndarray[tuple[int, ...], np.dtype[np.float64]], size: int) -> float:
    """Return the root mean square about a straight line per window, with windows from both ends."""
    count = len(profile) // size
    ends = profile[: count * size], profile[len(profile) - count * size :]
    windows = np.concatenate([end.reshape(count, size) for end in ends])
    time = np.arange(size) - (size - 1) / 2
    level = windows.mean(axis=1, keepdims=True)
    slope = windows @ time / (time @ time)
    rest = windows - level - slope[:, None] * time
    return float(np.sqrt(np.square(rest).mean()))


def _memory(alpha: float) -> str:
    if alpha < 0.45:
        return "ups tend to be followed by downs"
    if alpha <= 0.55:
        return "no long memory"
    return "long memory" if alpha <= 1.05 else "wanders, like a sum of its steps"
