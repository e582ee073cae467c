"""The stores of both engines: a swarm's state is put in, advanced by step parameters, and read out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from chronoflux.model.engine.arrays import Floats, Indices
from chronoflux.model.engine.choice import PLAIN
from chronoflux.model.engine.record_buffer import RecordBuffer

if TYPE_CHECKING:
    from chronoflux.model.engine.phases import Graph
    from chronoflux.model.engine.step import ExternalForcing, StepParams


class Store(Protocol):
    """A swarm in an engine. Arrays are by index of the oscillators."""

    looks: int
    """Neighbour lists checked so far."""

    def run(
        self,
        ticks: int,
        tick: int,
        graph: Graph,
        forcing: ExternalForcing,
        normals: Floats,
        rotations: Floats,
        rotation_count: int,
        record: RecordBuffer,
    ) -> None:
        """Advance by `ticks` from `tick`; arguments as in :class:`~chronoflux.model.engine.step.Task`."""

    def update_frequencies(self, omega: Floats) -> None:
        """Continue with these natural frequencies, float64 (n,), rad/s."""

    def update_params(self, params: StepParams, fired: Floats) -> None:
        """Continue with these parameters and pulses, float64 (P, 5): rows ``x, y, E, sigma, t``."""

    def put(self, arrays: dict[str, Floats]) -> None:
        """Replace some or all arrays, in range."""

    def arrays(self) -> dict[str, Floats]:
        """Copies of ``x, y, vx, vy, phi``, float64 (n,)."""

    def array(self, name: str) -> Floats:
        """A copy of one array, float64 (n,)."""

    def phases(self) -> Floats:
        """The phases, rad, float64 (n,), in no particular order; not to be changed."""

    def neighbours(self) -> Indices:
        """The coupling sets at the present positions, each ascending: int32 (n, k)."""

    def pressure(self, t: float, pulses: Floats) -> Floats:
        """The pressure at the present positions at time `t` (s) with the `pulses` alive: float64 (n,)."""


def make_store(engine: str, arrays: dict[str, Floats], omega: Floats, params: StepParams) -> Store:
    """A swarm in the engine ``"compiled"`` or ``"plain"``.

    `arrays` by name, float64 (n,), in range; `omega`: natural frequencies, float64 (n,), rad/s. The store
    owns the arrays from now on.
    """
    if engine == PLAIN:
        from chronoflux.model.engine.plain import PlainStore

        return PlainStore(arrays, omega, params)
    from chronoflux.model.engine.particles import ParticleStore

    return ParticleStore(arrays, omega, params)
