"""Simulations in files: they go on bit for bit, are replaced in one step, and nothing else is taken."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import networkx
import numpy as np
import pytest
from scipy.sparse import random_array

from chronoflux.errors import LogError
from chronoflux.model.params import Params
from chronoflux.model.simulation import FORMAT, Simulation
from chronoflux.telemetry import load_simulation, save_simulation
from tests.model.test_simulation import KINDS, assert_same, cycle, scripted


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_bit_for_bit(kind: str, tmp_path: Path) -> None:
    """Saved and loaded at any moment, queued events and peers included, a run goes on as it would have."""
    sim = scripted(Simulation(Params(oscillators=60, **KINDS[kind]), seed=5), 0, 26, cycle(7))
    sim.intent(x=3, y=4)
    path = save_simulation(sim, tmp_path / "half.npz")
    assert path == tmp_path / "half.npz"
    other = load_simulation(path)
    assert_same(sim, other)
    assert_same(scripted(sim, 26, 80, cycle(9)), scripted(other, 26, 80, cycle(4)))


def test_with_graph_and_frequencies(tmp_path: Path) -> None:
    """Graphs and given frequencies are in the file."""
    rng = np.random.default_rng(1)
    for graph in (networkx.gnp_random_graph(20, 0.3, seed=1, directed=True), random_array((20, 20), rng=rng)):
        sim = Simulation(seed=1, graph=graph, frequencies=rng.normal(1.2, 0.1, 20))
        sim.advance(10)
        other = load_simulation(save_simulation(sim, tmp_path / "s.npz"))
        sim.advance(10)
        other.advance(10)
        assert_same(sim, other)


def test_one_file_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When writing fails half-way the file before it is still there, whole, and nothing beside it."""
    sim = Simulation(seed=1)
    path = save_simulation(sim, tmp_path / "s.npz")
    before = path.read_bytes()
    sim.advance(5)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(LogError, match=r"s\.npz: cannot be written \(No space left"):
            save_simulation(sim, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["s.npz"]
    save_simulation(sim, path)
    assert load_simulation(path).tick == 5


def test_any_name_will_do(tmp_path: Path) -> None:
    """The file is called what it was asked to be, .npz or not."""
    assert save_simulation(Simulation(seed=1), str(tmp_path / "state")) == tmp_path / "state"
    assert load_simulation(tmp_path / "state").seed == 1


def test_where_nothing_can_be(tmp_path: Path) -> None:
    """A missing file or folder is an error that says so."""
    with pytest.raises(LogError, match=r"cannot be read .No such file"):
        load_simulation(tmp_path / "none.npz")
    with pytest.raises(LogError, match="cannot be read"):
        load_simulation(tmp_path)
    with pytest.raises(LogError, match=r"cannot be written .No such file"):
        save_simulation(Simulation(seed=1), tmp_path / "no" / "s.npz")


def changed(path: Path, **changes: object) -> Path:
    """The file with some of its JSON, or some of its arrays, changed; None leaves one out."""
    with np.load(path) as archive:
        entries = {name: archive[name] for name in archive.files}
    saved = json.loads(entries["simulation"].tobytes())
    for name, value in changes.items():
        place = entries if name in entries else saved
        if value is None:
            del place[name]
        else:
            place[name] = value
    if "simulation" in entries and "simulation" not in changes:
        entries["simulation"] = np.frombuffer(json.dumps(saved).encode(), np.uint8)
    np.savez(path, **entries)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": FORMAT + 1}, "newer ChronoFlux.*format 2.*up to 1.*update"),
        ({"format": 0}, "format = 0"),
        ({"format": None}, "is not a simulation saved by ChronoFlux"),
        ({"chronoflux": None}, "is not a simulation saved by ChronoFlux"),
        ({"simulation": None}, "is not a simulation saved by ChronoFlux"),
        ({"simulation": np.arange(9, dtype=np.uint8)}, "is not a simulation saved by ChronoFlux"),
        ({"params": {"kappa": -1e9}}, "not hold a valid simulation.*kappa"),
        ({"params": 3}, "not hold a valid simulation"),
        ({"phi": None}, "not hold a valid simulation.*phi"),
        ({"phi": np.zeros(3)}, "not hold a valid simulation.*phi"),
        ({"x": np.full(220, np.nan)}, "not hold a valid simulation.*finite"),
        ({"hertz": np.zeros(3)}, "not hold a valid simulation.*frequencies"),
        ({"turns": np.zeros(3)}, "not hold a valid simulation.*turns"),
        ({"turned": -1}, "not hold a valid simulation.*turned"),
        ({"turned": 10**30}, "not hold a valid simulation.*turned"),
        ({"tick": 10**30}, "not hold a valid simulation.*tick"),
        ({"tick": "soon"}, "not hold a valid simulation.*tick"),
        ({"pulses": np.array([[1.0, 2, 3, 0, 5]])}, "not hold a valid simulation.*pulse"),
        ({"pulses": np.zeros((1, 3))}, "not hold a valid simulation"),
        ({"generator": {"bit_generator": "PCG64"}}, "not hold a valid simulation"),
        ({"generator": 5}, "not hold a valid simulation"),
        ({"queue": [["explode", 0.0, {}]]}, "not hold a valid simulation.*explode"),
        ({"queue": 7}, "not hold a valid simulation"),
        ({"peers": {"clock": [0, 0, -1], "fields": {}, "used": 0}}, "not hold a valid simulation.*speed"),
        ({"peers": {"clock": None, "fields": {"a": [1, 2]}, "used": 0}}, "not hold a valid simulation"),
    ],
)
def test_content_that_is_not_sound_is_refused(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    """What is newer, of something else, or does not fit together is refused in one line with the path."""
    path = changed(save_simulation(Simulation(seed=1), tmp_path / "s.npz"), **changes)
    with pytest.raises(LogError, match=message) as caught:
        load_simulation(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"graph_indices": np.array([0, 99], np.int32)},
        {"graph_indptr": np.array([0, 1, 9])},
        {"graph_indptr": None},
    ],
)
def test_a_graph_that_does_not_fit_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    """Edges that lead outside are refused when loaded, before a kernel follows them."""
    sim = Simulation(seed=1, graph=networkx.path_graph(2))
    path = changed(save_simulation(sim, tmp_path / "s.npz"), **change)
    with pytest.raises(LogError, match="not hold a valid simulation"):
        load_simulation(path)


