"""Motion against its NumPy twin and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.model.motion import FASTEST, move
from chronoflux.model.params import Params
from chronoflux.model.periodic import wrap
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
    move(x, y, vx, vy, WORLD, False, 0.0, False, pulses, p.gamma, p.eta, p.dt)
    twin.step()
    for mine, other in ((x, twin.x), (y, twin.y), (vx, twin.vx), (vy, twin.vy)):
        np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-12)


def test_drag():
    """Without a gradient the velocity shrinks by 1 − η dt a step, and 60 v dt is the way made."""
    x, y, vx, vy = np.array([5.0]), np.array([599.9]), np.array([-2.0]), np.array([1.0])
    move(x, y, vx, vy, WORLD, False, 0.0, True, NONE, 1.0, 0.5, 0.1)
    assert vx[0] == pytest.approx(-1.9)
    assert x[0] == pytest.approx(800 + 5 - 60 * 1.9 * 0.1)
    assert y[0] == pytest.approx(599.9 + 60 * 0.95 * 0.1 - 600)


def test_unstable_drag_stays_finite():
    """A drag far too strong for the tick ends at the bound, not in infinity."""
    x, y, vx, vy = np.array([5.0]), np.array([5.0]), np.array([FASTEST]), np.array([-1e-3])
    for _ in range(200):
        move(x, y, vx, vy, WORLD, False, 0.0, False, NONE, 1e4, 1e4, 1.0)
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
