"""What a sweep runs: points, seeds, ids, moments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from chronoflux.errors import ParameterError
from chronoflux.sweeps.design import Design, Run, moments_of, runs_of


def runs(
    grid: Any, replicates: int = 2, *, seed: int = 0, task: str = "H", open_names: bool = False
) -> list[Run]:
    return runs_of(Design.read(grid), replicates, seed=seed, task={"measure": task}, open_names=open_names)


def test_a_grid_is_all_combinations() -> None:
    """Every combination is run once a replicate, at its place in the result; a single value is in all."""
    found = runs({"kappa": np.array([0.5, 1.0]), "oscillators": 30, "coupling": ["knn", "global"]}, 3)
    assert len(found) == len({run.place for run in found}) == 12
    for run in found:
        kappa, coupling, _ = run.place
        assert run.params.kappa == [0.5, 1.0][kappa]
        assert run.params.coupling == ["knn", "global"][coupling]
        assert run.params.oscillators == 30


def test_samples_are_run_as_they_are() -> None:
    """A list of samples and a DataFrame of the same are the same design, along one dimension."""
    rows = [{"kappa": 0.5, "oscillators": 30}, {"kappa": 0.7, "oscillators": 60}]
    for design in (Design.read(rows), Design.read(pd.DataFrame(rows))):
        assert design.dims == {"sample": 2}
        assert design.points == rows
    assert [run.place for run in runs(rows)] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_no_two_runs_share_a_seed_or_an_id() -> None:
    """Seeds and ids differ between points, replicates and roots, and are the same again in another call."""
    grid = {"kappa": [0.5, 1.0, 1.5], "noise": [0, 0.1]}
    found = runs(grid, 50) + runs(grid, 50, seed=1)
    assert len({run.seed for run in found}) == len({run.id for run in found}) == len(found)
    assert runs(grid, 50) + runs(grid, 50, seed=1) == found
    assert all(0 <= run.seed < 2**63 for run in found)


def test_a_sweep_that_grows_keeps_its_runs() -> None:
    """More values and more replicates leave the ids of those there were, whatever the order."""
    before = {run.id for run in runs({"kappa": [0.5, 1.0]}, 2)}
    assert before < {run.id for run in runs({"kappa": [2.0, 1.0, 0.5]}, 4)}
    assert not before & {run.id for run in runs({"kappa": [0.5, 1.0]}, 2, task="tau")}


def test_other_names_go_to_the_maker() -> None:
    """What `Params` does not have is refused, unless there is somebody to hand it to."""
    grid = {"rooms": [2, 3], "kappa": 1.0}
    with pytest.raises(ParameterError, match="rooms"):
        runs(grid)
    assert [run.extras for run in runs(grid, 1, open_names=True)] == [{"rooms": 2}, {"rooms": 3}]
    assert len({run.seed for run in runs(grid, 1, open_names=True)}) == 2


@pytest.mark.parametrize(
    "grid",
    [
        None,
        [],
        "kappa",
        {"kappa": []},
        {"kappa": [1, 1.0]},
        {"kappa": [float("nan")]},
        {"kappa": [[1.0]]},
        {"kappa": [-1000.0]},
        {"nothing": [1.0]},
        {"replicate": [1]},
        {1: [1.0]},
        {"world": [[800, 600], [400, 300]]},
        [{"kappa": 1.0}, {"noise": 1.0}],
        [{"kappa": 1.0}, {"kappa": 1.0}],
        [{"world": (8.0, 6.0), "kappa": 1.0}, {"world": (8.0, 7.0), "kappa": 1.0}],
        [1.0],
    ],
)
def test_bad_grids_are_refused(grid: Any) -> None:
    """What is no grid, empty, twice the same, or not allowed by the model is refused before anything runs."""
    with pytest.raises(ParameterError):
        runs(grid)


def test_nothing_need_vary() -> None:
    """Without an axis there is one point, and a world is a fixed value."""
    (run,) = runs({"world": (400, 300)}, 1)
    assert run.place == (0,)
    assert run.params.world == (400.0, 300.0)
    assert runs({}, 1)[0].params.world == (800.0, 600.0)


def test_moments() -> None:
    """Every part of the duration, computed and not summed; the end alone without."""
    assert moments_of(60, None) == [60.0]
    assert moments_of(0.3, 0.1) == [0.1, 0.2, 0.1 * 3]
    for duration, every in ((60, 7), (0, None), (60, -1), (float("nan"), None), (True, None), (1, 2)):
        with pytest.raises(ParameterError):
            moments_of(duration, every)
