"""The loop that keeps a swarm, its log and its snapshots in step."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from pathlib import Path

import pytest

import chronoflux as cf
from chronoflux.model.simulation import Simulation
from chronoflux.node import runner
from chronoflux.node.pacing import MAX_BATCH
from tests.conftest import Joiner
from tests.node.test_pacing import offline
from tests.support import until

QUICK = cf.Params(oscillators=60)


async def test_pause_and_play(joined: Joiner) -> None:
    """A paused swarm is still, records each second, and continues where it stood."""
    node = await joined(server=None, params=QUICK)
    await until(lambda: node.snapshot().tick > 10)
    node.pause()
    await until(lambda: "pause" in set(node.telemetry()["type"]))
    tick = node.snapshot().tick
    records = len(node.telemetry())
    await until(lambda: len(node.telemetry()) > records)
    assert node.snapshot().tick == tick
    node.play()
    await until(lambda: node.snapshot().tick > tick)
    assert node.snapshot().tick < tick + 200  # the time it was paused is not caught up


async def test_records_come_at_whole_simulated_seconds(joined: Joiner) -> None:
    """Telemetry is recorded at the first tick of each simulated second, without a gap in seq."""
    node = await joined(server=None, params=QUICK)
    await until(lambda: (node.telemetry()["type"] == "telemetry").sum() >= 3)
    frame = node.telemetry()
    ticks = frame.loc[frame["type"] == "telemetry", "tick"].tolist()
    assert ticks[:3] == [63, 125, 188]
    assert frame["seq"].tolist() == list(range(len(frame)))


async def test_a_late_swarm_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots of a swarm that is always being computed are renewed within a batch."""
    advance = Simulation.advance

    def slowly(self: Simulation, ticks: int = 1) -> None:
        advance(self, ticks)
        time.sleep(0.02 * ticks)

    monkeypatch.setattr(Simulation, "advance", slowly)
    monkeypatch.setattr(runner, "SHOW_EVERY", 1)
    async with offline(tmp_path) as node:
        await until(lambda: node.snapshot().tick > 2 * MAX_BATCH)
        seen = [node.snapshot().tick]
        while len(seen) < 20:
            await asyncio.sleep(0.004)
            if (tick := node.snapshot().tick) != seen[-1]:
                seen.append(tick)
    assert statistics.median(b - a for a, b in itertools.pairwise(seen)) <= MAX_BATCH / 4
