"""Colour maps and palettes: even, apart for everybody, and fit for their grounds."""

import numpy as np
import pytest

from chronoflux.render.palettes import PALETTES, Palette, oklab

REST = 108
"""The level of the pressure 0.55, of 256 from 0 to 1.3."""

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


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_phase_maps_are_cyclic_and_even(palette: Palette) -> None:
    """Neighbouring colours have similar distances, the last and the first included."""
    lab = oklab(palette.phases)
    steps = np.linalg.norm(lab - np.roll(lab, 1, axis=0), axis=1)
    assert steps.max() < 3 * steps.min()


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
@pytest.mark.parametrize("deficiency", [PROTANOPIA, DEUTERANOPIA], ids=["protanopia", "deuteranopia"])
def test_phase_maps_are_safe_for_colour_blind_readers(palette: Palette, deficiency: np.ndarray) -> None:
    """Phases at least a quarter turn apart stay far apart (ΔE_OK above 0.12) as a dichromat sees them."""
    lab = oklab(as_seen(palette.phases, deficiency))
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    entry = np.arange(256)
    apart = np.abs((entry[:, None] - entry + 128) % 256 - 128)
    assert distance[apart >= 64].min() > 0.12


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_oscillators_stand_out(palette: Palette) -> None:
    """Every phase differs in lightness from the field at rest, in portal mode or not."""
    phases = oklab(palette.phases)[:, 0]
    for field in (palette.field, palette.portal):
        assert np.abs(phases - oklab(field)[REST, 0]).min() > 0.15
        assert not field.flags.writeable


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_field_maps_are_monotone_and_portal_mode_is_another(palette: Palette) -> None:
    """Lightness is monotone in pressure; at rest portal mode has a clearly different colour."""
    for field in (palette.field, palette.portal):
        steps = np.diff(oklab(field)[:, 0])
        assert (steps * np.sign(steps.sum())).min() > -0.005
    rest = oklab(np.array([palette.field[REST], palette.portal[REST]]))
    assert np.linalg.norm(rest[0] - rest[1]) > 0.04


def test_oklab_of_known_colours() -> None:
    """White, black and red have the OKLab values of Ottosson's table."""
    lab = oklab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], np.uint8))
    expected = [[1, 0, 0], [0, 0, 0], [0.628, 0.2249, 0.1258]]
    np.testing.assert_allclose(lab, expected, atol=1e-3)
