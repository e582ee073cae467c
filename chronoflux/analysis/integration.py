"""Whole and parts: integrated information, causal emergence and O-information, in nats.

Estimates are Gaussian unless another method is named. The macro variable is the user's choice, but it must be
a function of the micro state at the same instant: one that depends on earlier states carries information
across time by construction, and its "emergence" means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chronoflux.analysis.information import SINGULAR, Method, gaussian_information, information
from chronoflux.analysis.result import Result
from chronoflux.analysis.validation import Floats, columns, complete, numbers, same_length, varying, whole
from chronoflux.errors import ParameterError

Parts = Sequence[Sequence[int]]

_PHI = "Mediano, Seth, Barrett, Entropy 21, 17, 2019"
_REVISED = "Mediano, Rosas, Luppi, Jensen, Seth, Barrett, Carhart-Harris, Bor, arXiv:1909.02297"
_EMERGENCE = (
    "Rosas, Mediano, Jensen, Seth, Barrett, Carhart-Harris, Bor, "
    "PLOS Computational Biology 16, e1008289, 2020"
)


class Emergence(NamedTuple):
    """Causal emergence Ψ, downward causation Δ and causal decoupling Γ, in nats per step."""

    psi: Result
    delta: Result
    gamma: Result


def phi_wms_nats(x: ArrayLike, *, parts: Parts | None = None, lag: int = 1) -> Result:
    """Return whole-minus-sum integrated information, in nats.

    ``Φ_WMS = I(X_t; X_{t+lag}) − Σ_i I(Mⁱ_t; Mⁱ_{t+lag})`` for Gaussian variables (Barrett and Seth, PLOS
    Computational Biology 7, e1001052, 2011; Mediano, Seth, Barrett, Entropy 21, 17, 2019). It is negative
    when the parts share more than the whole adds: see :func:`phi_r_nats`.

    Parameters
    ----------
    x
        Series of the whole, evenly sampled, shape (n, d); steps with a missing value are left out.
    parts
        The columns of the two parts, such as ``[[0, 1], [2]]``; None: the two columns of `x`.
    lag
        Steps ahead, from 1.

    Examples
    --------
    Each column follows the other with weight 0.8, and its own past tells it nothing: -ln(1 - 0.8²) = 1.02.

    >>> import numpy as np
    >>> from chronoflux.analysis import phi_wms_nats
    >>> rng = np.random.default_rng(1)
    >>> x = np.zeros((10_000, 2))
    >>> for t in range(1, len(x)):
    ...     x[t] = 0.8 * x[t - 1, ::-1] + 0.6 * rng.normal(size=2)
    >>> round(float(phi_wms_nats(x)), 1)
    1.0
    """
    joint, sides, n, masked = _lagged(x, parts, lag)
    value, _ = integrated(joint, sides)
    return Result(
        name="integrated information Φ_WMS",
        value=value,
        unit="nats",
        n=n,
        masked=masked,
        reading=f"the whole tells {value:.2g} nats more of its next step than its parts"
        if value > 0
        else "below 0: redundancy between the parts hides what the whole adds; see Φ_R",
        source=_PHI,
    )


def phi_r_nats(x: ArrayLike, *, parts: Parts | None = None, lag: int = 1) -> Result:
    """Return revised integrated information ``Φ_R = Φ_WMS + min_{ij} I(Mⁱ_t; Mʲ_{t+lag})``, in nats.

    It adds back the redundancy of the parts, by the minimum of their mutual information (Mediano and others,
    arXiv:1909.02297), so it is not negative. The arguments are those of :func:`phi_wms_nats`.

    Examples
    --------
    Two columns driven by a common input: Φ_WMS falls below 0, Φ_R does not.

    >>> import numpy as np
    >>> from chronoflux.analysis import phi_r_nats, phi_wms_nats
    >>> rng = np.random.default_rng(1)
    >>> common = np.zeros(2000)
    >>> for t in range(1, len(common)):
    ...     common[t] = 0.9 * common[t - 1] + rng.normal()
    >>> x = common[:, None] + 0.1 * rng.normal(size=(2000, 2))
    >>> float(phi_wms_nats(x)) < 0, float(phi_r_nats(x)) >= 0
    (True, True)
    """
    joint, sides, n, masked = _lagged(x, parts, lag)
    whole_minus_sum, shared = integrated(joint, sides)
    value = whole_minus_sum + shared
    return Result(
        name="integrated information Φ_R",
        value=value,
        unit="nats",
        n=n,
        masked=masked,
        reading=f"{max(value, 0):.2g} nats of the next step pass between the parts or need both",
        source=_REVISED,
    )


def integrated(joint: Floats, sides: tuple[NDArray[np.intp], NDArray[np.intp]]) -> tuple[float, float]:
    """Return ``Φ_WMS``, and the redundancy to add for ``Φ_R``, in nats, from a covariance.

    Parameters
    ----------
    joint
        Covariance of (X_t, X_{t+lag}), shape (2d, 2d). The covariance of a linear model gives exact values.
    sides
        The columns of the two parts; together they are 0 to d − 1.
    """
    d, none = len(joint) // 2, np.empty(0, dtype=np.intp)
    everything = np.arange(d)

    def told(a: NDArray[np.intp], b: NDArray[np.intp]) -> float:
        return gaussian_information(joint, a, b + d, none)

    across = [told(a, b) for a in sides for b in sides]
    return told(everything, everything) - across[0] - across[3], min(across)


def _lagged(
    x: ArrayLike, parts: Parts | None, lag: int
) -> tuple[Floats, tuple[NDArray[np.intp], NDArray[np.intp]], int, int]:
    values = columns("x", x)
    d = values.shape[1]
    if d < 2:
        raise ParameterError("x", values.shape, "at least two columns: a whole has parts")
    given = [[0], [1]] if parts is None and d == 2 else parts
    if given is None or len(given) != 2 or sorted(i for part in given for i in part) != list(range(d)):
        raise ParameterError("parts", parts, f"two lists that share out the columns 0 to {d - 1}")
    whole("lag", lag, 1)
    (pairs,), masked = complete("x", np.hstack([values[:-lag], values[lag:]]), least=8 * d)
    varying("x", pairs)
    first, second = (np.array(part, dtype=np.intp) for part in given)
    return np.cov(pairs, rowvar=False), (first, second), len(pairs), masked


def emergence_nats(
    micro: ArrayLike, macro: ArrayLike, *, lag: int = 1, method: Method = "gaussian", k: int = 4
) -> Emergence:
    """Return causal emergence Ψ, downward causation Δ and causal decoupling Γ of a macro variable, in nats.

    They say whether the macro variable V predicts the future better than the parts it is made of:
    ``Ψ = I(V_t; V_{t+lag}) − Σ_j I(Xʲ_t; V_{t+lag})``,
    ``Δ = max_j [I(V_t; Xʲ_{t+lag}) − Σ_i I(Xⁱ_t; Xʲ_{t+lag})]``, ``Γ = max_j I(V_t; Xʲ_{t+lag})``
    (Rosas, Mediano and others, PLOS Computational Biology 16, e1008289, 2020). ``Ψ > 0`` suffices for
    causal emergence, ``Δ > 0`` for downward causation, ``Ψ > 0`` with ``Γ = 0`` for causal decoupling.
    Information that parts share is subtracted once for each of them, so with many parts Ψ and Δ are negative
    in any case: a value that is not above 0 is *undecided*, not "no emergence".

    Parameters
    ----------
    micro
        The parts, shape (n, parts), or (n, parts, d) for parts of d columns each (cos φ and sin φ).
    macro
        A function of the micro state at the same instant, shape (n,) or (n, d).
    lag, method, k
        Steps ahead, from 1; see :mod:`chronoflux.analysis.information`.

    Examples
    --------
    Two random bits whose parity alternates: the parity tells ln 2 = 0.69 nats of its future, each bit 0.

    >>> import numpy as np
    >>> from chronoflux.analysis import emergence_nats
    >>> parity = np.tile([0, 1], 1000)
    >>> first = np.random.default_rng(1).integers(0, 2, size=2000)
    >>> bits = np.column_stack([first, first ^ parity])
    >>> round(float(emergence_nats(bits, parity, method="discrete").psi), 2)
    0.69
    """
    parts = numbers("micro", micro)
    parts = parts[..., None] if parts.ndim == 2 else parts
    if parts.ndim != 3 or not parts.size:
        raise ParameterError("micro", parts.shape, "shape (n, parts) or (n, parts, d)")
    v = columns("macro", macro)
    same_length(micro=parts, macro=v)
    whole("lag", lag, 1, max(len(v) - 1, 1))
    count, width, size = parts.shape[1], parts.shape[2], v.shape[1]
    state = np.hstack([parts.reshape(len(parts), -1), v])
    (pairs,), masked = complete("samples", np.hstack([state[:-lag], state[lag:]]), least=8)
    if method != "discrete":
        varying("samples", pairs)
    blocks = [np.arange(j * width, (j + 1) * width) for j in range(count)]
    blocks.append(np.arange(count * width, count * width + size))
    told = _told_across(pairs, blocks, method, k)
    psi = float(told[-1, -1] - told[:-1, -1].sum())
    delta = float((told[-1, :-1] - told[:-1, :-1].sum(axis=0)).max())
    gamma = float(told[-1, :-1].max())

    def result(name: str, value: float, reading: str, *, undecided: bool = False) -> Result:
        return Result(
            name=name,
            value=value,
            unit="nats",
            n=len(pairs),
            masked=masked,
            reading=reading,
            source=_EMERGENCE,
            undecided=undecided,
        )

    return Emergence(
        result(
            "causal emergence Ψ",
            psi,
            _above(psi, "the whole tells more than its parts do"),
            undecided=not psi > 0,
        ),
        result(
            "downward causation Δ",
            delta,
            _above(delta, "the macro variable acts on a part"),
            undecided=not delta > 0,
        ),
        result(
            "causal decoupling Γ",
            gamma,
            "the most it tells of a part; 0, with Ψ above 0: it goes its own way",
        ),
    )


def _told_across(pairs: Floats, blocks: list[NDArray[np.intp]], method: Method, k: int) -> Floats:
    """Return ``I(a_t; b_{t+lag})`` in nats for every two blocks of columns of the state: (blocks, blocks).

    `pairs` (n, 2m) holds the state, followed by the later state.
    """
    later = pairs.shape[1] // 2
    if method == "gaussian" and all(len(block) == 1 for block in blocks):
        scaled = (pairs - pairs.mean(axis=0)) / pairs.std(axis=0)
        correlation = scaled[:, :later].T @ scaled[:, later:] / len(pairs)
        if np.abs(correlation).max() ** 2 >= 1 - SINGULAR:
            raise ParameterError("samples", "linearly dependent", "no linear function of an earlier state")
        found: Floats = -0.5 * np.log1p(-np.square(correlation))
        return found
    none = np.empty(0, dtype=np.intp)
    if method == "gaussian":
        covariance = np.cov(pairs, rowvar=False)
        rows = [[gaussian_information(covariance, a, b + later, none) for b in blocks] for a in blocks]
    else:
        empty = np.empty((len(pairs), 0))
        rows = [
            [information(pairs[:, a], pairs[:, b + later], empty, method=method, k=k)[0] for b in blocks]
            for a in blocks
        ]
    return np.array(rows)


def _above(value: float, words: str) -> str:
    return words if value > 0 else "undecided: what the parts share hides whatever there may be"


def o_information_nats(x: ArrayLike) -> Result:
    """Return the O-information ``Ω = (d − 2) H(X) + Σ_j [H(X_j) − H(X_{−j})]`` of d ≥ 3 variables, in nats.

    The estimate is Gaussian. Above 0 redundancy prevails (several variables carry the same information),
    below 0 synergy (only the whole carries it). Rosas, Mediano, Gastpar, Jensen, Physical Review E 100,
    032305, 2019.

    Parameters
    ----------
    x
        Samples, shape (n, d); rows with a missing value are left out and counted.

    Examples
    --------
    Three copies of a signal are redundant; a sum and its two terms are synergistic.

    >>> import numpy as np
    >>> from chronoflux.analysis import o_information_nats
    >>> a, b, *noise = np.random.default_rng(1).normal(size=(5, 2000))
    >>> o_information_nats(np.column_stack([a + noise[0], a + noise[1], a + noise[2]])).reading
    'redundancy prevails'
    >>> o_information_nats(np.column_stack([a, b, a + b + 0.1 * noise[0]])).reading
    'synergy prevails'
    """
    values = columns("x", x)
    d = values.shape[1]
    if d < 3:
        raise ParameterError("x", values.shape, "at least three columns")
    (values,), masked = complete("x", values, least=4 * d)
    covariance = np.cov(varying("x", values), rowvar=False)
    none = np.empty(0, dtype=np.intp)
    # Ω = Σ_{j=2}^{d−1} [I(X_j; X_1…X_{j−1}) − I(X_j; X_1…X_{j−1} | X_{j+1}…X_d)], which needs no entropies
    value = sum(
        gaussian_information(covariance, np.array([j]), np.arange(j), none)
        - gaussian_information(covariance, np.array([j]), np.arange(j), np.arange(j + 1, d))
        for j in range(1, d - 1)
    )
    return Result(
        name="O-information Ω",
        value=value,
        unit="nats",
        n=len(values),
        masked=masked,
        reading="redundancy prevails"
        if value > 0
        else "synergy prevails"
        if value < 0
        else "neither prevails",
        source="Rosas, Mediano, Gastpar, Jensen, Physical Review E 100, 032305, 2019",
    )
