"""Synchrony against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import i0, i1

from chronoflux.analysis.synchrony import (
    chimera_index,
    frequency_difference,
    local_order,
    locked_intervals,
    metastability,
    order_parameter,
    phase_lag_index,
    phase_locking,
    phase_locking_value,
    time_to_sync,
    weighted_phase_lag_index,
)
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


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_wrapped_cauchy_orders(m: int) -> None:
    """Phases spread like a wrapped Cauchy distribution have Z_m = Z₁^m."""
    u = (np.arange(100_000) + 0.5) / 100_000
    z = 0.6 * np.exp(0.7j)
    phi = 0.7 + 2 * np.arctan((1 - 0.6) / (1 + 0.6) * np.tan(np.pi * (u - 0.5)))  # by quantiles
    assert order_parameter(phi, m) == pytest.approx(z**m, abs=1e-6)


@given(st.integers(1, 6), st.integers(1, 5))
def test_clusters_have_the_order_of_their_number(m: int, rows: int) -> None:
    """m even clusters have |Z_m| = 1 and no lower order, at every moment of an array (time, n)."""
    phi = np.tile(2 * np.pi * np.arange(m) / m, (rows, 4))
    assert order_parameter(phi, m) == pytest.approx(np.ones(rows))
    for lower in range(1, m):
        assert np.abs(order_parameter(phi, lower)) == pytest.approx(0, abs=1e-12)


def test_phases_that_are_no_numbers_have_no_order() -> None:
    """A missing phase, an empty swarm and a harmonic below 1 are refused by name."""
    for bad, m in (([0.1, np.nan], 1), ([], 1), ([0.1], 0)):
        with pytest.raises(ParameterError, match=r"phi|m = 0"):
            order_parameter(bad, m)


def test_local_order_of_two_halves() -> None:
    """On a ring in which each half agrees within itself local order is 1, but 1/3 or so at the seams."""
    n = 40
    phi = np.where(np.arange(n) < n // 2, 0.0, np.pi)
    ring = np.stack([np.roll(np.arange(n), 1), np.roll(np.arange(n), -1)], axis=1)
    found = local_order(np.stack([phi, np.zeros(n)]), ring)
    seams = [0, n // 2 - 1, n // 2, n - 1]
    assert found[0][seams] == pytest.approx(1 / 3)
    assert np.delete(found[0], seams) == pytest.approx(1)
    assert found[1] == pytest.approx(1)
    with pytest.raises(ParameterError, match="indices from 0 to 39"):
        local_order(phi, ring + 1)


def test_phase_lag_indices_see_who_leads() -> None:
    """Lagged by a constant both are 1; a difference round 0 gives 0; of uniform ones only noise is left."""
    rng = np.random.default_rng(3)
    phi = rng.uniform(0, 2 * np.pi, 20_000)
    for measure in (phase_lag_index, weighted_phase_lag_index):
        assert float(measure(phi + 0.5, phi)) == pytest.approx(1)
        assert float(measure(phi + rng.vonmises(0, 2, 20_000), phi)) == pytest.approx(0, abs=0.03)
        assert float(measure(phi, rng.permutation(phi))) == pytest.approx(0, abs=0.03)
    assert float(phase_lag_index(phi, phi)) == 0
    with pytest.raises(ParameterError, match="0 or π"):
        weighted_phase_lag_index(phi, phi)


def test_wpli_of_three_differences() -> None:
    """The weighted phase lag index is |Σ A sin Δ| / Σ |A sin Δ|; missing moments are counted."""
    found = weighted_phase_lag_index(
        [np.pi / 2, -np.pi / 2, np.nan, np.pi / 6], weights=np.array([3.0, 1.0, 1.0, 2.0])
    )
    assert found.value == pytest.approx((3 - 1 + 1) / (3 + 1 + 1))
    assert (found.n, found.masked) == (3, 1)


def test_plv_of_two_series_is_that_of_their_difference() -> None:
    """The phase-locking value of two series is that of their differences, with missing moments counted."""
    a, b = np.array([0.1, 0.2, np.nan, 3.0]), np.array([0.0, 0.4, 0.2, 1.0])
    found = phase_locking_value(a, b)
    assert found.value == phase_locking(a - b).plv
    assert (found.n, found.masked, found.unit) == (3, 1, "1")
    with pytest.raises(ParameterError, match="as many samples"):
        phase_locking_value(a, b[:3])


def test_metastability_and_chimera_index() -> None:
    """Uniform orders have a variance of 1/12 in time; communities always at 0 and 1 one of 1/2 in space."""
    uniform = np.linspace(0, 1, 100_001)
    assert float(metastability(uniform)) == pytest.approx(1 / 12, rel=1e-4)
    halves = np.tile([0.0, 1.0], (50, 1))
    assert float(metastability(halves)) == 0
    assert float(chimera_index(halves)) == pytest.approx(0.5)
    with pytest.raises(ParameterError, match="between 0 and 1"):
        metastability([0.5, 1.5])
    with pytest.raises(ParameterError, match="2 or more"):
        chimera_index(uniform)


@given(st.floats(-0.4, 0.4), st.integers(20, 200), st.sets(st.integers(1, 18), max_size=5))
def test_a_frequency_difference_is_found_across_gaps(df: float, n: int, gaps: set[int]) -> None:
    """Phases that turn at constant rates give their difference in Hz, whatever is missing in between."""
    t = np.arange(n) * 1.0
    a, b = 2 * np.pi * (0.9 + df) * t, 2 * np.pi * 0.9 * t
    a[list(gaps)] = np.nan
    found = frequency_difference(a % (2 * np.pi), b, t)
    assert found.value == pytest.approx(df, abs=1e-9)
    assert found.masked == len({step for gap in gaps for step in (gap - 1, gap)})


def test_locked_intervals_are_found_where_they_were_planted() -> None:
    """A stretch of constant difference amid drift is one interval, and a gap cuts it in two."""
    t = np.arange(600) * 0.5
    differences = np.where((t >= 100) & (t < 200), 0.3, 2 * np.pi * 0.2 * t)
    found = locked_intervals(differences, t, window=20, threshold=0.95)
    assert found.shape == (1, 2)
    assert found[0] == pytest.approx([100, 199.5], abs=2)
    differences[300] = np.nan
    (first, second) = locked_intervals(differences, t, window=20, threshold=0.95)
    assert (first[1], second[0]) == (149.5, 150.5)


def test_never_locked_is_no_interval() -> None:
    """Drift without a hold gives no interval, and a window longer than the record is refused."""
    t = np.arange(100.0)
    assert locked_intervals(1.5 * t, t, window=20).shape == (0, 2)
    with pytest.raises(ParameterError, match="window"):
        locked_intervals(t, t, window=101)


def test_time_to_sync_needs_a_hold() -> None:
    """A short visit above the threshold does not count, nor one that the record's end cuts."""
    t = np.arange(100.0) + 7
    order = np.where((t >= 20) & (t < 25) | (t >= 60), 0.95, 0.5)
    assert time_to_sync(order, t, hold=10) == 60 - 7
    assert time_to_sync(order, t, hold=4) == 20 - 7
    assert time_to_sync(order, t, hold=60) is None
    order[70] = np.nan
    assert time_to_sync(order, t, hold=20) == 78 - 7
