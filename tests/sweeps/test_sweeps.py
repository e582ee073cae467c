"""Sweeps as a whole: the result, going on, failures; on this machine's workers and on a Dask cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import chronoflux as cf
from chronoflux import sweeps
from chronoflux.errors import ChronofluxError, ParameterError, UsageError
from chronoflux.model.simulation import Simulation
from chronoflux.sweeps import sweep
from chronoflux.sweeps.design import Run
from chronoflux.sweeps.task import Outcome, Task, perform

GRID = {"kappa": [0.5, 1.0], "coupling": ["knn", "global"], "oscillators": 20}


class Serial:
    """In place of workers: does the runs one after the other, as many as it is told, and counts them."""

    def __init__(self) -> None:
        self.done = 0
        self.most = 1000

    def __call__(self, runs: Sequence[Run], task: Task, executor: Any) -> Iterator[Outcome]:
        for run in runs:
            if self.done == self.most:
                raise KeyboardInterrupt
            self.done += 1
            yield perform(run, task)


@pytest.fixture
def serial(monkeypatch: pytest.MonkeyPatch) -> Serial:
    work = Serial()
    monkeypatch.setattr(sweeps, "outcomes", work)
    return work


def small(out: Path, grid: Any = GRID, **options: Any) -> xarray.Dataset:
    settings: dict[str, Any] = {"replicates": 2, "duration": 0.32, "measure": "H", "progress": False}
    return sweep(grid, out=out, **settings | options)


def test_the_result_has_names_and_units(serial: Serial, tmp_path: Path) -> None:
    """Dimensions are parameters, replicate and t; units and seeds are there; each value is its run's."""
    data = small(tmp_path, measure=["H", "omega"], every=0.16)
    assert data.H.dims == ("kappa", "coupling", "replicate", "t")
    assert dict(data.sizes) == {"kappa": 2, "coupling": 2, "replicate": 2, "t": 2}
    assert (data.kappa.units, data.t.units, data.omega.units, data.H.units) == ("rad/s", "s", "rad/s", "1")
    assert data.failures == []
    one = data.sel(kappa=1.0, coupling="global", replicate=1)
    sim = Simulation(cf.Params(kappa=1.0, coupling="global", oscillators=20), seed=int(one.seed))
    for t in (0.16, 0.32):
        sim.advance(10)
        assert float(one.H.sel(t=t)) == sim.metrics()["H"]
    frame = data.to_dataframe().reset_index()
    assert len(frame) == 16
    assert {"kappa", "coupling", "replicate", "t", "H", "omega", "seed", "run"} <= set(frame)
    with xarray.open_zarr(tmp_path / "results.zarr", chunks=None) as saved:
        xarray.testing.assert_equal(saved.load(), data)
        assert saved.attrs == data.attrs


def test_samples_have_a_dimension_of_their_own(serial: Serial, tmp_path: Path) -> None:
    """The parameters of samples are coordinates along one dimension."""
    data = small(tmp_path, [{"kappa": 0.5, "oscillators": 20}, {"kappa": 1.5, "oscillators": 30}])
    assert data.H.dims == ("sample", "replicate")
    assert data.oscillators.values.tolist() == [20, 30]


def test_an_interrupted_sweep_goes_on(serial: Serial, tmp_path: Path) -> None:
    """After an interrupt what is done is saved; the same call does the rest; a finished one does nothing."""
    whole = small(tmp_path / "whole")
    serial.done, serial.most = 0, 3
    with pytest.raises(KeyboardInterrupt):
        small(tmp_path / "cut")
    with xarray.open_zarr(tmp_path / "cut" / "results.zarr", chunks=None) as saved:
        assert int(saved.H.notnull().sum()) == 3
    serial.done, serial.most = 0, 1000
    xarray.testing.assert_identical(small(tmp_path / "cut"), whole)
    assert serial.done == 5
    xarray.testing.assert_identical(small(tmp_path / "cut"), whole)
    assert serial.done == 5
    grown = small(tmp_path / "cut", GRID | {"kappa": [0.5, 0.75, 1.0]}, replicates=3)
    assert serial.done == 5 + 10
    xarray.testing.assert_equal(grown.H.sel(kappa=whole.kappa, replicate=[0, 1]), whole.H)


