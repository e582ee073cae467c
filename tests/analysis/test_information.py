"""Information in nats against closed forms and a brute-force count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import digamma

from chronoflux.analysis.information import (
    active_storage_nats,
    mutual_information_nats,
    transfer_entropy_by_shift_nats,
    transfer_entropy_nats,
)
from chronoflux.errors import ParameterError


def var(matrix: list[list[float]], n: int, seed: int) -> NDArray[np.float64]:
    """A vector autoregressive series of unit noise, (n, d), after it has forgotten its start."""
    a = np.array(matrix)
    noise = np.random.default_rng(seed).normal(size=(n + 200, len(a)))
    x = np.zeros((n + 200, len(a)))
    for i in range(1, n + 200):
        x[i] = a @ x[i - 1] + noise[i]
    return x[200:]


def pair(rho: float, n: int, seed: int = 1) -> NDArray[np.float64]:
    """Two normal variables with exactly the sample correlation rho, (2, n)."""
    z = np.random.default_rng(seed).normal(size=(2, n))
    z -= z.mean(axis=1, keepdims=True)
    z = np.linalg.solve(np.linalg.cholesky(z @ z.T / n), z)
    return np.linalg.cholesky(np.array([[1, rho], [rho, 1]])) @ z


@given(st.floats(-0.99, 0.99))
def test_gaussian_mutual_information(rho: float) -> None:
    """Two Gaussian variables share −½ ln(1 − ρ²) nats, whatever their scales; for ρ = 0.8: 0.5108."""
    x, y = pair(rho, 200)
    assert float(mutual_information_nats(1e6 * x, y - 3e-6)) == pytest.approx(
        -0.5 * math.log1p(-(rho**2)), abs=1e-9
    )


def test_rho_of_0_8() -> None:
    """ρ = 0.8 gives 0.5108 nats: exactly from covariances, within 0.03 by neighbours."""
    x, y = pair(0.8, 4000)
    assert float(mutual_information_nats(x, y)) == pytest.approx(0.5108, abs=1e-4)
    assert float(mutual_information_nats(x, y, method="ksg")) == pytest.approx(0.5108, abs=0.03)


def test_ksg_is_the_published_estimator() -> None:
    """KSG equals ψ(k) + ψ(n) − ⟨ψ(n_x + 1) + ψ(n_y + 1)⟩ with the neighbours counted one by one."""
    x, y = pair(0.5, 120)
    x, y = x / x.std(), y / y.std()
    dx, dy = np.abs(x[:, None] - x), np.abs(y[:, None] - y)
    radius = np.sort(np.maximum(dx, dy), axis=1)[:, 3]  # of the third neighbour; the first entry is itself
    nx, ny = ((d < radius[:, None]).sum(axis=1) for d in (dx, dy))
    expected = digamma(3) + digamma(120) - (digamma(nx) + digamma(ny)).mean()
    assert float(mutual_information_nats(x, y, method="ksg", k=3)) == pytest.approx(expected, abs=1e-9)


def test_ksg_sees_what_no_line_sees() -> None:
    """y = x² is unrelated to covariances, but not to neighbours; a vector of both parts counts as one."""
    x = np.random.default_rng(2).normal(size=2000)
    y = x**2 + 0.1 * np.random.default_rng(3).normal(size=2000)
    noise = 0.01 * np.random.default_rng(4).normal(size=2000)
    assert float(mutual_information_nats(x, y)) < 0.01
    assert float(mutual_information_nats(x, y, method="ksg")) > 0.8
    assert float(mutual_information_nats(np.stack([x, y + noise], axis=1), y)) > 2


def test_a_common_cause_is_conditioned_away() -> None:
    """Two variables with a common cause share nothing once it is known, by either estimator."""
    rng = np.random.default_rng(4)
    z, noise = rng.normal(size=3000), rng.normal(size=(2, 3000))
    x, y = z + noise[0], z + noise[1]
    for method, within in (("gaussian", 2e-3), ("ksg", 0.04)):
        assert float(mutual_information_nats(x, y, method=method)) == pytest.approx(
            -0.5 * math.log(1 - 0.25), abs=0.05
        )
        assert float(mutual_information_nats(x, y, condition=z, method=method)) == pytest.approx(
            0, abs=within
        )


def test_discrete_information() -> None:
    """A copied bit tells ln 2 nats; a bit tells its parity with another once that is known."""
    bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5)
    a, b = bits.T
    parity = a ^ b
    assert float(mutual_information_nats(a, a, method="discrete")) == pytest.approx(math.log(2))
    assert float(mutual_information_nats(a, parity, method="discrete")) == pytest.approx(0)
    known = mutual_information_nats(a, parity, condition=b, method="discrete")
    assert float(known.in_bits()) == pytest.approx(1)


@pytest.mark.parametrize(("method", "within"), [("gaussian", 0.008), ("ksg", 0.03)])
def test_transfer_entropy_of_a_driven_series(method: str, within: float) -> None:
    """In the VAR [[.5, 0], [.4, .5]] 0.09205 nats go from the first to the second, and none back."""
    n = 40_000 if method == "gaussian" else 6000
    x, y = var([[0.5, 0], [0.4, 0.5]], n, 5).T
    assert float(transfer_entropy_nats(x, y, method=method)) == pytest.approx(0.09205, abs=within)
    assert float(transfer_entropy_nats(y, x, method=method)) == pytest.approx(0, abs=within)


def test_transfer_entropy_at_its_lag() -> None:
    """What arrives after three steps is seen at lag 3, or within a source history of 3, not at lag 1."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=5000)
    y = np.roll(x, 3) + rng.normal(size=5000)
    assert float(transfer_entropy_nats(x, y, lag=3)) == pytest.approx(0.5 * math.log(2), abs=0.03)
    assert float(transfer_entropy_nats(x, y, source_history=3)) == pytest.approx(0.5 * math.log(2), abs=0.03)
    assert float(transfer_entropy_nats(x, y)) < 2e-3