def test_damage_is_noticed(tmp_path: Path) -> None:
    """A file cut short, or with any byte flipped, is refused or loads the very same simulation."""
    sim = Simulation(Params(oscillators=20), seed=1)
    sim.advance(3)
    path = save_simulation(sim, tmp_path / "s.npz")
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for length in (0, 3, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(LogError):
            load_simulation(path)
    refused = 0
    for place in rng.integers(0, len(whole), 300):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            assert_same(load_simulation(path), sim)
        except LogError:
            refused += 1
    assert refused > 200


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    """Text, another .npz, and anything with a pickle in it is refused, and nothing is unpickled."""
    path = tmp_path / "s.npz"
    other = io.BytesIO()
    np.savez(other, x=np.zeros(3))
    with_pickle = io.BytesIO()
    np.savez(with_pickle, x=np.array([os.getcwd], object), allow_pickle=True)
    for content in (b"PK, not", b'{"a": 1}', other.getvalue(), with_pickle.getvalue(), pickle.dumps(3)):
        path.write_bytes(content)
        with pytest.raises(LogError, match=r"s\.npz: is"):
            load_simulation(path)


def test_reading_logs_needs_no_compiler() -> None:
    """Telemetry loads numba, Zarr and xarray only for those who load simulations or phases."""
    heavy = ["numba", "zarr", "xarray", "pandas"]
    code = f"import sys, chronoflux.telemetry; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
