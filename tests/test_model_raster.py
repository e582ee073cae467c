"""The raster: levels, colours and opacities of fields and phases, against plain NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chronoflux.model import raster
from chronoflux.model.field import TOP

# Linear RGB as seen with full protanopia and deuteranopia: Machado, Oliveira and Fernandes 2009, table 1.
PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)


def as_seen(rgb: np.ndarray, deficiency: np.ndarray) -> np.ndarray:
    value = rgb / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ deficiency.T, 0, 1)
    value = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(value * 255).astype(np.uint8)


@settings(deadline=None)  # the first example compiles
@given(arrays(np.float64, (7, 5), elements=st.floats(-0.5, 2.0)))
def test_levels_are_the_pressure_rounded_over_its_range(p: np.ndarray) -> None:
    """A level is the pressure's nearest of 256 from 0 to 1.3, clamped, as NumPy rounds it."""
    exact = np.clip(p / TOP, 0, 1) * 255
    levels = raster.field_levels(p)
    assert levels.dtype == np.uint8
    assert levels.shape == p.shape
    assert (np.abs(levels - exact) <= 0.5 + 1e-9).all()


def test_levels_of_strange_values_and_layouts() -> None:
    """NaN is level 0, infinities are clamped, and a transposed field keeps its orientation."""
    assert raster.field_levels(np.array([[np.nan, np.inf, -np.inf]])).tolist() == [[0, 255, 0]]
    p = np.linspace(0, 1.3, 12).reshape(3, 4)
    np.testing.assert_array_equal(raster.field_levels(p.T), raster.field_levels(p).T)
    np.testing.assert_array_equal(
        raster.field_levels(np.asfortranarray(p)), raster.field_levels(p.copy(order="C"))
    )


@settings(deadline=None)  # the first example compiles
@given(arrays(np.uint8, (4, 6)))
def test_painting_is_looking_up(levels: np.ndarray) -> None:
    """The image is the colour map indexed by the levels."""
    image = raster.paint(levels, raster.FIELD_COLOURS)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, raster.FIELD_COLOURS[levels])


def test_field_image_joins_both() -> None:
    """The image of a field is the painted levels of its pressure."""
    p = np.random.default_rng(1).uniform(0, 1.3, (30, 40))
    expected = raster.PORTAL_COLOURS[np.floor(p / 1.3 * 255 + 0.5).astype(int)]
    np.testing.assert_array_equal(raster.field_image(p, raster.PORTAL_COLOURS), expected)


@settings(deadline=None)  # the first example compiles
@given(arrays(np.float64, 9, elements=st.floats(-100, 100)))
def test_colours_of_phases_against_numpy(phi: np.ndarray) -> None:
    """A phase's colour is the entry of the cyclic map at its fraction of a turn."""
    turns = phi / (2 * np.pi)
    entries = (np.floor((turns - np.floor(turns)) * 256)).astype(int) % 256
    np.testing.assert_array_equal(raster.phase_colours(phi), raster.PHASE_COLOURS[entries])


def test_colours_of_phases_close_and_survive_nan() -> None:
    """A whole turn brings the same colour back; NaN has the colour of phase 0."""
    phi = np.array([0.0, 2 * np.pi, -2 * np.pi, np.nan])
    assert len(np.unique(raster.phase_colours(phi), axis=0)) == 1


def test_the_phase_map_is_cyclic_even_and_bright() -> None:
    """Neighbouring colours, the last and first included, are alike in distance; none is dark."""
    lab = raster.oklab(raster.PHASE_COLOURS)
    steps = np.linalg.norm(lab - np.roll(lab, 1, axis=0), axis=1)
    assert steps.max() < 3 * steps.min()
    assert lab[:, 0].min() > 0.5


@pytest.mark.parametrize("deficiency", [PROTANOPIA, DEUTERANOPIA], ids=["protanopia", "deuteranopia"])
def test_the_phase_map_is_safe_for_colour_blind_readers(deficiency: np.ndarray) -> None:
    """Phases at least a quarter turn apart stay far apart (ΔE_OK above 0.12) as a dichromat sees them."""
    lab = raster.oklab(as_seen(raster.PHASE_COLOURS, deficiency))
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    entry = np.arange(256)
    apart = np.abs((entry[:, None] - entry + 128) % 256 - 128)
    assert distance[apart >= 64].min() > 0.12


@pytest.mark.parametrize("colours", [raster.FIELD_COLOURS, raster.PORTAL_COLOURS])
def test_field_maps_grow_lighter(colours: np.ndarray) -> None:
    """More pressure is never darker, and oscillators stand out against rest."""
    lightness = raster.oklab(colours)[:, 0]
    assert np.diff(lightness).min() > -0.005
    assert lightness[108] < 0.35
    assert not colours.flags.writeable


def test_oklab_of_known_colours() -> None:
    """White, black and red have the OKLab values of Ottosson's table."""
    lab = raster.oklab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], np.uint8))
    expected = [[1, 0, 0], [0, 0, 0], [0.628, 0.2249, 0.1258]]
    np.testing.assert_allclose(lab, expected, atol=1e-3)


def test_opacity_grows_with_pressure() -> None:
    """Opacity is 0.4 without pressure, 1 from pressure 1 on, and linear in between."""
    np.testing.assert_allclose(raster.opacity(np.array([0.0, 0.5, 1.0, 1.3])), [0.4, 0.7, 1, 1])
    assert raster.opacity(np.zeros(2)).dtype == np.float32


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_dots(radius):
    """Dots are discs in their colours at their places, later ones on top, cut off at the edges."""
    image = np.zeros((20, 30, 3), np.uint8)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]], np.uint8)
    x, y = np.array([5.5, 6.9, 29.9, 1e300]), np.array([4.2, 4.9, 0.0, np.nan])
    raster.add_dots(image, x, y, colours, radius)
    rows, columns = np.indices((20, 30))
    expected = np.zeros_like(image)
    for px, py, colour in zip(x[:3], y[:3], colours, strict=False):
        expected[(columns - int(px)) ** 2 + (rows - int(py)) ** 2 < (radius + 0.5) ** 2] = colour
    np.testing.assert_array_equal(image, expected)
