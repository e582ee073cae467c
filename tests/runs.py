"""Run folders of the past, made in no time: a real simulation, its records and its keyframes."""

from __future__ import annotations

import json
from pathlib import Path

from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.telemetry import RunLog, save_simulation

PARAMS = Params(oscillators=12, kappa=1.0)
INTENTS = (3, 7, 12)
"""Seconds at which the runs have an intent."""


def make_run(folder: Path, *, node: str = "n1", seed: int = 1, seconds: int = 15, at: float = 1e12) -> Path:
    """A run of so many seconds that began at mesh time `at` (ms)."""
    log = RunLog(folder, room="room1", node=node, kind="test", params=PARAMS, seed=seed, schedule="none")
    simulation = Simulation(PARAMS, seed=seed)
    simulation.anchor(at)
    log.write("clock", tick=0, t=0.0, at=at, data={"why": "start", "speed": 1.0})
    for second in range(1, seconds + 1):
        simulation.advance(round(second / PARAMS.dt) - simulation.tick)
        here = {"tick": simulation.tick, "t": round(simulation.t, 9), "at": simulation.mesh_time()}
        metrics = simulation.metrics() | {"nodes": 12, "peers": 0}
        log.write("telemetry", **here, metrics=metrics)
        if second in INTENTS:
            data = {"x": 50.0 * second, "y": 300.0, "E": 0.35, "sigma": 80.0}
            log.write("intent", **here, data=data, id=f"{node}{second}", origin=node)
            simulation.fire("intent", **data)
    log.flush()
    save_simulation(simulation, log.path / "end.npz")
    log.close()
    return log.path


def statuses(folder: Path) -> set[str]:
    """The status of every run in a folder."""
    return {json.loads(path.read_text())["status"] for path in folder.glob("*/run.json")}