def test_saved_as_it_goes(serial: Serial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the sweep runs the result so far can be opened."""
    monkeypatch.setattr(sweeps, "PUBLISHED", 0.0)
    seen = []

    def looking(sim: Simulation) -> float:
        if (tmp_path / "results.zarr").exists():
            with xarray.open_zarr(tmp_path / "results.zarr", chunks=None) as saved:
                seen.append(int(saved.looking.notnull().sum()))
        return 1.0

    small(tmp_path, {"kappa": [0.5, 1.0], "oscillators": 10}, measure=looking)
    assert seen == [1, 2, 3]


def test_failures_are_listed_and_tried_again(serial: Serial, tmp_path: Path) -> None:
    """A run that fails leaves NaN and a line with its parameters; the others count; it is tried again."""
    excuse = tmp_path / "excuse"

    def order(sim: Simulation) -> float:
        if sim.params.kappa == 1.0 and sim.params.coupling == "knn" and not excuse.exists():
            raise RuntimeError("out of order")
        return sim.metrics()["H"]

    with pytest.warns(UserWarning, match="2 of 8 runs failed"):
        data = small(tmp_path / "out", measure=order)
    assert int(data.order.isnull().sum()) == 2
    assert [row["replicate"] for row in data.failures] == [0, 1]
    for row in data.failures:
        assert (row["kappa"], row["coupling"], row["oscillators"]) == (1.0, "knn", 20)
        assert row["error"] == "RuntimeError: out of order"
        assert (tmp_path / "out" / "runs" / row["run"] / "failed.json").exists()
    excuse.touch()
    mended = small(tmp_path / "out", measure=order)
    assert serial.done == 8 + 2
    assert mended.failures == []
    assert int(mended.order.isnull().sum()) == 0


def test_any_model_can_be_swept(serial: Serial, tmp_path: Path) -> None:
    """What `make` makes is run, with names of its own from the grid, and other code is another run."""

    class Counter:
        def __init__(self, params: cf.Params, seed: int, step: int) -> None:
            self.step, self.count = step, 0

        def advance(self, ticks: int = 1) -> None:
            self.count += ticks * self.step

    def total(model: Counter) -> tuple[float, str]:
        return model.count, "steps"

    data = small(tmp_path, {"step": [1, 2]}, make=Counter, measure=total)
    np.testing.assert_array_equal(data.total, [[20, 20], [40, 40]])
    assert data.total.units == "steps"
    small(tmp_path, {"step": [1, 2]}, make=Counter, measure=lambda model: 1.0)
    assert serial.done == 8


@pytest.mark.parametrize(
    "wrong",
    [
        {"measure": "Q"},
        {"measure": []},
        {"measure": 3},
        {"measure": [None]},
        {"every": 0.008},
        {"duration": 0.01},
        {"replicates": 0},
        {"duration": -1},
        {"every": 0.1},
        {"seed": -1},
        {"grid": {"kappa": [1e9]}},
        {"executor": 3},
    ],
)
def test_wrong_use_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    """Bad arguments are refused by name before anything is run."""
    with pytest.raises(ParameterError):
        small(tmp_path, **wrong)
    assert not list((tmp_path / "runs").glob("*"))


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the error says how to get it."""
    monkeypatch.setattr(sweeps, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"chronoflux\[sweeps\]"):
        small(tmp_path)


# -- with real workers ----------------------------------------------------------------------------------

MANY: dict[str, Any] = {"replicates": 12, "duration": 4.0, "measure": ["H", "psi"], "progress": False}


def marks(out: Path) -> int:
    return len(list(out.glob("runs/*/done.json")))


def kill_when_begun(out: Path, victim: Any) -> threading.Thread:
    """Kill a process, told by a function, once three runs are done."""

    def wait() -> None:
        while marks(out) < 3:
            time.sleep(0.005)
        os.kill(victim(), signal.SIGKILL)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.slow
def test_joblib_and_dask_agree_also_when_a_worker_is_killed(tmp_path: Path) -> None:
    """One sweep on local workers and on a Dask cluster of two processes, one killed: identical data."""
    distributed = pytest.importorskip("distributed")
    here = sweep(GRID, out=tmp_path / "joblib", **MANY)
    assert int(here.H.notnull().sum()) == 48
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        victim = next(iter(client.run(os.getpid).values()))
        killer = kill_when_begun(tmp_path / "dask", lambda: victim)
        there = sweep(GRID, out=tmp_path / "dask", executor=client, **MANY)
        killer.join()
        assert victim not in client.run(os.getpid).values()
    xarray.testing.assert_identical(here, there)
    assert here.attrs["failures"] == []


@pytest.mark.slow
def test_a_killed_local_worker_is_replaced(tmp_path: Path) -> None:
    """A worker of joblib killed in the middle costs time and nothing else."""
    import psutil

    whole = sweep(GRID, out=tmp_path / "whole", **MANY)

    def victim() -> int:
        children = psutil.Process().children(recursive=True)
        return next(child.pid for child in children if "popen_loky_posix" in " ".join(child.cmdline()))

    killer = kill_when_begun(tmp_path / "cut", victim)
    cut = sweep(GRID, out=tmp_path / "cut", **MANY)
    killer.join()
    xarray.testing.assert_identical(cut, whole)


@pytest.mark.slow
def test_workers_that_die_again_and_again_end_the_sweep(tmp_path: Path) -> None:
    """Where every run kills its worker the sweep ends with a reason instead of going round for ever."""
    with pytest.raises(ChronofluxError, match="workers were killed 3 times"):
        sweep({"oscillators": 5}, out=tmp_path, **MANY | {"measure": lambda sim: os.kill(os.getpid(), 9)})


CUT = """
import sys, chronoflux as cf
def main():
    grid = {"kappa": [0.5, 1.0], "oscillators": 20}
    cf.sweep(grid, replicates=50, duration=16.0, measure="H", out=sys.argv[1])
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_ctrl_c_and_a_kill_leave_behind(number: signal.Signals, tmp_path: Path) -> None:
    """After Ctrl-C in the terminal, or a kill, the sweep goes on with what was missing."""
    out, said = tmp_path / "out", tmp_path / "said"
    with (
        said.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", CUT, str(out)], start_new_session=True, stderr=errors
        ) as process,
    ):
        while marks(out) < 10:
            assert process.poll() is None
            time.sleep(0.01)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does, to the workers too
        else:
            os.kill(process.pid, number)
        process.wait(60)
    assert ("KeyboardInterrupt" in said.read_text()) == (number == signal.SIGINT)
    done = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/done.json")}
    assert 10 <= len(done) < 100
    if number == signal.SIGINT:
        with xarray.open_zarr(out / "results.zarr", chunks=None) as saved:
            assert int(saved.H.notnull().sum()) >= 10
    options = MANY | {"replicates": 50, "duration": 16.0, "measure": "H"}
    data = sweep({"kappa": [0.5, 1.0], "oscillators": 20}, out=out, **options)
    assert int(data.H.notnull().sum()) == 100
    assert {path: path.stat().st_mtime_ns for path in done} == done
