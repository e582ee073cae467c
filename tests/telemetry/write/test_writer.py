"""The writer of run folders, with real files and real trouble."""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chronoflux.telemetry.write.writer as writer
from chronoflux.errors import LogError
from chronoflux.model.params import Params
from chronoflux.telemetry import RunLog, load
from chronoflux.telemetry.format.layout import open_log, slug
from tests.support import until

PARAMS = Params(oscillators=30, kappa=1.25)


def new_log(log_dir: Path, **options: Any) -> RunLog:
    facts = {"room": "room1", "node": "n1", "kind": "headless", "seed": 7, "schedule": "none"}
    return RunLog(log_dir, params=PARAMS, **(facts | options))


def records(log: RunLog) -> list[dict[str, Any]]:
    content = (log.path / "telemetry.jsonl").read_bytes()
    assert content == b"" or content.endswith(b"\n")
    return [json.loads(line, parse_constant=pytest.fail) for line in content.splitlines()]


def manifest(log: RunLog) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((log.path / "run.json").read_text())
    return found


class Disk:
    """Opens real files that take only so many bytes more, and then fail as a full disk does."""

    def __init__(self, room: float = math.inf) -> None:
        self.room = room
        self.gate = threading.Event()
        self.gate.set()
        self.files: list[LimitedFile] = []

    def open(self, path: Path) -> LimitedFile:
        self.files.append(LimitedFile(open_log(path), self))
        return self.files[-1]


class LimitedFile:
    def __init__(self, file: FileIO, disk: Disk) -> None:
        self.file, self.disk = file, disk
        self.fileno, self.close = file.fileno, file.close

    def write(self, data: memoryview) -> int:
        assert self.disk.gate.wait(20)
        part = data[: int(min(self.disk.room, len(data)))]
        if not part:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.disk.room -= len(part)
        written = self.file.write(part)
        assert written is not None
        return written


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    fake = Disk()
    monkeypatch.setattr(writer, "open_log", fake.open)
    monkeypatch.setattr(writer, "RETRY_EVERY", 0.02)
    yield fake
    assert all(opened.file.closed for opened in fake.files)


def test_a_record_has_the_core_and_the_stamps(tmp_path: Path) -> None:
    """A record holds the first ChronoFlux's core, seq, tick, mono and at, with UTC ms and rounded metrics."""
    before, mono = time.time(), time.monotonic_ns()
    with new_log(tmp_path) as log:
        metrics = {
            "H": np.float64(1 / 3),
            "tau": np.float32(0.1),
            "psi": math.nan,
            "nodes": 30,
            "portal": False,
        }
        log.write("telemetry", tick=3, t=0.048, at=1.5, metrics=metrics)
        log.write("intent", tick=np.int64(4), t=0.064, data={"x": math.inf, "y": np.arange(2)}, id="a")
    first, second = records(log)
    assert before * 1000 - 1 <= first["timestamp"] <= time.time() * 1000
    assert mono <= first["mono"] <= second["mono"] <= time.monotonic_ns()
    assert first["metrics"] == {"H": 0.333333, "tau": 0.1, "psi": None, "nodes": 30, "portal": False}
    assert {name: first[name] for name in ("type", "t", "tick", "at", "seq")} == {
        "type": "telemetry",
        "t": 0.048,
        "tick": 3,
        "at": 1.5,
        "seq": 0,
    }
    assert second["data"] == {"x": None, "y": [0, 1]}
    assert (second["tick"], second["seq"], second["id"]) == (4, 1, "a")
    assert "metrics" not in second


def test_the_manifest_says_what_ran(tmp_path: Path) -> None:
    """run.json names run, room, node, parameters, seed, versions, host, start and how the run ended."""
    log = new_log(tmp_path, extra={"note": "coffee"})
    facts = manifest(log)
    assert facts["schema"] == 1
    assert facts["run"] == log.path.name
    assert (facts["room"], facts["node"], facts["kind"], facts["seed"]) == ("room1", "n1", "headless", 7)
    assert Params.from_dict(facts["params"]) == PARAMS
    assert {"python", "chronoflux", "numpy", "numba"} <= facts["versions"].keys()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", facts["start"])
    assert (facts["status"], facts["last_tick"], facts["note"]) == ("running", None, "coffee")
    log.write("telemetry", tick=11, t=0.1)
    log.close()
    facts = manifest(log)
    assert (facts["status"], facts["last_tick"], facts["records"]) == ("ended", 11, 1)


