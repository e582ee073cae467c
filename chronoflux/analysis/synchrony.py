"""Synchrony: of many phases at one moment, and between two over time."""

from __future__ import annotations

import cmath
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chronoflux.analysis.result import Result
from chronoflux.analysis.validation import (
    Floats,
    complete,
    fraction,
    gappy,
    growing,
    numbers,
    same_length,
    whole,
)
from chronoflux.errors import ParameterError
from chronoflux.model.metrics import local_orders


class Locking(NamedTuple):
    """Locking of two phases: `plv` in [0, 1], mean `difference` in rad, from `n` samples."""

    plv: float
    difference: float
    n: int


def phase_locking(differences: ArrayLike) -> Locking:
    """Return the phase-locking value and the mean phase difference.

    ``PLV = |⟨exp(iΔφ)⟩|``; the mean difference is the angle of that mean (Lachaux and others, "Measuring
    phase synchrony in brain signals", Human Brain Mapping 8, 1999). Independent phases give a PLV of
    about ``√(π/4n)``, not 0.

    Parameters
    ----------
    differences
        Phase differences in rad, shape (n,); NaN (no value at that moment) is left out of `n`.

    Raises
    ------
    ParameterError
        When fewer than two finite differences are left.

    Examples
    --------
    A constant difference is locking; four differences spread evenly around the circle are none.

    >>> import numpy as np
    >>> from chronoflux.analysis import phase_locking
    >>> found = phase_locking([0.5, 0.5, 0.5])
    >>> round(found.plv, 3), round(found.difference, 3), found.n
    (1.0, 0.5, 3)
    >>> round(phase_locking([0.0, np.pi / 2, np.pi, -np.pi / 2]).plv, 3)
    0.0
    """
    values = gappy("differences", differences)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        raise ParameterError("differences", f"{len(values)} finite values", "at least 2")
    mean = complex(np.exp(1j * values).mean())
    return Locking(abs(mean), cmath.phase(mean), len(values))


def phase_locking_value(phi: ArrayLike, other: ArrayLike = 0.0) -> Result:
    """Return the phase-locking value of two series of phases (n,) in rad; dimensionless, 0 to 1.

    See :func:`phase_locking`. Moments at which either is not finite are left out and counted. Without
    `other`, `phi` holds phase differences.

    Examples
    --------
    >>> import numpy as np
    >>> from chronoflux.analysis import phase_locking_value
    >>> phi = 2 * np.pi * 1.2 * np.arange(0, 10, 0.1)
    >>> found = phase_locking_value(phi + 0.3, phi)
    >>> round(float(found), 3), found.n
    (1.0, 100)
    """
    differences, masked = _differences(phi, other)
    plv, mean, n = phase_locking(differences)
    return Result(
        name="phase-locking value",
        value=plv,
        unit="1",
        n=n,
        masked=masked,
        reading=f"the phases keep a mean difference of {mean:+.2f} rad; unrelated ones would give "
        f"{math.sqrt(math.pi / (4 * n)):.2f}",
        source="Lachaux, Rodriguez, Martinerie, Varela, Human Brain Mapping 8, 194, 1999",
    )


def phase_lag_index(phi: ArrayLike, other: ArrayLike = 0.0) -> Result:
    """Return the phase lag index ``PLI = |⟨sgn sin Δφ⟩|``; dimensionless, 0 to 1.

    It measures the asymmetry of the phase differences. It ignores locking at exactly 0 or π, so a common
    source does not raise it (Stam, Nolte, Daffertshofer, Human Brain Mapping 28, 1178, 2007). The arguments
    are those of :func:`phase_locking_value`.

    Examples
    --------
    >>> import numpy as np
    >>> from chronoflux.analysis import phase_lag_index
    >>> phi = 2 * np.pi * 1.2 * np.arange(0, 10, 0.1)
    >>> float(phase_lag_index(phi + 0.3, phi))
    1.0

    Equal phases have no leader:

    >>> float(phase_lag_index(phi, phi))
    0.0
    """
    differences, masked = _differences(phi, other)
    value = abs(float(np.sign(_sines(differences)).mean()))
    return Result(
        name="phase lag index",
        value=value,
        unit="1",
        n=len(differences),
        masked=masked,
        reading=f"in {(1 + value) / 2:.0%} of the moments the same one leads",
        source="Stam, Nolte, Daffertshofer, Human Brain Mapping 28, 1178, 2007",
    )


