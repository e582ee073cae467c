"""Phases against the double sum as it is written, and the integrators' order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.sparse import csr_array

from chronoflux.model.engine.phases import GLOBAL, GRAPH, KNN, Coupling, peers_pull, rates, sin_cos
from chronoflux.model.graph import NO_GRAPH, read_graph
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.model.state import State
from tests import reference

ALONE = (0, 0.0, 0.0)


def swarm(n=40, seed=2):
    rng = np.random.default_rng(seed)
    return rng.random(n) * 800, rng.random(n) * 600, rng.random(n) * reference.TAU, rng.normal(size=n)


def kernel_rates(phi, omega, coupling, near=None, graph=NO_GRAPH, peers=ALONE):
    s, c, out = np.empty_like(phi), np.empty_like(phi), np.empty_like(phi)
    mean = sin_cos(phi, s, c)
    near = np.empty((len(phi), 0), np.int32) if near is None else near.astype(np.int32)
    rates(omega, s, c, mean, coupling, near, graph, peers, out)
    return out


@pytest.mark.parametrize("lag", [0.0, 0.4])
def test_nearest(lag):
    """The rates with neighbours are the sum over them of sin(φⱼ − φᵢ − α), times κ/k."""
    x, y, phi, omega = swarm()
    p = Params(oscillators=40, kappa=1.3, phase_lag=lag, neighbours=5)
    near = reference.nearest(x, y, p.world, False, 5)
    mine = kernel_rates(phi, omega, Coupling(KNN, 1.3, lag, 0.0), near)
    np.testing.assert_allclose(mine, reference.rates(phi, omega, reference.weights(x, y, p), p), atol=1e-13)


@pytest.mark.parametrize("lag", [0.0, 0.4])
def test_global(lag):
    """Global coupling in O(n) equals the mean over all pairs, each itself included."""
    x, y, phi, omega = swarm()
    p = Params(oscillators=40, kappa=1.3, phase_lag=lag, coupling="global")
    mine = kernel_rates(phi, omega, Coupling(GLOBAL, 1.3, lag, 0.0))
    np.testing.assert_allclose(mine, reference.rates(phi, omega, reference.weights(x, y, p), p), atol=1e-13)


def test_graph():
    """A graph's weights enter as given, signed and directed; a row without entries feels nothing."""
    _, _, phi, omega = swarm()
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(40, 40)) * (rng.random((40, 40)) < 0.2)
    matrix[7] = 0.0
    p = Params(oscillators=40, kappa=0.6, phase_lag=0.3)
    mine = kernel_rates(phi, omega, Coupling(GRAPH, 0.6, 0.3, 0.0), graph=read_graph(csr_array(matrix)))
    np.testing.assert_allclose(mine, reference.rates(phi, omega, matrix, p), atol=1e-13)
    assert mine[7] == omega[7]


@pytest.mark.parametrize("coupling", ["knn", "global"])
def test_one_alone(coupling):
    """One oscillator alone has no coupling term, not even with a phase lag."""
    sim = Simulation(Params(oscillators=1, coupling=coupling, phase_lag=1.0, kappa=2.0), seed=1)
    before = sim.state.phi[0]
    sim.advance(10)
    assert reference.apart(sim.state.phi[0], before + 10 * 0.016 * 1.2 * reference.TAU) < 1e-13


def test_peers():
    """Peers' fields pull as (κ_mesh/P) Σ R sin(Ψ − φ), carried forward, stale ones left out."""
    _, _, phi, omega = swarm()
    fields = [(1000.0, 0.8, 0.3, 7.0), (500.0, 0.5, -1.0, -6.0), (-1500.1, 1.0, 0.0, 0.0), (2500.1, 1, 0, 0)]
    T = 500.0
    peers = peers_pull(np.array(fields), T, 0.0)
    assert peers[0] == 2
    mine = kernel_rates(phi, omega, Coupling(KNN, 0.0, 0.0, 0.35), peers=peers)
    np.testing.assert_allclose(mine, omega + reference.mesh_pull(phi, fields, T, 0.35), atol=1e-13)
    assert peers_pull(np.array(fields), np.nan, 0.0) == (0, 0.0, 0.0)
    assert peers_pull(np.empty((0, 4)), T, 0.0) == (0, 0.0, 0.0)


def errors(integrator, coupling, steps):
    """Largest phase errors after 1 s at these numbers of steps, peers' field included."""
    rng = np.random.default_rng(4)
    n = 12
    x, y = rng.random((2, n)) * 100
    phi0, hertz = rng.random(n) * reference.TAU, rng.normal(size=n)
    p = Params(oscillators=n, neighbours=4, kappa=3.0, phase_lag=0.2, mesh_coupling=2.0, gamma=0.0)
    matrix = rng.normal(size=(n, n)) / n
    graph = csr_array(matrix) if coupling == "graph" else None
    if coupling != "graph":
        p = p.replace(coupling=coupling)
        matrix = reference.weights(x, y, p)
    fields = [(0.0, 0.9, 0.4, 9.0)]

    def slope(t, phi):
        pull = reference.mesh_pull(phi, fields, 1000 * t, p.mesh_coupling)
        return reference.rates(phi, reference.TAU * hertz, matrix, p) + pull

    exact = solve_ivp(slope, (0, 1), phi0, rtol=1e-12, atol=1e-12).y[:, -1]
    state = State(x=x, y=y, vx=np.zeros(n), vy=np.zeros(n), phi=phi0)
    found = []
    for count in steps:
        exactly = p.replace(dt=1 / count, integrator=integrator)
        sim = Simulation(exactly, seed=1, state=state, frequencies=hertz, graph=graph)
        sim.anchor(0.0)
        sim.hear("a", *fields[0])
        sim.advance(count)
        found.append(reference.apart(sim.state.phi, exact))
    return np.array(found)


@pytest.mark.parametrize("coupling", ["global", "knn", "graph"])
@pytest.mark.parametrize(("integrator", "order"), [("euler", 1), ("rk4", 4)])
def test_order(integrator, order, coupling):
    """Errors against SciPy's solver fall as dt for euler and as dt⁴ for rk4, also with a peer's field."""
    steps = np.array([40, 80, 160, 320])
    slope = np.polyfit(np.log(1 / steps), np.log(errors(integrator, coupling, steps)), 1)[0]
    assert slope == pytest.approx(order, abs=0.15)


def test_noise():
    """Uncoupled phases diffuse: their variance grows as 2 D t."""
    n, D = 20_000, 0.3
    state = State(x=np.zeros(n), y=np.zeros(n), vx=np.zeros(n), vy=np.zeros(n), phi=np.full(n, np.pi))
    p = Params(oscillators=n, coupling="global", kappa=0.0, noise=D, frequency=0.0)
    sim = Simulation(p, seed=1, state=state)
    sim.advance(50)
    assert np.var(sim.state.phi) == pytest.approx(2 * D * sim.t, rel=0.03)
    assert np.mean(sim.state.phi) == pytest.approx(np.pi, abs=0.02)