async def test_facts_reach_the_manifest_soon(tmp_path: Path) -> None:
    """`update` puts facts into run.json, which is whole JSON at every moment."""
    with new_log(tmp_path) as log:
        log.update(reference="n2")
        await until(lambda: manifest(log).get("reference") == "n2", timeout=3)
        log.update(reference="n3")
    assert manifest(log)["reference"] == "n3"


def test_closing_twice_changes_nothing(tmp_path: Path) -> None:
    """`close` is idempotent, and what is written after it is not logged."""
    log = new_log(tmp_path)
    log.write("telemetry", tick=1, t=0.1)
    log.close("interrupted", last_tick=5)
    log.close()
    log.write("telemetry", tick=2, t=0.2)
    log.update(status="running")
    assert len(records(log)) == 1
    assert (manifest(log)["status"], manifest(log)["last_tick"]) == ("interrupted", 5)


def test_an_error_leaves_an_interrupted_run(tmp_path: Path) -> None:
    """Leaving the context by an exception notes the status ``interrupted``."""
    with pytest.raises(ZeroDivisionError), new_log(tmp_path) as log:
        _ = 1 / 0
    assert manifest(log)["status"] == "interrupted"


async def test_a_record_is_in_the_file_within_a_second(tmp_path: Path) -> None:
    """Without any further call a record is on its way to the disk within 1 s."""
    with new_log(tmp_path) as log:
        log.write("telemetry", tick=1, t=0.1)
        await until(lambda: records(log), timeout=1)


def test_flush_waits_for_the_file(tmp_path: Path) -> None:
    """After `flush` every record written before it is in the file."""
    with new_log(tmp_path) as log:
        for tick in range(100):
            log.write("telemetry", tick=tick, t=0.0)
            assert log.flush()
            assert len(records(log)) == tick + 1


