"""Information between and within series, in nats (1 nat = 1/ln 2 bits): Gaussian, KSG and discrete.

Three methods estimate the same quantities:

``"gaussian"``
    From covariances. Exact for Gaussian variables; otherwise it measures linear dependence alone, a lower
    bound of the mutual information. Fast. Its bias without any dependence is about ``d_x d_y / 2n``.
``"ksg"``
    From the distances to the k-th neighbours (Kraskov, Stögbauer, Grassberger, Physical Review E 69,
    066138, 2004; conditional: Frenzel and Pompe, Physical Review Letters 99, 204101, 2007). For any
    continuous variables; the estimate may be slightly negative. Needs SciPy.
``"discrete"``
    From the frequencies of values, for variables that take few values (the plug-in estimate).

A phase is an angle: pass it as the two columns cos φ and sin φ.
"""

from __future__ import annotations

import math
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chronoflux.analysis.result import Result
from chronoflux.analysis.validation import (
    Floats,
    columns,
    complete,
    library,
    same_length,
    series,
    varying,
    whole,
)
from chronoflux.errors import ParameterError

Method = Literal["gaussian", "ksg", "discrete"]
JITTER = 1e-10
"""Noise added before KSG, in standard deviations, as equal values would have zero distance."""
SINGULAR = 1e-12
"""Least ratio of the correlation matrix's eigenvalues; below it, variables are linearly dependent."""
_SOURCES = {
    "gaussian": "Cover and Thomas, Elements of Information Theory, 2006, chapter 8",
    "ksg": "Kraskov, Stögbauer, Grassberger, Physical Review E 69, 066138, 2004; "
    "Frenzel and Pompe, Physical Review Letters 99, 204101, 2007",
    "discrete": "Cover and Thomas, Elements of Information Theory, 2006, chapter 2",
}


def mutual_information_nats(
    x: ArrayLike, y: ArrayLike, *, condition: ArrayLike | None = None, method: Method = "gaussian", k: int = 4
) -> Result:
    """Return the mutual information ``I(X; Y)``, or ``I(X; Y | Z)`` with a `condition`, in nats.

    Gaussian: ``½ ln(|Σ_xz| |Σ_yz| / (|Σ_z| |Σ_xyz|))``; of two variables ``−½ ln(1 − ρ²)`` (Cover and Thomas,
    Elements of Information Theory, 2006, chapter 8).

    Parameters
    ----------
    x, y, condition
        Samples, shape (n,) or (n, d); rows with a missing value are left out and counted.
    method
        ``"gaussian"``, ``"ksg"`` or ``"discrete"``: see :mod:`chronoflux.analysis.information`.
    k
        Number of neighbours for ``"ksg"``.

    Raises
    ------
    ParameterError
        For too few complete samples, constant or, with ``"gaussian"``, linearly dependent variables.

    Examples
    --------
    Two sine waves a twelfth of a turn apart have the correlation √3/2, hence -½ ln(1 - 3/4) = ln 2 = 0.693.

    >>> import numpy as np
    >>> from chronoflux.analysis import mutual_information_nats
    >>> angle = 2 * np.pi * np.arange(120) / 120
    >>> round(float(mutual_information_nats(np.sin(angle), np.sin(angle + np.pi / 6))), 3)
    0.693

    A series of zeros and ones, and its copy, share one bit:

    >>> bits = [0, 1] * 50
    >>> round(float(mutual_information_nats(bits, bits, method="discrete").in_bits()), 3)
    1.0
    """
    a, b = columns("x", x), columns("y", y)
    c = np.empty((len(a), 0)) if condition is None else columns("condition", condition)
    same_length(x=a, y=b, condition=c)
    value, n, masked = information(a, b, c, method=method, k=k)
    return Result(
        name="mutual information" if condition is None else "conditional mutual information",
        value=value,
        unit="nats",
        n=n,
        masked=masked,
        reading=f"knowing one tells {_amount(value)} about the other",
        source=_SOURCES[method],
    )


