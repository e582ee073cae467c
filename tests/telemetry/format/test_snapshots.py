"""Snapshots of significant events, and how many of them a run keeps."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.node.node import Node
from chronoflux.replay.past_run import PastRun
from chronoflux.signal.server import SignalServer
from chronoflux.telemetry import load_simulation
from chronoflux.telemetry.format.snapshots import Allowance, picture_png
from tests.conftest import Joiner
from tests.support import until


def test_how_many_are_kept(tmp_path: Path) -> None:
    """At most so many in all; of remotes at most half, 10 s apart; those of a run that goes on count."""
    few = Allowance(tmp_path, 4)
    assert few.take(0.0, remote=True)
    assert not few.take(9.0, remote=True)
    assert few.take(10.0, remote=True)
    assert not few.take(100.0, remote=True)
    assert few.take(100.0, remote=False)
    assert few.take(100.0, remote=False)
    assert not few.take(100.0, remote=False)
    for name in ("1-remote_lion_gate.npz", "2-lion_gate.npz", "2-lion_gate.png"):
        (tmp_path / name).touch()
    rest = Allowance(tmp_path, 4)
    assert [rest.take(when, remote=True) for when in (0.0, 20.0)] == [True, False]
    assert [rest.take(0.0, remote=False) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("world", [(800.0, 600.0), (300.0, 1200.0)])
def test_the_picture(world: tuple[float, float]) -> None:
    """A PNG of the whole world, its longer side 800 px, with a dot where an oscillator is."""
    sim = Simulation(Params(oscillators=50, world=world), seed=1)
    image = np.asarray(Image.open(io.BytesIO(picture_png(sim.snapshot()))))
    scale = 800 / max(world)
    assert image.shape == (round(world[1] * scale), round(world[0] * scale), 3)
    other = sim.snapshot().params.replace(oscillators=1)
    empty = np.asarray(Image.open(io.BytesIO(picture_png(Simulation(other, seed=9).snapshot()))))
    assert 200 < (image != empty).any(axis=2).sum() < 2000


async def test_events_leave_them(tmp_path: Path) -> None:
    """A lion gate, a flip and a request leave swarm and picture; the swarm goes on as the run did."""
    node = Node("room1", server=None, log_dir=tmp_path, params=Params(oscillators=30), seed=3, node_id="n1")
    async with node:
        await until(lambda: node.snapshot().tick > 5)
        node.pacemaker_flip()
        node.intent(x=1, y=2)
        node.take_snapshot()
        await until(lambda: node.snapshot().t > 2)
    names = sorted(path.name.partition("-")[2] for path in (node.path / "snapshots").iterdir())
    assert names == ["pacemaker_flip.npz", "pacemaker_flip.png", "request.npz", "request.png"]
    kept = load_simulation(next((node.path / "snapshots").glob("*flip.npz")))
    log = (node.path / "telemetry.jsonl").read_text().splitlines()
    fired = next(record for record in map(json.loads, log) if record["type"] == "intent")
    kept.advance(fired["tick"] - kept.tick)
    kept.intent(**fired["data"])
    end = PastRun(node.path).recompute().simulation
    kept.advance(end.tick - kept.tick)
    np.testing.assert_array_equal(kept.state.phi, end.state.phi)


async def test_remote_events_leave_them(joined: Joiner, server: SignalServer) -> None:
    """A peer's flips leave one snapshot in ten seconds, under the name of a remote event."""
    first, second = [await joined(server=server.url, params=Params(oscillators=30)) for _ in range(2)]
    await until(lambda: (first.peers["state"] == "live").any(), 20)
    second.pacemaker_flip()
    second.pacemaker_flip()
    await until(lambda: first.received >= 2, 10)
    await until(lambda: list((first.path / "snapshots").glob("*-remote_pacemaker_flip.png")), 10)
    await first.leave()
    assert len(list((first.path / "snapshots").glob("*.npz"))) == 1
