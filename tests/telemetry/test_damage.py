"""Single bits that flip on the disk: in which files of a run they are noticed."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr

from chronoflux.errors import LogError
from chronoflux.model.params import Params
from chronoflux.model.recording import Block
from chronoflux.model.simulation import Simulation
from chronoflux.telemetry import PhaseStore, RunLog, load, load_phases
from chronoflux.telemetry.format.phase_store import check_phases
from chronoflux.telemetry.format.saved_state import load_simulation, pack_simulation
from chronoflux.telemetry.format.segments import KINDS
from chronoflux.telemetry.format.snapshots import picture_png
from chronoflux.telemetry.maintain.inspect import check_run, unprotected
from chronoflux.telemetry.read.copies import distinct_runs
from chronoflux.telemetry.write.rotation import publish, trim_log

PARAMS = Params(oscillators=6)
TICKS = 4 * np.arange(10)
PHASES = np.random.default_rng(1).random((10, 6)) * 6.28


def write_phases(path: Path) -> Path:
    """A store of ten rows in three chunks."""
    with PhaseStore(path, attributes={"params": PARAMS.to_dict(), "seed": 1}, chunk_rows=4) as store:
        for rows in (slice(0, 5), slice(5, 10)):
            store.append(Block(tick=TICKS[rows], t=TICKS[rows] * 0.016, values={"phi": PHASES[rows]}))
    return path


def values(path: Path) -> tuple[Any, ...]:
    with load_phases(path) as data:
        return tuple(data[name].values.tolist() for name in ("phi", "tick", "t", "oscillator"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with each kind of file: lines, segments, saved swarms, a picture, phases."""
    log_dir = tmp_path_factory.mktemp("logs")
    simulation = Simulation(PARAMS, seed=7)
    with RunLog(log_dir, room="r", node="n", kind="headless", params=PARAMS, seed=7, schedule="none") as log:
        for _ in range(6):
            simulation.advance(60)
            log.write_input(simulation.tick, peer="p", at=1e12, R=0.5, psi=1.0, omega=2.0)
            log.write(
                "telemetry", tick=simulation.tick, t=simulation.t, at=1e12, metrics=simulation.metrics()
            )
        saved = pack_simulation(simulation, log.position)
        for name in ("checkpoint.npz", f"keyframes/{simulation.tick}.npz", "snapshots/1-flip.npz"):
            log.keep(name, saved)
        log.keep("snapshots/1-flip.png", picture_png(simulation.snapshot()))
    for kind in KINDS:
        publish(log.path, kind)
        trim_log(log.path, kind.log)
    write_phases(log.path / "phases.zarr")
    assert not check_run(distinct_runs(log.path)[0])
    return log.path


def flips(path: Path, count: int, seed: int) -> Iterator[int]:
    """Flip single bits of a file, one at a time; it is whole again behind each."""
    whole = path.read_bytes()
    bits = 8 * len(whole)
    try:
        for bit in random.Random(seed).sample(range(bits), min(bits, count)):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            yield bit
    finally:
        path.write_bytes(whole)


def read_all(path: Path) -> Any:
    """What one reads of a file; arrays as bytes."""
    if path.suffix == ".npz":
        return {
            k: v.tobytes() if isinstance(v, np.ndarray) else v
            for k, v in load_simulation(path).save().items()
        }
    if path.suffix == ".parquet":
        return load(path.parent).to_csv()
    raise AssertionError(f"{path}: a file of a kind that nothing is known of")


def unnoticed(run: Path, count: int, seed: int) -> dict[str, list[int]]:
    """Flips that `check` does not tell, and after which something else is read without a word."""
    found: dict[str, list[int]] = {}
    files = [file for file in sorted(run.rglob("*")) if file.is_file()]
    for file in files:
        if file.suffix == ".jsonl" or file.name == "run.json":
            continue  # these have no checksum: docs/reference/records.md says so
        if "phases.zarr" in file.parts:
            continue  # see below
        before = None if file.suffix == ".png" else read_all(file)
        for bit in flips(file, count, seed):
            if check_run(distinct_runs(run)[0]):
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    same = before is not None and read_all(file) == before
            except (LogError, UserWarning):
                continue
            if not same:
                found.setdefault(str(file.relative_to(run)), []).append(bit)
    return found


def test_flipped_bits_are_noticed(run: Path) -> None:
    """In segments, saved swarms and pictures a flipped bit is told, or what is read is the same."""
    assert unnoticed(run, 3, seed=1) == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_many_flipped_bits_are_noticed(run: Path, seed: int) -> None:
    """The same for forty bits of each file."""
    assert unnoticed(run, 40, seed) == {}