def transfer_entropy_nats(
    source: ArrayLike,
    target: ArrayLike,
    *,
    lag: int = 1,
    history: int = 1,
    source_history: int = 1,
    condition: ArrayLike | None = None,
    method: Method = "gaussian",
    k: int = 4,
) -> Result:
    """Return the transfer entropy from source to target, in nats per step.

    ``T = I(Y_t; X_{t−lag}, … | Y_{t−1}, …, Y_{t−history}, Z_{t−lag}, …)``: the information of the source's
    past about the target's next value, beyond the target's own past and, with a `condition`, beyond a third
    series' past (Schreiber, Physical Review Letters 85, 461, 2000; for Gaussian series half of Granger
    causality: Barnett, Barrett, Seth, Physical Review Letters 103, 238701, 2009). It does not prove a cause:
    a common source that is not conditioned on gives transfer entropy too.

    Parameters
    ----------
    source, target, condition
        Series sampled at the same even steps, shape (n,) or (n, d). Steps whose past contains a missing value
        are left out and counted.
    lag
        Steps from source to target, at least 1.
    history, source_history
        Number of past values of the target, and of the source (and the condition) from `lag` on.
    method, k
        See :func:`mutual_information_nats`.

    Examples
    --------
    The target repeats the source's random bit one step later: one bit per step, and nothing the other way.

    >>> import numpy as np
    >>> from chronoflux.analysis import transfer_entropy_nats
    >>> source = np.random.default_rng(1).integers(0, 2, size=2000)
    >>> target = np.roll(source, 1)
    >>> round(float(transfer_entropy_nats(source, target, method="discrete").in_bits()), 2)
    1.0
    >>> round(float(transfer_entropy_nats(target, source, method="discrete").in_bits()), 2)
    0.0
    """
    x, y = columns("source", source), columns("target", target)
    z = np.empty((len(x), 0)) if condition is None else columns("condition", condition)
    same_length(source=x, target=y, condition=z)
    whole("lag", lag, 1), whole("history", history, 1), whole("source_history", source_history, 1)
    first = max(history, lag + source_history - 1)
    known = np.hstack([past(y, first, 1, history), past(z, first, lag, source_history)])
    value, n, masked = information(past(x, first, lag, source_history), y[first:], known, method=method, k=k)
    return Result(
        name="transfer entropy" if condition is None else "conditional transfer entropy",
        value=value,
        unit="nats",
        n=n,
        masked=masked,
        reading=f"the source's past tells {_amount(value)} of the target's next step "
        "beyond what was known without it",
        source=f"Schreiber, Physical Review Letters 85, 461, 2000; {_SOURCES[method]}",
    )


def active_storage_nats(x: ArrayLike, *, history: int = 1, method: Method = "gaussian", k: int = 4) -> Result:
    """Return the active information storage ``A = I(X_t; X_{t−1}, …, X_{t−history})``, in nats per step.

    It is the information of a series' past about its next value (Lizier, Prokopenko, Zomaya, Information
    Sciences 208, 39, 2012). An AR(1) series with coefficient a has ``−½ ln(1 − a²)``. The arguments are those
    of :func:`transfer_entropy_nats`.

    Examples
    --------
    An alternating series is known from its past: one bit, ln 2 = 0.693 nats.

    >>> from chronoflux.analysis import active_storage_nats
    >>> round(float(active_storage_nats([0, 1] * 100, method="discrete")), 3)
    0.693
    """
    values = columns("x", x)
    whole("history", history, 1)
    none = np.empty((max(len(values) - history, 0), 0))
    value, n, masked = information(
        past(values, history, 1, history), values[history:], none, method=method, k=k
    )
    return Result(
        name="active information storage",
        value=value,
        unit="nats",
        n=n,
        masked=masked,
        reading=f"its own past tells {_amount(value)} of the next step",
        source=f"Lizier, Prokopenko, Zomaya, Information Sciences 208, 39, 2012; {_SOURCES[method]}",
    )


