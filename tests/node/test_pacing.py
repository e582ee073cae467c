"""Pacing: in step with the clock for days, honest when the machine is too slow, or as fast as possible."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import math
import os
import random
from pathlib import Path
from typing import Any

import pytest

from chronoflux.errors import UsageError
from chronoflux.mesh.clock import MeshClock
from chronoflux.model.engine import particles, thread_pool
from chronoflux.model.params import Params
from chronoflux.model.peer_fields import PeerFields
from chronoflux.node import pacing as pace_module
from chronoflux.node.node import Node
from chronoflux.node.pacing import MAX_BATCH, STALL, RealTime, checked_speed
from chronoflux.replay.past_run import PastRun
from chronoflux.telemetry import load
from chronoflux.telemetry.write import appender, writer
from tests.support import until

START = 1.8e12
DAY = 86_400_000.0
BUSY = """
[[entry]]
every = "1s"
jitter = "0.7s"
event = "intent"

[[entry]]
at = "3s"
event = "pacemaker_flip"

[[entry]]
at = "2s"
over = "9s"
ramp = { kappa = [0.0, 2.0] }
"""


class Machine:
    """A swarm of ticks only, on a machine whose clock, and what a tick costs of it (ms), are given."""

    def __init__(self, *, dt: float = 0.016, speed: float = 1.0, cost: float = 0.1) -> None:
        self.params, self.tick, self.time, self.cost = Params(dt=dt, oscillators=9), 0, 0.0, cost
        self.lost = 0.0
        self.most = 0
        self.hurried = False
        self.whys: list[str] = []
        clock = MeshClock(mono=lambda: self.time, utc=lambda: START + self.time)
        self._clock, self._peers, self._random = clock, PeerFields(), random.Random(1)
        self.pace = RealTime(clock, speed, "n1")
        self._anchor()

    def _anchor(self) -> None:
        self._peers.anchor(self.tick, self._clock.now(), self.pace.speed)
        self.pace.on_resynchronised()

    def mesh_time(self) -> float:
        return self._peers.mesh_time(self.tick, self.params.dt)

    def run(self, span: float) -> tuple[float, float]:
        """Let so many ms pass as the runner does; how far the swarm was behind the clock, in ms: on average,
        and at most."""
        start, worst, area = self.time, -math.inf, 0.0
        while self.time < start + span:
            before = self.time
            if self.pace.ready(self):  # type: ignore[arg-type]
                due = self.pace.due(self)  # type: ignore[arg-type]
                if due.why:
                    self.whys.append(due.why)
                    self._anchor()
                self.lost += due.lost
                self.most = max(self.most, due.ticks)
                self.hurried = due.use_all_threads
                self.time += due.ticks * self.cost
                self.tick += due.ticks
            self.time += 1000 * self.pace.wait(self) + self._random.expovariate(2)  # type: ignore[arg-type]
            passed, late = self.time - before, START + self.time - self.mesh_time()
            area += passed * (late - passed / 2)
            worst = max(worst, late)
        return area / (self.time - start), worst


@pytest.mark.parametrize("speed", [1.0, 7.3])
def test_no_drift_over_a_week(speed: float) -> None:
    """In ten seconds of each day of a week the swarm is within a tick of the clock on average."""
    machine = Machine(speed=speed, cost=0.1 / speed)
    for _ in range(7):
        mean, worst = machine.run(10_000)
        length = 16 / speed
        assert -length < mean < length
        assert worst < 3 * length + 20
        ticks = round((DAY - 10_000) / length)  # the rest of the day, unwatched
        machine.tick += ticks
        machine.time += ticks * length
    assert machine.time - machine.tick * 16 / speed == pytest.approx(0, abs=3 * 16 / speed + 20)
    assert not machine.whys


def test_a_machine_that_is_too_slow_says_so_and_does_not_spiral(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be caught up is skipped, recorded, and warned about once a minute; a batch of ticks is
    bounded, and the swarm is in step again as soon as the machine allows."""
    machine = Machine(cost=32)
    machine.run(120_000)
    assert set(machine.whys) == {"stall"}
    assert machine.most <= MAX_BATCH
    assert machine.time - machine.tick * 16 == pytest.approx(machine.lost, abs=STALL + MAX_BATCH * 32)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert 2 <= len(told) <= 3
    assert "n1: 5." in told[0]
    assert "too slow for 9 oscillators" in told[0]
    machine.cost = 0.1
    machine.run(10_000)
    assert machine.run(1_000)[1] < 60


