"""What the README does with a simulation, for type checkers: it is read by them and never run."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import chronoflux as cf
from chronoflux.model.graph import GraphLike


def simulate(graph: GraphLike, hertz: NDArray[np.float64]) -> None:
    """Run a swarm, look at it, record and save it."""
    sim = cf.Simulation(cf.Params(oscillators=500, kappa=1.0), seed=7)
    sim.advance(1000)
    assert_type(sim.metrics(), dict[str, float])
    assert_type(sim.state, cf.State)
    assert_type(sim.state.phi, NDArray[np.float64])

    sim = cf.Simulation(
        cf.Params(oscillators=256, kappa=1.0, phase_lag=1.47, integrator="rk4"),
        graph=graph,
        frequencies=hertz,
        seed=7,
    )
    twin, branch = sim.clone(), sim.clone(seed=8)
    assert_type(twin, cf.Simulation)
    assert_type(branch, cf.Simulation)
    assert_type(sim.local_order(), NDArray[np.float64])
    assert_type(sim.correlation_length(), float)
    sim.vortices()

    for block in sim.record(10_000, every=5, what=("phi", "x", "y")):
        assert_type(block.tick, NDArray[np.int64])
        assert_type(block.t, NDArray[np.float64])
        assert_type(block.values["phi"], NDArray[np.float64])

    assert_type(cf.record_phases(sim, "phases.zarr", 10_000, every=5), Path)
    print(cf.load_phases("phases.zarr").phi)
    cf.save_simulation(sim, "sim.npz")
    assert_type(cf.load_simulation("sim.npz"), cf.Simulation)
    assert_type(sim.params.replace(kappa=2.0), cf.Params)
    assert_type(cf.presets["storm"], cf.Params)
    print(cf.presets, list(cf.presets))
