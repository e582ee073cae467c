"""The whole record of a run under trouble: full disks, folders taken away, copies, clocks, namesakes."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import chronoflux.node.runner as runner
from chronoflux.mesh.clock import MeshClock
from chronoflux.model.params import Params
from chronoflux.node.node import Node
from chronoflux.replay.past_run import PastRun
from chronoflux.signal.server import SignalServer
from chronoflux.telemetry import load
from chronoflux.telemetry.format import manifest
from chronoflux.telemetry.maintain.inspect import check_run
from chronoflux.telemetry.read.discovery import find_runs
from chronoflux.telemetry.write import appender, file_writer, rotation, writer
from chronoflux.telemetry.write.writer import rotate_all
from tests.support import until


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keyframes, checkpoints and new attempts come quickly."""
    monkeypatch.setattr(runner, "KEYFRAME_PERIOD", 5)
    monkeypatch.setattr(runner, "CHECKPOINT_PERIOD", 0.02)
    monkeypatch.setattr(writer, "RETRY_EVERY", 0.05)


def offline(log_dir: Path) -> Node:
    # Not quicker: a mean field that turns by more than 200 rad/s is not sent, which is a problem of its own.
    params = Params(oscillators=30, noise=0.01)
    options: dict[str, Any] = {"params": params, "seed": 7, "schedule": "classic", "node_id": "n1"}
    return Node("room1", server=None, log_dir=log_dir, speed=20.0, **options)


def second(node: Node, more: float) -> float:
    return node.snapshot().t + more


async def test_a_full_disk_and_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be written for a while: the swarm goes on, the node says so, in the end all is there."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with offline(tmp_path) as node:
        await until(lambda: node.snapshot().t >= 6)
        with monkeypatch.context() as disk:
            disk.setattr(appender.Appender, "write", full)
            disk.setattr(file_writer, "replace_file", full)
            disk.setattr(manifest, "write_manifest", full)
            await until(lambda: "No space left" in (node.status.problem or ""))
            before = node.snapshot().t
            await until(lambda: node.snapshot().t > before + 4)
        await until(lambda: node.status.problem is None)
        end = second(node, 6)
        await until(lambda: node.snapshot().t > end)
    frame = load(node.path, strict=True)
    assert (frame["type"] == "gap").any()
    assert frame.loc[frame["type"] == "telemetry", "tick"].diff().dropna().max() <= 63
    assert not check_run(find_runs(node.path)[0])
    found = PastRun(node.path).recompute()
    assert found, str(found)


async def test_a_folder_made_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither lines nor files can be written, nor the log rotated: the node says so, and makes up for it."""

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(rotation, "RETRY_EVERY", 0.05)
    async with offline(tmp_path) as node:
        await until(lambda: node.snapshot().t >= 6)
        with monkeypatch.context() as disk:
            disk.setattr(appender.Appender, "write", read_only)
            disk.setattr(os, "replace", read_only)
            rotate_all()
            await until(lambda: "Read-only file system" in (node.status.problem or ""))
            before = node.snapshot().t
            await until(lambda: node.snapshot().t > before + 4)
            assert not list(node.path.glob("*.parquet"))
        await until(lambda: node.status.problem is None and list(node.path.glob("*.parquet")))
        end = second(node, 6)
        await until(lambda: node.snapshot().t > end)
    assert (load(node.path, strict=True)["type"] == "gap").any()
    assert not check_run(find_runs(node.path)[0])
    found = PastRun(node.path).recompute()
    assert found, str(found)


@pytest.mark.slow
async def test_rotated_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose log is rotated many times while it grows reads, recomputes and goes on like any other."""
    monkeypatch.setattr(rotation, "AGE", 0.1)
    monkeypatch.setattr(rotation, "TRIM_AFTER", 0.1)
    async with offline(tmp_path) as node:
        await until(lambda: len(list(node.path.glob("telemetry-*.parquet"))) >= 3)
        end = second(node, 10)
        assert len(node.telemetry()) >= 3
    options: dict[str, Any] = {"server": None, "log_dir": tmp_path, "speed": 20.0, "resume": node.path}
    async with Node("room1", **options) as node:
        await until(lambda: node.snapshot().t > end)
    assert load(node.path, strict=True)["seq"].is_monotonic_increasing
    assert not check_run(find_runs(node.path)[0])
    found = PastRun(node.path).recompute()
    assert found, str(found)


