"""One run: what a worker computes, and how it tells of what went wrong."""

from __future__ import annotations

from typing import Any

import pytest

from chronoflux.analysis import Result
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.sweeps.design import Run
from chronoflux.sweeps.task import Measure, Task, perform, simulation

RUN = Run("id", (0,), {}, Params(oscillators=20, dt=0.02), {}, 7)


def of(measure: Measure, **facts: Any) -> Task:
    return Task(facts.pop("make", simulation), measure, [0.5, 1.0], **facts)


def test_a_run_is_the_simulation_of_its_seed() -> None:
    """Metrics are those of a simulation of these parameters and this seed, at each moment, with units."""
    sim, expected = Simulation(RUN.params, seed=7), []
    for _ in range(2):
        sim.advance(25)
        expected.append(sim.metrics()["psi"])
    outcome = perform(RUN, of("psi"))
    assert outcome.values == {"psi": expected}
    assert outcome.units == {"psi": "rad"}
    assert (outcome.error, outcome.id) == ("", "id")


def test_what_a_measure_may_return() -> None:
    """A number, a pair with a unit, a Result, or a dict of these; a number's name is the function's."""

    def rows(sim: Simulation) -> int:
        return sim.tick

    assert perform(RUN, of(rows)).values == {"rows": [25.0, 50.0]}

    def several(sim: Simulation) -> dict[str, Any]:
        result = Result(name="Ψ", value=0.5, unit="nats", n=3)
        return {"one": True, "two": (sim.t, "s"), "three": result}

    found = perform(RUN, of(several))
    assert found.values == {"one": [1.0, 1.0], "two": [0.5, 1.0], "three": [0.5, 0.5]}
    assert found.units == {"one": "1", "two": "s", "three": "nats"}


def test_whatever_goes_wrong_is_the_outcome() -> None:
    """An error in the model or the measure, a measure that answers nonsense, another version: all told."""

    def broken(sim: Simulation) -> float:
        raise RuntimeError("no such order")

    found = perform(RUN, of(broken))
    assert found.error == "RuntimeError: no such order"
    assert "in broken" in found.trace
    assert "numbers, pairs" in perform(RUN, of(lambda sim: [1, 2])).error
    assert "the same names" in perform(RUN, of(lambda sim: {f"at {sim.tick}": 1.0})).error
    assert "as here" in perform(RUN, of("H", version="0")).error


def test_an_interrupt_is_not_an_outcome() -> None:
    """Ctrl-C passes through a run."""

    def interrupted(sim: Simulation) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(RUN, of(interrupted))
