"""Measures against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from chronoflux.model.metrics import local_order, order, turbulence
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from tests import reference


def test_order():
    """H and ψ are modulus and angle of the mean of e^{iφ}; H of equal phases is 1 and no more."""
    phi = np.random.default_rng(1).random(77) * reference.TAU
    z = np.exp(1j * phi).mean()
    assert order(phi) == pytest.approx((abs(z), np.angle(z)), abs=1e-14)
    for angle in np.linspace(0, 6, 50):
        assert 1 - 1e-15 <= order(np.full(7, angle))[0] <= 1


@pytest.mark.parametrize("plane", [False, True])
@pytest.mark.parametrize("portal", [False, True])
def test_turbulence(plane, portal):
    """tau is the mean over the 22 × 22 points, also in a small world and across the seam."""
    for world in ((800.0, 600.0), (30.0, 50.0)):
        pulses = np.array([[1.0, 2.0, 0.35, 10.0], [20.0, 29.0, 0.3, 25.0]])
        twin = reference.turbulence(1.3, world=world, plane=plane, portal=portal, pulses=pulses)
        assert turbulence(world, plane, 1.3, portal, pulses) == pytest.approx(twin, abs=1e-14)


def test_calm():
    """Without jet and pulses tau is 0."""
    assert turbulence((800.0, 600.0), False, 0.0, True, np.empty((0, 4))) == 0.0


def test_local_order():
    """H_local counts each oscillator and its set once, whether or not it is in its own set."""
    indptr, indices = np.array([0, 2, 2, 4]), np.array([0, 1, 0, 1], np.int32)
    phi = np.array([0.1, 2.0, 4.0])
    matrix = np.array([[1, 1, 0], [0, 0, 0], [1, 1, 0]])
    assert local_order(phi, indptr, indices) == pytest.approx(reference.local_order(phi, matrix), abs=1e-15)


@pytest.mark.parametrize("coupling", ["knn", "global"])
def test_of_a_simulation(coupling):
    """A simulation's metrics are those of its state; for global coupling H_local is H."""
    sim = Simulation(Params(coupling=coupling, boundary="plane"), seed=4)
    sim.intent(x=5, y=6)
    sim.advance(20)
    s, m = sim.state, sim.metrics()
    z = np.exp(1j * s.phi).mean()
    assert m["H"] == pytest.approx(abs(z), abs=1e-14)
    assert m["psi"] == pytest.approx(np.angle(z), abs=1e-12)
    local = reference.local_order(s.phi, reference.weights(s.x, s.y, sim.params))
    assert m["H_local"] == pytest.approx(local, abs=1e-14)
    pulses = sim.snapshot().pulses
    tau = reference.turbulence(sim.t, world=(800.0, 600.0), plane=True, portal=False, pulses=pulses)
    assert m["tau"] == pytest.approx(tau, abs=1e-14)
    assert sim.mean_field() == (m["H"], m["psi"], m["omega"])


def test_omega():
    """Equal and uncoupled, omega is 2π f; it is NaN before the first tick and follows the portal."""
    sim = Simulation(Params(coupling="global", kappa=0.0), seed=1)
    assert np.isnan(sim.metrics()["omega"])
    sim.advance(100)
    assert sim.metrics()["omega"] == pytest.approx(reference.TAU * 1.2, abs=1e-9)
    sim.lion_gate()
    sim.advance(100)
    assert sim.metrics()["omega"] == pytest.approx(reference.TAU * 0.9, abs=1e-9)


def test_omega_across_a_flip():
    """A flip's quarter turn of ψ is no frequency: omega goes on undisturbed."""
    sim = Simulation(Params(coupling="global", kappa=0.0), seed=1)
    sim.advance(40)
    sim.pacemaker_flip()
    sim.advance(3)
    assert sim.metrics()["omega"] == pytest.approx(reference.TAU * 1.2, abs=1e-9)


def test_omega_window():
    """omega is the mean over the last half second and no more."""
    sim = Simulation(Params(coupling="global", kappa=0.0, frequency=1.0), seed=1)
    sim.advance(100)
    sim.params = sim.params.replace(frequency=2.0)
    sim.advance(31)
    assert sim.metrics()["omega"] == pytest.approx(reference.TAU * 2.0, abs=1e-9)
