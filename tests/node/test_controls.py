"""Pause, step, reset and speed: carried out, recorded, and recomputed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chronoflux as cf
from chronoflux.errors import UsageError
from chronoflux.model.simulation import Simulation
from chronoflux.node.node import Node
from chronoflux.replay import Replay
from chronoflux.replay.past_run import PastRun
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.support import until

PARAMS = cf.Params(oscillators=30, kappa=1.2, noise=0.01)


def alone(log_dir: Path, **options: Any) -> Node:
    fresh = {} if "resume" in options else {"params": PARAMS, "seed": 7, "node_id": "n1"}
    return Node("room1", server=None, log_dir=log_dir, **fresh | options)


def records(node: Node) -> list[dict[str, Any]]:
    node.flush()
    return [json.loads(line) for line in (node.path / "telemetry.jsonl").read_bytes().splitlines()]


def told(node: Node, kind: str) -> list[dict[str, Any]]:
    """The records of one type, as data with tick and mesh time."""
    found = (record for record in records(node) if record["type"] == kind)
    return [record.get("data", {}) | {"tick": record["tick"], "at": record["at"]} for record in found]


async def held(node: Node) -> int:
    """Pause a node. Return the tick at which it stands."""
    node.pause()
    await until(lambda: bool(told(node, "pause")), what="the pause on record")
    return int(told(node, "pause")[-1]["tick"])


async def test_steps_are_counted(tmp_path: Path) -> None:
    """A step pauses a moving swarm and computes the ticks that are asked for, each from its own mesh time."""
    async with alone(tmp_path) as node:
        await until(lambda: node.t > 0)
        node.step()
        await until(lambda: len(told(node, "step")) == 1)
        assert not node.playing
        first = told(node, "step")[0]
        assert first["tick"] == told(node, "pause")[0]["tick"] + 1
        node.intent(x=100, y=100)
        node.step(100)
        await until(lambda: len(told(node, "step")) == 2)
        await until(lambda: node.snapshot().tick == first["tick"] + 100)
        assert told(node, "step")[1]["tick"] == first["tick"] + 100
        assert [step["ticks"] for step in told(node, "step")] == [1, 100]
        assert told(node, "intent")[0]["tick"] == first["tick"]
        anchors = [clock for clock in told(node, "clock") if clock["why"] == "step"]
        assert [anchor["tick"] for anchor in anchors] == [first["tick"] - 1, first["tick"]]
        assert anchors[0]["at"] < anchors[1]["at"]
        assert [event.type for event in node.recent.events] == ["pause", "step", "intent", "step"]
        await until(lambda: bool(told(node, "telemetry")), what="the second that was stepped over")
    assert PastRun(node.path).recompute()


async def test_a_reset_is_a_new_swarm_in_the_same_run(tmp_path: Path) -> None:
    """Positions and phases are those of the seed that is given; time continues; the log says so; a replay as
    recorded shows the new swarm at once, and the run can be resumed."""
    async with alone(tmp_path) as node:
        await until(lambda: node.t > 0)
        tick = await held(node)
        node.reset(seed=5)
        expected = Simulation(PARAMS, seed=5).state
        await until(lambda: np.array_equal(node.snapshot().x, expected.x), what="the new swarm")
        for name in ("x", "y", "phi"):
            np.testing.assert_array_equal(getattr(node.snapshot(), name), getattr(expected, name))
        assert node.snapshot().tick == tick
        assert told(node, "reset")[0].items() >= {"seed": 5, "tick": tick}.items()
        node.reset()
        await until(lambda: not np.array_equal(node.snapshot().x, expected.x), what="another new swarm")
        renewed = node.snapshot()
    with Replay(node.path) as replay:
        assert replay.recompute()
        np.testing.assert_array_equal(replay.runs[0].recorded(renewed.t).snapshot.x, renewed.x)
    async with alone(tmp_path, resume=node.path) as on:
        await until(lambda: on.snapshot().tick > tick + 20)
    assert PastRun(on.path).recompute()


async def test_speed_changes_as_it_runs(tmp_path: Path) -> None:
    """Between two speeds no tick is skipped or repeated; the mean field turns as fast as peers see it, and
    stops while paused."""
    async with alone(tmp_path) as node:
        node.speed = 8
        await until(lambda: node.t > 1)
        assert node.speed == 8
        runner = node._swarm.runner
        field = runner.field
        assert field is not None
        assert abs(field.omega) > 4 * 2 * np.pi  # about 1.2 Hz, eight times as fast
        node.speed = 0.5
        await until(lambda: len([c for c in told(node, "clock") if c["why"] == "speed"]) == 2)
        node.step()
        await until(lambda: bool(told(node, "step")))
        await until(lambda: runner.field is not None and runner.field.omega == 0)
        node.speed = 2.0
        node.play()
        await until(lambda: len(told(node, "clock")) == 6)
    assert [clock["speed"] for clock in told(node, "clock")] == [1, 8, 0.5, 0.5, 2, 2]
    assert [record["seq"] for record in records(node)] == list(range(len(records(node))))
    assert PastRun(node.path).recompute()
    with Replay(node.path) as replay:
        assert [event.mark.text for event in replay.events if event.mark.type == "clock"] == [
            "speed × 8",
            "speed × 0.5",
            "speed × 2",
        ]


async def test_bad_values_are_refused(tmp_path: Path) -> None:
    """A speed is a number above 0, a step a whole number of ticks, a seed a whole number from 0; anything
    else is refused."""
    async with alone(tmp_path) as node:
        for bad in (0, -1, "fast", float("nan"), True):
            with pytest.raises(UsageError, match="speed"):
                node.speed = bad  # type: ignore[assignment]
            with pytest.raises(UsageError, match="ticks"):
                node.step(bad)  # type: ignore[arg-type]
        for bad in (-1, "x", 1.0, True):
            with pytest.raises(UsageError, match="seed"):
                node.reset(bad)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="whole run"):
            node.speed = "max"  # type: ignore[assignment]
        assert node.speed == 1.0


@pytest.mark.slow
async def test_a_room_bears_steps_resets_and_speeds(server: SignalServer, joined: Joiner) -> None:
    """In a coupled room, with fields and events of peers arriving while a node is paused, stepped, reset and
    run faster, every run is recomputed bit for bit."""
    params = PARAMS.replace(mesh_coupling=0.5)
    a, b = [await joined(server=server.url, params=params) for _ in range(2)]
    await until(lambda: all((node.peers["via"] == "direct").any() for node in (a, b)), 40, "a link")
    await until(lambda: all(node.metrics.get("peers") == 1 for node in (a, b)))
    a.speed = 2.0
    t = a.t
    await until(lambda: a.t > t + 4, 20)
    a.pause()
    b.intent(x=50, y=50, E=2.0)
    b.reset()
    await until(lambda: b.sent == 1 and a.received == 1)
    for _ in range(5):
        a.step(7)
    a.reset(seed=1)
    await until(lambda: len(told(a, "reset")) == 1)
    a.step()
    a.play()
    t = a.t
    await until(lambda: a.t > t + 4, 20)
    for node in (a, b):
        await node.leave()
        found = PastRun(node.path).recompute()
        assert found, found
