"""Adiabatic sweeps: one parameter up and down in one run, with the state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

import chronoflux as cf
from chronoflux import sweeps
from chronoflux.errors import ParameterError
from chronoflux.model.simulation import Simulation
from chronoflux.sweeps import sweep
from chronoflux.sweeps.design import Run
from chronoflux.sweeps.task import Outcome, Task, perform

LEAVES = 10
KAPPAS = [0.6, 1.0, 2.6]


def one_by_one(runs: Sequence[Run], task: Task, executor: Any) -> Iterator[Outcome]:
    """In place of workers."""
    for run in runs:
        yield perform(run, task)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "outcomes", one_by_one)


def star(params: cf.Params, seed: int) -> Simulation:
    """A hub and its leaves, with frequencies (rad/s) that are their degrees."""
    graph = nx.star_graph(LEAVES)
    hertz = np.array([degree for _, degree in graph.degree]) / (2 * np.pi)
    return Simulation(params, graph=graph, frequencies=hertz, seed=seed)


def order_and_locking(sim: Simulation) -> dict[str, float]:
    """The order over the next 20 s, and how constant the hub's phase is against that of the leaves."""
    order, locking = [], []
    for _ in range(100):
        sim.advance(12)
        z = np.exp(1j * sim.state.phi)
        order.append(abs(z.mean()))
        locking.append(z[0] * np.conj(z[1:].mean()))
    turned = np.array(locking)
    return {"order": float(np.mean(order)), "locking": float(abs(np.mean(turned / np.abs(turned))))}


def small(out: Path, grid: Any, **options: Any) -> Any:
    settings: dict[str, Any] = {"replicates": 2, "duration": 0.32, "measure": "H", "progress": False}
    return sweep(grid, out=out, carry="kappa", **settings | options)


def test_a_star_synchronises_explosively_with_hysteresis(tmp_path: Path) -> None:
    """Between (K − 1)/(K + 1) and the forward threshold order depends on where the star comes from.

    Gómez-Gardeñes, Gómez, Arenas, Moreno, Physical Review Letters 106, 128701, 2011.
    """
    grid = {"kappa": KAPPAS, "oscillators": LEAVES + 1, "gamma": 0.0, "integrator": "rk4"}
    data = small(tmp_path, grid, make=star, measure=order_and_locking, duration=30.0)
    up, down = data.sel(branch="up"), data.sel(branch="down")
    assert (up.order.sel(kappa=1.0) < 0.6).all()
    assert (down.order.sel(kappa=1.0) > 0.9).all()
    for way, locked in ((up, [False, False, True]), (down, [False, True, True])):
        for kappa, wanted in zip(KAPPAS, locked, strict=True):
            assert ((way.locking.sel(kappa=kappa) > 0.99) == wanted).all(), kappa


def test_the_state_is_carried_and_each_value_measured(tmp_path: Path) -> None:
    """The values are those of one simulation led through them by hand."""
    data = small(tmp_path, {"kappa": [0.5, 1.5], "noise": [0.0, 0.1], "oscillators": 20})
    assert data.sizes == {"noise": 2, "replicate": 2, "branch": 2, "kappa": 2}
    assert data.kappa.attrs["units"] == "rad/s"
    assert data.H.attrs["units"] == "1"
    assert data.attrs["carry"] == "kappa"
    one = data.isel(noise=1, replicate=1)
    sim = Simulation(cf.Params(oscillators=20, noise=0.1, kappa=0.5), seed=int(one.seed))
    for branch, kappa in (("up", 0.5), ("up", 1.5), ("down", 1.5), ("down", 0.5)):
        sim.params = sim.params.replace(kappa=kappa)
        sim.advance(20)
        assert float(one.H.sel(branch=branch, kappa=kappa)) == sim.metrics()["H"]


def test_a_finished_one_is_read_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same call computes nothing; another order of values is another run."""
    grid = {"kappa": [0.5, 1.5], "oscillators": 20}
    first = small(tmp_path, grid)
    done: list[Run] = []

    def counted(runs: Sequence[Run], task: Task, executor: Any) -> Iterator[Outcome]:
        for run in runs:
            done.append(run)
            yield perform(run, task)

    monkeypatch.setattr(sweeps, "outcomes", counted)
    again = small(tmp_path, grid)
    assert first.H.equals(again.H)
    assert not done
    small(tmp_path, grid | {"kappa": [1.5, 0.5]})
    assert len(done) == 2


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        ({"kappa": 1.0}, {}, "carry = 'kappa'.*two values"),
        ({"kappa": [1.0]}, {}, "carry = 'kappa'.*two values"),
        ({"kappa": [1.0, 0.5, 2.0]}, {}, "grow or fall"),
        ([{"kappa": 1.0}, {"kappa": 2.0}], {}, "carry = 'kappa'"),
        ({"kappa": [0.5, 1.0]}, {"every": 0.16}, "every = 0.16"),
        ({"kappa": [0.5, 1000.0]}, {}, "kappa = 1000.0"),
    ],
)
def test_what_cannot_be_carried_is_refused(
    tmp_path: Path, grid: Any, options: dict[str, Any], message: str
) -> None:
    """Before anything is run, with what is allowed."""
    with pytest.raises(ParameterError, match=message):
        small(tmp_path, grid, **options)


def test_parameters_that_reset_are_refused(tmp_path: Path) -> None:
    """A parameter whose change draws a new state carries none."""
    with pytest.raises(ParameterError, match=r"dt.*can change in a run.*kappa"):
        sweep({"dt": [0.01, 0.02]}, out=tmp_path, carry="dt", replicates=1, duration=1.0, measure="H")
