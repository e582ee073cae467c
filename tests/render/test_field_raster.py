"""The field as levels at once, against the levels of its pressure."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chronoflux.model.engine import pressure_grid
from chronoflux.render.field_raster import rasterize_field
from chronoflux.render.rasterize import field_levels

PULSES = np.array([[10.0, 590.0, 0.3, 80.0], [790.0, 300.0, 0.25, 30.0], [400.0, 300.0, 2.0, 90.0]])
SIDES = st.floats(1e-3, 1e6)


@pytest.mark.parametrize("plane", [False, True])
@pytest.mark.parametrize("portal", [False, True])
def test_levels_of_the_field(plane: bool, portal: bool) -> None:
    """All but a few pixels have the level of the pressure at their centres, and these the next one."""
    where = 200, 150, (800.0, 600.0), plane, 2.5, portal, PULSES
    levels = rasterize_field(*where)
    assert levels.dtype == np.uint8
    off = np.abs(levels.astype(int) - field_levels(pressure_grid(*where)))
    assert off.max() <= 1
    assert off.mean() < 1e-3
    assert rasterize_field(*where, levels=96).max() == 95


@given(SIDES, SIDES, st.integers(1, 40), st.integers(1, 40), st.floats(0, 1e5))
@example(1e6, 1.0, 40, 1, 0.0)
@example(1.0, 1e6, 1, 40, 0.0)
def test_whatever_the_world(width: float, height: float, columns: int, rows: int, t: float) -> None:
    """Worlds of any size and shape: no pixel is more than a level off."""
    pulses = np.array([[width / 3, height / 2, 0.35, max(width, height) / 8]])
    where = columns, rows, (width, height), False, t, False, pulses
    off = np.abs(rasterize_field(*where).astype(int) - field_levels(pressure_grid(*where)))
    assert off.max() <= 1