def weighted_phase_lag_index(phi: ArrayLike, other: ArrayLike = 0.0, *, weights: ArrayLike = 1.0) -> Result:
    """Return the weighted phase lag index ``wPLI = |⟨A sin Δφ⟩| / ⟨|A sin Δφ|⟩``; dimensionless, 0 to 1.

    Differences near 0 and π, whose sign noise may flip, have little weight (Vinck and others, NeuroImage 55,
    1548, 2011). `weights` are the products of the amplitudes A (for mean fields ``R₁R₂``), shape (n,); the
    other arguments are those of :func:`phase_locking_value`.

    Raises
    ------
    ParameterError
        As :func:`phase_locking_value` does, and when all differences are 0 or π, where it is undefined.

    Examples
    --------
    Three of four equal differences are positive: (3 - 1) / 4.

    >>> from chronoflux.analysis import weighted_phase_lag_index
    >>> round(float(weighted_phase_lag_index([0.5, 0.5, -0.5, 0.5])), 3)
    0.5
    """
    differences, masked = _differences(phi, other, weights)
    amplitude, angle = differences.T
    imaginary = amplitude * _sines(angle)
    size = float(np.abs(imaginary).mean())
    if size == 0:
        raise ParameterError("phase differences", "all 0 or π", "some in between")
    return Result(
        name="weighted phase lag index",
        value=abs(float(imaginary.mean())) / size,
        unit="1",
        n=len(imaginary),
        masked=masked,
        reading="1: the same one always leads; 0: each leads as much as the other",
        source="Vinck, Oostenveld, van Wingerden, Battaglia, Pennartz, NeuroImage 55, 1548, 2011",
    )


def _sines(angles: Floats) -> Floats:
    """Return sines that are exactly 0 within rounding of 0 and π, as equal phases have no leader."""
    sines: Floats = np.sin(angles)
    return np.where(np.abs(sines) < 1e-12, 0.0, sines)


def _differences(phi: ArrayLike, other: ArrayLike, weights: ArrayLike | None = None) -> tuple[Floats, int]:
    """Return finite differences, with weights as columns (weight, difference), and the number left out."""
    first = gappy("phi", phi)

    def alike(name: str, values: ArrayLike) -> Floats:
        found = numbers(name, values)
        found = gappy(name, found if found.ndim else np.full(len(first), found))
        same_length(phi=first, **{name: found})
        return found

    difference = first - alike("other", other)
    rows = difference if weights is None else np.stack([alike("weights", weights), difference], axis=1)
    [kept], masked = complete("phase differences", rows, least=2)
    return kept, masked


def order_parameter(phi: ArrayLike, m: int = 1) -> NDArray[np.complex128]:
    """Return ``Z_m = ⟨exp(imφ)⟩`` over the last axis: ``|Z₁|`` is Kuramoto's order, ``|Z_m|`` of m clusters.

    Daido, Physica D 91, 24, 1996. Phases spread like a wrapped Cauchy distribution have ``Z_m = Z₁^m`` (Ott
    and Antonsen, Chaos 18, 037113, 2008).

    Parameters
    ----------
    phi
        Phases in rad, shape (…, n).
    m
        The harmonic, at least 1.

    Returns
    -------
    ndarray
        complex128, shape (…); dimensionless. ``abs`` is the order, ``np.angle`` m times the mean phase.

    Examples
    --------
    Two clusters of the same size, half a turn apart, cancel in the first harmonic and add up in the second.

    >>> import numpy as np
    >>> from chronoflux.analysis import order_parameter
    >>> phi = np.array([0.0, 0.0, np.pi, np.pi])
    >>> round(float(abs(order_parameter(phi))), 3), round(float(abs(order_parameter(phi, m=2))), 3)
    (0.0, 1.0)
    """
    whole("m", m, 1)
    values = numbers("phi", phi)
    if not values.ndim or not values.shape[-1]:
        raise ParameterError("phi", values.shape, "shape (…, n) with n ≥ 1")
    if gaps := int(np.count_nonzero(~np.isfinite(values))):
        raise ParameterError("phi", f"{gaps} phases not finite", "finite phases: leave such moments out")
    found: NDArray[np.complex128] = np.exp(1j * m * values).mean(axis=-1)
    return found


