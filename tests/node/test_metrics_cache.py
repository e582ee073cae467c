"""The metrics of records: measured once per tick, and in a large swarm only once per second."""

from __future__ import annotations

import pytest

from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.node import metrics_cache as cache_module
from chronoflux.node.metrics_cache import MetricsCache


class Counting(Simulation):
    """A simulation that counts how often its metrics are measured."""

    measured = 0

    def metrics(self) -> dict[str, float]:
        self.measured += 1
        return super().metrics()


@pytest.fixture
def simulation() -> Counting:
    made = Counting(Params(oscillators=20), seed=1)
    made.advance(3)
    return made


def test_metrics_are_measured_once_per_tick(simulation: Counting) -> None:
    """Two records of one tick have the same metrics from one measurement; after a tick they are new."""
    cache = MetricsCache(simulation)
    first = cache.all()
    assert cache.all() == cache.quick() == first
    assert first["nodes"] == 20
    assert first["peers"] == 0
    assert simulation.measured == 1
    simulation.advance(1)
    assert cache.all()["H"] != first["H"]
    assert simulation.measured == 2


def test_a_new_swarm_at_the_same_tick_is_measured_again(simulation: Counting) -> None:
    """After a reset the tick is the same and the metrics are those of the new swarm."""
    cache = MetricsCache(simulation)
    before = cache.all()
    simulation.reset(5, tick=simulation.tick)
    assert cache.all() == before
    cache.invalidate()
    assert cache.all() != before


def test_a_large_swarm_keeps_the_slow_metrics_between_two_seconds(
    simulation: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record in a large swarm has the current order, and `tau` and `H_local` of the last second."""
    monkeypatch.setattr(cache_module, "LARGE", 10)
    cache = MetricsCache(simulation)
    cache.last = cache.all()
    simulation.advance(5)
    quick = cache.quick()
    assert simulation.measured == 1
    assert quick["H"] == simulation.mean_field()[0] != cache.last["H"]
    assert (quick["tau"], quick["H_local"]) == (cache.last["tau"], cache.last["H_local"])
