"""Whole and parts against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import solve_discrete_lyapunov

from chronoflux.analysis.integration import (
    emergence_nats,
    integrated,
    o_information_nats,
    phi_r_nats,
    phi_wms_nats,
)
from chronoflux.errors import ParameterError
from tests.analysis.test_information import var

SIDES = np.array([0]), np.array([1])
PUBLISHED = [(0.0, 0.0861, 0.2985), (0.5, -0.2029, 0.1539), (0.9, -0.4474, 0.0317)]


def stationary(matrix: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance of (X_t, X_{t+1}) of a vector autoregressive series."""
    now = solve_discrete_lyapunov(matrix, noise)
    return np.block([[now, now @ matrix.T], [matrix @ now, now]])


@pytest.mark.parametrize(("correlation", "wms", "revised"), PUBLISHED)
def test_integrated_information_of_two_nodes(correlation: float, wms: float, revised: float) -> None:
    """Two nodes coupled by .4 everywhere have the published Φ_WMS and Φ_R for each noise correlation."""
    noise = np.array([[1, correlation], [correlation, 1]])
    found, shared = integrated(stationary(np.full((2, 2), 0.4), noise), SIDES)
    assert found == pytest.approx(wms, abs=1e-4)
    assert found + shared == pytest.approx(revised, abs=1e-4)


@pytest.mark.parametrize(("correlation", "wms", "revised"), PUBLISHED)
def test_integrated_information_of_series(correlation: float, wms: float, revised: float) -> None:
    """The same comes out of series, and a part may have several columns."""
    mix = np.linalg.cholesky(np.array([[1, correlation], [correlation, 1]]))
    noise = np.random.default_rng(1).normal(size=(100_000, 2)) @ mix.T
    x = np.zeros((100_000, 2))
    for i in range(1, len(x)):
        x[i] = 0.4 * x[i - 1].sum() + noise[i]
    assert float(phi_wms_nats(x)) == pytest.approx(wms, abs=0.01)
    assert float(phi_r_nats(x)) == pytest.approx(revised, abs=0.01)
    third = np.column_stack([x, np.random.default_rng(2).normal(size=len(x))])
    split = phi_wms_nats(third, parts=[[0, 2], [1]])
    assert float(split) == pytest.approx(wms, abs=0.01)


@given(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6), st.floats(-0.9, 0.9))
def test_parts_that_do_not_touch_integrate_nothing(a: float, b: float, shift: float) -> None:
    """Uncoupled parts with unrelated noise have Φ_WMS = 0; and Φ_R never falls below 0."""
    found, shared = integrated(stationary(np.diag([a, b]), np.eye(2)), SIDES)
    assert found == pytest.approx(0, abs=1e-12)
    noise = np.array([[1, shift], [shift, 1]])
    found, shared = integrated(stationary(np.array([[a, 0.3], [0.2, b]]), noise), SIDES)
    assert found + shared >= -1e-12


def test_the_xor_gate_acts_downward() -> None:
    """XOR, whose result is stored beside a random bit: Ψ 0, Δ 1 bit, Γ 1 bit."""
    bits = np.random.default_rng(3).integers(0, 2, (60_000, 2))
    for i in range(1, len(bits)):
        bits[i, 0] = bits[i - 1, 0] ^ bits[i - 1, 1]
    psi, delta, gamma = emergence_nats(bits, bits[:, 0] ^ bits[:, 1], method="discrete")
    assert float(psi.in_bits()) == pytest.approx(0, abs=1e-3)
    assert float(delta.in_bits()) == pytest.approx(1, abs=1e-3)
    assert float(gamma.in_bits()) == pytest.approx(1, abs=1e-3)


def test_noisy_parity_emerges() -> None:
    """Bits random but for their parity, kept with probability .99: Ψ = 1 − h(.99) = .9192 bit, Γ 0."""
    rng = np.random.default_rng(4)
    n = 40_000
    parity = np.cumsum(rng.random(n) > 0.99) % 2
    bits = rng.integers(0, 2, (n, 4))
    bits[:, 3] = (bits[:, :3].sum(axis=1) + parity) % 2
    psi, _, gamma = emergence_nats(bits, parity, method="discrete")
    exact = 1 + 0.99 * math.log2(0.99) + 0.01 * math.log2(0.01)
    assert exact == pytest.approx(0.9192, abs=1e-4)
    assert float(psi.in_bits()) == pytest.approx(exact, abs=0.015)
    assert float(gamma.in_bits()) == pytest.approx(0, abs=1e-3)
    assert "more than its parts" in psi.reading


