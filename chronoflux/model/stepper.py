"""`Stepper`: a swarm with its pulses, portal mode and tick, advanced by the engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from chronoflux.model.engine import (
    ARRAYS,
    FAINT,
    GLOBAL,
    GRAPH,
    KNN,
    TAU,
    Coupling,
    ExternalForcing,
    Floats,
    Graph,
    RecordBuffer,
    StepParams,
    Store,
    decay,
    in_range,
    make_store,
    strength,
)
from chronoflux.model.events import EventKind
from chronoflux.model.frequencies import Frequencies
from chronoflux.model.graph import NO_GRAPH
from chronoflux.model.params import Params
from chronoflux.model.peer_fields import PeerFields
from chronoflux.model.state import Pulse, State, Swarm, column

OMEGA_WINDOW = 0.5
"""Simulated seconds over which the frequency of the mean field is averaged."""

QueuedEvent = tuple[EventKind, float, dict[str, Any]]
"""An event to apply: its kind, its age in simulated seconds, and its data."""


class Stepper:
    """A swarm from its first state to the next reset. The attributes are for reading.

    Parameters
    ----------
    params
        The parameters; change them by :meth:`update`.
    rng
        Draws what `state` leaves out, then the natural frequencies unless they are `given`.
    state
        The first state. What it leaves out, or everything if it is None, is drawn.
    engine
        ``"compiled"`` or ``"plain"``.
    graph
        The coupling, in place of ``params.coupling``.
    given
        Natural frequencies, in place of ``params.frequency`` and its spread.
    tick, portal
        The first tick, and whether portal mode is on there.
    """

    params: Params
    tick: int
    portal: bool
    pulses: list[Pulse]
    graph: Graph | None
    frequencies: Frequencies
    particles: Store
    rotations: Floats
    """Ring buffer of the changes of the mean field's phase ψ per tick, rad, float64 (window,)."""
    rotation_count: int
    """How many were ever written to it."""

    def __init__(
        self,
        params: Params,
        rng: np.random.Generator,
        state: State | None = None,
        *,
        engine: str,
        graph: Graph | None = None,
        given: Frequencies | None = None,
        tick: int = 0,
        portal: bool = False,
    ) -> None:
        self.params, self.tick, self.portal, self.pulses, self.graph = params, tick, portal, [], graph
        arrays = _first_arrays(params, rng, state)
        self.frequencies = given or Frequencies.draw(params, rng)
        self.rotations, self.rotation_count = np.zeros(max(1, round(OMEGA_WINDOW / params.dt))), 0
        self._step_params = self._make_step_params()
        omega = self.frequencies.omega(params, portal)
        self.particles = make_store(engine, in_range(arrays, params.world), omega, self._step_params)
        self._refresh()

    @property
    def t(self) -> float:
        """Simulated time in s, ``tick · dt``."""
        return self.tick * self.params.dt

    @property
    def plane(self) -> bool:
        """Whether the world is a plane; otherwise a torus."""
        return self._step_params.plane

    def alive(self) -> Floats:
        """The pulses alive now, float64 (P, 4) of ``x, y, E(t), sigma``."""
        alive = np.empty((len(self._fired), 4))
        return alive[: decay(self._fired, self.t, alive)].copy()

    def update(self, params: Params) -> None:
        """Continue with other parameters, none of which needs a reset."""
        self.params = params
        self._refresh_frequencies()
        self._refresh()

    def run(self, ticks: int, normals: Floats, peers: PeerFields, record: RecordBuffer) -> None:
        """Advance by `ticks`.

        `normals`: standard normal numbers, float64 (ticks, n), or (0, n) without noise. `record`: where the
        ticks are recorded.
        """
        forcing = ExternalForcing(self._fired, peers.table(), peers.clock)
        graph = self.graph or NO_GRAPH
        self.particles.run(
            ticks, self.tick, graph, forcing, normals, self.rotations, self.rotation_count, record
        )
        self.tick += ticks
        self.rotation_count += ticks
        peers.count(self.tick - 1, self.params.dt)
        if len(self.alive()) < len(self._fired):
            self.pulses = [pulse for pulse in self.pulses if strength(pulse.E, self.t - pulse.t) > FAINT]
            self._refresh()

    def apply(self, events: Iterable[QueuedEvent], rng: np.random.Generator) -> None:
        """Apply events between two ticks; effects draw from `rng`."""
        swarm = _StoredSwarm(self.particles, self.params, rng, self.tick, self.portal, self.pulses)
        for kind, age, data in events:
            kind.effect(swarm, age, **data)
        self.pulses = swarm.pulses
        self.particles.put(in_range(swarm.used(), self.params.world))
        if swarm.portal != self.portal:
            self.portal = swarm.portal
            self._refresh_frequencies()
        self._refresh()

    def restore(
        self,
        *,
        tick: int,
        portal: bool,
        pulses: list[Pulse],
        frequencies: Frequencies,
        rotations: Floats,
        rotation_count: int,
    ) -> None:
        """Take over what was saved besides the arrays of the oscillators."""
        self.tick, self.portal, self.pulses, self.frequencies = tick, portal, pulses, frequencies
        self.rotations, self.rotation_count = rotations, rotation_count
        self._refresh_frequencies()
        self._refresh()

    def _make_step_params(self) -> StepParams:
        p = self.params
        kind = GLOBAL if p.coupling == "global" else KNN
        kind = kind if self.graph is None else GRAPH
        return StepParams(
            world=p.world,
            plane=p.boundary == "plane",
            portal=self.portal,
            dt=p.dt,
            gamma=p.gamma,
            eta=p.eta,
            noise=p.noise,
            neighbours=p.neighbours,
            rk4=p.integrator == "rk4",
            coupling=Coupling(kind, p.kappa, p.phase_lag, p.mesh_coupling),
        )

    def _refresh(self) -> None:
        """Pass parameters, portal mode and pulses on to the engine, after a change of any of them."""
        self._step_params = self._make_step_params()
        self._fired = np.array(self.pulses, np.float64).reshape(-1, 5)
        self.particles.update_params(self._step_params, self._fired)

    def _refresh_frequencies(self) -> None:
        """Pass natural frequencies on to the engine, after a change of parameters or portal mode."""
        self.particles.update_frequencies(self.frequencies.omega(self.params, self.portal))


