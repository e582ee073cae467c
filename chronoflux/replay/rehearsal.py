"""Rooms without a network, at full speed: nodes in one process compute, tell, hear and log as live ones do.

For trying out an experiment and its analysis before a night is spent on it. What is heard has no delay and
nothing is lost, so a rehearsal says nothing about networks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from chronoflux.errors import ParameterError
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.replay.together import emitted
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.format.float32 import single, widened

BEGAN = 1.79e12
"""Mesh time (ms) at which a rehearsal begins."""
FIELD_TICKS = 6
"""Ticks between the mean fields that a node tells."""
INTENT = {"x": 400.0, "y": 300.0, "E": 0.35, "sigma": 80.0}


def rehearse(
    folder: str | os.PathLike[str],
    nodes: Mapping[str, Params],
    *,
    seconds: float = 20.0,
    events: Mapping[float, tuple[str, str]] | None = None,
    reset: tuple[str, float] | None = None,
    room: str = "r",
    seed: int = 1,
) -> list[Path]:
    """Run a room in which everybody hears everybody, and give its run folders.

    Parameters
    ----------
    folder
        Where the run folders are made.
    nodes
        Parameters by name of the node; all of one `dt`.
    seconds
        Simulated time. Each node writes a telemetry record a second.
    events
        Seconds at which a node fires an event, ``(node, kind)``; the others hear it.
    reset
        A node that begins anew at a second.
    seed
        Of all nodes: the same seed gives the same room.

    Raises
    ------
    ParameterError
        When the nodes differ in `dt`.
    """
    steps = {params.dt for params in nodes.values()}
    if len(steps) != 1:
        raise ParameterError("dt", sorted(steps), "the same in all nodes")
    dt = steps.pop()
    rng = np.random.default_rng(seed)
    ids = {name: f"{k + 1:032x}" for k, name in enumerate(nodes)}
    with ExitStack() as stack:
        logs: dict[str, RunLog] = {}
        swarms: dict[str, Simulation] = {}
        for k, (name, params) in enumerate(nodes.items()):
            facts: dict[str, Any] = {"kind": "headless", "seed": seed * 100 + k, "schedule": "none"}
            logs[name] = stack.enter_context(
                RunLog(Path(folder), room=room, node=name, params=params, **facts)
            )
            logs[name].update(peer_id=ids[name])
            swarms[name] = Simulation(params, seed=seed * 100 + k)
            at = BEGAN + float(rng.uniform(0, 16))
            swarms[name].anchor(at)
            begun: dict[str, Any] = {"tick": 0, "t": 0.0, "at": at}
            logs[name].write("clock", **begun, data={"why": "start", "speed": 1.0})
            for other in sorted(ids.keys() - {name}):
                facts = {"id": ids[other], "name": other, "change": "linked", "reason": ""}
                logs[name].write("peer", **begun, data=facts)
        for tick in range(0, round(seconds / dt), FIELD_TICKS):
            for swarm in swarms.values():
                swarm.advance(FIELD_TICKS)
            now, before = (tick + FIELD_TICKS) * dt, tick * dt
            for second, (name, kind) in (events or {}).items():
                if before <= second < now:
                    _fire(name, kind, swarms, logs, ids)
            if reset is not None and before <= reset[1] < now:
                swarm = swarms[reset[0]]
                swarm.reset(77, tick=swarm.tick)
                logs[reset[0]].write("reset", **_here(swarm), data={"seed": 77})
            told = {
                name: (round(swarm.mesh_time(), 3), emitted(swarm, 1.0)) for name, swarm in swarms.items()
            }
            for name, swarm in swarms.items():
                for other in sorted(ids.keys() - {name}):
                    at, field = told[other]
                    R, psi, omega = map(single, field)
                    swarm.hear(ids[other], at, *map(widened, (R, psi, omega)))
                    logs[name].write_input(swarm.tick, peer=ids[other], at=at, R=R, psi=psi, omega=omega)
                if int(swarm.t) > int((swarm.tick - FIELD_TICKS) * dt):
                    metrics = swarm.metrics() | {"nodes": swarm.params.oscillators, "peers": len(ids) - 1}
                    logs[name].write("telemetry", **_here(swarm), metrics=metrics)
        for log in logs.values():
            log.flush()
    return [log.path for log in logs.values()]


def _here(swarm: Simulation) -> dict[str, Any]:
    return {"tick": swarm.tick, "t": round(swarm.t, 9), "at": swarm.mesh_time()}


def _fire(
    name: str,
    kind: str,
    swarms: Mapping[str, Simulation],
    logs: Mapping[str, RunLog],
    ids: Mapping[str, str],
) -> None:
    data: dict[str, Any] = dict(INTENT) if kind == "intent" else {}
    at = swarms[name].mesh_time()
    event: dict[str, Any] = {"id": f"{kind}-{at:.0f}", "origin": ids[name]}
    for other, swarm in swarms.items():
        own = other == name
        here = _here(swarm) | {"at": at}
        late = 0.0 if own else max(0.0, swarm.mesh_time() - at)
        swarm.fire(kind, age=late / 1000, **data)
        logs[other].write(kind if own else f"remote_{kind}", **here, data=data, **event)
