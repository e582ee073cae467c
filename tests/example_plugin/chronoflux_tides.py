"""A plugin for ChronoFlux: the event `tide`, which turns all phases, and the preset `ebb`."""

from typing import Annotated

from msgspec import Meta

import chronoflux as cf
from chronoflux.model.events import EVENTS
from chronoflux.model.state import Swarm


def tide(swarm: Swarm, age: float, *, turn: Annotated[float, Meta(ge=-7, le=7)] = 0.5) -> None:
    """Turn every phase by the same angle (rad)."""
    swarm.phi += turn


EVENTS.register(tide, wire="tide", label="Tide")
cf.presets.register("ebb", cf.Params(kappa=0.1, noise=0.5), "weak coupling and noise: order comes and goes")