def test_only_who_is_late_is_in_a_hurry() -> None:
    """In step, also with long ticks, one thread computes; behind the clock all threads do, until it is caught
    up."""
    machine, slow = Machine(), Machine(dt=1.0)
    for one in (machine, slow):
        one.run(5_000)
        assert not one.hurried
    machine.cost = 32
    machine.run(1_000)
    assert machine.hurried
    machine.cost = 0.1
    machine.run(1_000)
    assert not machine.hurried


def test_long_ticks_are_no_stall() -> None:
    """A tick longer than the limit for skipping is waited for."""
    machine = Machine(dt=1.0, speed=0.1)
    machine.run(120_000)
    assert machine.tick in (11, 12)
    assert not machine.whys


@pytest.mark.parametrize("ms", [-3_600_000.0, -300.0, 3_600_000.0])
def test_a_clock_that_is_set(ms: float) -> None:
    """When the clock is set back or forward by an hour, the anchor moves and the swarm continues at its
    rate."""
    machine = Machine()
    machine.run(1_000)
    machine.time += ms
    before = machine.tick
    machine.run(10_000)
    assert machine.whys == ["stall" if ms > 0 else "clock set back"]
    assert abs(machine.tick - before - 625) <= 2


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf"), "fast", True, None])
def test_bad_speeds_are_refused(speed: object) -> None:
    """A speed is a number above 0, or "max"."""
    with pytest.raises(UsageError, match="speed"):
        checked_speed(speed, alone=True)