def test_many_redundant_parts_are_undecided() -> None:
    """Copies of one series with a little noise make Ψ negative, and that reads as undecided."""
    common = var([[0.9]], 5000, 5)
    micro = common + 0.3 * np.random.default_rng(6).normal(size=(5000, 8))
    psi, delta, _ = emergence_nats(micro, micro.mean(axis=1))
    assert float(psi) < 0
    assert psi.reading.startswith("undecided")
    assert delta.reading.startswith("undecided")


def test_emergence_from_covariances_is_that_of_single_informations() -> None:
    """Parts of two columns, a macro of two: Ψ is the difference of the informations taken one by one."""
    from chronoflux.analysis.information import mutual_information_nats

    rng = np.random.default_rng(7)
    phi = np.cumsum(0.3 * rng.normal(size=(3000, 5)), axis=0)
    micro = np.stack([np.cos(phi), np.sin(phi)], axis=2)
    macro = micro.mean(axis=1)
    psi, _, gamma = emergence_nats(micro, macro, lag=2)
    told = [float(mutual_information_nats(micro[:-2, j], macro[2:])) for j in range(5)]
    assert float(psi) == pytest.approx(float(mutual_information_nats(macro[:-2], macro[2:])) - sum(told))
    down = [float(mutual_information_nats(macro[:-2], micro[2:, j])) for j in range(5)]
    assert float(gamma) == pytest.approx(max(down))


def test_o_information() -> None:
    """Three variables of equal correlation .5 have Ω = +.0850; a sum beside its two addends is synergy."""
    rng = np.random.default_rng(8)
    z = rng.normal(size=(50_000, 3))
    z -= z.mean(axis=0)
    z = z @ np.linalg.inv(np.linalg.cholesky(z.T @ z / len(z))).T  # exactly white
    x = z @ np.linalg.cholesky(0.5 + 0.5 * np.eye(3)).T
    assert float(o_information_nats(x)) == pytest.approx(0.0850, abs=1e-4)
    z[:, 2] += z[:, 0] + z[:, 1]
    found = o_information_nats(z)
    assert float(found) < -0.1
    assert found.reading == "synergy prevails"


@given(st.integers(3, 6), st.integers(0, 10**6))
def test_o_information_is_its_definition(d: int, seed: int) -> None:
    """Ω equals (d − 2) H(X) + Σ [H(X_j) − H(X_{−j})] with Gaussian entropies."""
    x = np.random.default_rng(seed).normal(size=(100, d)) @ np.random.default_rng(seed + 1).normal(
        size=(d, d)
    )
    c = np.cov(x, rowvar=False)

    def entropy(index: list[int]) -> float:
        block = c[np.ix_(index, index)]
        return 0.5 * (float(np.linalg.slogdet(block)[1]) + len(index) * math.log(2 * math.pi * math.e))

    every = list(range(d))
    rest = sum(entropy([j]) - entropy([i for i in every if i != j]) for j in every)
    assert float(o_information_nats(x)) == pytest.approx((d - 2) * entropy(every) + rest, abs=1e-7)


def test_wholes_without_parts_are_refused() -> None:
    """One column is no whole; parts must share out the columns; Ω needs three variables."""
    x = np.random.default_rng(9).normal(size=(100, 3))
    for bad in (
        lambda: phi_wms_nats(x[:, 0]),
        lambda: phi_wms_nats(x),
        lambda: phi_r_nats(x, parts=[[0], [1]]),
    ):
        with pytest.raises(ParameterError, match=r"columns"):
            bad()
    with pytest.raises(ParameterError, match="three columns"):
        o_information_nats(x[:, :2])
    with pytest.raises(ParameterError, match="constant"):
        emergence_nats(x, np.ones(100))
