"""Phases on disk: the same numbers as in memory, readable by others, and readable after a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

from chronoflux.errors import LogError, ParameterError
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.telemetry import PhaseStore, load_phases, record_phases


def swarm(n: int = 300) -> Simulation:
    return Simulation(Params(oscillators=n, gamma=50.0), seed=4)


def test_the_same_numbers_as_in_memory(tmp_path: Path) -> None:
    """What is read is what the simulation yields, with dimensions, coordinates and units."""
    sim, other = swarm(), swarm()
    path = record_phases(sim, tmp_path / "a.zarr", 3004, 3, ("phi", "x"))
    blocks = list(other.record(3004, 3, ("phi", "x")))
    assert len(blocks) > 1
    with load_phases(path) as data:
        assert dict(data.sizes) == {"tick": 1001, "oscillator": 300}
        assert data.phi.dims == data.x.dims == ("tick", "oscillator")
        for name in ("phi", "x"):
            np.testing.assert_array_equal(data[name], np.concatenate([b.values[name] for b in blocks]))
        np.testing.assert_array_equal(data.tick, np.concatenate([b.tick for b in blocks]))
        np.testing.assert_array_equal(data.t, np.concatenate([b.t for b in blocks]))
        assert data.t.dims == ("tick",)
        assert "t" in data.phi.coords
        units = [data[name].attrs["units"] for name in ("tick", "t", "oscillator", "phi", "x")]
        assert units == ["1", "s", "1", "rad", "px"]
        assert Params.from_dict(data.attrs["params"]) == sim.params
        assert (data.attrs["seed"], data.attrs["every"]) == (4, 3)
        assert data.sel(tick=300, oscillator=7).phi == blocks[0].values["phi"][99, 7]
    assert sim.tick == other.tick == 3004


def test_others_can_read_it(tmp_path: Path) -> None:
    """It is Zarr of format 3; xarray and zarr open it without knowing of ChronoFlux."""
    path = record_phases(swarm(), tmp_path / "a.zarr", 40, 4)
    assert json.loads((path / "zarr.json").read_text())["zarr_format"] == 3
    with xarray.open_zarr(path, chunks=None) as data:
        assert data.phi.shape == (10, 300)
    assert zarr.open_group(path, mode="r")["phi"].shape == (10, 300)


def test_some_oscillators_in_single_precision(tmp_path: Path) -> None:
    """Of some oscillators, the coordinate says which; float32 is rounded once."""
    path = record_phases(swarm(), tmp_path / "a.zarr", 8, 4, of=[5, 2], dtype="float32")
    (block,) = swarm().record(8, 4, of=[5, 2])
    with load_phases(path) as data:
        assert data.oscillator.values.tolist() == [5, 2]
        assert data.phi.dtype == np.float32
        np.testing.assert_array_equal(data.phi, block.values["phi"].astype(np.float32))


def test_in_a_run_folder(tmp_path: Path) -> None:
    """A run folder is enough to find the phases in it."""
    record_phases(swarm(), tmp_path / "phases.zarr", 4)
    with load_phases(tmp_path) as data:
        assert data.sizes["tick"] == 4


def test_readable_while_it_is_written(tmp_path: Path) -> None:
    """After each block all rows so far can be read, and no more than these, torn or not."""
    with PhaseStore(tmp_path / "a.zarr") as store:
        with pytest.raises(LogError, match="no rows yet"):
            load_phases(store.path)
        for block in swarm().record(1000):
            store.append(block)
            store._arrays["tick"].resize((store.rows + 99,))  # the next block, cut off in the middle
            with load_phases(store.path) as data:
                assert data.sizes["tick"] == store.rows == block.tick[-1]
                np.testing.assert_array_equal(data.phi[-1], block.values["phi"][-1])


ENDLESS = """
import sys
from chronoflux.model.simulation import Simulation
from chronoflux.model.params import Params
from chronoflux.telemetry import record_phases
simulation = Simulation(Params(oscillators=2000, coupling="global", gamma=0.0), seed=4)
record_phases(simulation, sys.argv[1], 10**9, what=("phi", "x"))
"""


@pytest.mark.parametrize("delay", [0.0, pytest.param(0.037, marks=pytest.mark.slow)])
def test_a_killed_run_leaves_a_readable_store(delay: float, tmp_path: Path) -> None:
    """Killed at any moment, what was written until then is whole and equal to a run of the same seed."""
    path = tmp_path / "a.zarr"
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)])
    try:
        while not list(path.glob("phi/c/2/*")):  # files: the two blocks before it are whole
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(delay)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with load_phases(path) as data:
        rows = data.sizes["tick"]
        assert rows >= 65 * 2
        assert data.phi.shape == data.x.shape == (rows, 2000)
        np.testing.assert_array_equal(data.tick, np.arange(1, rows + 1))
        assert np.isfinite(data.phi.values).all()
        sim = Simulation(Params(oscillators=2000, coupling="global", gamma=0.0), seed=4)
        sim.advance(rows)
        np.testing.assert_array_equal(data.phi[-1], sim.state.phi)


def test_refusals_to_write(tmp_path: Path) -> None:
    """A store that is there already, a bad type, and a place that cannot be written are refused at once."""
    sim = swarm()
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(LogError, match=r"a\.zarr: exists already"):
        record_phases(sim, tmp_path / "a.zarr", 4)
    with pytest.raises(ParameterError, match="dtype = 'float16'"):
        record_phases(sim, tmp_path / "b.zarr", 4, dtype="float16")
    with pytest.raises(ParameterError, match="every = 0"):
        record_phases(sim, tmp_path / "b.zarr", 4, 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="cannot be written"):
        record_phases(sim, tmp_path / "file" / "b.zarr", 4)
    assert sim.tick == 0
    assert not (tmp_path / "b.zarr").exists()


def test_refusals_to_read(tmp_path: Path) -> None:
    """No store, a foreign one, a newer one: each refused in words."""
    with pytest.raises(LogError, match="holds no phases"):
        load_phases(tmp_path)
    xarray.Dataset({"phi": ("tick", [1.0])}).to_zarr(tmp_path / "b.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(LogError, match="not recorded by ChronoFlux"):
        load_phases(tmp_path / "b.zarr")
    path = record_phases(swarm(), tmp_path / "c.zarr", 4)
    facts = json.loads((path / "zarr.json").read_text())
    facts["attributes"]["format"] = 2
    (path / "zarr.json").write_text(json.dumps(facts))
    with pytest.raises(LogError, match=r"newer ChronoFlux .format 2"):
        load_phases(path)
    (path / "zarr.json").write_text("{")
    with pytest.raises(LogError, match="cannot be read"):
        load_phases(path)


def test_without_zarr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra that brings zarr the message says how to get it."""
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(LogError, match=r"pip install 'chronoflux\[phases\]'"):
        record_phases(swarm(), tmp_path / "a.zarr", 4)