async def test_the_folder_is_taken_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The run's folder moves away while the node runs and comes back: the log goes on in it."""
    caplog.set_level(logging.CRITICAL)
    async with offline(tmp_path) as node:
        await until(lambda: node.snapshot().t >= 6)
        node.path.rename(tmp_path / "away")
        await until(lambda: node.status.problem is not None)
        (tmp_path / "away").rename(node.path)
        await until(lambda: node.status.problem is None)
        end = second(node, 6)
        await until(lambda: node.snapshot().t > end)
    assert load(node.path, strict=True)["type"].iloc[-1] == "end"
    found = PastRun(node.path).recompute()
    assert found, str(found)


async def test_a_copy_of_a_run_that_goes_on(tmp_path: Path) -> None:
    """A folder copied while it is written loads, and is recomputed as far as it goes."""
    async with offline(tmp_path / "logs") as node:
        for number in range(3):
            end = second(node, 7)
            await until(lambda end=end: node.snapshot().t > end)
            assert len(node.telemetry()) > 5 * (number + 1)  # which has waited for the disk
            copy = tmp_path / str(number)
            shutil.copytree(node.path, copy, ignore=lambda _, names: [n for n in names if n.endswith(".new")])
            cut = (copy / "telemetry.jsonl").read_bytes().rfind(b"\n") + 1
            os.truncate(copy / "telemetry.jsonl", cut)
            assert len(load(copy, strict=True)) > 5 * (number + 1)
            assert load(copy)["run"].unique().tolist() == [node.path.name]


async def test_a_clock_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes back an hour: the swarm goes on, and the run is recomputed."""
    async with offline(tmp_path) as node:
        await until(lambda: node.snapshot().t >= 6)
        monkeypatch.setattr(MeshClock, "now", lambda _: time.time_ns() / 1e6 - 3_600_000)
        end = second(node, 6)
        await until(lambda: node.snapshot().t > end)
    frame = load(node.path)
    anchors = [data["why"] for data in frame.loc[frame["type"] == "clock", "data"]]
    assert anchors[0] == "start"
    assert "clock set back" in anchors
    found = PastRun(node.path).recompute()
    assert found, str(found)


async def test_two_nodes_of_one_name(tmp_path: Path) -> None:
    """Two nodes of one name at one time write two folders, each whole."""
    async with offline(tmp_path) as first, offline(tmp_path) as other:
        await until(lambda: first.snapshot().t >= 6 and other.snapshot().t >= 6)
    assert first.path != other.path
    for node in (first, other):
        assert PastRun(node.path).recompute()
        assert not check_run(find_runs(node.path)[0])


@pytest.mark.slow
async def test_two_nodes_of_one_name_in_a_room(server: SignalServer, tmp_path: Path) -> None:
    """Two nodes of one name in one room are two peers, who hear each other's events once, and two runs."""
    options: dict[str, Any] = {"server": server.url, "params": Params(oscillators=30), "log_dir": tmp_path}
    async with (
        Node("room1", node_id="n1", **options) as first,
        Node("room1", node_id="n1", **options) as other,
    ):
        await until(lambda: first.peers["via"].tolist() == ["direct"] == other.peers["via"].tolist(), 20)
        assert first.peer_id != other.peer_id
        assert first.peers["name"].tolist() == ["n1"] == other.peers["name"].tolist()
        key = first.intent()
        await until(lambda: other.received == 1)
    assert first.path != other.path
    frame = load(other.path, strict=True)
    assert [data["id"] for data in frame.loc[frame["type"] == "remote_intent", "data"]] == [key]
    for node in (first, other):
        found = PastRun(node.path).recompute()
        assert found, str(found)
        assert not check_run(find_runs(node.path)[0])
