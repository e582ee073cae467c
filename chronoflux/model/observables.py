"""What can be read off a swarm at a tick: its snapshot, and measures of order, field and patterns.

All functions take a :class:`~chronoflux.model.stepper.Stepper` and change nothing.
"""

from __future__ import annotations

import math

import numpy as np

from chronoflux.model.engine import Floats, World
from chronoflux.model.metrics import local_orders, order, turbulence
from chronoflux.model.patterns import Vortices
from chronoflux.model.patterns import correlation_length as correlation_length_of
from chronoflux.model.patterns import vortices as vortices_of
from chronoflux.model.snapshot import Snapshot
from chronoflux.model.stepper import Stepper


def snapshot(stepper: Stepper, seed: int) -> Snapshot:
    """The swarm as it is now, in read-only arrays."""
    pulses, arrays = stepper.alive(), stepper.particles.arrays()
    pressure = stepper.particles.pressure(stepper.t, pulses)
    for array in (*arrays.values(), pressure, pulses):
        array.flags.writeable = False
    return Snapshot(
        **arrays,
        pressure=pressure,
        pulses=pulses,
        portal=stepper.portal,
        tick=stepper.tick,
        t=stepper.t,
        params=stepper.params,
        seed=seed,
    )


def mean_field(stepper: Stepper) -> tuple[float, float, float]:
    """``R``, ``psi`` (rad) and ``omega`` (rad/s; NaN before the first tick) of the mean field."""
    kept = min(stepper.rotation_count, len(stepper.rotations))
    rotation = float(stepper.rotations[:kept].sum())
    omega = rotation / (kept * stepper.params.dt) if kept else math.nan
    return (*order(stepper.particles.phases()), omega)


def metrics(stepper: Stepper) -> dict[str, float]:
    """``H, psi, omega, tau, H_local``; see :meth:`chronoflux.Simulation.metrics`."""
    R, psi, omega = mean_field(stepper)
    tau = turbulence(stepper.params.world, stepper.plane, stepper.t, stepper.portal, stepper.alive())
    everywhere = stepper.graph is None and stepper.params.coupling == "global"
    local = R if everywhere else float(local_order(stepper).mean())
    return {"H": R, "psi": psi, "omega": omega, "tau": tau, "H_local": local}


def local_order(stepper: Stepper) -> Floats:
    """Order of each oscillator and its coupling set, float64 (n,), from 0 to 1."""
    phi, graph = stepper.particles.array("phi"), stepper.graph
    n = len(phi)
    if graph is not None:
        return local_orders(phi, graph.indptr, graph.indices)
    if stepper.params.coupling == "global":
        return np.full(n, order(phi)[0])
    near = stepper.particles.neighbours()
    return local_orders(phi, np.arange(n + 1) * near.shape[1], near.ravel())


def correlation_length(stepper: Stepper) -> float:
    """The correlation length of the phases, px."""
    return correlation_length_of(*_positions(stepper))


def vortices(stepper: Stepper) -> Vortices:
    """Numbers of vortices and antivortices of the phases."""
    return vortices_of(*_positions(stepper))


def _positions(stepper: Stepper) -> tuple[Floats, Floats, Floats, World, bool]:
    """What patterns in space are measured on."""
    x, y, phi = (stepper.particles.array(name) for name in ("x", "y", "phi"))
    return x, y, phi, stepper.params.world, stepper.plane
