"""Commands: what is done to a swarm between two ticks. Each knows how it is applied to a simulation.

A run is a simulation and the commands given to it. Live, recomputed and counterfactual runs apply the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from chronoflux.model.simulation import Simulation


@dataclass(frozen=True, slots=True)
class Anchor:
    """Mesh time `at` (ms) belongs to the current tick; from here `speed` simulated seconds pass a second."""

    at: float
    speed: float = 1.0

    def apply(self, simulation: Simulation) -> None:
        """Apply it."""
        simulation.anchor(self.at, self.speed)


@dataclass(frozen=True, slots=True)
class Fire:
    """An event of type `name`, applied at the start of the next tick.

    With `at` (mesh time, ms) the event is a peer's, and as old as the mesh time since, at `speed`.
    ``id`` and ``origin`` say which event it is and who fired it.
    """

    name: str
    data: Mapping[str, Any] = field(default_factory=dict)
    at: float | None = None
    speed: float = 1.0
    id: str | None = None
    origin: str | None = None

    def apply(self, simulation: Simulation) -> None:
        """Apply it."""
        late = 0.0 if self.at is None else max(0.0, simulation.mesh_time() - self.at)
        simulation.fire(self.name, age=late / 1000 * self.speed, **self.data)


@dataclass(frozen=True, slots=True)
class Change:
    """Parameters set to other values, by name; values are as in JSON."""

    values: Mapping[str, Any]

    def apply(self, simulation: Simulation) -> None:
        """Apply it."""
        simulation.params = simulation.params.replace(**self.values)


@dataclass(frozen=True, slots=True)
class Reset:
    """A new state, drawn with `seed`."""

    seed: int

    def apply(self, simulation: Simulation) -> None:
        """Apply it."""
        simulation.reset(self.seed, tick=simulation.tick)


@dataclass(frozen=True, slots=True)
class Hear:
    """The mean field of `peer` at mesh time `at` (ms): order R, angle psi (rad), omega (rad/s)."""

    peer: str
    at: float
    R: float
    psi: float
    omega: float

    def apply(self, simulation: Simulation) -> None:
        """Apply it."""
        simulation.hear(self.peer, self.at, self.R, self.psi, self.omega)


@dataclass(frozen=True, slots=True)
class Forget:
    """The field of `peer` no longer counts."""

    peer: str

    def apply(self, simulation: Simulation) -> None:
        """Apply it."""
        simulation.forget(self.peer)


Command: TypeAlias = Anchor | Fire | Change | Reset | Hear | Forget
