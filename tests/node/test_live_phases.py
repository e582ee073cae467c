"""Phases of live nodes on disk: exact, readable while they grow, after a kill, with a failing disk."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import chronoflux as cf
from chronoflux.errors import LogError, ParameterError, UsageError
from chronoflux.headless.__main__ import main
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.telemetry.format.phase_store import PhaseStore, check_phases, is_bare
from chronoflux.telemetry.maintain.inspect import check_run
from chronoflux.telemetry.read.discovery import find_runs
from chronoflux.telemetry.write import phase_writer
from chronoflux.telemetry.write.phase_writer import PhaseLog, PhaseOptions
from tests.conftest import Joiner
from tests.support import until

PARAMS = Params(oscillators=20)
ALONE: dict[str, Any] = {"server": None, "params": PARAMS, "schedule": "none"}


def faults(run: Path) -> list[str]:
    (found,) = find_runs(run)
    return check_run(found)


def phases_of(run: Path) -> dict[int, np.ndarray]:
    with cf.load_phases(run) as data:
        assert (np.diff(data.tick) > 0).all()
        return dict(zip(data.tick.values.tolist(), data.phi.values, strict=True))


async def test_a_live_node_writes_what_it_computed(joined: Joiner) -> None:
    """At full speed every row is present, at the first tick of each period, and equals a simulation's own."""
    node = await joined(**ALONE, speed="max", duration=20.0, phases=0.25, phases_of=7)
    await node.wait_closed()
    found = phases_of(node.path)
    dt = PARAMS.dt
    assert list(found) == [int(np.ceil(k * 0.25 / dt - 1e-9)) for k in range(1, 81)]
    sim = Simulation(PARAMS, seed=node.seed)
    for tick, phi in found.items():
        sim.advance(tick - sim.tick)
        np.testing.assert_array_equal(phi, sim.state.phi[:7])
    assert faults(node.path) == []
    assert node.status.problem is None