def transfer_entropy_by_shift_nats(
    source: ArrayLike, target: ArrayLike, *, lag: int = 1, history: int = 1
) -> Floats:
    """Return the Gaussian transfer entropy for every circular shift of the source, in nats; float64 (m,).

    Formula and reference are those of :func:`transfer_entropy_nats`.

    Element s is the value for the source shifted s steps later, element 0 the value itself (the source's end
    precedes its start). A few Fourier transforms give the whole null distribution, in O(m log m). Of n
    samples, ``m = n − max(history, lag)`` steps are used.

    Parameters
    ----------
    source, target
        Unbroken, evenly sampled series, shape (n,).
    lag, history
        See :func:`transfer_entropy_nats`.

    Raises
    ------
    ParameterError
        As :func:`transfer_entropy_nats` does, and for missing values, as no series can be shifted across a
        gap.

    Examples
    --------
    The target follows the source after one step, so the unshifted source tells most.

    >>> import numpy as np
    >>> from chronoflux.analysis import transfer_entropy_by_shift_nats
    >>> rng = np.random.default_rng(1)
    >>> source = rng.normal(size=500)
    >>> target = np.roll(source, 1) + rng.normal(size=500)
    >>> by_shift = transfer_entropy_by_shift_nats(source, target)
    >>> by_shift.shape, int(by_shift.argmax())
    ((499,), 0)
    """
    sides = ShiftSide(source, lag=lag, history=history), ShiftSide(target, lag=lag, history=history)
    same_length(source=sides[0].series, target=sides[1].series)
    return sides[1].told_by(sides[0])


class ShiftSide:
    """One series, prepared for :func:`transfer_entropy_by_shift_nats` as source and as target of many.

    Its Fourier transforms are computed once, on first use.
    """

    def __init__(self, x: ArrayLike, *, lag: int, history: int) -> None:
        first = max(whole("history", history, 1), whole("lag", lag, 1))
        self.series: Floats = series("series", x, least=first + 4 * (history + 2))
        self._first, self._lag, self._history = first, lag, history

    @cached_property
    def _as_source(self) -> tuple[NDArray[np.complex128], float]:
        """Return the transform of the series `lag` before each step, time-reversed, and its squared norm."""
        driver = self.series[self._first - self._lag : len(self.series) - self._lag]
        driver = varying("source", driver[:, None])[:, 0] - driver.mean()
        return np.fft.rfft(driver).conj(), float(driver @ driver)

    @cached_property
    def _as_target(self) -> tuple[NDArray[np.complex128], NDArray[np.complex128], float]:
        """Return transforms of the residual given the own past (m,) and of a basis of that past (history, m).

        The third value is the squared norm of the residual.
        """
        first, y = self._first, self.series
        known = past(y[:, None], first, 1, self._history)
        basis, scale = np.linalg.qr(known - known.mean(axis=0))
        if np.abs(np.diag(scale)).min() <= math.sqrt(SINGULAR) * np.abs(np.diag(scale)).max():
            raise ParameterError("target", "its past values depend linearly on each other", "fewer of them")
        moved = y[first:] - y[first:].mean()
        rest = moved - basis @ (basis.T @ moved)
        size = float(rest @ rest)
        if size <= SINGULAR * float(moved @ moved):
            raise ParameterError(
                "target", "wholly told by its own past", "a series that is not deterministic"
            )
        return np.fft.rfft(rest), np.fft.rfft(np.ascontiguousarray(basis.T), axis=1), size

    def told_by(self, source: ShiftSide) -> Floats:
        """Return the transfer entropy from every circular shift of `source`, in nats, float64 (m,)."""
        rest, basis, size = self._as_target
        shifted, length = source._as_source
        m = len(self.series) - self._first
        across = np.fft.irfft(rest * shifted, m)
        left = np.full(m, length)
        for known in basis:
            left -= np.square(np.fft.irfft(known * shifted, m))
        share = np.square(across) / (size * np.maximum(left, SINGULAR * length))
        found: Floats = -0.5 * np.log1p(-np.minimum(share, 1 - SINGULAR))
        return found


def past(x: Floats, first: int, lag: int, history: int) -> Floats:
    """Return ``x[t − lag], …, x[t − lag − history + 1]`` for each t ≥ `first`, (n − first, history·d)."""
    steps = range(lag, lag + history)
    if len(x) <= first:
        raise ParameterError("series", f"{len(x)} samples", f"more than its history of {first}")
    return np.hstack([x[first - step : len(x) - step] for step in steps])