def test_many_threads_share_one_order(tmp_path: Path) -> None:
    """Records of several threads are numbered without gaps, in the order of their stamps and of the file."""
    with new_log(tmp_path) as log:
        threads = [
            threading.Thread(target=lambda: [log.write("telemetry", tick=i, t=0.0) for i in range(500)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = records(log)
    assert [record["seq"] for record in found] == list(range(2000))
    assert all(a["mono"] <= b["mono"] for a, b in itertools.pairwise(found))


@pytest.mark.parametrize("value", [object(), {1j: 2}, "\ud800", [1, [print]]])
def test_what_is_not_json_is_refused_at_once(tmp_path: Path, value: Any) -> None:
    """A value that JSON cannot say is a LogError for the caller, and leaves no gap in seq."""
    with new_log(tmp_path) as log:
        with pytest.raises(LogError, match="cannot be written"):
            log.write("note", tick=0, t=0.0, data=value)
        with pytest.raises(LogError, match="cannot be written"):
            log.update(fact=value)
        log.write("note", tick=0, t=0.0, data="fine")
    assert [record["seq"] for record in records(log)] == [0]


def test_the_logs_own_fields_cannot_be_given(tmp_path: Path) -> None:
    """`timestamp`, `seq` and `mono` come from the log alone."""
    with new_log(tmp_path) as log:
        for name in ("timestamp", "seq", "mono"):
            with pytest.raises(LogError, match=name):
                log.write("note", tick=0, t=0.0, **{name: 1})


NASTY = ["../../etc", "/etc/passwd", "..", "", "a/b", "nul\0", "\ud800", "😀" * 64, "x" * 200, "-rf", "CON"]


@pytest.mark.parametrize("name", NASTY)
def test_names_never_become_paths(tmp_path: Path, name: str) -> None:
    """Whatever a room or node is called, its folder lies directly in the log folder, in plain letters."""
    log_dir = tmp_path / "logs"
    with new_log(log_dir, room=name, node=name) as log:
        log.write("telemetry", tick=0, t=0.0)
    assert log.path.parent == log_dir
    assert os.listdir(log_dir) == [log.path.name]
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,110}", log.path.name)
    assert os.listdir(tmp_path) == ["logs"]
    if "\ud800" not in name:
        assert manifest(log)["room"] == manifest(log)["node"] == name
        assert load(log.path).room[0] == name


@given(st.text())
def test_a_slug_is_short_and_plain(name: str) -> None:
    """A slug has 1 to 40 plain characters, equals a name that was plain, and a hash marks any other."""
    short = slug(name)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", short)
    assert (short == name) or re.search(r"(^|-)[0-9a-f]{6}$", short)


@given(st.sets(st.text(max_size=60), min_size=2, max_size=20))
def test_different_names_have_different_slugs(names: set[str]) -> None:
    """Names that had to be changed stay apart."""
    assert len({slug(name) for name in names}) == len(names)


def test_a_second_node_of_the_same_name_gets_its_own_folder(tmp_path: Path) -> None:
    """Runs of one name in one second have folders of their own."""
    logs = [new_log(tmp_path) for _ in range(4)]
    for log in logs:
        log.close()
    assert len({log.path for log in logs}) == 4
    assert {manifest(log)["run"] for log in logs} == set(os.listdir(tmp_path))


def test_a_log_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    """Where no folder can be made, RunLog says so and names the path."""
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(LogError, match="choose another log_dir") as caught:
        new_log(tmp_path / "file")
    assert caught.value.path == tmp_path / "file"


async def test_a_full_disk_stops_the_log_and_not_the_program(tmp_path: Path, disk: Disk) -> None:
    """A full disk sets `problem`; with room again every record that waited is there, and a gap record."""
    log = new_log(tmp_path)
    log.write("telemetry", tick=0, t=0.0)
    assert log.flush()
    disk.room = 100  # enough to tear a line
    for tick in range(1, 50):
        log.write("telemetry", tick=tick, t=0.0)
    problem = await until(lambda: log.problem)
    assert "No space left" in problem
    assert str(log.path) in problem
    log.write("telemetry", tick=50, t=0.0)
    disk.room = math.inf
    await until(lambda: log.problem is None)
    log.write("telemetry", tick=51, t=0.0)
    log.close()
    found = records(log)
    assert [record["seq"] for record in found] == list(range(53))
    assert [r["tick"] for r in found if r["type"] == "telemetry"] == list(range(52))
    (gap,) = [record for record in found if record["type"] == "gap"]
    assert gap["data"]["dropped"] == 0
    assert "No space left" in gap["data"]["reason"]
    assert log.dropped == 0


async def test_what_a_full_disk_costs_is_counted(tmp_path: Path, disk: Disk) -> None:
    """Records beyond the queue's bound are dropped, counted, and their number is on record."""
    log = new_log(tmp_path, queue_bytes=2000)
    disk.room = 0
    log.write("telemetry", tick=0, t=0.0)
    await until(lambda: log.problem)
    for tick in range(1, 100):
        log.write("telemetry", tick=tick, t=0.0)
    dropped = log.dropped
    assert 0 < dropped < 99
    disk.room = math.inf
    await until(lambda: log.problem is None)
    log.write("telemetry", tick=100, t=0.0)
    log.close()
    found = records(log)
    assert [record["seq"] for record in found] == list(range(len(found)))
    (gap,) = [record for record in found if record["type"] == "gap"]
    kept = [record["tick"] for record in found if record["type"] == "telemetry"]
    assert gap["data"]["dropped"] == log.dropped == dropped == 101 - len(kept)
    assert gap["data"]["from_tick"] == 100 - dropped
    assert gap["tick"] == 99
    with pytest.warns(UserWarning, match=f"{dropped} records the writer had to drop"):
        assert load(log.path).attrs["report"]["dropped"] == dropped


async def test_a_stalled_disk_never_blocks_the_writer(tmp_path: Path, disk: Disk) -> None:
    """While the disk takes nothing, `write` returns at once, memory is bounded, and drops are recorded."""
    log = new_log(tmp_path, queue_bytes=2000)
    disk.gate.clear()
    start = time.monotonic()
    for tick in range(2000):
        log.write("telemetry", tick=tick, t=0.0)
    assert time.monotonic() - start < 5
    assert not log.flush(timeout=0.01)
    assert log.dropped > 1900
    disk.gate.set()
    await until(log.flush)
    log.close()
    found = records(log)
    assert [record["seq"] for record in found] == list(range(len(found)))
    gaps = [record["data"]["dropped"] for record in found if record["type"] == "gap"]
    assert sum(gaps) == log.dropped == 2000 - (len(found) - len(gaps))


def test_a_disk_that_stays_full_is_told_at_the_end(tmp_path: Path, disk: Disk) -> None:
    """Closing on a full disk returns, leaves whole lines, and `problem` stays."""
    log = new_log(tmp_path)
    log.write("telemetry", tick=0, t=0.0)
    assert log.flush()
    disk.room = 150
    for tick in range(1, 20):
        log.write("telemetry", tick=tick, t=0.0)
    log.close()
    assert log.problem is not None
    with pytest.warns(UserWarning, match="gaps? in seq"):
        frame = load(log.path)
    assert frame.seq.tolist() == list(range(len(frame)))
    assert frame.attrs["report"]["missing"] == 20 - len(frame)


async def test_a_folder_that_vanished_may_come_back(tmp_path: Path, disk: Disk) -> None:
    """With its folder gone the log says so; when it is back, it goes on without losing what waited."""
    log = new_log(tmp_path)
    log.write("telemetry", tick=0, t=0.0)
    assert log.flush()
    log.path.rename(tmp_path / "elsewhere")
    log.write("telemetry", tick=1, t=0.0)
    assert "No such file" in await until(lambda: log.problem)
    (tmp_path / "elsewhere").rename(log.path)
    await until(lambda: log.problem is None)
    log.close()
    assert [r["tick"] for r in records(log) if r["type"] == "telemetry"] == [0, 1]


async def test_a_deleted_folder_does_not_stop_the_program(tmp_path: Path, disk: Disk) -> None:
    """A deleted run folder is a problem that is told; writing and closing go on without error."""
    log = new_log(tmp_path)
    shutil.rmtree(log.path)
    log.write("telemetry", tick=0, t=0.0)
    await until(lambda: log.problem)
    log.update(fact=1)
    log.close()
    assert log.problem
    assert not log.path.exists()


@pytest.mark.parametrize("torn", ["", "{", '{"timestamp": 1, "ty', "x" * 200_000])
def test_opening_cuts_a_torn_last_line(tmp_path: Path, torn: str) -> None:
    """A log is opened at the end of its last whole line, however long the torn one is."""
    path = tmp_path / "telemetry.jsonl"
    for whole in ("", "{}\n", '{"a": 1}\n{}\n'):
        path.write_text(whole + torn)
        with open_log(path) as file:
            file.write(b"{}\n")
        assert path.read_text() == whole + "{}\n"


CHILD = """
import itertools, sys, time
from chronoflux.model.params import Params
from chronoflux.telemetry import RunLog
log = RunLog(sys.argv[1], room="r", node="n", kind="headless", params=Params(), seed=1, schedule="none")
for tick in itertools.count():
    log.write("telemetry", tick=tick, t=tick * 0.016, metrics={"H": 0.5})
    if tick == 100:
        print("writing", flush=True)
    time.sleep(0.002)
"""


@pytest.mark.parametrize("after", [0.0, 0.37, 0.71])
def test_a_killed_process_loses_at_most_the_last_second(tmp_path: Path, after: float) -> None:
    """After kill -9 the log holds every record but those of the last second, in order."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"writing\n"
            wait_until = time.monotonic() + 0.5 + after
            while time.monotonic() < wait_until:
                time.sleep(0.01)
            killed = time.monotonic_ns()
        finally:
            child.send_signal(signal.SIGKILL)
    frame = load(tmp_path)
    assert frame.seq.tolist() == list(range(len(frame)))
    assert frame.mono.iloc[-1] >= killed - 1_000_000_000
    (path,) = tmp_path.iterdir()
    assert json.loads((path / "run.json").read_text())["status"] == "running"
