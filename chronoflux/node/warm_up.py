"""Compilation of the kernels before a run needs them."""

from __future__ import annotations

from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.render import rasterize


def warm_up(params: Params, *, pictures: bool = False) -> None:
    """Compile the kernels for a swarm of `params`, with `pictures` also those that draw it."""
    if pictures:
        rasterize.warm_up()
    # A small swarm, which is discarded, compiles them.
    small = params.replace(oscillators=min(params.oscillators, 16))
    simulation = Simulation(small, seed=0)
    simulation.anchor(0.0)
    simulation.hear("nobody", 0.0, 0.5, 0.0, 1.0)
    simulation.intent(x=0.0, y=0.0)
    simulation.metrics()  # before a tick, as after a reset: a kernel of its own finds the neighbours then
    simulation.advance(2)
    simulation.metrics()
    simulation.snapshot()
