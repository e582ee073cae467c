"""The raster: levels, colours and opacities of fields and phases, against plain NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chronoflux.model.engine import TOP
from chronoflux.render import rasterize
from chronoflux.render.palettes import FIELD_COLOURS, PALETTES, PHASE_COLOURS, oklab


@settings(deadline=None)  # the first example compiles
@given(arrays(np.float64, (7, 5), elements=st.floats(-0.5, 2.0)))
def test_levels_are_the_pressure_rounded_over_its_range(p: np.ndarray) -> None:
    """A level is the pressure's nearest of 256 from 0 to 1.3, clamped, as NumPy rounds it."""
    exact = np.clip(p / TOP, 0, 1) * 255
    levels = rasterize.field_levels(p)
    assert levels.dtype == np.uint8
    assert levels.shape == p.shape
    assert (np.abs(levels - exact) <= 0.5 + 1e-9).all()


def test_levels_of_strange_values_and_layouts() -> None:
    """NaN is level 0, infinities are clamped, and a transposed field keeps its orientation."""
    assert rasterize.field_levels(np.array([[np.nan, np.inf, -np.inf]])).tolist() == [[0, 255, 0]]
    p = np.linspace(0, 1.3, 12).reshape(3, 4)
    np.testing.assert_array_equal(rasterize.field_levels(p.T), rasterize.field_levels(p).T)
    np.testing.assert_array_equal(
        rasterize.field_levels(np.asfortranarray(p)), rasterize.field_levels(p.copy(order="C"))
    )


@settings(deadline=None)  # the first example compiles
@given(arrays(np.uint8, (4, 6)))
def test_a_colour_map_is_a_lookup_table(levels: np.ndarray) -> None:
    """The image is the colour map indexed by the levels."""
    image = rasterize.apply_colormap(levels, FIELD_COLOURS)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, FIELD_COLOURS[levels])


@settings(deadline=None)  # the first example compiles
@given(arrays(np.float64, 9, elements=st.floats(-100, 100)))
def test_colours_of_phases_against_numpy(phi: np.ndarray) -> None:
    """A phase's colour is the entry of the cyclic map at its fraction of a turn."""
    turns = phi / (2 * np.pi)
    entries = (np.floor((turns - np.floor(turns)) * 256)).astype(int) % 256
    np.testing.assert_array_equal(rasterize.phase_colours(phi), PHASE_COLOURS[entries])


def test_colours_of_phases_close_and_survive_nan() -> None:
    """A whole turn brings the same colour back; NaN has the colour of phase 0."""
    phi = np.array([0.0, 2 * np.pi, -2 * np.pi, np.nan])
    assert len(np.unique(rasterize.phase_colours(phi), axis=0)) == 1


def test_opacity_grows_with_pressure() -> None:
    """Opacity is 0.4 without pressure, 1 from pressure 1 on, and linear in between."""
    np.testing.assert_allclose(rasterize.opacity(np.array([0.0, 0.5, 1.0, 1.3])), [0.4, 0.7, 1, 1])
    assert rasterize.opacity(np.zeros(2)).dtype == np.float32


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_discs(radius):
    """Discs have their colours and places; later ones cover earlier ones; the edges clip them."""
    image = np.zeros((20, 30, 3), np.uint8)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]], np.uint8)
    x, y = np.array([5.5, 6.9, 29.9, 1e300]), np.array([4.2, 4.9, 0.0, np.nan])
    rasterize.draw_discs(image, x, y, colours, radius)
    rows, columns = np.indices((20, 30))
    expected = np.zeros_like(image)
    for px, py, colour in zip(x[:3], y[:3], colours, strict=False):
        expected[(columns - int(px)) ** 2 + (rows - int(py)) ** 2 < (radius + 0.5) ** 2] = colour
    np.testing.assert_array_equal(image, expected)


def test_a_large_swarm_is_bytes_of_field_and_dots() -> None:
    """A pixel is the field's level, or the last oscillator's hue by phase and shade by pressure on it."""
    field = np.random.default_rng(1).integers(0, 96, (20, 30), np.uint8)
    x, y = np.array([2.2, 2.4, 14.9, 1e300, np.nan, -1.0]), np.array([1.0, 1.2, 9.9, 1.0, 1.0, 1.0])
    phi = np.array([0.0, np.pi, -np.pi / 2, 0.0, 0.0, 0.0])
    at = np.array([0.1, 0.6, 1.3, 0.5, 0.5, 0.5])
    swarm = x, y, phi, at, 2.0
    levels, expected = field.copy(), field.copy()
    rasterize.draw_swarm(levels, *swarm, 0)
    expected[2, 4] = 96 + 2 * 40 + 20
    expected[19, 29] = 96 + 3 * 40 + 30
    np.testing.assert_array_equal(levels, expected)
    squares, some = field.copy(), field.copy()
    rasterize.draw_swarm(squares, *swarm, 1)
    assert (squares[1:4, 3:6] >= 96).all()
    assert (squares >= 96).sum() == 9 + 4
    rasterize.draw_swarm(some, *swarm, 0, every=2)
    assert (some >= 96).sum() == 2


def test_oscillators_without_a_number_are_drawn_as_phase_and_pressure_0() -> None:
    """NaN and infinite phases and pressures take the first hue and the first shade."""
    x = y = np.array([0.5, 1.5, 2.5])
    phi, at = np.array([np.nan, np.inf, 0.0]), np.array([1.0, np.nan, -np.inf])
    levels = np.zeros((3, 3), np.uint8)
    rasterize.draw_swarm(levels, x, y, phi, at, 1.0, 0)
    assert levels.diagonal().tolist() == [96 + 3 * 40, 96, 96]


@pytest.mark.parametrize("palette", PALETTES)
def test_the_colours_of_a_large_swarm(palette: str) -> None:
    """First the field's, then the hues on the field at rest, from shade to shade more opaque."""
    colours = rasterize.swarm_colormap(palette, False)
    chosen = PALETTES[palette]
    np.testing.assert_array_equal(colours[[0, 95]], chosen.field[[0, 255]])
    hues = oklab(chosen.phases[np.arange(40) * 256 // 40])
    away = [
        np.linalg.norm(oklab(colours[96 + 40 * s : 136 + 40 * s]) - hues, axis=1).mean() for s in range(4)
    ]
    assert away == sorted(away, reverse=True)
    assert away[-1] < 0.05
    assert not np.array_equal(rasterize.swarm_colormap(palette, True), colours)
