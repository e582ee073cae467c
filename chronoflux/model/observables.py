"""What can be read off a simulation at a tick: its snapshot, and measures of order, field and patterns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chronoflux.model.engine.arrays import Floats, World
from chronoflux.model.engine.field import decay
from chronoflux.model.engine.particles import ParticleStore
from chronoflux.model.engine.phases import Graph
from chronoflux.model.engine.plain import PlainStore
from chronoflux.model.engine.step import StepParams
from chronoflux.model.metrics import local_orders, order, turbulence
from chronoflux.model.params import Params
from chronoflux.model.patterns import Vortices, correlation_length, vortices
from chronoflux.model.snapshot import Snapshot


class Measured:
    """The part of a ``Simulation`` that looks and changes nothing."""

    seed: int
    _params: Params
    _step_params: StepParams
    _particles: ParticleStore | PlainStore
    _graph: Graph | None
    _fired: Floats
    _turns: Floats
    _turned: int
    _tick: int
    _portal: bool

    @property
    def tick(self) -> int:
        """Ticks done."""
        return self._tick

    @property
    def t(self) -> float:
        """Simulated time in s, ``tick · dt``."""
        return self._tick * self._params.dt

    @property
    def portal(self) -> bool:
        """Whether portal mode is on."""
        return self._portal

    @property
    def pulses(self) -> Floats:
        """The pulses alive now, as in a :class:`Snapshot`: float64 (P, 4) of ``x, y, E(t), sigma``."""
        return self._alive()

    def snapshot(self) -> Snapshot:
        """The swarm as it is now, frozen."""
        pulses, arrays = self._alive(), dict[str, Any](self._particles.arrays())
        arrays |= {"pressure": self._particles.pressure(self.t, pulses), "pulses": pulses}
        for array in arrays.values():
            array.flags.writeable = False
        return Snapshot(
            **{name: arrays[name] for name in ("x", "y", "vx", "vy", "phi", "pressure", "pulses")},
            portal=self.portal,
            tick=self.tick,
            t=self.t,
            params=self._params,
            seed=self.seed,
        )

    def _alive(self) -> Floats:
        alive = np.empty((len(self._fired), 4))
        return alive[: decay(self._fired, self.t, alive)].copy()

    # -- measures -------------------------------------------------------------------------------------

    def mean_field(self) -> tuple[float, float, float]:
        """``R``, ``psi`` (rad) and ``omega`` (rad/s; NaN before the first tick) of the mean field; O(n)."""
        kept = min(self._turned, len(self._turns))
        omega = float(np.sum(self._turns[:kept])) / (kept * self._params.dt) if kept else math.nan
        return (*order(self._particles.phases()), omega)

    def metrics(self) -> dict[str, float]:
        """``H, psi, omega, tau, H_local`` as defined in the model; ``omega`` is NaN before the first tick."""
        R, psi, omega = self.mean_field()
        law = self._step_params
        tau = turbulence(law.world, law.plane, self.t, law.portal, self._alive())
        everywhere = self._graph is None and self._params.coupling == "global"
        local = R if everywhere else float(self.local_order().mean())
        return {"H": R, "psi": psi, "omega": omega, "tau": tau, "H_local": local}

    def _arrays(self, names: Sequence[str]) -> dict[str, Floats]:
        """These arrays of the oscillators, by name and by index; not to be written to."""
        return {name: self._particles.array(name) for name in names}

    def _where(self) -> tuple[Floats, Floats, Floats, World, bool]:
        """What patterns in space are measured on."""
        x, y, phi = self._arrays(("x", "y", "phi")).values()
        return x, y, phi, self._step_params.world, self._step_params.plane

    def local_order(self) -> Floats:
        """Order of each oscillator and its coupling set, float64 (n,), from 0 to 1; ``H_local`` is its mean.

        See :func:`~chronoflux.model.metrics.local_orders`.
        """
        phi = self._particles.array("phi")
        n = len(phi)
        if self._graph is not None:
            return local_orders(phi, self._graph.indptr, self._graph.indices)
        if self._params.coupling == "global":
            return np.full(n, order(phi)[0])
        near = self._particles.neighbours()
        return local_orders(phi, np.arange(n + 1) * near.shape[1], near.ravel())

    def correlation_length(self) -> float:
        """How far phases agree in space, px; see :func:`~chronoflux.model.patterns.correlation_length`."""
        return correlation_length(*self._where())

    def vortices(self) -> Vortices:
        """Vortices and antivortices of the phase; see :func:`~chronoflux.model.patterns.vortices`."""
        return vortices(*self._where())
