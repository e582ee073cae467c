"""Closed segments of a log: what is in them, when they are closed; nothing is lost or there twice."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from chronoflux.errors import LogError
from chronoflux.logs import Tail
from chronoflux.replay.past_run import PastRun
from chronoflux.telemetry import RunLog, export_json, load, load_peerings
from chronoflux.telemetry.format import segments
from chronoflux.telemetry.format.faults import Report
from chronoflux.telemetry.format.layout import INPUTS, LOG
from chronoflux.telemetry.format.segment_encode import TELEMETRY
from chronoflux.telemetry.maintain.inspect import check_run
from chronoflux.telemetry.read.discovery import find_runs
from chronoflux.telemetry.read.journal import read_records, read_revoked, read_run_inputs
from chronoflux.telemetry.write import appender, rotation
from chronoflux.telemetry.write.writer import rotate_all
from tests.support import until
from tests.test_logs import call, fill, new_log

PEER = {
    "id": "n2",
    "R": 0.25,
    "dpsi": -1.5,
    "rtt_ms": 3.125,
    "offset_ms": 0.5,
    "uncertainty_ms": 2,
    "via": "direct",
}


@pytest.fixture
def trimming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are taken out of the log as soon as they are in a segment."""
    monkeypatch.setattr(rotation, "TRIM_AFTER", 0.0)


def write(log: RunLog, ticks: range) -> None:
    for tick in ticks:
        log.write_input(tick, peer="n2", at=1e12 + tick + 0.125, R=0.5, psi=0.1, omega=6.25)
        log.write(
            "telemetry",
            tick=tick,
            t=tick / 62.5,
            at=1e12 + tick / 3,
            metrics={"H": 1 / (1 + tick), "psi": None},
            peerings=[PEER],
        )


def parts(run: Path) -> list[str]:
    return sorted(path.name for path in run.glob("*.parquet"))


async def rotated(log: RunLog, count: int) -> None:
    """Ask for a rotation, and wait until there are so many segments of each kind."""
    log.rotate()
    await until(lambda: len(parts(log.path)) == 2 * count)


def everything(run: Path) -> tuple[list[Any], list[Any]]:
    """All records and inputs as they are gone through to recompute a run."""
    (found,) = find_runs(run)
    report, revoked = Report(strict=True), read_revoked(found)
    records = [
        (record.seq, record.tick, record.t, record.at, record.metrics)
        for record in read_records(found, revoked, report)
    ]
    return records, [
        (given.seq, given.tick, given.peer, given.at) for given in read_run_inputs(found, revoked, report)
    ]


async def test_a_rotated_run_is_the_same_run(tmp_path: Path, trimming: None) -> None:
    """Whatever reads a run finds in its segments what was in its lines, to the last bit."""
    with new_log(tmp_path / "logs") as log:
        fill(log)
        log.write("intent", tick=9000, t=144.0, data={"x": 1.5, "y": [None, "é"]}, id="a", origin="n1")
        log.write("note", tick=9000, t=144.0, odd={"field": 1}, metrics={"H": 0.5, "new": 2.5})
        log.write("telemetry", tick=9000, t=144.0, at=None, metrics={"H": -0.0, "nodes": 3, "portal": True})
        write(log, range(9001, 9020))
        log.flush()
        plain = tmp_path / log.path.name
        shutil.copytree(log.path, plain, ignore=shutil.ignore_patterns(".*.new"))  # a file being replaced
        await rotated(log, 1)
        await until(lambda: not (log.path / LOG).stat().st_size)
        assert not (log.path / INPUTS).stat().st_size
        frame, as_lines = load(log.path, strict=True), load(plain, strict=True)
        pd.testing.assert_frame_equal(frame, as_lines)
        assert frame["data"].tolist() == as_lines["data"].tolist()
        pd.testing.assert_frame_equal(load_peerings(log.path), load_peerings(plain))
        assert len(load_peerings(log.path)) == 19
        assert everything(log.path) == everything(plain)
        one, other = (export_json(run, tmp_path / f"{i}.json") for i, run in enumerate((log.path, plain)))
        pd.testing.assert_frame_equal(load(one), load(other))
        pd.testing.assert_frame_equal(load(log.path / parts(log.path)[1]), as_lines)
        write(log, range(9020, 9030))
    assert len(load(log.path, strict=True)) == len(frame) + 10
    assert not check_run(find_runs(log.path)[0])
    assert parts(log.path) == ["inputs-0001.parquet", "telemetry-0001.parquet"]