async def test_beside_the_clock_it_is_readable_while_it_grows(
    joined: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In real time rows reach the disk within seconds; those of a swarm of another size are left out."""
    monkeypatch.setattr(phase_writer, "WRITE_EVERY", 0.05)
    node = await joined(**ALONE, phases=0.05)
    await until(lambda: not is_bare(node.path / phase_writer.STORE))
    await until(lambda: len(phases_of(node.path)) > 4)
    assert faults(node.path) == []
    node.params = node.params.replace(oscillators=30)
    await until(lambda: "the swarm has 30 oscillators now" in (node.status.problem or ""))
    node.params = node.params.replace(oscillators=20)
    await until(lambda: node.status.problem is None)


async def test_a_run_goes_on_recording(joined: Joiner) -> None:
    """A resumed run records as before: no tick is present twice, and later ones are computed again."""
    node = await joined(**ALONE, speed="max", duration=10.0, phases=0.5)
    await node.wait_closed()
    before = phases_of(node.path)
    with pytest.raises(UsageError, match="leave out phases"):
        await cf.join(server=None, resume=node.path, phases=1.0)
    again = await joined(server=None, resume=node.path, speed="max", duration=10.0, seed=None)
    await again.wait_closed()
    after = phases_of(again.path)
    assert len(after) == 40
    assert all((after[tick] == phi).all() for tick, phi in before.items())
    sim = Simulation(PARAMS, seed=node.seed)
    sim.advance(max(after))
    np.testing.assert_array_equal(after[max(after)], sim.state.phi)
    assert faults(node.path) == []


def new(folder: Path, tick: int = 0, settle: Any = lambda: True) -> PhaseLog:
    return PhaseLog(folder, PhaseOptions(1.0), PARAMS, 7, tick, settle)


def fill(log: PhaseLog, ticks: range) -> None:
    for tick in ticks:
        log.add(tick, tick * 0.016, np.full(20, tick / 1000))


def test_what_is_later_than_the_log_is_taken_out(tmp_path: Path) -> None:
    """A store is resumed after any tick: later rows are replaced, a truncated one is ignored."""
    log = new(tmp_path)
    fill(log, range(1, 51))
    assert log.close(10)
    for last, then in ((50, 60), (33, 40), (0, 5), (200, 260)):
        log = new(tmp_path, last)
        log._store._arrays["tick"].resize((99,))  # as a kill within `append` leaves it
        log = new(tmp_path, last)
        fill(log, range(last + 1, then))
        assert log.close(10)
        found = phases_of(tmp_path)
        assert max(found) == then - 1
        assert all((phi == tick / 1000).all() for tick, phi in found.items())
    assert list(found) == [*range(1, 5), *range(201, 260)]


def test_one_that_had_no_rows_is_begun_again(tmp_path: Path) -> None:
    """Killed before its first rows, a store is created anew; anything else in its place is refused by
    name."""
    assert new(tmp_path).close(10)
    log = new(tmp_path, 5)
    fill(log, range(6, 8))
    assert log.close(10)
    assert list(phases_of(tmp_path)) == [6, 7]
    (tmp_path / "phases.zarr" / "zarr.json").write_text('{"attributes": {}}')
    with pytest.raises(LogError, match=r"phases\.zarr: was not recorded by ChronoFlux"):
        new(tmp_path, 5)
    assert (tmp_path / "phases.zarr" / "phi").exists()


def test_a_disk_that_fails_costs_nothing_that_fits_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While rows cannot be written, a problem is reported and they wait, up to a limit; afterwards all are
    present."""
    monkeypatch.setattr(phase_writer, "WRITE_EVERY", 0.01)
    monkeypatch.setattr(phase_writer, "RETRY_EVERY", 0.01)
    monkeypatch.setattr(phase_writer, "WAITING", 8 * 20 * 30)
    log = new(tmp_path)
    fill(log, range(1, 4))
    deadline = time.monotonic() + 10
    while log._store.rows < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)

    class Full:
        def resize(self, shape: object) -> None:
            raise OSError(28, "No space left on device")

        shape, ndim = (0,), 1

    kept = log._store._arrays
    log._store._arrays = dict.fromkeys(kept, Full())  # type: ignore[arg-type]
    fill(log, range(4, 50))
    while "No space left" not in (log.problem or ""):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert log.left_out > 0
    assert not log.keeps_up(0.05)
    log._store._arrays = kept
    assert log.keeps_up(5)
    fill(log, range(60, 61))
    assert log.close(5)
    assert log.problem is None
    found = list(phases_of(tmp_path))
    assert found[:5] == [1, 2, 3, 4, 5]
    assert len(found) == 50 - log.left_out
    assert found[-1] == 60