class _StoredSwarm(Swarm):
    """The swarm that events act on. An array is copied out of the store when an effect first uses it."""

    def __init__(
        self,
        store: Store,
        params: Params,
        rng: np.random.Generator,
        tick: int,
        portal: bool,
        pulses: list[Pulse],
    ) -> None:
        self.world, self.dt, self.rng = params.world, params.dt, rng
        self.tick, self.portal, self.pulses = tick, portal, pulses
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if name not in ARRAYS:
            raise AttributeError(f"a swarm has no {name}")
        values = self._store.array(name)
        setattr(self, name, values)
        return values

    def used(self) -> dict[str, Floats]:
        """The arrays that effects have read or replaced, by name."""
        return {name: vars(self)[name] for name in ARRAYS if name in vars(self)}


def _first_arrays(params: Params, rng: np.random.Generator, state: State | None) -> dict[str, Floats]:
    """The arrays of the first state, float64 (n,); what `state` leaves out is drawn."""
    n = params.oscillators
    given = {name: getattr(state, name, None) for name in ARRAYS}
    arrays = {name: column(f"state.{name}", value, n) for name, value in given.items() if value is not None}
    for name, side in zip(("x", "y", "phi"), (*params.world, TAU), strict=True):
        if given[name] is None:
            arrays[name] = rng.random(n) * side
    for name in ("vx", "vy"):
        arrays.setdefault(name, np.zeros(n))
    return arrays
