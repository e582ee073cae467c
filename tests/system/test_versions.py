"""Nodes and servers of the version before and of this one in one room, and its logs read by this one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import chronoflux as cf
from tests.processes import (
    CURRENT,
    ROOT,
    SETTLE,
    Log,
    Process,
    Version,
    coupled,
    free_port,
    linked,
    process,
    signaling,
)
from tests.support import until
from tests.versions import of_commit

pytestmark = pytest.mark.slow

BEFORE = "0e6bf7c"
OWN = ("intent", "pacemaker_flip")
"""Events that everybody applies; of lion gates only one that is newer than the latest is."""
BUSY = """
[[entry]]
every = "1s"
event = "intent"

[[entry]]
every = "7s"
event = "pacemaker_flip"

[[entry]]
every = "11s"
event = "lion_gate"
"""
WRONG = 600.0
"""Seconds by which the clock of a room's first node is wrong."""
WRONG_CLOCK = f"""
import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {WRONG}
time.time_ns = lambda: _time_ns() + int({WRONG} * 1e9)
"""
TOGETHER = 20.0
"""Seconds for which a room is watched."""
AGREED = 10.0
"""Seconds by which the room's time may differ by records that a busy machine writes late; a node that went by
its own clock would differ by `WRONG`."""

Node = tuple[Process, Log]


@pytest.fixture(scope="session")
def before() -> Version:
    """The version before this one, in an environment of its own."""
    return of_commit(BEFORE)


def with_wrong_clock(version: Version, folder: Path) -> Version:
    """The same with a clock that is some minutes wrong."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WRONG_CLOCK)
    path = [str(folder), *filter(None, [version.environment.get("PYTHONPATH")])]
    return version._replace(environment={**version.environment, "PYTHONPATH": ":".join(path)})


@contextlib.asynccontextmanager
async def member(name: str, url: str, logs: Path, *options: str, version: Version) -> AsyncIterator[Node]:
    """A node of 60 oscillators that fires events of all kinds, or a recorder; and its log."""
    arguments = ("chronoflux.headless", "room1", "60", name, "--server", url, "--log-dir", str(logs / name))
    if "--record-room" in options:
        ready = "records"
    else:
        schedule = logs / "busy.toml"
        schedule.write_text(BUSY)
        options, ready = (*options, "--schedule", str(schedule)), "oscillators"
    async with process(*arguments, *options, ready=ready, version=version) as running:
        (path,) = (logs / name).iterdir()
        yield running, Log(path)


def mesh_time(log: Log) -> float:
    """The room's time in the latest record, ms."""
    return next((r["at"] for r in reversed(log.update()) if r.get("at") is not None), 0.0)


def lost_or_repeated(logs: Sequence[Log], start: float, end: float) -> list[str]:
    """Events fired between two times of the room (ms) that are not on record exactly once at every other."""
    frames = {log.path: cf.load(log.path) for log in logs}
    wrong = []
    for sender, receiver in itertools.permutations(frames, 2):
        own, theirs = frames[sender], frames[receiver]
        fired = own[own["type"].isin(OWN) & own["at"].between(start, end)]
        assert set(fired["type"]) == set(OWN)
        assert (own["type"] == "lion_gate").any()
        heard = Counter(data["id"] for data in theirs.loc[theirs["type"].str.startswith("remote_"), "data"])
        wrong += [
            f"{kind} of {sender.name} is {heard[data['id']]} times at {receiver.name}"
            for kind, data in zip(fired["type"], fired["data"], strict=True)
            if heard[data["id"]] != 1
        ]
        wrong += [f"{key} is {count} times at {receiver.name}" for key, count in heard.items() if count > 1]
    return wrong


def clock_errors(logs: Sequence[Log], start: float) -> dict[str, float]:
    """By how many seconds each node's mesh time differs from the mean of all, by the machine's one monotonic
    clock, which each record also tells."""
    offsets = {}
    for log in logs:
        records = [r for r in log.update() if r["type"] == "telemetry" and r["at"] >= start]
        offsets[log.path.name] = statistics.median(r["at"] / 1e3 - r["mono"] / 1e9 for r in records)
    mean = statistics.mean(offsets.values())
    return {name: offset - mean for name, offset in offsets.items()}


