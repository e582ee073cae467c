"""The static image of a swarm."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.render.palettes import oklab
from chronoflux.render.static_image import static_png


def test_the_static_image_is_a_png_of_the_swarm() -> None:
    """The static image is a small PNG in which field and oscillators can be seen."""
    simulation = Simulation(Params(oscillators=220), seed=3)
    simulation.intent(x=400, y=300)
    simulation.advance(5)
    file = static_png(simulation.snapshot())
    assert len(file) < 150_000
    with Image.open(io.BytesIO(file)) as image:
        assert image.format == "PNG"
        assert image.size == (640, 480)
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert (oklab(pixels)[:, 0] > 0.55).mean() > 0.01
