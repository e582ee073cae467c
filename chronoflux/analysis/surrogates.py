"""Surrogates: what the same data might have been if the thing in question were not there.

Shuffling single samples destroys the series' own memory as well, and makes everything look significant. A
surrogate keeps what is not in question:

- a circular shift keeps each series as it is and loses only how two stand in time to each other;
- IAAFT keeps the values and the spectrum and loses everything that is not linear;
- blocks keep the memory within a block;
- shuffled events keep the waiting times and lose the moments.

All draw from a generator that is handed in, so one seed gives the same surrogates again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from chronoflux.analysis.checks import Floats, columns, numbers, series, whole
from chronoflux.errors import ParameterError

Maker = Callable[[Floats, int, np.random.Generator], Iterator[Floats]]
"""Makes so many surrogates of one array whose first axis is time."""


def circular_shifts(
    x: ArrayLike, count: int, rng: np.random.Generator, *, least: int | None = None, together: bool = True
) -> Iterator[Floats]:
    """`count` copies of x, each turned round by another number of steps (what leaves at the end begins it).

    Quian Quiroga, Kraskov, Kreuz, Grassberger, Physical Review E 65, 041903, 2002. A trend would meet itself
    at the seam: take it off first.

    Parameters
    ----------
    x
        Shape (n, …).
    count
        How many; no two are turned by the same number of steps.
    least
        Steps by which each is turned at least, either way; the time the series needs to forget. None: n/20.
    together
        False: each column of axis 1 is turned by its own number of steps, any of the n, independently.

    Raises
    ------
    ParameterError
        When there are not that many different shifts.
    """
    values = numbers("x", x)
    n = len(values) if values.ndim else 0
    least = max(1, n // 20) if least is None else whole("least", least, 1)
    whole("count", count, 1)
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
    """`count` series with exactly the values of x and, as nearly as these allow, its spectrum.

    Iterated amplitude-adjusted Fourier transform (Schreiber and Schmitz, Physical Review Letters 77, 635,
    1996). Not for angles, whose spectrum means nothing: take their sines.

    Parameters
    ----------
    x
        An unbroken, evenly sampled series, shape (n,), n ≥ 20.
    iterations
        At most so many; it ends when the order of the values no longer changes.
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


def block_shuffles(x: ArrayLike, count: int, rng: np.random.Generator, *, block: int) -> Iterator[Floats]:
    """`count` copies of x cut into blocks of `block` samples and put together in another order.

    Kirch, Journal of Statistical Planning and Inference 137, 2453, 2007.

    The cuts fall elsewhere each time (x is first turned round by a random number of steps; a last block may
    be shorter). Blocks must be long beside the memory, and many: at least five.

    Parameters
    ----------
    x
        Shape (n,) or (n, d); columns stay together.
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
    times: ArrayLike, count: int, rng: np.random.Generator, *, start: float, end: float
) -> Iterator[Floats]:
    """`count` sets of moments with the same waiting times in another order, from a random moment on.

    Grün, Journal of Neurophysiology 101, 1126, 2009, of spikes. The record is taken as a circle, from `start`
    to `end`, so each set has as many events.

    Parameters
    ----------
    times
        Moments of the events in s, shape (k,), k ≥ 2, between `start` and `end`.

    Examples
    --------
    Whether x, sampled at t, changes after its events more than at moments like them::

        def change(x, t, events):
            return epoch_response(superposed_epochs(x, t, events), count=0)

        assess(change, x, t, events, which=2, tail="both",
               surrogate=partial(event_shuffles, start=t[0], end=t[-1]))
    """
    found = np.sort(series("times", times, least=2, varies=False))
    whole("count", count, 1)
    if not start <= found[0] <= found[-1] <= end or start == end:
        raise ParameterError("times", (float(found[0]), float(found[-1])), f"between {start} and {end}")
    length = end - start
    waits = np.diff(found, append=found[0] + length)
    for _ in range(count):
        moments = rng.uniform(0, length) + np.cumsum(rng.permutation(waits))
        yield start + np.sort(moments % length)