def recompute(run: Path) -> str:
    """What ``logs check --recompute`` of this version says of a run; it must be whole."""
    done = subprocess.run(
        [sys.executable, "-m", "chronoflux.logs", "check", "--recompute", str(run)],
        env={"PATH": "", **CURRENT.environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def goodbye(leaving: Node, staying: Log) -> Any:
    """End a node, and why it has gone by another's log."""

    def why() -> Any:
        changes = (r["data"] for r in staying.update() if r["type"] == "peer")
        mine = (data for data in changes if data["id"] == leaving[1].id and data["change"] == "gone")
        return next((data["reason"] for data in mine), None)

    await leaving[0].end()
    return await until(why, 60, "it has gone")


@pytest.mark.parametrize("first_is_old", [True, False], ids=["old-first", "new-first"])
@pytest.mark.parametrize("server_is_old", [True, False], ids=["old-server", "new-server"])
async def test_a_room_of_both_versions(
    before: Version, tmp_path: Path, server_is_old: bool, first_is_old: bool
) -> None:
    """Two nodes and a recorder of each version: all linked and coupled, every event once at each, one time
    though the first member's clock is wrong, telemetry at both recorders, goodbyes, and runs that are
    recomputed bit for bit."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    first, second = (before, CURRENT) if first_is_old else (CURRENT, before)
    later = [("n1", second), ("n2", first), ("n3", second)]
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(signaling(port, version=before if server_is_old else CURRENT))
        wrong = with_wrong_clock(first, tmp_path / "clock")
        nodes = [await stack.enter_async_context(member("n0", url, tmp_path, version=wrong))]
        others = [member(name, url, tmp_path, version=version) for name, version in later]
        recording = [
            member(f"r{number}", url, tmp_path, "--record-room", version=version)
            for number, version in enumerate((before, CURRENT))
        ]
        begun = await asyncio.gather(*map(stack.enter_async_context, (*others, *recording)))
        nodes, recorders = [*nodes, *begun[:3]], begun[3:]
        logs = [log for _, log in nodes]
        await until(lambda: linked(*logs), 120, "all linked")
        start = max(map(mesh_time, logs))
        end = start + 1000 * TOGETHER
        await until(lambda: all(mesh_time(log) > end + 1000 * SETTLE for log in logs), 120, "time passes")
        await until(lambda: linked(*logs), 120, "still linked, or again")
        assert (await goodbye(nodes[1], logs[2])).startswith("left")  # one of the second version
        assert (await goodbye(nodes[2], logs[3])).startswith("left")  # one of the first
    assert not lost_or_repeated(logs, start, end)
    errors = clock_errors(logs, start)
    assert max(map(abs, errors.values())) < AGREED, errors
    for _, recorder in recorders:
        frame = cf.load(recorder.path)
        telemetry = frame[(frame["type"] == "telemetry") & frame["at"].between(start, end)]
        counts = telemetry.groupby("node").size().to_dict()
        often = {name for name, count in counts.items() if count > TOGETHER / 2}
        assert often == {"n0", "n1", "n2", "n3"}, counts
    for log in logs:
        assert "whole" in recompute(log.path)


@pytest.mark.parametrize("server_is_old", [True, False], ids=["old-server", "new-server"])
async def test_a_pair_without_a_link(before: Version, tmp_path: Path, server_is_old: bool) -> None:
    """A node of each version that can make no link: fields and events go by the server's relay, each once."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(signaling(port, version=before if server_is_old else CURRENT))
        logs = []
        for name, version in (("old", before), ("new", CURRENT)):
            place = (name, url, tmp_path, "--ice-transport-policy", "relay")
            logs.append((await stack.enter_async_context(member(*place, version=version)))[1])
        await until(lambda: coupled(*logs), 120, "coupled")
        start = max(map(mesh_time, logs))
        end = start + 1000 * TOGETHER
        await until(lambda: all(mesh_time(log) > end + 1000 * SETTLE for log in logs), 120, "time passes")
        assert {way for log in logs for way in log.ways().values()} == {"relay"}
    assert not lost_or_repeated(logs, start, end)


def test_a_run_of_the_version_before_goes_on(before: Version, tmp_path: Path) -> None:
    """A run that the version before wrote alone is recomputed bit for bit, read, and resumed by this one; the
    longer run is whole again."""
    options = ("--offline", "--log-dir", str(tmp_path), "--duration", "20s", "--speed", "max", "--seed", "5")
    environment = {"PATH": "", "HOME": str(tmp_path)}

    def run(version: Version, *more: str) -> None:
        done = subprocess.run(
            [version.python, "-m", "chronoflux.headless", *more],
            cwd=version.folder,
            env={**environment, **version.environment},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run(before, "room1", "60", "n0", *options)
    (path,) = tmp_path.glob("room1-n0-*")
    assert "whole" in recompute(path)
    length = len(cf.load(path))
    run(CURRENT, "room1", "60", "n0", "--resume", str(path), *options[:-2])
    assert "whole" in recompute(path)
    assert len(cf.load(path)) > length + 10
