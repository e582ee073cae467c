"""Patterns in space: against constructed waves, vortices and random fields whose measures are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import j0

from chronoflux.model.params import Params
from chronoflux.model.patterns import charges, correlation, correlation_length, field_grid, vortices
from chronoflux.model.simulation import Simulation
from chronoflux.render.picture import compose
from tests import reference

TAU = reference.TAU
WORLD = (800.0, 600.0)
SIDES = np.array(WORLD)


def places(n, seed=1):
    return np.random.default_rng(seed).random((2, n)) * SIDES[:, None]


@pytest.mark.parametrize("world", [WORLD, (300.0, 200.0), (1.0, 1e7), (1000.0, 1000.0), (555.5, 777.7)])
def test_the_grid_is_that_of_the_field_picture(world):
    """Columns and rows are those of the widget's pressure field."""
    sim = Simulation(Params(oscillators=2, world=world), seed=1)
    assert field_grid(world) == compose(sim.snapshot()).levels.shape[::-1]


@pytest.mark.parametrize("plane", [False, True])
@pytest.mark.parametrize("n", [2000, 20_000])
def test_correlation_by_brute_force(n, plane):
    """C(r) is the mean of cos(φᵢ − φⱼ) over the pairs about r apart, as a sum over all pairs gives it."""
    x, y = places(n)
    phi = TAU * (x / 800 + 0.3 * np.sin(TAU * y / 600))
    r, C = correlation(x, y, phi, WORLD, plane)
    some = slice(None, None, n // 2000)
    distance = np.sqrt(reference.squared_distances(x[some], y[some], WORLD, plane)).ravel()
    agree = np.cos(phi[some, None] - phi[some]).ravel()
    assert (r[0], C[0]) == (0.0, 1.0)
    assert np.all(np.diff(r) > 0)
    for at in range(2, len(r) - 1, 9):
        near = np.abs(distance - r[at]) < (r[at + 1] - r[at - 1]) / 4
        assert C[at] == pytest.approx(agree[near].mean(), abs=0.03)


@pytest.mark.parametrize("waves", [2, 3, 5])
def test_correlation_length_of_a_plane_wave(waves):
    """A plane wave has C(r) = J₀(qr) and the length at which that is 1/e."""
    x, y = places(20_000)
    q = TAU * waves / 800
    r, C = correlation(x, y, q * x, WORLD, False)
    near = q * r < 4
    np.testing.assert_allclose(C[near], j0(q * r[near]), atol=0.03)
    assert correlation_length(x, y, q * x, WORLD, False) == pytest.approx(
        brentq(lambda z: j0(z) - 1 / np.e, 1, 2) / q, rel=0.01
    )


@pytest.mark.parametrize("plane", [False, True])
def test_correlation_length_of_a_random_field(plane):
    """Gaussian phases of variance s² and correlation g(r) have C(r) = exp(−s²(1 − g(r)))."""
    s2, ell, n = 2.0, 30.0, 8000
    kx, ky = (TAU * np.fft.fftfreq(count, 4.0) for count in (200, 150))
    amplitude = np.exp(-(kx**2 + ky[:, None] ** 2) * ell**2 / 4)  # its square: the transform of g
    lengths, curves = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        white = np.fft.fft2(rng.normal(size=(150, 200)))
        smooth = np.fft.ifft2(white * amplitude).real
        smooth *= np.sqrt(s2 / (np.sum(amplitude**2) / amplitude.size))
        x, y = places(n, seed)
        phi = smooth[(y / 4).astype(int), (x / 4).astype(int)]
        r, C = correlation(x, y, phi, WORLD, plane)
        lengths.append(correlation_length(x, y, phi, WORLD, plane))
        curves.append(np.interp(np.arange(10, 100, 10), r, C))
    g = np.exp(-(np.arange(10, 100, 10) ** 2) / (2 * ell**2))
    np.testing.assert_allclose(np.mean(curves, axis=0), np.exp(-s2 * (1 - g)), atol=0.06)
    rest = np.exp(-s2)
    fallen = rest + (1 - rest) / np.e
    expected = ell * np.sqrt(-2 * np.log(1 + np.log(fallen) / s2))
    assert np.mean(lengths) == pytest.approx(expected, rel=0.06)


def test_no_correlation_length():
    """Equal phases have none; unrelated ones have about a third of the mean distance; one alone has none."""
    x, y = places(500)
    assert np.isnan(correlation_length(x, y, np.full(500, 1.0), WORLD, False))
    assert np.isnan(correlation_length(x[:1], y[:1], np.ones(1), WORLD, False))
    assert np.isnan(correlation_length(x[:2], y[:2], np.array([0.0, 1.0]), WORLD, True))
    phi = np.random.default_rng(3).random(500) * TAU
    third = np.sqrt(800 * 600 / 500) / 3
    assert correlation_length(x, y, phi, WORLD, False) == pytest.approx(third, rel=0.3)


PLANTED = [(200.0, 150.0, 1), (600.0, 150.0, -1), (200.0, 450.0, -1), (600.0, 450.0, 1)]


def planted(x, y, cores):
    """Phases that turn once round each core; images of the cores make them nearly fit the torus."""
    z = np.zeros(len(x))
    for cx, cy, charge in cores:
        for i in range(-3, 4):
            for j in range(-3, 4):
                z += charge * np.arctan2(y - cy - 600 * j, x - cx - 800 * i)
    return z % TAU


@pytest.mark.parametrize("plane", [False, True])
@pytest.mark.parametrize("n", [2000, 20_000])
def test_planted_vortices_are_found(n, plane):
    """Two vortices and two antivortices are found, where they were planted, and no other."""
    x, y = places(n)
    phi = planted(x, y, PLANTED)
    assert vortices(x, y, phi, WORLD, plane) == (2, 2)
    charge = charges(x, y, phi, WORLD, plane)
    for row, column in np.argwhere(charge):
        found = ((column + 1) * 4, (row + 1) * 4)
        gaps = [np.hypot(found[0] - cx, found[1] - cy) for cx, cy, _ in PLANTED]
        assert min(gaps) < 20
        assert charge[row, column] == PLANTED[int(np.argmin(gaps))][2]
    assert vortices(x, y, -phi % TAU, WORLD, plane) == (2, 2)


def test_a_single_vortex_in_the_plane():
    """In the plane one vortex can stand alone; turned the other way it is an antivortex."""
    x, y = places(3000)
    phi = np.arctan2(y - 300, x - 400) % TAU
    assert vortices(x, y, phi, WORLD, True) == (1, 0)
    assert vortices(x, y, -phi % TAU, WORLD, True) == (0, 1)


@pytest.mark.parametrize("plane", [False, True])
def test_waves_and_equal_phases_have_no_vortices(plane):
    """A plane wave and equal phases have none, nor has a swarm in one spot, an empty world round it."""
    x, y = places(3000)
    for phi in (TAU * 2 * x / 800, TAU * (x / 800 + 2 * y / 600), np.zeros(3000)):
        assert vortices(x, y, phi % TAU, WORLD, plane) == (0, 0)
    spot = np.full(3000, 10.0)
    assert vortices(spot, spot, np.random.default_rng(1).random(3000) * TAU, WORLD, plane) == (0, 0)


@pytest.mark.slow
def test_vortices_of_unrelated_phases():
    """Unrelated phases have n/4π of them; on the torus as many of the one kind as of the other."""
    n, found = 1000, []
    for seed in range(30):
        x, y = places(n, seed)
        both = vortices(x, y, np.random.default_rng(seed + 100).random(n) * TAU, WORLD, False)
        assert both.positive == both.negative
        found.append(sum(both))
    assert np.mean(found) == pytest.approx(n / (4 * np.pi), rel=0.05)


def test_of_a_simulation():
    """A simulation measures the patterns of its own state; a synchronised swarm has lost its vortices."""
    sim = Simulation(Params(oscillators=300, kappa=2.0, gamma=0.0, boundary="plane"), seed=2)
    s = sim.state
    assert sim.vortices() == vortices(s.x, s.y, s.phi, WORLD, True)
    assert sim.correlation_length() == correlation_length(s.x, s.y, s.phi, WORLD, True)
    early = sum(sim.vortices()), sim.correlation_length()
    sim.advance(1500)
    late = sum(sim.vortices()), sim.correlation_length()
    assert late[0] < early[0] / 2
    assert late[1] > 2 * early[1]
