"""Kernels compiled before a run needs them."""

from __future__ import annotations

from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.render import rasterize


def warm_up(params: Params, *, pictures: bool = False) -> None:
    """Compile what a swarm of `params` runs on, by one that is thrown away; and what it is drawn with."""
    if pictures:
        rasterize.warm_up()
    small = params.replace(oscillators=min(params.oscillators, 16))
    simulation = Simulation(small, seed=0)
    simulation.anchor(0.0)
    simulation.hear("nobody", 0.0, 0.5, 0.0, 1.0)
    simulation.intent(x=0.0, y=0.0)
    simulation.metrics()  # before a tick, as after a reset: neighbours are found by a kernel of its own then
    simulation.advance(2)
    simulation.metrics()
    simulation.snapshot()
