"""`MetricsCache`: the metrics of a run's records, measured at most once per tick."""

from __future__ import annotations

from collections.abc import Mapping

from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation

LARGE = 5_000  # oscillators from which records of events carry the slow metrics of the last second


class MetricsCache:
    """The metrics of `simulation`. Called on the worker thread, or while that is idle."""

    def __init__(self, simulation: Simulation) -> None:
        self.last: dict[str, float] = {}
        """The metrics of the last record."""
        self.of_peers: Mapping[str, float] = {"peers": 0}
        """The part of them that depends on the peers."""
        self._simulation = simulation
        self._key: tuple[int, Params] | None = None
        self._measured: dict[str, float] = {}

    def invalidate(self) -> None:
        """Measure again, although the tick is the same: the swarm is another one."""
        self._key = None

    def all(self) -> dict[str, float]:
        """Return all metrics of the current tick."""
        simulation = self._simulation
        key = (simulation.tick, simulation.params)
        if self._key != key:
            self._key, self._measured = key, simulation.metrics()
        return {
            **self._measured,
            "nodes": simulation.params.oscillators,
            "intents": len(simulation.pulses),
            "portal": simulation.portal,
            **self.of_peers,
        }

    def quick(self) -> dict[str, float]:
        """Return metrics for a record between two seconds.

        In a large swarm `tau` and `H_local` are those of the last second.
        """
        simulation = self._simulation
        if not simulation.tick:
            return self.last
        if simulation.params.oscillators < LARGE or not self.last:
            return self.all()
        R, psi, omega = simulation.mean_field()
        fresh = {"H": R, "psi": psi, "omega": omega, "portal": simulation.portal}
        return self.last | fresh | {"intents": len(simulation.pulses)}
