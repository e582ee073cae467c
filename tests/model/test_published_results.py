"""Published results that hold: the checks of the model, by their numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ive

from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.model.state import State
from tests import reference

TAU = reference.TAU


def still(phi, x=None, y=None):
    """A state at rest with these phases."""
    zero = np.zeros(len(phi))
    return State(x=zero if x is None else x, y=zero if y is None else y, vx=zero, vy=zero, phi=phi)


def quantiles(n):
    return (np.arange(n) + 0.5) / n


@pytest.mark.parametrize(("coupling", "factor"), [("global", 1.0), ("knn", 2.0)])
@pytest.mark.parametrize("integrator", ["euler", "rk4"])
@pytest.mark.parametrize("part", [0.5, 0.99])
def test_1_two_locked(coupling, factor, integrator, part):
    """Two oscillators with |Δω| ≤ κ_eff lock at the phase difference asin(Δω/κ_eff)."""
    kappa = 0.8
    delta = part * factor * kappa
    p = Params(oscillators=2, neighbours=1, coupling=coupling, kappa=kappa, gamma=0.0, integrator=integrator)
    sim = Simulation(p, seed=1, state=still(np.array([0.3, 1.0])), frequencies=[1.0, 1.0 + delta / TAU])
    sim.advance(12_000)
    a, b = sim.state.phi
    assert reference.apart(b - a, np.arcsin(part)) < 1e-5


@pytest.mark.parametrize(("coupling", "factor"), [("global", 1.0), ("knn", 2.0)])
def test_1_two_beating(coupling, factor):
    """Two oscillators further apart beat with √(Δω² − κ_eff²)."""
    kappa = 0.8
    delta = 1.25 * factor * kappa
    p = Params(oscillators=2, neighbours=1, coupling=coupling, kappa=kappa, gamma=0.0, integrator="rk4")
    sim = Simulation(p, seed=1, state=still(np.zeros(2)), frequencies=[1.0, 1.0 + delta / TAU])
    difference = []
    for _ in range(8000):
        difference.append(np.subtract(*sim.state.phi[::-1]))
        sim.advance()
    unwrapped = np.unwrap(difference)
    turns = int(unwrapped[-1] // TAU)
    first, last = (np.interp(turn * TAU, unwrapped, np.arange(8000) * p.dt) for turn in (1, turns))
    beat = TAU * (turns - 1) / (last - first)
    assert beat == pytest.approx(np.sqrt(delta**2 - (factor * kappa) ** 2), rel=1e-3)


@pytest.mark.parametrize("part", [0.3, 0.5, 0.8])
def test_2_lorentzian(part):
    """Lorentzian frequencies of half-width g: r = √(1 − 2g/κ) above κ = 2g."""
    n, kappa = 1000, 4.0
    g = part * kappa / 2
    omega = g * np.tan(np.pi * (quantiles(n) - 0.5))
    p = Params(oscillators=n, coupling="global", kappa=kappa, gamma=0.0)
    sim = Simulation(p, seed=3, frequencies=omega / TAU)
    sim.advance(1000)
    r = []
    for _ in range(200):
        sim.advance(5)
        r.append(sim.mean_field()[0])
    assert np.mean(r) == pytest.approx(np.sqrt(1 - part), abs=0.01)


@pytest.mark.parametrize("r0", [0.1, 0.4])
def test_3_poisson_kernel(r0):
    """Identical phases at the quantiles of a Poisson kernel: r(t) = 1/√(1 + (r₀⁻² − 1) e^{−κt})."""
    n, kappa = 2000, 1.5
    phi = 2 * np.arctan((1 - r0) / (1 + r0) * np.tan(np.pi * (quantiles(n) - 0.5)))
    p = Params(oscillators=n, coupling="global", kappa=kappa, gamma=0.0, integrator="rk4")
    sim = Simulation(p, seed=1, state=still(phi))
    assert sim.mean_field()[0] == pytest.approx(r0, abs=1e-6)
    for _ in range(12):
        sim.advance(25)
        expected = 1 / np.sqrt(1 + (r0**-2 - 1) * np.exp(-kappa * sim.t))
        assert sim.mean_field()[0] == pytest.approx(expected, abs=1e-3)


def cross_ratios(phi):
    """Of each four neighbouring phases: constants of motion of identical oscillators, all with all."""

    def apart(i, j):
        return np.sin((phi[i] - phi[j]) / 2)

    a = np.arange(len(phi) - 3)
    return apart(a, a + 2) * apart(a + 1, a + 3) / (apart(a, a + 3) * apart(a + 1, a + 2))


def lost_by(integrator, lag):
    """The largest relative change of the cross ratios of 40 phases in 3,750 ticks."""
    p = Params(oscillators=40, coupling="global", kappa=1.0, gamma=0.0, phase_lag=lag, integrator=integrator)
    phi = np.sort(np.random.default_rng(1).uniform(0, TAU, 40))
    sim = Simulation(p, seed=1, state=State(phi=phi))
    before = cross_ratios(sim.state.phi)
    sim.advance(3750)
    return np.abs(cross_ratios(sim.state.phi) / before - 1).max()


@pytest.mark.parametrize("lag", [1.4, 1.5])
def test_what_is_conserved_is_kept_by_rk4_and_lost_by_euler(lag):
    """Cross ratios (Watanabe and Strogatz, 1994) drift by 1e-3 with euler and stay to 1e-9 with rk4."""
    assert lost_by("rk4", lag) < 1e-9
    assert lost_by("euler", lag) > 3e-4


def test_4_noise():
    """Identical oscillators with noise D: r = I₁(κr/D)/I₀(κr/D) above κ = 2D."""
    n, kappa, D = 4000, 8.0, 2.0
    r = 1.0
    for _ in range(200):
        r = ive(1, kappa * r / D) / ive(0, kappa * r / D)
    p = Params(oscillators=n, coupling="global", kappa=kappa, noise=D, gamma=0.0, dt=0.004)
    sim = Simulation(p, seed=2, state=still(np.zeros(n)))
    sim.advance(500)
    found = []
    for _ in range(150):
        sim.advance(10)
        found.append(sim.mean_field()[0])
    assert np.mean(found) == pytest.approx(r, abs=0.015)


def test_5_incoherent():
    """Drawn phases are incoherent: the mean H is √(π/4n), its 95 % point √(ln 20/n)."""
    n = 100
    H = [Simulation(Params(oscillators=n), seed=seed).mean_field()[0] for seed in range(2000)]
    assert np.mean(H) == pytest.approx(np.sqrt(np.pi / (4 * n)), rel=0.03)
    assert np.mean(np.array(H) > np.sqrt(np.log(20) / n)) == pytest.approx(0.05, abs=0.015)


def test_6_flip():
    """A flip leaves H as it is, multiplies the kinetic energy by 0.36 and turns ψ by a quarter."""
    free = Params(gamma=0.0, eta=0.0, kappa=0.0, frequency=0.0)
    rng = np.random.default_rng(1)
    n = free.oscillators
    moving = State(
        x=rng.random(n), y=rng.random(n), vx=rng.normal(size=n), vy=rng.normal(size=n), phi=rng.random(n) * 6
    )
    sim = Simulation(free, seed=1, state=moving)
    before, (H, psi, _) = sim.state, sim.mean_field()
    sim.pacemaker_flip()
    sim.advance()
    after, (H2, psi2, _) = sim.state, sim.mean_field()
    np.testing.assert_array_equal(after.vx, before.vx * -0.6)
    np.testing.assert_array_equal(after.vy, before.vy * -0.6)
    energy = [np.sum(s.vx**2 + s.vy**2) for s in (before, after)]
    assert energy[1] == pytest.approx(0.36 * energy[0], rel=1e-14)
    assert pytest.approx(H, abs=1e-14) == H2
    assert reference.apart(psi2, psi + np.pi / 2) < 1e-13


SYMMETRIC = {
    "knn": Params(frequency_spread=0.0, phase_lag=0.3, kappa=1.0),
    "global": Params(coupling="global", phase_lag=0.3, kappa=1.0),
    "rk4": Params(integrator="rk4", kappa=1.0),
}


def run(p, state, hertz, ticks=100):
    sim = Simulation(p, seed=1, state=state, frequencies=hertz)
    sim.advance(ticks)
    return sim.state


@pytest.mark.parametrize("kind", SYMMETRIC)
def test_7_shift_of_phases(kind):
    """Shifting all phases shifts the outcome."""
    p = SYMMETRIC[kind].replace(gamma=50.0)
    start = Simulation(p, seed=9).state
    hertz = np.random.default_rng(1).normal(1.2, 0.1, start.n)
    turned = State(x=start.x, y=start.y, vx=start.vx, vy=start.vy, phi=start.phi + 1.234)
    a, b = run(p, start, hertz), run(p, turned, hertz)
    assert reference.apart(a.phi + 1.234, b.phi) < 1e-12
    np.testing.assert_array_equal(a.x, b.x)


@pytest.mark.parametrize("kind", SYMMETRIC)
def test_7_shift_of_positions(kind):
    """With γ = 0, shifting all positions round the torus changes no phase."""
    p = SYMMETRIC[kind].replace(gamma=0.0)
    start = Simulation(p, seed=9).state
    hertz = np.random.default_rng(1).normal(1.2, 0.1, start.n)
    moved = State(x=start.x + 555.5, y=start.y - 321.1, vx=start.vx, vy=start.vy, phi=start.phi)
    assert reference.apart(run(p, start, hertz).phi, run(p, moved, hertz).phi) < 1e-12


@pytest.mark.parametrize("kind", SYMMETRIC)
def test_7_permutation(kind):
    """Renumbering the oscillators renumbers the outcome."""
    p = SYMMETRIC[kind].replace(gamma=50.0)
    start = Simulation(p, seed=9).state
    rng = np.random.default_rng(1)
    hertz, order = rng.normal(1.2, 0.1, start.n), rng.permutation(start.n)
    mixed = State(**{name: getattr(start, name)[order] for name in ("x", "y", "vx", "vy", "phi")})
    a, b = run(p, start, hertz), run(p, mixed, hertz[order])
    assert reference.apart(a.phi[order], b.phi) < 1e-12
    np.testing.assert_allclose(a.x[order], b.x, rtol=0, atol=1e-12)


OMEGA, WAVENUMBER = 1.4 * 2.2, TAU / 140
WIDE = (100_000.0, 100_000.0)


def drift(f, seconds, settle=20.0):
    """Mean speed along the jet, px/s, of one overdamped oscillator on its axis."""
    p = Params(oscillators=1, eta=50.0, gamma=56.64 * f * 50.0, world=WIDE, boundary="plane", dt=0.004)
    axis = np.array([0.2 * WIDE[0]]), np.array([0.78 * WIDE[1]])
    sim = Simulation(p, seed=1, state=still(np.zeros(1), *axis))
    places = []
    for ticks in (round(settle / p.dt), round(seconds / p.dt)):
        sim.advance(ticks)
        s = sim.state
        places.append((s.x[0] - axis[0][0]) * np.cos(0.35) + (s.y[0] - axis[1][0]) * np.sin(0.35))
    return (places[1] - places[0]) / (round(seconds / p.dt) * p.dt)


@pytest.mark.parametrize("f", [1.02, 1.5])
def test_9_captured(f):
    """For f ≥ 1 the jet carries an overdamped oscillator along at its own phase velocity."""
    assert drift(f, 100.0, settle=60.0) == pytest.approx(OMEGA / WAVENUMBER, rel=0.005)


@pytest.mark.parametrize("f", [0.5, 0.8, 0.97])
def test_9_drifting(f):
    """For f < 1 it slips, with the mean drift (ω − √(ω² − (fω)²))/k of the Adler equation."""
    slip = np.sqrt(OMEGA**2 - (f * OMEGA) ** 2)
    assert drift(f, 60 * TAU / slip) == pytest.approx((OMEGA - slip) / WAVENUMBER, rel=0.005)