def test_flipped_bits_of_phases_are_noticed(tmp_path: Path) -> None:
    """No flip of a store gives other phases without a word, or anything but a LogError."""
    store = write_phases(tmp_path / "phases.zarr")
    whole = values(store)
    for file in sorted(path for path in store.rglob("*") if path.is_file()):
        for bit in flips(file, 12, seed=3):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", UserWarning)
                    assert values(store) == whole, (file, bit)
                    assert file.name == "zarr.json", (file, bit)
            except (UserWarning, LogError):
                assert check_phases(store), (file, bit)


def test_damaged_phases_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    """A chunk whose checksum is wrong is NaN; file and rows are told, once; strictly it is a LogError."""
    store = write_phases(tmp_path / "phases.zarr")
    chunk = store / "phi" / "c" / "1" / "0"
    content = bytearray(chunk.read_bytes())
    content[9] ^= 1
    chunk.write_bytes(content)
    words = r"phi/c/1/0: phi is damaged: its checksum does not match in rows 4 to 7"
    with load_phases(store) as data:
        with pytest.warns(UserWarning, match=words):
            found = data.phi.values
        again = data.phi.values  # a warning would be an error here
    np.testing.assert_array_equal(found[[0, 1, 2, 3, 8, 9]], PHASES[[0, 1, 2, 3, 8, 9]])
    assert np.isnan(found[4:8]).all()
    assert np.isnan(again[4:8]).all()
    with load_phases(store, strict=True) as data, pytest.raises(LogError, match=words):
        _ = data.phi.values
    assert "in rows 4 to 7" in (check_phases(store) or "")


def test_rows_without_a_tick_are_left_out(tmp_path: Path) -> None:
    """Where ticks are damaged the rows are not known: they are left out, and the others are read."""
    store = write_phases(tmp_path / "phases.zarr")
    (store / "tick" / "c" / "0").write_bytes(b"")
    with pytest.warns(UserWarning, match="tick is damaged"), load_phases(store) as data:
        assert data.sizes["tick"] == 0


def older(path: Path, phases: Any) -> Path:
    """A store as they were recorded before there were checksums."""
    data = xarray.Dataset(
        {"phi": (("tick", "oscillator"), phases)},
        coords={"tick": TICKS, "t": ("tick", TICKS * 0.016), "oscillator": np.arange(6)},
        attrs={"chronoflux": "0.1.0", "format": 1, "params": PARAMS.to_dict()},
    )
    encoding = {"phi": {"chunks": (4, 6)}}
    data.to_zarr(path, zarr_format=3, consolidated=False, encoding=encoding)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)
    return path


def test_stores_without_checksums_are_read_and_said_to_be_so(tmp_path: Path) -> None:
    """Older stores are read as they are; `check` and a warning say that damage may go unnoticed."""
    path = older(tmp_path / "phases.zarr", PHASES)
    with pytest.warns(UserWarning, match="has no checksums"), load_phases(path) as data:
        np.testing.assert_array_equal(data.phi.values, PHASES)
    assert check_phases(path) is None
    shutil.copytree(tmp_path, tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("{}")
    assert "has no checksums" in unprotected(distinct_runs(tmp_path / "run")[0])[0]


@pytest.mark.parametrize(
    ("value", "words"), [(1e300, "above 6.28"), (-0.5, "below 0"), (np.nan, "not finite")]
)
def test_values_beyond_their_range_are_damage(value: float, words: str, tmp_path: Path) -> None:
    """Without a checksum a phase that is none is noticed all the same."""
    phases = PHASES.copy()
    phases[5, 3] = value
    path = older(tmp_path / "phases.zarr", phases)
    with pytest.warns(UserWarning, match="has no checksums"):
        data = load_phases(path)
    with data, pytest.warns(UserWarning, match=f"phi is damaged: .*{words}.* in rows 4 to 7"):
        found = data.phi.values
    assert np.isnan(found[4:8]).all()
    np.testing.assert_array_equal(found[:4], PHASES[:4])
    assert words in (check_phases(path) or "")


def test_a_store_is_gone_on_with(tmp_path: Path) -> None:
    """A store that is opened again keeps its checksums, and stays readable by other programs."""
    path = write_phases(tmp_path / "phases.zarr")
    with PhaseStore.reopen(path, int(TICKS[6])) as store:
        assert store.rows == 7
        rows = slice(7, 10)
        store.append(Block(tick=TICKS[rows], t=TICKS[rows] * 0.016, values={"phi": PHASES[rows]}))
    assert check_phases(path) is None
    assert values(path)[0] == PHASES.tolist()
    assert "crc32c" in json.loads((path / "zarr.json").read_text())["attributes"]
    np.testing.assert_array_equal(zarr.open_group(path, mode="r")["phi"][:], PHASES)
