"""Motion against its NumPy twin and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from chronoflux.model.engine.motion import FASTEST, SPARE, move
from chronoflux.model.engine.periodic import wrap
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.model.state import State
from tests import reference

WORLD = (800.0, 600.0)
NONE = np.empty((0, 4))


def test_equal_to_the_twin():
    """A step of positions and velocities equals the twin's."""
    p = Params(oscillators=50, gamma=300.0, eta=0.7)
    rng = np.random.default_rng(1)
    x, y, vx, vy = rng.random((4, 50)) * np.array([[800], [600], [9], [9]])
    twin = reference.Twin(p, x.copy(), y.copy(), vx.copy(), vy.copy(), np.zeros(50))
    twin.intent(30.0, 40.0)
    pulses = np.array(twin.alive())
    move(x, y, vx, vy, WORLD, False, 0.0, False, pulses, p.gamma, p.eta, p.dt, np.empty((SPARE, len(x))))
    twin.step()
    for mine, other in ((x, twin.x), (y, twin.y), (vx, twin.vx), (vy, twin.vy)):
        np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-12)


def test_drag():
    """Without a gradient the velocity shrinks by 1 − η dt a step, and 60 v dt is the way made."""
    x, y, vx, vy = np.array([5.0]), np.array([599.9]), np.array([-2.0]), np.array([1.0])
    move(x, y, vx, vy, WORLD, False, 0.0, True, NONE, 1.0, 0.5, 0.1, np.empty((SPARE, len(x))))
    assert vx[0] == pytest.approx(-1.9)
    assert x[0] == pytest.approx(800 + 5 - 60 * 1.9 * 0.1)
    assert y[0] == pytest.approx(599.9 + 60 * 0.95 * 0.1 - 600)


def test_unstable_drag_stays_finite():
    """A drag far too strong for the tick ends at the bound, not in infinity."""
    x, y, vx, vy = np.array([5.0]), np.array([5.0]), np.array([FASTEST]), np.array([-1e-3])
    for _ in range(200):
        move(x, y, vx, vy, WORLD, False, 0.0, False, NONE, 1e4, 1e4, 1.0, np.empty((SPARE, len(x))))
    assert abs(vx[0]) == abs(vy[0]) == FASTEST
    assert 0 <= x[0] < 800
    assert 0 <= y[0] < 600


@given(st.floats(-1e300, 1e300), st.floats(1e-3, 1e7))
def test_wrap(value, period):
    """A wrapped value lies in [0, period), and one that lies there is left as it is."""
    wrapped = wrap(value, period)
    assert 0 <= wrapped < period
    assert wrap(wrapped, period) == wrapped


def test_wrap_of_almost_nothing_below_zero():
    """Just below 0 is 0, not the period that rounding would make of it."""
    assert wrap(-1e-20, 800.0) == 0.0


def motion_errors(steps):
    """Largest errors of positions (px) and velocities after 2 s at these numbers of steps."""
    n, seconds = 30, 2.0
    p = Params(oscillators=n, gamma=80.0, eta=0.6)
    x, y = np.random.default_rng(5).uniform(150, 450, (2, n))  # none of them reaches the seam
    start = State(x=x, y=y, vx=np.full(n, 0.3), vy=np.full(n, -0.2), phi=np.zeros(n))
    decay = np.log(0.985) / 0.016

    def slope(t, r):
        x, y, vx, vy = r.reshape(4, n)
        pulse = (300.0, 500.0, 0.2 * np.exp(decay * t), 90.0)
        gx, gy = reference.gradient(x, y, t, pulses=[pulse])
        return np.concatenate([60 * vx, 60 * vy, -p.gamma * gx - p.eta * vx, -p.gamma * gy - p.eta * vy])

    r0 = np.concatenate([start.x, start.y, start.vx, start.vy])
    exact = solve_ivp(slope, (0, seconds), r0, rtol=1e-10, atol=1e-10).y[:, -1].reshape(4, n)
    places, speeds = [], []
    for count in steps:
        sim = Simulation(p.replace(dt=seconds / count), seed=1, state=start)
        sim.intent(x=300.0, y=500.0, E=0.2, sigma=90.0)
        sim.advance(count)
        s = sim.state
        places.append(max(np.abs(s.x - exact[0]).max(), np.abs(s.y - exact[1]).max()))
        speeds.append(max(np.abs(s.vx - exact[2]).max(), np.abs(s.vy - exact[3]).max()))
    return np.array(places), np.array(speeds)


def test_order():
    """Errors of positions and velocities against SciPy's solver fall as dt: the motion is of first order."""
    steps = np.array([100, 200, 400, 800])
    for errors in motion_errors(steps):
        assert np.polyfit(np.log(1 / steps), np.log(errors), 1)[0] == pytest.approx(1, abs=0.1)
