"""`Snapshot`: a swarm at one tick, to draw, send or keep."""

from __future__ import annotations

from dataclasses import dataclass

from chronoflux.model.engine import Floats
from chronoflux.model.params import Params


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A swarm at one tick. Its arrays are copies and read-only, so any thread may keep it.

    ``x, y`` (px), ``vx, vy`` (px per 1/60 s), ``phi`` (rad) and ``pressure`` (dimensionless, at each
    oscillator) are float64 (n,). ``pulses`` is float64 (P, 4): ``x, y, E(t), sigma`` of those alive.

    Examples
    --------
    >>> import chronoflux as cf
    >>> simulation = cf.Simulation(cf.Params(oscillators=60), seed=1)
    >>> simulation.advance(10)
    >>> snapshot = simulation.snapshot()
    >>> snapshot.tick, snapshot.phi.shape, snapshot.phi.flags.writeable
    (10, (60,), False)
    """

    x: Floats
    y: Floats
    vx: Floats
    vy: Floats
    phi: Floats
    pressure: Floats
    pulses: Floats
    portal: bool
    tick: int
    t: float
    params: Params
    seed: int