def local_order(phi: ArrayLike, neighbours: ArrayLike) -> Floats:
    """Return the order among each oscillator and its neighbours, 0 to 1: float64, shape (…, n).

    See :func:`chronoflux.model.metrics.local_orders`, after Kuramoto and Battogtokh, 2002.

    Parameters
    ----------
    phi
        Phases in rad, shape (…, n).
    neighbours
        Indices of k neighbours of each oscillator, shape (n, k), the same at every moment.

    Examples
    --------
    On a ring of four, each oscillator has one neighbour in phase and one in antiphase: (1 + 1 - 1) / 3.

    >>> import numpy as np
    >>> from chronoflux.analysis import local_order
    >>> ring = [[3, 1], [0, 2], [1, 3], [2, 0]]
    >>> local_order([0.0, 0.0, np.pi, np.pi], ring).round(3)
    array([0.333, 0.333, 0.333, 0.333])
    """
    values = np.ascontiguousarray(numbers("phi", phi))
    near = np.asarray(neighbours)
    n = values.shape[-1] if values.ndim else 0
    if near.ndim != 2 or len(near) != n or not np.issubdtype(near.dtype, np.integer):
        raise ParameterError("neighbours", (near.dtype, near.shape), f"whole numbers of shape ({n}, k)")
    if near.size and not (near.min() >= 0 and near.max() < n):
        raise ParameterError("neighbours", (int(near.min()), int(near.max())), f"indices from 0 to {n - 1}")
    if not np.isfinite(values).all():
        raise ParameterError("phi", "some phases not finite", "finite phases: leave such moments out")
    starts = np.arange(n + 1, dtype=np.int64) * near.shape[1]
    flat = np.ascontiguousarray(near, dtype=np.int32).ravel()
    rows = [local_orders(row, starts, flat) for row in values.reshape(-1, n)]
    return np.array(rows).reshape(values.shape)


def metastability(orders: ArrayLike) -> Result:
    """Return the variance of the order parameter over time, averaged over communities; unit 1, 0 to 1/4.

    Shanahan, Chaos 20, 013108, 2010 (variances with n − 1). Orders spread uniformly over 0 to 1 give 1/12.

    Parameters
    ----------
    orders
        Order parameters R, shape (time,) or (time, communities); moments with NaN are left out and counted.

    Examples
    --------
    Orders spread uniformly over 0 to 1 give 1/12.

    >>> import numpy as np
    >>> from chronoflux.analysis import metastability
    >>> round(float(metastability(np.linspace(0, 1, 2001))), 3)
    0.083
    """
    values, masked = _commands(orders, communities=1)
    return Result(
        name="metastability",
        value=float(values.var(axis=0, ddof=1).mean()),
        unit="1",
        n=len(values),
        masked=masked,
        reading="0: order never changes; 1/12: every degree of order is as frequent",
        source="Shanahan, Chaos 20, 013108, 2010",
    )


def chimera_index(orders: ArrayLike) -> Result:
    """Return the variance of the order parameter over communities, averaged over time; unit 1, 0 to 1/2.

    Shanahan, Chaos 20, 013108, 2010 (variances with n − 1). It is large when some communities are ordered
    while others are not. The arguments are those of :func:`metastability`, with at least two communities.

    Examples
    --------
    One community is always ordered, the other never.

    >>> import numpy as np
    >>> from chronoflux.analysis import chimera_index
    >>> float(chimera_index(np.tile([1.0, 0.0], (100, 1))))
    0.5
    """
    values, masked = _commands(orders, communities=2)
    return Result(
        name="chimera index",
        value=float(values.var(axis=1, ddof=1).mean()),
        unit="1",
        n=len(values),
        masked=masked,
        reading="0: at every moment all communities are equally ordered",
        source="Shanahan, Chaos 20, 013108, 2010",
    )


def _commands(orders: ArrayLike, *, communities: int) -> tuple[Floats, int]:
    values = numbers("orders", orders)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] < communities:
        raise ParameterError("orders", values.shape, f"(time, communities), {communities} or more of them")
    [kept], masked = complete("orders", values, least=2)
    if kept.min() < 0 or kept.max() > 1 + 1e-9:
        raise ParameterError("orders", (float(kept.min()), float(kept.max())), "between 0 and 1")
    return kept, masked