async def test_bad_wishes_are_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad period, more oscillators than exist and missing zarr are refused by `join`, and no folder is
    made."""
    logs = tmp_path / "logs"
    for options, error, what in (
        ({"phases": 0}, UsageError, "phases = 0: give a number of simulated seconds"),
        ({"phases": "1"}, UsageError, "phases = '1'"),
        ({"phases_of": 3}, UsageError, "give the interval too"),
        ({"phases": 1.0, "phases_of": 0}, UsageError, "phases_of = 0"),
        ({"phases": 1.0, "phases_of": 21}, ParameterError, "at most 20"),
        ({"phases": 1.0, "kind": "recorder", "params": None}, UsageError, "leave out phases"),
    ):
        with pytest.raises(error, match=what):
            await cf.join(**({"server": None, "params": PARAMS, "log_dir": logs} | options))
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(UsageError, match=r"phases = 1 needs zarr .*pip install 'chronoflux\[phases\]'"):
        await cf.join(server=None, params=PARAMS, log_dir=logs, phases=1)
    assert not logs.exists()


def test_damaged_phases_are_found(tmp_path: Path) -> None:
    """`logs check` reads the phases and reports a missing chunk and a damaged one."""
    log = new(tmp_path)
    fill(log, range(1, 51))
    assert log.close(10)
    store = tmp_path / phase_writer.STORE
    assert check_phases(store) is None
    chunk = store / "phi" / "c" / "0" / "0"
    content = chunk.read_bytes()
    chunk.write_bytes(content[: len(content) // 2])
    assert "phases.zarr" in (check_phases(store) or "")
    chunk.unlink()
    assert "phi is missing in rows 0 to 49" in (check_phases(store) or "")


def test_headless_nodes_record_too(tmp_path: Path) -> None:
    """``--phases`` and ``--phases-of`` reach every node of a process."""
    options = ["--offline", "--speed", "max", "--duration", "3s", "--log-dir", str(tmp_path), "--nodes", "2"]
    done = CliRunner().invoke(main, ["room1", "10", *options, "--phases", "1s", "--phases-of", "4"])
    assert done.exit_code == 0, done.output
    runs = list(tmp_path.iterdir())
    assert [np.shape(list(phases_of(run).values())) for run in runs] == [(3, 4), (3, 4)]


@pytest.mark.parametrize("speed", [pytest.param(50.0, id="clock"), pytest.param("max", id="max")])
async def test_a_store_that_cannot_be_written_does_not_stop_the_node(
    joined: Joiner, monkeypatch: pytest.MonkeyPatch, speed: Any
) -> None:
    """The problem is reported; swarm, records and checkpoint continue; with space again rows do, too."""
    monkeypatch.setattr(phase_writer, "WRITE_EVERY", 0.02)
    monkeypatch.setattr(phase_writer, "RETRY_EVERY", 0.02)
    monkeypatch.setattr(phase_writer, "WAITING", 8 * 20 * 4000)
    append = PhaseStore.append

    def full(*_: Any) -> None:
        raise LogError("phases.zarr", "cannot be written (No space left on device)")

    node = await joined(**ALONE, speed=speed, phases=0.1)
    await until(lambda: not is_bare(node.path / phase_writer.STORE))
    monkeypatch.setattr(PhaseStore, "append", full)
    await until(lambda: "No space left" in (node.status.problem or ""))
    before = node.t
    await until(lambda: node.t > before + 5)
    monkeypatch.setattr(PhaseStore, "append", append)
    await until(lambda: node.status.problem is None)
    await node.leave()
    with cf.load_phases(node.path) as data:
        gaps = np.diff(data.t.values)
        assert data.t[-1] > before + 5
        assert gaps.min() > 0.05
        assert gaps.max() < 0.15
    assert faults(node.path) == []


def written(logs: Path) -> int:
    """When rows were last written to the store, ns."""
    return max((path.stat().st_mtime_ns for path in logs.glob("*/phases.zarr/phi/zarr.json")), default=0)


@pytest.mark.slow
def test_killed_and_gone_on_with(tmp_path: Path) -> None:
    """After three kills at any moment, each followed by a resume, no row is wrong or present twice."""
    options = ["-m", "chronoflux.headless", "room1", "20", "n1", "--offline", "--speed", "max", "--quiet"]
    fresh = ["--schedule", "none", "--seed", "3", "--phases", "0.1s", "--log-dir", str(tmp_path)]
    more = fresh
    for delay in (0.3, 0.1, 0.7):
        process = subprocess.Popen([sys.executable, *options, *more])
        try:
            had = sum(path.stat().st_mtime_ns for path in tmp_path.glob("*/phases.zarr/zarr.json"))
            deadline = time.monotonic() + 120
            while (
                sum(path.stat().st_mtime_ns for path in tmp_path.glob("*/phases.zarr/phi/zarr.json")) <= had
            ):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(delay)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        (run,) = tmp_path.iterdir()
        more = ["--resume", str(run)]
    done = subprocess.run([sys.executable, *options, *more, "--duration", "5s"], check=False)
    assert done.returncode == 0
    found = phases_of(run)
    sim = Simulation(Params(oscillators=20), seed=3)
    for tick, phi in found.items():
        sim.advance(tick - sim.tick)
        np.testing.assert_array_equal(phi, sim.state.phi)
    assert faults(run) == []
