"""What the README does to add an event, for type checkers: it is read by them and never run."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from msgspec import Meta

import chronoflux as cf
from chronoflux.model.events import EVENTS
from chronoflux.model.state import Swarm


def scatter(swarm: Swarm, age: float, *, strength: Annotated[float, Meta(ge=0, le=10)] = 1.0) -> None:
    """Push every oscillator in a direction of its own."""
    angle = swarm.rng.uniform(0, 6.283, len(swarm.x))
    swarm.vx += strength * np.cos(angle)
    swarm.vy += strength * np.sin(angle)


EVENTS.register(scatter, wire="scatter", label="Scatter")


def fire(node: cf.Node) -> str:
    """Fire it."""
    return node.fire("scatter", strength=2.0)