def frequency_difference(phi: ArrayLike, other: ArrayLike, t: ArrayLike) -> Result:
    """Return the mean frequency difference of two phases, in Hz; positive if `phi` is faster.

    It is the sum of the steps of ``Δφ`` from sample to sample, each wrapped to ±π, over 2π and the time they
    span. A true difference must therefore stay below half the sampling rate. Steps across a missing value are
    left out and counted. The uncertainty is the standard error of the steps, as if they were independent.

    Parameters
    ----------
    phi, other
        Phases in rad, shape (n,).
    t
        Times in s, increasing, shape (n,).

    Examples
    --------
    >>> import numpy as np
    >>> from chronoflux.analysis import frequency_difference
    >>> t = np.arange(0, 10, 0.1)
    >>> found = frequency_difference(2 * np.pi * 1.2 * t, 2 * np.pi * 1.0 * t, t)
    >>> round(float(found), 3), found.unit
    (0.2, 'Hz')
    """
    a, b, times = gappy("phi", phi), gappy("other", other), growing("t", t)
    same_length(phi=a, other=b, t=times)
    steps = np.angle(np.exp(1j * np.diff(a - b)))
    spans = np.diff(times)
    (steps, spans), masked = complete("steps", steps, spans, least=2)
    value = float(steps.sum() / spans.sum()) / (2 * math.pi)
    rest = steps - 2 * math.pi * value * spans
    error = float(rest.std(ddof=1)) * math.sqrt(len(rest)) / float(spans.sum()) / (2 * math.pi)
    return Result(
        name="frequency difference",
        value=value,
        unit="Hz",
        n=len(steps),
        masked=masked,
        uncertainty=error,
        reading="the first one is faster" if value > 0 else "the second one is faster" if value else "equal",
        source="mean rate of the unwrapped phase difference",
    )


def locked_intervals(
    differences: ArrayLike, t: ArrayLike, *, window: int = 30, threshold: float = 0.9
) -> Floats:
    """Return the intervals in which two phases were locked: start and end in s, float64 (intervals, 2).

    An interval consists of all windows of `window` successive samples whose phase-locking value reaches
    `threshold`; overlapping windows form one interval, and windows with a missing value belong to none.
    Unrelated phases reach a threshold r in a window of w samples with probability ``exp(−w r²)`` (Rayleigh).

    Parameters
    ----------
    differences
        Phase differences in rad, shape (n,); NaN where there is none.
    t
        Times in s, increasing, shape (n,).

    Examples
    --------
    The difference stands still from 20 s to 60 s and otherwise grows by a quarter turn per second.

    >>> import numpy as np
    >>> from chronoflux.analysis import locked_intervals
    >>> t = np.arange(100.0)
    >>> differences = np.where((t >= 20) & (t <= 60), 0.3, t * np.pi / 2)
    >>> locked_intervals(differences, t, window=10, threshold=0.95)
    array([[20., 60.]])
    """
    values, times = gappy("differences", differences), growing("t", t)
    same_length(differences=values, t=times)
    complete("differences", values, least=1)
    whole("window", window, 2, len(values))
    fraction("threshold", threshold)
    plv = windowed_locking(values, window)
    member = np.zeros(len(values) + 1, dtype=np.int64)
    starts = np.flatnonzero(plv >= threshold)
    np.add.at(member, starts, 1)
    np.add.at(member, starts + window, -1)
    return times[runs(np.cumsum(member[:-1]) > 0)]


def windowed_locking(differences: ArrayLike, window: int) -> Floats:
    """Return the phase-locking value of every `window` successive samples, (n − window + 1,); NaN at gaps."""
    turn = np.exp(1j * np.asarray(differences, dtype=np.float64))
    known = np.isfinite(turn)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, turn, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    plv: Floats = np.abs(sums[window:] - sums[:-window]) / window
    return np.where(counts[window:] - counts[:-window] == window, plv, np.nan)


def runs(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the first and last index of every run of True values, shape (runs, 2)."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1], axis=1)


def time_to_sync(
    orders: ArrayLike, t: ArrayLike, *, threshold: float = 0.9, hold: float = 10.0
) -> float | None:
    """Return the time in s until order first stays at `threshold` or above for `hold` s, or None.

    The time counts from the first sample.

    Parameters
    ----------
    orders
        Order parameters R, shape (n,); a missing value interrupts the hold.
    t
        Times in s, increasing, shape (n,).
    hold
        How long order must stay there, s; a stretch that the end of the record cuts off does not count.

    Examples
    --------
    1 - exp(-t / 10) reaches 0.9 after 10 ln 10 = 23.03 s; the next sample is at 23.1 s.

    >>> import numpy as np
    >>> from chronoflux.analysis import time_to_sync
    >>> t = np.arange(0, 60, 0.1)
    >>> round(time_to_sync(1 - np.exp(-t / 10), t), 3)
    23.1
    """
    values, times = gappy("orders", orders), growing("t", t)
    same_length(orders=values, t=times)
    complete("orders", values, least=1)
    fraction("threshold", threshold)
    for first, last in runs(values >= threshold):
        if times[last] - times[first] >= hold:
            return float(times[first] - times[0])
    return None