def information(
    x: Floats, y: Floats, z: Floats, *, method: Method = "gaussian", k: int = 4
) -> tuple[float, int, int]:
    """Return ``I(X; Y | Z)`` of samples (n, d) in nats, the number used, and the number left out."""
    if method not in _SOURCES:
        raise ParameterError("method", method, f"one of {', '.join(_SOURCES)}")
    size = x.shape[1] + y.shape[1] + z.shape[1]
    whole("k", k, 1)
    least = max(4 * size, 4 * k if method == "ksg" else 0, 8)
    (x, y, z), masked = complete("samples", x, y, z, least=least)
    if method == "discrete":
        return _discrete(x, y, z), len(x), masked
    varying("samples", np.hstack([x, y, z]))
    estimate = _ksg(x, y, z, k) if method == "ksg" else _gaussian(x, y, z)
    return estimate, len(x), masked


def gaussian_information(
    covariance: Floats, x: NDArray[np.intp], y: NDArray[np.intp], z: NDArray[np.intp]
) -> float:
    """Return ``I(X; Y | Z)`` in nats of Gaussian variables; x, y, z are indices into `covariance`."""

    def entropy(*which: NDArray[np.intp]) -> float:
        index = np.concatenate(which).astype(np.intp)
        block = covariance[np.ix_(index, index)]
        scale = np.sqrt(np.diag(block))
        values = np.linalg.eigvalsh(block / np.outer(scale, scale))
        if len(values) and values[0] <= SINGULAR * values[-1]:
            raise ParameterError(
                "variables",
                "linearly dependent",
                "none that is a linear function of the others: leave it out",
            )
        return 0.5 * float(np.log(values).sum())  # the scales cancel in the differences

    return entropy(x, z) + entropy(y, z) - entropy(z) - entropy(x, y, z)


def _gaussian(x: Floats, y: Floats, z: Floats) -> float:
    covariance = np.cov(np.hstack([x, y, z]), rowvar=False)
    ends = np.cumsum([0, x.shape[1], y.shape[1], z.shape[1]])
    return gaussian_information(covariance, *(np.arange(a, b) for a, b in pairwise(ends)))


def _ksg(x: Floats, y: Floats, z: Floats, k: int) -> float:
    spatial = library("scipy.spatial", "the KSG estimator")
    digamma = library("scipy.special", "the KSG estimator").digamma
    noise = np.random.default_rng(0)  # the same at each call, so that the estimate is a function of the data

    def prepared(samples: Floats) -> Floats:
        scaled = (samples - samples.mean(axis=0)) / samples.std(axis=0)
        return np.asarray(scaled + JITTER * noise.standard_normal(samples.shape), dtype=np.float64)

    x, y, z = prepared(x), prepared(y), prepared(z)
    joint = np.hstack([x, y, z])
    distance, _ = spatial.cKDTree(joint).query(joint, k=k + 1, p=np.inf)
    radius = distance[:, -1] * (1 - 1e-10)  # rounding must not count a neighbour at the radius

    def neighbours(samples: Floats) -> NDArray[np.int64]:
        """Count the samples strictly nearer than the k-th neighbour in the joint space, including itself."""
        if samples.shape[1] == 1:
            line = np.sort(samples[:, 0])
            upper = np.searchsorted(line, samples[:, 0] + radius, side="right")
            return np.asarray(upper - np.searchsorted(line, samples[:, 0] - radius, side="left"))
        counts: NDArray[np.int64] = spatial.cKDTree(samples).query_ball_point(
            samples, radius, p=np.inf, return_length=True
        )
        return counts

    common = digamma(neighbours(z)).mean() if z.shape[1] else digamma(len(x))
    both = digamma(neighbours(np.hstack([x, z]))) + digamma(neighbours(np.hstack([y, z])))
    return float(digamma(k) + common - both.mean())


def _discrete(x: Floats, y: Floats, z: Floats) -> float:
    def entropy(samples: Floats) -> float:
        if not samples.shape[1]:
            return 0.0
        label = np.zeros(len(samples), dtype=np.int64)
        for column in samples.T:  # rows numbered column by column: much faster than sorting whole rows
            values, which = np.unique(column, return_inverse=True)
            _, label = np.unique(label * len(values) + which, return_inverse=True)
        share = np.bincount(label) / len(samples)
        return float(-(share * np.log(share)).sum())

    parts = entropy(np.hstack([x, z])), entropy(np.hstack([y, z])), entropy(z), entropy(np.hstack([x, y, z]))
    return max(parts[0] + parts[1] - parts[2] - parts[3], 0.0)


def _amount(value: float) -> str:
    return f"{max(value, 0.0):.2g} nats"