def test_a_common_driver_is_conditioned_away() -> None:
    """Two series driven by a third tell of each other until the third is conditioned on."""
    z, x, y = var([[0.8, 0, 0], [0.6, 0, 0], [0.6, 0, 0]], 20_000, 7).T
    assert float(transfer_entropy_nats(x, y)) > 0.02
    assert float(transfer_entropy_nats(x, y, condition=z)) < 1e-3


def test_active_storage_of_an_autoregressive_series() -> None:
    """An AR(0.9) series stores −½ ln(1 − 0.81) = 0.8304 nats, and no more in a longer history."""
    x = var([[0.9]], 60_000, 8)[:, 0]
    assert float(active_storage_nats(x)) == pytest.approx(0.8304, abs=0.02)
    assert float(active_storage_nats(x, history=4)) == pytest.approx(float(active_storage_nats(x)), abs=1e-3)
    assert float(active_storage_nats(x[:5000], method="ksg")) == pytest.approx(0.8304, abs=0.06)


@settings(max_examples=25)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10**6))
def test_every_shift_at_once_is_every_shift_one_by_one(history: int, lag: int, seed: int) -> None:
    """Transfer entropy by shift equals that of the series turned by hand, at shift 0 that of the series."""
    x, y = var([[0.5, 0.1], [0.4, 0.5]], 60, seed).T
    found = transfer_entropy_by_shift_nats(x, y, lag=lag, history=history)
    whole = transfer_entropy_nats(x, y, lag=lag, history=history)
    assert len(found) == whole.n
    assert found[0] == pytest.approx(whole.value, abs=1e-9)
    first = max(lag, history)
    driver, target = np.roll(x[first - lag : len(x) - lag], 17), y[first:]
    known = np.stack([y[first - j : len(y) - j] for j in range(1, history + 1)], axis=1)
    one = mutual_information_nats(driver, target, condition=known)
    assert found[17] == pytest.approx(one.value, abs=1e-9)


def test_gaps_are_counted_and_their_neighbours_left_out() -> None:
    """A missing value takes with it every step whose past it belongs to, and these are counted."""
    x, y = var([[0.5, 0], [0.4, 0.5]], 2000, 9).T
    x[100] = y[200] = np.inf
    found = transfer_entropy_nats(x, y, history=2)
    assert (found.masked, found.n) == (1 + 3, 2000 - 2 - 4)
    with pytest.raises(ParameterError, match="not finite"):
        transfer_entropy_by_shift_nats(x, y)


def test_what_cannot_be_measured_is_refused() -> None:
    """Too few, constant, dependent, unequally long series and unknown methods are refused by name."""
    x, y = pair(0.5, 100)
    refused = [
        ({"x": x[:5], "y": y[:5]}, "at least"),
        ({"x": x, "y": np.ones(100)}, "constant"),
        ({"x": x, "y": 2 * x + 1}, "linear"),
        ({"x": x, "y": y[:50]}, "as many samples"),
        ({"x": x, "y": y, "method": "kde"}, "one of gaussian"),
        ({"x": np.full(100, np.nan), "y": y}, "100 left out"),
    ]
    for arguments, words in refused:
        with pytest.raises(ParameterError, match=words):
            mutual_information_nats(**arguments)
