"""What the README does with sweeps, for type checkers: it is read by them and never run."""

from __future__ import annotations

from typing import assert_type

import networkx as nx
import numpy as np
import pandas as pd
import xarray as xr

import chronoflux as cf


def sweep() -> None:
    """Over a grid of parameters."""
    data = cf.sweep(
        {"kappa": np.linspace(0, 2, 10), "frequency_spread": [0.0, 0.05], "oscillators": 220},
        replicates=20,
        duration=60,
        measure=["H", "H_local"],
        every=1.0,
        out="sweeps/onset",
    )
    assert_type(data, xr.Dataset)
    data.H.sel(t=slice(30, None)).mean(["t", "replicate"])
    assert_type(data.to_dataframe(), pd.DataFrame)


def carry() -> None:
    """Up and down again, with a swarm of one's own making."""
    graph = nx.star_graph(10)
    hertz = np.array([degree for _, degree in graph.degree]) / (2 * np.pi)
    data = cf.sweep(
        {"kappa": np.arange(0.6, 2.6, 0.1).round(1), "oscillators": 11, "gamma": 0.0, "integrator": "rk4"},
        carry="kappa",
        make=lambda params, seed: cf.Simulation(params, graph=graph, frequencies=hertz, seed=seed),
        replicates=5,
        duration=40,
        measure="H",
        out="sweeps/star",
    )
    print(data.H.sel(branch="up"), data.H.sel(branch="down"))


def measure_otherwise() -> None:
    """By a function of the simulation."""

    def energy(sim: cf.Simulation) -> float:
        return float(np.square(sim.state.vx).sum())

    cf.sweep({"kappa": [0.5, 1.0]}, replicates=2, duration=10, measure=energy, out="sweeps/energy")
