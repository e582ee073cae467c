"""Surrogates: the same data as they might have been without the effect in question.

Shuffling single samples destroys the series' own memory too, and makes everything look significant. A
surrogate keeps all properties that are not in question, and so stands for a null hypothesis:

- circular shifts keep each series, and lose only the timing between series. Null hypothesis: the shifted
  series is stationary, and independent of the others;
- IAAFT keeps the values and the spectrum, and loses all nonlinearity. Null hypothesis: the series is a
  stationary linear Gaussian process, seen through a monotone function;
- an autoregression has the same null hypothesis with fewer parameters, and draws new series from it: their
  spectra vary as those of the process do, unlike those of IAAFT;
- blocks keep the memory within a block. Null hypothesis: the series is stationary, with a memory shorter
  than a block;
- shuffled events keep the waiting times, and lose the moments. Null hypothesis: the series is stationary,
  and the events are independent of it.

A start-up, a trend, a step or a change of spread violates all of them, and so does a memory that is not
short compared with the record. Events that affect several series violate the first: the series are not
independent. :func:`chronoflux.analysis.significance.assess` tests this first; the functions here do not.

All functions draw from a generator that is passed in, so the same seed gives the same surrogates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from chronoflux.analysis.stationarity import autoregression, ranks
from chronoflux.analysis.validation import Floats, columns, fraction, numbers, series, whole
from chronoflux.errors import ParameterError

ORDERS = 16
"""Greatest order of the autoregression that new series are drawn from. With 4, unrelated swarms of the preset
`spread`, whose increments are less regular, were linked in a share of 0.17."""
AT_ONCE = 1000
"""Series of an autoregression that are drawn in one batch."""
SEAMS = 200
"""Most samples dropped to find ends that match."""
Maker = Callable[[Floats, int, np.random.Generator], Iterator[Floats]]
"""Yields a number of surrogates of one array whose first axis is time."""


def circular_shifts(
    x: ArrayLike, count: int, rng: np.random.Generator, *, least: int = 1, together: bool = True
) -> Iterator[Floats]:
    """Yield `count` copies of x, each circularly shifted by a different number of steps.

    Quian Quiroga, Kraskov, Kreuz, Grassberger, Physical Review E 65, 041903, 2002. A trend would make a step
    at the seam: remove it first.

    Parameters
    ----------
    x
        Shape (n, …).
    count
        Number of surrogates; no two have the same shift.
    least
        Least shift in steps, in either direction. With 1 all shifts are possible, and p is exact for a
        periodic series, as the shifts form a group of equally likely arrangements. Excluding shifts within
        the memory excludes values as high as the one measured, and makes p too small: of AR(1) series with
        coefficient 0.9 and 150 samples, a share of 0.09 had p ≤ 0.05 with n/20, and 0.06 with 1.
    together
        False: each column of axis 1 is shifted independently, by any of the n numbers of steps.

    Raises
    ------
    ParameterError
        When there are fewer than `count` different shifts.

    Examples
    --------
    >>> import numpy as np
    >>> from chronoflux.analysis import circular_shifts
    >>> rng = np.random.default_rng(1)
    >>> for shifted in circular_shifts([0, 1, 2, 3, 4], 2, rng):
    ...     print(shifted)
    [4. 0. 1. 2. 3.]
    [3. 4. 0. 1. 2.]
    """
    values = numbers("x", x)
    n = len(values) if values.ndim else 0
    whole("least", least, 1), whole("count", count, 1)
    choices = n - 2 * least + 1
    if together:
        if count > choices:
            raise ParameterError("count", count, f"1 to {max(choices, 0)}: so many shifts have {n} samples")
        for steps in rng.permutation(np.arange(least, n - least + 1))[:count]:
            yield np.roll(values, int(steps), axis=0)
        return
    if values.ndim < 2 or values.shape[1] < 2:
        raise ParameterError("x", values.shape, "two columns or more, to turn them against each other")
    for _ in range(count):
        turned = [np.roll(values[:, j], int(rng.integers(n)), axis=0) for j in range(values.shape[1])]
        yield np.stack(turned, axis=1)


def iaaft(x: ArrayLike, count: int, rng: np.random.Generator, *, iterations: int = 200) -> Iterator[Floats]:
    """Yield `count` series with exactly the values of x and, as nearly as these allow, its spectrum.

    Iterated amplitude-adjusted Fourier transform (Schreiber and Schmitz, Physical Review Letters 77, 635,
    1996). Not for angles, whose spectrum is meaningless: use their sines.

    Parameters
    ----------
    x
        An unbroken, evenly sampled series, shape (n,), n ≥ 20.
    iterations
        Most iterations; the loop ends when the order of the values no longer changes.

    Examples
    --------
    The surrogate has the same values in another order.

    >>> import numpy as np
    >>> from chronoflux.analysis import iaaft
    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=200).cumsum()
    >>> (surrogate,) = iaaft(x, 1, rng)
    >>> np.array_equal(np.sort(surrogate), np.sort(x)), np.array_equal(surrogate, x)
    (True, False)
    """
    values = series("x", x, least=20)
    whole("count", count, 1), whole("iterations", iterations, 1)
    ordered, amplitude = np.sort(values), np.abs(np.fft.rfft(values))
    for _ in range(count):
        surrogate, ranks = rng.permutation(values), np.empty(0, dtype=np.intp)
        for _ in range(iterations):
            phases = np.angle(np.fft.rfft(surrogate))
            matched = np.fft.irfft(amplitude * np.exp(1j * phases), len(values))
            before, ranks = ranks, np.argsort(np.argsort(matched, kind="stable"), kind="stable")
            surrogate = ordered[ranks]
            if np.array_equal(before, ranks):
                break
        yield surrogate


def autoregressions(x: ArrayLike, count: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield `count` series with exactly the values of x, in the rank order of draws of an autoregression.

    Bühlmann, Bernoulli 3, 123, 1997. The null hypothesis: x is a stationary linear Gaussian process with a
    memory of a few steps, seen through a monotone function. The autoregression, of order 0 to 16 by Akaike's
    criterion, is fitted to x after a rank-based transformation to a Gaussian. A longer memory, or another
    kind, violates it, and so does everything that violates IAAFT, except ends that do not match.

    Parameters
    ----------
    x
        An unbroken, evenly sampled series, shape (n,), n ≥ 20.

    Raises
    ------
    ParameterError
        When x is determined by its past.

    Examples
    --------
    The surrogate has the same values in another order.

    >>> import numpy as np
    >>> from chronoflux.analysis import autoregressions
    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=200)
    >>> (surrogate,) = autoregressions(x, 1, rng)
    >>> np.array_equal(np.sort(surrogate), np.sort(x)), np.array_equal(surrogate, x)
    (True, False)
    """
    values = series("x", x, least=20)
    whole("count", count, 1)
    n, normal = len(values), NormalDist()
    gaussian = np.array([normal.inv_cdf((rank + 0.5) / n) for rank in ranks(values)])
    fitted = autoregression(gaussian, orders=ORDERS, penalty=2.0)
    if fitted is None:
        raise ParameterError("x", "determined by its past", "a series that is not deterministic")
    weights, left = fitted
    ordered, order = np.sort(values), len(weights)
    forgets = math.ceil(10 * left / max(1 - float(weights.sum()), 1 / n) ** 2) + 20  # ten times its memory
    for done in range(0, count, AT_ONCE):
        drawn = rng.normal(size=(min(forgets, 10 * n) + n, min(AT_ONCE, count - done)))
        for t in range(order, len(drawn)) if order else ():
            drawn[t] += weights @ drawn[t - order : t][::-1]
        yield from ordered[np.argsort(np.argsort(drawn[-n:], axis=0), axis=0)].T


