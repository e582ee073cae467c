"""Pictures of snapshots: positions, rings, mean fields and sizes."""

from __future__ import annotations

import numpy as np
import pytest

from chronoflux.model.engine import pressure
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.render import rasterize
from chronoflux.render.palettes import PALETTES
from chronoflux.render.picture import MAX_DOTS, MAX_VECTORS, MeanField, compose, picture_size, stride


def simulation(**params: object) -> Simulation:
    return Simulation(Params(**{"oscillators": 50, **params}), seed=3)


@pytest.mark.parametrize(
    ("world", "size"),
    [((800, 600), (800, 600)), ((1600, 600), (800, 300)), ((10, 10), (600, 600)), ((1e7, 1), (800, 1))],
)
def test_a_picture_has_the_proportions_of_the_world(
    world: tuple[float, float], size: tuple[int, int]
) -> None:
    """The world fills a box of 800 × 600 px as far as its proportions allow."""
    assert picture_size(world) == size


def test_dots_are_where_the_oscillators_are() -> None:
    """Positions scale from the world to the picture; hue is the phase, opacity the pressure."""
    sim = simulation(world=(400, 300))
    shown = sim.snapshot()
    picture = compose(shown)
    np.testing.assert_allclose(picture.x, shown.x * 2, rtol=1e-6)
    np.testing.assert_allclose(picture.y, shown.y * 2, rtol=1e-6)
    np.testing.assert_array_equal(picture.hues, rasterize.phase_colours(shown.phi))
    np.testing.assert_array_equal(picture.alpha, rasterize.opacity(shown.pressure))
    sim.advance(100)
    np.testing.assert_allclose(picture.x, shown.x * 2, rtol=1e-6)


def test_the_field_is_sampled_at_the_middle_of_its_pixels() -> None:
    """A pixel of the field is the level of the pressure at its centre."""
    sim = simulation()
    sim.intent(x=200, y=100)
    sim.advance()
    shown = sim.snapshot()
    picture = compose(shown)
    assert picture.levels.shape == (150, 200)
    x, y = (np.ravel(a) for a in np.meshgrid(np.arange(200) * 4 + 2.0, np.arange(150) * 4 + 2.0))
    p = pressure(x, y, shown.params.world, False, shown.t, False, shown.pulses)
    difference = picture.levels.ravel().astype(int) - rasterize.field_levels(p[None])[0]
    assert np.abs(difference).max() <= 1


def test_portal_mode_looks_different() -> None:
    """In portal mode the field has other colours and no jet."""
    sim = simulation()
    plain = compose(sim.snapshot())
    sim.lion_gate()
    sim.advance()
    portal = compose(sim.snapshot())
    assert portal.portal
    assert not plain.portal
    assert not np.array_equal(portal.colours, plain.colours)
    assert np.ptp(portal.levels) == 0
    assert np.ptp(plain.levels) > 100


def test_a_pulse_is_a_fading_ring_on_both_sides_of_the_seam() -> None:
    """A ring at σ per pulse, fainter with age, drawn again where it reaches over the seam of a torus."""
    sim = simulation()
    sim.intent(x=790, y=300, sigma=50)
    sim.advance()
    young = compose(sim.snapshot()).rings
    np.testing.assert_allclose(young[:, 0], [-10, 790])
    np.testing.assert_allclose(young[:, 2], 50)
    sim.advance(60)
    old = compose(sim.snapshot()).rings
    assert (old[:, 3] < young[:, 3]).all()
    sim.advance(300)
    assert compose(sim.snapshot()).rings.shape == (0, 4)

    plane = simulation(boundary="plane")
    plane.intent(x=790, y=300, sigma=50)
    plane.advance()
    np.testing.assert_allclose(compose(plane.snapshot()).rings[:, 0], [790])


def test_the_clock_shows_our_mean_field_and_the_peers() -> None:
    """The first mean field is our own; a peer's is at its phase difference from it."""
    sim = simulation()
    R, psi, _ = sim.mean_field()
    own, peer = compose(sim.snapshot(), [MeanField(0.5, 1.0, "b")]).mean_fields
    assert (own.label, peer.label, peer.R) == ("", "b", 0.5)
    assert pytest.approx(R) == own.R
    assert np.exp(1j * own.psi) == pytest.approx(np.exp(1j * psi))
    assert np.exp(1j * peer.psi) == pytest.approx(np.exp(1j * (psi + 1)))


def test_a_large_swarm_is_part_of_the_fields_picture() -> None:
    """Above 2,000 oscillators nothing is drawn one by one: each has its pixel in the levels."""
    assert len(compose(simulation(oscillators=MAX_VECTORS).snapshot()).x) == MAX_VECTORS
    shown = Simulation(Params(oscillators=MAX_VECTORS + 1), seed=1).snapshot()
    picture = compose(shown, palette="day")
    assert len(picture.x) == len(picture.hues) == len(picture.alpha) == 0
    assert picture.levels.shape == (600, 800)
    assert (picture.levels[shown.y.astype(int), shown.x.astype(int)] >= rasterize.FIELD_LEVELS).all()
    np.testing.assert_array_equal(picture.colours, rasterize.swarm_colormap("day", False))


def test_what_a_picture_costs_stops_growing() -> None:
    """Above a quarter of a million oscillators every k-th is drawn, at most `MAX_DOTS`."""
    assert stride(MAX_DOTS) == 1
    for n in (MAX_DOTS + 1, 10**6, 10**7):
        assert n // stride(n) <= MAX_DOTS


@pytest.mark.parametrize("palette", PALETTES)
def test_palettes_paint_everything(palette: str) -> None:
    """Field, oscillators and portal mode are in the colours that were chosen."""
    sim = simulation()
    chosen = PALETTES[palette]
    picture = compose(sim.snapshot(), palette=palette)
    np.testing.assert_array_equal(picture.colours, chosen.field)
    np.testing.assert_array_equal(picture.hues, rasterize.phase_colours(sim.state.phi, chosen.phases))
    sim.lion_gate()
    sim.advance()
    np.testing.assert_array_equal(compose(sim.snapshot(), palette=palette).colours, chosen.portal)
