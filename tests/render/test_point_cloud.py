"""Places in space: arrays in, arrays out, against what the geometry says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from chronoflux.model.engine import AMBIENT, TOP, pressure
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation, Snapshot
from chronoflux.render import point_cloud
from chronoflux.render.palettes import PALETTES
from chronoflux.render.rasterize import phase_colours


def snapshot(n: int = 300, ticks: int = 3) -> Snapshot:
    simulation = Simulation(Params(oscillators=n), seed=3)
    simulation.intent(x=200, y=100)
    simulation.advance(ticks)
    return simulation.snapshot()


def test_on_the_torus_the_angle_is_the_phase() -> None:
    """Seen from above each oscillator is at the angle of its phase, within the ring, and no two coincide."""
    here = snapshot()
    places = point_cloud.torus(here)
    angle = np.arctan2(places[:, 1], places[:, 0]) % (2 * np.pi)
    np.testing.assert_allclose(np.exp(1j * angle), np.exp(1j * here.phi), atol=1e-5)
    reach = np.hypot(places[:, 0], places[:, 1])
    assert (np.hypot(reach - 1, places[:, 2]) <= 0.46).all()
    assert len(np.unique(places.round(5), axis=0)) == len(here.phi)


def test_height_is_the_pressure_and_lies_on_the_surface() -> None:
    """Oscillators stand at their places as high as the field there, on the surface drawn below them."""
    here = snapshot()
    places, (surface, levels, apart) = point_cloud.height(here), point_cloud.surface(here)
    np.testing.assert_allclose(
        places[:, 2], point_cloud.RISE * (here.pressure - AMBIENT) + 0.02, rtol=0, atol=1e-6
    )
    for cloud in (places, surface):
        assert np.abs(cloud[:, 0]).max() <= 1
        assert np.abs(cloud[:, 1]).max() <= 0.75
    assert len(surface) == pytest.approx(point_cloud.SURFACE_POINTS, rel=0.03)
    W = here.params.world[0]
    x, y = (surface[:, 0].astype(float) + 1) * W / 2, (0.75 - surface[:, 1].astype(float)) * W / 2
    p = pressure(x, y, here.params.world, False, here.t, here.portal, here.pulses)
    np.testing.assert_allclose(surface[:, 2], point_cloud.RISE * (p - AMBIENT), rtol=0, atol=1e-5)
    np.testing.assert_allclose(levels, 255 * p / TOP, rtol=0, atol=0.51)
    assert apart == pytest.approx(np.diff(np.unique(surface[:, 0])).max(), rel=0.05)


@pytest.mark.parametrize("world", [(800.0, 600.0), (100.0, 10_000.0), (10_000.0, 100.0)])
def test_the_surface_fits_any_world(world: tuple[float, float]) -> None:
    """In a world of any proportions the field's surface has about as many points."""
    surface, levels, _ = point_cloud.surface(dataclasses.replace(snapshot(5), params=Params(world=world)))
    assert 0.9 * point_cloud.SURFACE_POINTS <= len(surface) == len(levels) <= point_cloud.SURFACE_POINTS


def test_a_helix_goes_back_in_time_and_begins_anew_after_a_jump() -> None:
    """The present is on top, at the angle of each phase, the past below; a jump in time clears the past."""
    simulation, helix = Simulation(Params(oscillators=20), seed=3), point_cloud.Helix()
    for _ in range(100):
        simulation.advance(5)
        places, phases = helix.points(simulation.snapshot())
    here = simulation.snapshot()
    assert len(places) == len(phases) == 20 * (point_cloud.HELIX_MOMENTS + 1)
    assert len(np.unique(places[:, 2])) > 20
    top = places[-20:]
    np.testing.assert_allclose(top[:, 2], 1)
    np.testing.assert_allclose(
        np.exp(1j * np.arctan2(top[:, 1], top[:, 0])), np.exp(1j * here.phi), atol=1e-5
    )
    assert places[:, 2].min() >= -1
    assert (np.diff(places[::20, 2]) > -1e-6).all()
    back = dataclasses.replace(here, t=here.t - 3, tick=here.tick - 180)
    np.testing.assert_array_equal(helix.points(back)[0][:, 2], 1)


@pytest.mark.parametrize("n", [0, 1, 50_000])
def test_any_number_of_oscillators(n: int) -> None:
    """With none, one or very many oscillators the helix is bounded, and colours are those of the phases."""
    few = snapshot()
    many = {k: np.resize(getattr(few, k), n) for k in ("x", "y", "phi", "pressure")}
    here = dataclasses.replace(few, **many)
    helix = point_cloud.Helix()
    assert len(helix.points(here)[0]) <= point_cloud.MAX_POINTS * (1 + 1 / point_cloud.HELIX_MOMENTS)
    assert point_cloud.torus(here).shape == point_cloud.height(here).shape == (n, 3)
    rgb = phase_colours(here.phi)
    r, g, b = rgb.astype(int).T
    np.testing.assert_array_equal(point_cloud.packed_colours(rgb), 65536 * r + 256 * g + b)


@pytest.mark.parametrize("layout", point_cloud.LAYOUTS)
def test_a_cloud_is_its_background_and_one_point_per_oscillator(layout: str) -> None:
    """Positions, colours and sizes have one row per point; the oscillators come last, in their colours."""
    here, palette = snapshot(50), PALETTES["vivid"]
    positions, colours, sizes = point_cloud.compose_cloud(here, layout, palette, point_cloud.Helix())
    assert len(positions) == len(colours) == len(sizes)
    expected = point_cloud.packed_colours(phase_colours(here.phi, palette.phases))
    np.testing.assert_array_equal(colours[-50:], expected)
    if layout != "helix":
        np.testing.assert_array_equal(positions[-50:], getattr(point_cloud, layout)(here))