def matched_ends(x: ArrayLike, *, least: float = 0.9) -> slice:
    """Return the part of a series whose ends match best, in value and slope; at least a share `least` of it.

    A Fourier transform assumes a periodic series. A jump at the seam spreads over all frequencies, and makes
    surrogates rougher than the data (Schreiber and Schmitz, Physica D 142, 346, 2000).

    Parameters
    ----------
    x
        An unbroken series, shape (n,), n ≥ 20.
    """
    values = series("x", x, least=20)
    n = len(values)
    room = min(n - max(20, math.ceil(fraction("least", least) * n)), SEAMS)
    first, last = np.meshgrid(np.arange(room + 1), np.arange(n - room - 1, n), indexing="ij")
    lengths = last - first + 1
    jump = np.square(values[first] - values[last])
    slope = np.square(np.diff(values)[first] - np.diff(values)[last - 1])
    score = np.where(lengths >= n - room, jump + slope, np.inf)
    best = np.unravel_index(int(np.argmin(score)), score.shape)
    return slice(int(first[best]), int(last[best]) + 1)


def block_shuffles(x: ArrayLike, count: int, rng: np.random.Generator, *, block: int) -> Iterator[Floats]:
    """Yield `count` copies of x, cut into blocks of `block` samples and reassembled in random order.

    Kirch, Journal of Statistical Planning and Inference 137, 2453, 2007.

    The cuts differ each time (x is first circularly shifted by a random number of steps; the last block may
    be shorter). Blocks must be much longer than the memory, and there must be at least five.

    Parameters
    ----------
    x
        Shape (n,) or (n, d); columns stay together.

    Examples
    --------
    >>> import numpy as np
    >>> from chronoflux.analysis import block_shuffles
    >>> rng = np.random.default_rng(1)
    >>> (shuffled,) = block_shuffles(np.arange(10), 1, rng, block=2)
    >>> shuffled
    array([4., 5., 6., 7., 8., 9., 0., 1., 2., 3.])
    """
    values = columns("x", x)
    n = len(values)
    whole("count", count, 1), whole("block", block, 1, max(n // 5, 1))
    pieces = np.arange(0, n, block)
    for _ in range(count):
        turned = np.roll(values, int(rng.integers(n)), axis=0)
        mixed = np.concatenate([turned[start : start + block] for start in rng.permutation(pieces)])
        yield mixed.reshape(np.shape(x))


def event_shuffles(
    times: ArrayLike,
    count: int,
    rng: np.random.Generator,
    *,
    start: float,
    end: float,
    step: float | None = None,
) -> Iterator[Floats]:
    """Yield `count` sets of moments with the same waiting times in random order, from a random moment on.

    Grün, Journal of Neurophysiology 101, 1126, 2009, for spikes. The record is treated as a circle from
    `start` to `end`, so each set has the same number of events. The null hypothesis: the series is
    stationary, and the moments are independent of it. A trend or a start-up without events violates it, and
    so does a person who fires in reaction to the series.

    Parameters
    ----------
    times
        Moments of the events in s, shape (k,), k ≥ 2, between `start` and `end`.
    step
        Distance of the samples in s, the first at `start`: each moment then has the same position between two
        samples as one of the events. Interpolated values vary less than samples, so events on samples would
        stand out from moments between samples for that reason alone. 0: the measure does not interpolate.
        None: the moments may lie anywhere, as the events do.

    Raises
    ------
    ParameterError
        For times that are not allowed, and when the events lie on a grid and `step` is None.

    Examples
    --------
    Whether x, sampled at t, changes after its events more than at moments like them::

        def change(x, t, events):
            return epoch_response(superposed_epochs(x, t, events), count=0)

        assess(change, x, t, events, which=2, tail="both",
               surrogate=partial(event_shuffles, start=t[0], end=t[-1], step=t[1] - t[0]))

    The waiting times stay, in another order; the record is a circle of 100 s:

    >>> import numpy as np
    >>> from chronoflux.analysis import event_shuffles
    >>> rng = np.random.default_rng(1)
    >>> (moments,) = event_shuffles([10.0, 20.0, 50.0], 1, rng, start=0.0, end=100.0)
    >>> np.sort(np.diff(moments, append=moments[0] + 100)).round(3)
    array([10., 30., 60.])
    """
    found = np.sort(series("times", times, least=2, varies=False))
    whole("count", count, 1)
    if not start <= found[0] <= found[-1] <= end or start == end:
        raise ParameterError("times", (float(found[0]), float(found[-1])), f"between {start} and {end}")
    length = end - start
    if step is None and (grid := _common_step(found)) is not None:
        allowed = f"the distance of the samples in s, or 0, as the events lie on a grid of {grid:g} s"
        raise ParameterError("step", step, allowed)
    if step:
        if not 0 < step < length:
            raise ParameterError("step", step, f"above 0 s and below the {length:g} s of the record")
        yield from _on_grid(found, count, rng, step, start, end)
        return
    waits = np.diff(found, append=found[0] + length)
    for _ in range(count):
        moments = rng.uniform(0, length) + np.cumsum(rng.permutation(waits))
        yield start + np.sort(moments % length)


def _on_grid(
    found: Floats, count: int, rng: np.random.Generator, step: float, start: float, end: float
) -> Iterator[Floats]:
    """Yield moments with shuffled waiting times in whole steps, and shuffled positions between samples.

    The circle has a whole number of steps; the last sample coincides with the first.
    """
    size = math.floor((end - start) / step + 1e-9)
    index = np.minimum(np.floor((found - start) / step + 1e-9), size)
    places = np.maximum(found - start - index * step, 0.0)
    waits = np.diff(index, append=index[0] + size)
    for _ in range(count):
        moved = (rng.integers(size) + np.cumsum(rng.permutation(waits))) % size
        yield np.minimum(np.sort(start + moved * step + rng.permutation(places)), end)


def _common_step(times: Floats) -> float | None:
    """Return the step that divides all distances of at least four events, unless it is only rounding."""
    left, noise = np.unique(np.diff(times)), 1e-6 * max(1.0, float(np.abs(times).max()) * 1e-6)
    common, middle = float(left[-1]), float(np.median(np.diff(times)))
    for wait in left:
        a, b = common, float(wait)
        while b > noise:  # Euclid
            a, b = b, a % b if b - a % b > noise else 0.0
        common = a
    return common if len(times) >= 4 and common > 1e-3 * middle else None
