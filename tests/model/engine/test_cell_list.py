"""Exact neighbours against looking at everybody."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from chronoflux.model.engine.cell_list import nearest
from tests import reference


def found(x, y, world, plane, k):
    near = np.empty((len(x), min(k, len(x) - 1)), np.int32)
    nearest(x, y, world, plane, near)
    return near


sides = st.sampled_from([1.0, 7.3, 600.0, 800.0, 1e7])
below_one = float(np.nextafter(1, 0))
parts = st.one_of(
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([0.0, 5e-324, 0.25, 0.5, 0.75, below_one]),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(parts, parts), min_size=1, max_size=60),
    st.tuples(sides, sides),
    st.booleans(),
    st.integers(0, 70),
)
@example([(0.5, 0.5)] * 40, (800.0, 600.0), False, 8)
@example([(0.0, 0.0), (below_one, below_one)] * 15, (800.0, 600.0), False, 8)
@example([(0.0, 0.5)], (800.0, 600.0), False, 8)
def test_equal_to_brute_force(places, world, plane, k):
    """Neighbours are those of brute force for any positions: duplicates, seam points, fewer than k."""
    x, y = np.array(places).T * np.array(world)[:, None]
    x, y = np.minimum(x, np.nextafter(world[0], 0)), np.minimum(y, np.nextafter(world[1], 0))
    np.testing.assert_array_equal(found(x, y, world, plane, k), reference.nearest(x, y, world, plane, k))


@pytest.mark.parametrize("plane", [False, True])
@pytest.mark.parametrize("shape", ["uniform", "spot", "seam", "lattice", "half-empty"])
def test_large(plane, shape):
    """At 1,500 oscillators too, uniform, collapsed, on the seam, on a lattice full of ties, in clusters."""
    world, n = (800.0, 600.0), 1500
    rng = np.random.default_rng(5)
    x, y = rng.random(n) * 800, rng.random(n) * 600
    if shape == "spot":
        x, y = 400 + rng.random(n) * 1e-9, 300 + rng.random(n) * 1e-9
    elif shape == "seam":
        x = np.where(rng.random(n) < 0.5, 0.0, np.nextafter(800, 0))
    elif shape == "lattice":
        x, y = rng.integers(0, 20, n) * 40.0, rng.integers(0, 15, n) * 40.0
    elif shape == "half-empty":
        x[:750] = x[:750] % 3
    np.testing.assert_array_equal(found(x, y, world, plane, 8), reference.nearest(x, y, world, plane, 8))


def test_equal_to_a_tree():
    """On 20,000 random points the neighbours are those of SciPy's periodic k-d tree."""
    world, n = (800.0, 600.0), 20_000
    rng = np.random.default_rng(6)
    points = rng.random((n, 2)) * world
    _, tree = cKDTree(points, boxsize=world).query(points, k=9)
    expected = np.sort(tree[:, 1:], axis=1)
    np.testing.assert_array_equal(found(*points.T.copy(), world, False, 8), expected)


def test_all_in_one_place():
    """Where everybody sits in one place, the lowest indices are everybody's neighbours."""
    near = found(np.zeros(3000), np.zeros(3000), (800.0, 600.0), False, 3)
    assert near[2999].tolist() == [0, 1, 2]
    assert near[1].tolist() == [0, 2, 3]
