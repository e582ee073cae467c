"""Places in space: arrays in, arrays out, against what the geometry says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from chronoflux.model.engine.field import AMBIENT, TOP, pressure
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation, Snapshot
from chronoflux.render.rasterize import phase_colours
from chronoflux.widget import shapes


def snapshot(n: int = 300, ticks: int = 3) -> Snapshot:
    simulation = Simulation(Params(oscillators=n), seed=3)
    simulation.intent(x=200, y=100)
    simulation.advance(ticks)
    return simulation.snapshot()


def test_on_the_torus_the_angle_is_the_phase() -> None:
    """Seen from above each oscillator is at the angle of its phase, within the ring, and no two coincide."""
    here = snapshot()
    places = shapes.torus(here)
    angle = np.arctan2(places[:, 1], places[:, 0]) % (2 * np.pi)
    np.testing.assert_allclose(np.exp(1j * angle), np.exp(1j * here.phi), atol=1e-5)
    reach = np.hypot(places[:, 0], places[:, 1])
    assert (np.hypot(reach - 1, places[:, 2]) <= 0.46).all()
    assert len(np.unique(places.round(5), axis=0)) == len(here.phi)


def test_height_is_the_pressure_and_lies_on_the_sheet() -> None:
    """Oscillators stand at their places as high as the field there, on the sheet drawn below them."""
    here = snapshot()
    places, (sheet, levels, apart) = shapes.height(here), shapes.sheet(here)
    np.testing.assert_allclose(
        places[:, 2], shapes.RISE * (here.pressure - AMBIENT) + 0.02, rtol=0, atol=1e-6
    )
    for cloud in (places, sheet):
        assert np.abs(cloud[:, 0]).max() <= 1
        assert np.abs(cloud[:, 1]).max() <= 0.75
    assert len(sheet) == pytest.approx(shapes.SHEET, rel=0.03)
    W = here.params.world[0]
    x, y = (sheet[:, 0].astype(float) + 1) * W / 2, (0.75 - sheet[:, 1].astype(float)) * W / 2
    p = pressure(x, y, here.params.world, False, here.t, here.portal, here.pulses)
    np.testing.assert_allclose(sheet[:, 2], shapes.RISE * (p - AMBIENT), rtol=0, atol=1e-5)
    np.testing.assert_allclose(levels, 255 * p / TOP, rtol=0, atol=0.51)
    assert apart == pytest.approx(np.diff(np.unique(sheet[:, 0])).max(), rel=0.05)


@pytest.mark.parametrize("world", [(800.0, 600.0), (100.0, 10_000.0), (10_000.0, 100.0)])
def test_the_sheet_fits_any_world(world: tuple[float, float]) -> None:
    """In a world of any proportions the field's sheet has about as many points."""
    sheet, levels, _ = shapes.sheet(dataclasses.replace(snapshot(5), params=Params(world=world)))
    assert 0.9 * shapes.SHEET <= len(sheet) == len(levels) <= shapes.SHEET


def test_a_helix_goes_back_in_time_and_begins_anew_after_a_jump() -> None:
    """The present lies on top with the angle of each phase, the past below; a jump leaves only that."""
    simulation, helix = Simulation(Params(oscillators=20), seed=3), shapes.Helix()
    for _ in range(100):
        simulation.advance(5)
        places, phases = helix.points(simulation.snapshot())
    here = simulation.snapshot()
    assert len(places) == len(phases) == 20 * (shapes.MOMENTS + 1)
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
    """None, one or very many: a helix has at most so many points; colours are those of the phases."""
    few = snapshot()
    many = {k: np.resize(getattr(few, k), n) for k in ("x", "y", "phi", "pressure")}
    here = dataclasses.replace(few, **many)
    helix = shapes.Helix()
    assert len(helix.points(here)[0]) <= shapes.MOST_POINTS * (1 + 1 / shapes.MOMENTS)
    assert shapes.torus(here).shape == shapes.height(here).shape == (n, 3)
    rgb = phase_colours(here.phi)
    r, g, b = rgb.astype(int).T
    np.testing.assert_array_equal(shapes.packed(rgb), 65536 * r + 256 * g + b)
