"""The states that a running node saves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from chronoflux.model.params import Params
from chronoflux.node.node import Node
from chronoflux.replay.past_run import PastRun
from chronoflux.signal.server import SignalServer
from chronoflux.telemetry.format.saved_state import load_simulation
from tests.conftest import Joiner
from tests.support import until


async def test_events_leave_them(tmp_path: Path) -> None:
    """A flip and a request save state and picture; computed on from there, the swarm agrees with the run."""
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
    """A peer's flips save one snapshot within ten seconds, under the name of a remote event."""
    first, second = [await joined(server=server.url, params=Params(oscillators=30)) for _ in range(2)]
    await until(lambda: (first.peers["state"] == "live").any(), 20)
    second.pacemaker_flip()
    second.pacemaker_flip()
    await until(lambda: first.received >= 2, 10)
    await until(lambda: list((first.path / "snapshots").glob("*-remote_pacemaker_flip.png")), 10)
    await first.leave()
    assert len(list((first.path / "snapshots").glob("*.npz"))) == 1
