"""Snapshots of significant events, and how many of them a run keeps."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.telemetry.format.snapshots import Allowance, picture_png


def test_how_many_are_kept(tmp_path: Path) -> None:
    """At most so many in all; of remotes at most half, 10 s apart; those of a run that goes on count."""
    few = Allowance(tmp_path, 4)
    assert few.take(0.0, remote=True)
    assert not few.take(9.0, remote=True)
    assert few.take(10.0, remote=True)
    assert not few.take(100.0, remote=True)
    assert few.take(100.0, remote=False)
    assert few.take(100.0, remote=False)
    assert not few.take(100.0, remote=False)
    for name in ("1-remote_lion_gate.npz", "2-lion_gate.npz", "2-lion_gate.png"):
        (tmp_path / name).touch()
    rest = Allowance(tmp_path, 4)
    assert [rest.take(when, remote=True) for when in (0.0, 20.0)] == [True, False]
    assert [rest.take(0.0, remote=False) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("world", [(800.0, 600.0), (300.0, 1200.0)])
def test_the_picture(world: tuple[float, float]) -> None:
    """A PNG of the whole world, its longer side 800 px, with a dot where an oscillator is."""
    sim = Simulation(Params(oscillators=50, world=world), seed=1)
    image = np.asarray(Image.open(io.BytesIO(picture_png(sim.snapshot()))))
    scale = 800 / max(world)
    assert image.shape == (round(world[1] * scale), round(world[0] * scale), 3)
    other = sim.snapshot().params.replace(oscillators=1)
    empty = np.asarray(Image.open(io.BytesIO(picture_png(Simulation(other, seed=9).snapshot()))))
    assert 200 < (image != empty).any(axis=2).sum() < 2000
