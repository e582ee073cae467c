"""The pressure field against its NumPy twin."""

from __future__ import annotations

import numpy as np
import pytest

from chronoflux.model.engine import field
from tests import reference

WORLD = (800.0, 600.0)
PULSES = np.array([[10.0, 590.0, 0.3, 80.0], [790.0, 300.0, 0.25, 30.0], [400.0, 300.0, 2.0, 90.0]])
NONE = np.empty((0, 4))


def points(n=300, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random(n) * WORLD[0], rng.random(n) * WORLD[1]


@pytest.mark.parametrize("plane", [False, True])
@pytest.mark.parametrize("portal", [False, True])
@pytest.mark.parametrize("pulses", [NONE, PULSES], ids=["quiet", "pulses"])
def test_pressure_and_gradient(plane, portal, pulses):
    """Pressure and gradient equal the twin's, the gradient being a derivative taken another way."""
    x, y = points()
    p, gx, gy = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    field.evaluate(x, y, WORLD, plane, 1.7, portal, pulses, p, gx, gy, *np.empty((3, len(x))))
    where = {"world": WORLD, "plane": plane, "portal": portal, "pulses": pulses}
    np.testing.assert_allclose(p, reference.pressure(x, y, 1.7, **where), rtol=0, atol=1e-13)
    for mine, twin in zip((gx, gy), reference.gradient(x, y, 1.7, **where), strict=True):
        np.testing.assert_allclose(mine, twin, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(field.pressure(x, y, WORLD, plane, 1.7, portal, pulses), p)


def test_pressure_is_that_of_each_point_alone():
    """However many points come together, and in whatever order, each has the pressure it has alone."""
    x, y = points(1300)
    order = np.argsort(x)
    p = field.pressure(x, y, WORLD, False, 1.7, False, PULSES)
    np.testing.assert_array_equal(
        field.pressure(x[order], y[order], WORLD, False, 1.7, False, PULSES), p[order]
    )
    for i in (0, 511, 512, 1299):
        assert field.pressure(x[i : i + 1], y[i : i + 1], WORLD, False, 1.7, False, PULSES)[0] == p[i]


def test_clamped():
    """Where the clamp is active the pressure is 0 or 1.3 and the gradient 0."""
    x, y = points(2000)
    strong = np.array([[400.0, 300.0, 2.0, 80.0], [100.0, 100.0, -2.0, 60.0]])
    p, gx, gy = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    field.evaluate(x, y, WORLD, False, 0.0, False, strong, p, gx, gy, *np.empty((3, len(x))))
    assert p.min() == 0.0
    assert p.max() == 1.3
    for clamped in (p == 0.0, p == 1.3):
        assert not gx[clamped].any()
        assert not gy[clamped].any()
    assert gx[(p > 0) & (p < 1.3)].all()


@pytest.mark.parametrize("plane", [False, True])
@pytest.mark.parametrize("portal", [False, True])
def test_grid(plane, portal):
    """The grid of pixels equals the pressure at the pixels' centres."""
    columns, rows = 37, 23
    grid = field.pressure_grid(columns, rows, WORLD, plane, 2.5, portal, PULSES)
    x, y = np.meshgrid((np.arange(columns) + 0.5) * 800 / columns, (np.arange(rows) + 0.5) * 600 / rows)
    expected = field.pressure(x.ravel(), y.ravel(), WORLD, plane, 2.5, portal, PULSES).reshape(rows, columns)
    np.testing.assert_allclose(grid, expected, rtol=0, atol=1e-14)


def test_portal_takes_the_jet_away():
    """In portal mode and without pulses the pressure is 0.55 everywhere."""
    x, y = points()
    assert (field.pressure(x, y, WORLD, False, 3.0, True, NONE) == 0.55).all()


def test_pulse_over_the_seam():
    """On the torus a pulse is felt across the seam, on the plane it is not."""
    pulse = np.array([[799.0, 599.0, 0.35, 20.0]])
    x, y = np.array([1.0]), np.array([1.0])
    torus, plane = (field.pressure(x, y, WORLD, flag, 0.0, True, pulse)[0] for flag in (False, True))
    assert torus == pytest.approx(0.55 + 0.35 * np.exp(-8 / 800), abs=1e-15)
    assert plane == pytest.approx(0.55, abs=1e-15)


def test_decay():
    """A pulse of 0.35 lasts 3.03 s with a time constant of 1.06 s, whatever the tick."""
    fired = np.array([[1.0, 2.0, 0.35, 80.0, 5.0], [3.0, 4.0, 0.35, 70.0, 5.5]])
    alive = np.empty((2, 4))
    assert field.decay(fired, 6.0, alive) == 2
    np.testing.assert_allclose(alive[:, 2], 0.35 * 0.985 ** (np.array([1.0, 0.5]) / 0.016), rtol=1e-14)
    lasts = 0.016 * np.log(0.02 / 0.35) / np.log(0.985)
    assert field.decay(fired, 5.0 + lasts - 1e-9, alive) == 2
    assert field.decay(fired, 5.0 + lasts + 1e-9, alive) == 1
    assert tuple(alive[0, [0, 1, 3]]) == (3.0, 4.0, 70.0)
    assert field.decay(fired, 1e9, alive) == 0
