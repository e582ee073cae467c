"""Phase locking against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import i0, i1

from chronoflux.analysis.synchrony import phase_locking
from chronoflux.errors import ParameterError
from chronoflux.model.metrics import null_order


@given(st.floats(-3, 3), st.integers(2, 500))
def test_a_constant_difference_is_locked(difference: float, n: int) -> None:
    """A constant difference has PLV 1 and itself as the mean."""
    found = phase_locking(np.full(n, difference))
    assert found.plv == pytest.approx(1)
    assert found.difference == pytest.approx(difference)
    assert found.n == n


def test_a_whole_turn_is_not_locked() -> None:
    """A difference that drifts evenly through whole turns has PLV 0; through a part, the sinc of half."""
    assert phase_locking(np.linspace(0, 4 * np.pi, 1000, endpoint=False)).plv < 1e-12
    angle = 0.03 * 2 * np.pi * 10
    expected = math.sin(angle / 2) / (angle / 2)
    drift = phase_locking(np.linspace(0, angle, 100_000, endpoint=False))
    assert drift.plv == pytest.approx(expected, abs=1e-6)


def test_von_mises_differences() -> None:
    """Von Mises differences of concentration k have PLV I₁(k)/I₀(k)."""
    rng = np.random.default_rng(1)
    for k in (0.5, 2.0, 8.0):
        found = phase_locking(rng.vonmises(0.4, k, 200_000))
        assert found.plv == pytest.approx(i1(k) / i0(k), abs=0.005)
        assert found.difference == pytest.approx(0.4, abs=0.02)


def test_unrelated_phases_reach_the_null_band() -> None:
    """n unrelated differences have on average √(π/4n), and 19 of 20 lie below √(ln 20 / n)."""
    rng = np.random.default_rng(2)
    values = [phase_locking(rng.uniform(0, 2 * np.pi, 200)).plv for _ in range(4000)]
    mean, high = null_order(200)
    assert np.mean(values) == pytest.approx(mean, rel=0.03)
    assert np.mean(np.array(values) < high) == pytest.approx(0.95, abs=0.015)


def test_gaps_are_left_out_and_counted() -> None:
    """NaN is left out of mean and count; with less than two values there is no answer."""
    found = phase_locking([0.1, np.nan, 0.1])
    assert (found.plv, found.n) == (pytest.approx(1), 2)
    with pytest.raises(ParameterError, match="at least 2"):
        phase_locking([np.nan, 1.0])