async def test_segments_close_by_age_and_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being asked a log closes a segment when it is old enough, and when it is large enough."""
    monkeypatch.setattr(rotation, "AGE", 0.3)
    with new_log(tmp_path / "age") as log:
        write(log, range(10))
        await until(lambda: len(parts(log.path)) == 2)
    monkeypatch.setattr(rotation, "AGE", 3600.0)
    monkeypatch.setattr(rotation, "SIZE", 5000)
    with new_log(tmp_path / "size") as log:
        for first in range(0, 100, 20):
            write(log, range(first, first + 20))
            assert log.flush()
        await until(lambda: len(parts(log.path)) >= 2)
    for name in ("age", "size"):
        frame = load(tmp_path / name, strict=True)
        assert frame["seq"].tolist() == list(range(len(frame)))


async def test_all_logs_of_a_process(tmp_path: Path) -> None:
    """`rotate_all` reaches every log that is open, and none that is closed."""
    closed, *logs = (new_log(tmp_path, node=name) for name in "abc")
    write(closed, range(3))
    closed.close()
    for log in logs:
        write(log, range(3))
    rotate_all()
    for log in logs:
        await until(lambda log=log: len(parts(log.path)) == 2)
        log.close()
    assert not parts(closed.path)


@pytest.mark.slow
async def test_a_hangup_rotates(tmp_path: Path) -> None:
    """SIGHUP closes a segment of a headless node's log at once, and the node goes on."""
    command = ["-m", "chronoflux.headless", "room1", "20", "n1", "--offline", "--log-dir", str(tmp_path)]
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    try:
        run = await until(lambda: next(tmp_path.glob("room1-n1-*"), None), timeout=60)
        await until(lambda: (run / LOG).exists() and (run / LOG).stat().st_size > 1000, timeout=60)
        process.send_signal(signal.SIGHUP)
        await until(lambda: parts(run) == ["telemetry-0001.parquet"], timeout=60)
        size = (run / LOG).stat().st_size
        await until(lambda: (run / LOG).stat().st_size > size)
    finally:
        process.terminate()
    assert await process.wait() == 0
    assert not check_run(find_runs(run)[0])
    found = PastRun(run).recompute()
    assert found, str(found)


async def test_what_is_in_both_is_read_once(tmp_path: Path) -> None:
    """Between publishing and trimming, and wherever that is cut off for ever, no record occurs twice."""
    with new_log(tmp_path) as log:
        write(log, range(10))
        await rotated(log, 1)
        write(log, range(10, 20))
        await rotated(log, 2)
        write(log, range(20, 30))
        log.flush()
        (run,) = find_runs(log.path)
        assert (log.path / LOG).read_bytes().count(b"\n") == 30
        assert load(log.path, strict=True)["tick"].tolist() == list(range(30))
        records, inputs = everything(log.path)
        assert [record[1] for record in records] == [given[1] for given in inputs] == list(range(30))
    assert not check_run(run)
    found = await asyncio.to_thread(call, "repair", log.path)
    assert "20 lines that closed segments hold" in found.output
    assert (log.path / LOG).read_bytes().count(b"\n") == 10
    assert everything(log.path) == (records, inputs)
    assert not check_run(run)