def test_full_speed_is_for_a_swarm_alone(tmp_path: Path) -> None:
    """In a room full speed is refused, with a remedy."""
    with pytest.raises(UsageError, match="--offline"):
        Node("room1", speed="max", log_dir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("duration", [0, -1, float("nan"), "8h", True])
def test_bad_durations_are_refused(tmp_path: Path, duration: Any) -> None:
    """A duration is a number of seconds above 0."""
    with pytest.raises(UsageError, match="duration"):
        Node("room1", server=None, duration=duration, log_dir=tmp_path)


def offline(log_dir: Path, **options: Any) -> Node:
    params = Params(oscillators=30, kappa=1.2, noise=0.01)
    fresh = {} if "resume" in options else {"params": params, "seed": 7, "node_id": "n1"}
    return Node("room1", server=None, log_dir=log_dir, **fresh | options)


async def ran(node: Node) -> Path:
    """Let a node run until it leaves."""
    async with node, asyncio.timeout(60):
        await node.wait_closed()
    return node.path


def essence(run: Path) -> list[dict[str, Any]]:
    """A run's records without what depends on the wall clock or is random for peers."""
    records = [json.loads(line) for line in (run / "telemetry.jsonl").read_bytes().splitlines()]
    for record in records:
        for name in ("timestamp", "mono", "at", "id", "origin"):
            record.pop(name, None)
    return [record for record in records if record["type"] != "clock"]


async def test_full_speed_gives_the_same_record(tmp_path: Path) -> None:
    """With events, ramps and noise, every record at full speed equals that of a run in step with the clock,
    bit for bit."""
    schedule = tmp_path / "busy.toml"
    schedule.write_text(BUSY)
    runs = [
        await ran(offline(tmp_path / "logs", schedule=schedule, speed=speed, duration=20))
        for speed in ("max", 60.0)
    ]
    fast, beside = map(essence, runs)
    assert fast == beside
    assert sum(record["type"] == "telemetry" for record in fast) == 20
    assert sum(record["type"] == "intent" for record in fast) > 15
    assert fast[-1]["tick"] == 1250
    assert json.loads((runs[0] / "run.json").read_text())["speed"] == "max"
    assert PastRun(runs[0]).recompute()


@pytest.mark.slow
async def test_full_speed_has_a_mesh_time_of_its_own(tmp_path: Path) -> None:
    """At full speed mesh time is the time passed in the swarm, also for events and after a resume, which
    gives what an unbroken run gives."""
    begun = await ran(offline(tmp_path / "a", schedule="classic", speed="max", duration=70))
    await ran(offline(tmp_path / "a", resume=begun, speed="max", duration=30))
    frame = load(begun, strict=True)
    assert (frame["at"] - frame["at"].iloc[0] - 1000 * frame["t"]).abs().max() < 0.01
    assert frame["t"].max() == 100
    at_once = await ran(offline(tmp_path / "b", schedule="classic", speed="max", duration=100))
    kept = [
        [record for record in essence(run) if record["type"] not in ("end", "resume")]
        for run in (begun, at_once)
    ]
    for records in kept:
        for record in records:
            del record["seq"]
    assert kept[0] == kept[1]
    assert PastRun(begun).recompute()


async def test_a_node_in_step_computes_on_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In step a large swarm is computed by one thread, when late by all; the records are equal bit for
    bit."""
    used: dict[float, set[int]] = {-math.inf: set(), math.inf: set()}
    together = thread_pool.run_on_threads
    monkeypatch.setattr(thread_pool, "count", 2)
    monkeypatch.setattr(particles, "SHARED", 1)
    runs = []
    for hurry, seen in used.items():
        monkeypatch.setattr(pace_module, "ALL_THREADS", hurry)
        monkeypatch.setattr(
            thread_pool, "run_on_threads", lambda n, work, seen=seen: (seen.add(n), together(n, work))[1]
        )
        node = offline(tmp_path / "logs", duration=2, speed=4.0, params=Params(oscillators=2500))
        runs.append(await ran(node))
    assert 2 in used[-math.inf]
    assert used[math.inf] == {1}
    first, second = map(essence, runs)
    assert first == second


async def test_full_speed_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk is full, a swarm at full speed waits; with space again nothing is missing."""

    def full(held: appender.Appender) -> None:
        held.written = 0
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pace_module, "FLUSH_PERIOD", 0.0)
    monkeypatch.setattr(writer, "RETRY_EVERY", 0.05)
    async with offline(tmp_path, schedule="none", speed="max", duration=600) as node:
        await until(lambda: node.t >= 6)
        with monkeypatch.context() as disk:
            disk.setattr(appender.Appender, "write", full)
            await until(lambda: "No space left" in (node.status.problem or ""))
            before = node.t
            await asyncio.sleep(0.2)
            assert node.t <= before + 1.1  # a step may have been under way
        await until(lambda: node.closed, 60)
    frame = load(node.path, strict=True)
    assert (frame["type"] == "telemetry").sum() == 600
    gaps = frame.loc[frame["type"] == "gap", "data"]
    assert [data["dropped"] for data in gaps] == [0]


async def test_full_speed_can_be_interrupted(tmp_path: Path) -> None:
    """A run at full speed leaves within two seconds when asked to, and can be resumed."""
    async with offline(tmp_path, schedule="none", speed="max") as node:
        await until(lambda: node.snapshot().t >= 6)
        async with asyncio.timeout(2):
            await node.leave()
    assert load(node.path, strict=True)["type"].iloc[-1] == "end"
    on = await ran(offline(tmp_path, resume=node.path, speed="max", duration=5))
    assert on == node.path
    assert PastRun(on).recompute()
