"""`MetricsCache`: what the records of a run say of its swarm, measured no more often than need be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation

LARGE = 5_000  # oscillators from which events are recorded with the last second's slow metrics


class MetricsCache:
    """The metrics of `simulation`. Asked on the worker, or while it is idle."""

    def __init__(self, simulation: Simulation) -> None:
        self.last: dict[str, Any] = {}
        """Those of the last record."""
        self.around: Mapping[str, Any] = {"peers": 0}
        """What the last record said of the peers."""
        self._simulation = simulation
        self._moment: tuple[int, Params] | None = None
        self._measured: dict[str, float] = {}

    def renewed(self) -> None:
        """The swarm is another one, at the same tick."""
        self._moment = None

    def all(self) -> dict[str, Any]:
        """All metrics of this moment, measured once a tick."""
        simulation = self._simulation
        moment = (simulation.tick, simulation.params)
        if self._moment != moment:
            self._moment, self._measured = moment, simulation.metrics()
        return {
            **self._measured,
            "nodes": simulation.params.oscillators,
            "intents": len(simulation.pulses),
            "portal": simulation.portal,
            **self.around,
        }

    def quick(self) -> dict[str, Any]:
        """Those for a record in between; in a large swarm `tau` and `H_local` are the last second's."""
        simulation = self._simulation
        if not simulation.tick:
            return self.last
        if simulation.params.oscillators < LARGE or not self.last:
            return self.all()
        R, psi, omega = simulation.mean_field()
        fresh = {"H": R, "psi": psi, "omega": omega, "portal": simulation.portal}
        return self.last | fresh | {"intents": len(simulation.pulses)}