async def test_a_growing_run_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever loads a run while it is rotated all the time sees every record up to then, once."""
    monkeypatch.setattr(rotation, "TRIM_AFTER", 0.0)
    monkeypatch.setattr(rotation, "SIZE", 1)
    with new_log(tmp_path) as log:
        for first in range(0, 300, 10):
            write(log, range(first, first + 10))
            assert log.flush()
            frame = load(log.path, strict=True)
            assert frame["tick"].tolist() == list(range(first + 10))
    assert len(parts(log.path)) > 2


STEPS = {
    "the file is made": (segments.pq, "ParquetWriter"),
    "it is sealed": (segments, "_seal"),
    "it is published": (segments.os, "replace"),
    "the log is trimmed": (appender.shutil, "copyfileobj"),
}


@pytest.mark.parametrize("step", STEPS)
async def test_trouble_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trimming: None, step: str
) -> None:
    """Whichever step of a rotation the disk refuses: it is told, nothing is lost, and it is made up for."""
    monkeypatch.setattr(rotation, "RETRY_EVERY", 0.1)
    with new_log(tmp_path) as log:
        write(log, range(10))
        log.flush()
        with monkeypatch.context() as disk:
            disk.setattr(*STEPS[step], refuse)
            log.rotate()
            problem = await until(lambda: log.problem)
            assert "Read-only file system" in problem
            write(log, range(10, 20))
            assert log.flush()
            assert load(log.path, strict=True)["tick"].tolist() == list(range(20))
        await until(lambda: log.problem is None and not (log.path / LOG).stat().st_size)
        assert len(parts(log.path)) >= 2
        assert load(log.path, strict=True)["tick"].tolist() == list(range(20))
    assert not list(log.path.glob(".*.new"))


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.mark.filterwarnings("ignore::UserWarning")
async def test_a_damaged_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its records are read from the log while they are there; later they are missing, and both is told."""
    with new_log(tmp_path) as log:
        for first in range(0, 30, 10):
            write(log, range(first, first + 10))
            await rotated(log, 1 + first // 10)
        path = log.path / "telemetry-0002.parquet"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        frame = load(log.path)
        assert frame["tick"].tolist() == list(range(30))
        (told,) = frame.attrs["report"]["examples"]
        assert str(path) in told
        assert "telemetry.jsonl still has its lines" in told
        with pytest.raises(LogError, match="is damaged"):
            load(log.path, strict=True)
        with pytest.raises(LogError, match="is damaged"):
            rotation.trimmable(log.path, TELEMETRY, 30)
    (log.path / LOG).write_bytes(b"")
    frame = load(log.path)
    assert frame["tick"].tolist() == [*range(10), *range(20, 30)]
    report = frame.attrs["report"]
    assert (report["segments"], report["gaps"], report["missing"]) == (1, 1, 10)
    assert "its lines are missing" in report["examples"][0]
    assert (await asyncio.to_thread(call, "check", log.path)).exit_code == 1


async def test_segments_that_do_not_match_are_not_trusted(tmp_path: Path) -> None:
    """Lines stay in the log when the segments have another number of rows."""
    with new_log(tmp_path) as log:
        write(log, range(10))
        await rotated(log, 1)
        lines = (log.path / LOG).read_bytes().splitlines(keepends=True)
        assert rotation.trimmable(log.path, TELEMETRY, 10) == len(b"".join(lines))
        (log.path / LOG).write_bytes(b"".join(lines[:3] + lines[4:]))
        with pytest.raises(LogError, match="10 rows for 9 lines"):
            rotation.trimmable(log.path, TELEMETRY, 10)


async def test_tail_goes_on_over_a_rotation(tmp_path: Path, trimming: None) -> None:
    """`tail` shows each record once, also those that are in closed segments only."""
    log = new_log(tmp_path)
    write(log, range(10))
    await rotated(log, 1)
    await until(lambda: not (log.path / LOG).stat().st_size)
    write(log, range(10, 12))
    log.flush()
    shown = await asyncio.to_thread(call, "tail", log.path, "-n", 5, "--once")
    assert shown.output.count("telemetry") == 5
    follower = Tail(log.path / LOG)
    seen = follower.lines()
    write(log, range(12, 15))
    await rotated(log, 2)
    await until(lambda: not (log.path / LOG).stat().st_size)
    write(log, range(15, 20))
    log.close()
    seen += follower.lines()
    follower.close()
    assert [json.loads(line)["tick"] for line in seen] == list(range(10, 20))
