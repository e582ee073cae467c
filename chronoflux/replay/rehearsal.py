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
from chronoflux.model.commands import Anchor, Command, Fire, Forget, Hear, Reset
from chronoflux.model.events import EVENTS
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.replay.together import emitted
from chronoflux.telemetry import RunLog

BEGAN = 1.79e12
"""Mesh time (ms) at which a rehearsal begins."""
FIELD_TICKS = 6
"""Ticks between the mean fields that a node tells."""
PLACED = {"x": 400.0, "y": 300.0, "E": 0.35, "sigma": 80.0}
"""Data of the events that a rehearsal fires, as far as an event has such fields."""


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
            _do(Anchor(at, 1.0, "start"), swarms[name], logs[name])
            for other in sorted(ids.keys() - {name}):
                facts = {"id": ids[other], "name": other, "change": "linked", "reason": ""}
                logs[name].write("peer", **_here(swarms[name]), data=facts)
        for tick in range(0, round(seconds / dt), FIELD_TICKS):
            for swarm in swarms.values():
                swarm.advance(FIELD_TICKS)
            now, before = (tick + FIELD_TICKS) * dt, tick * dt
            for second, (name, kind) in (events or {}).items():
                if before <= second < now:
                    _fire(name, kind, swarms, logs, ids)
            if reset is not None and before <= reset[1] < now:
                _do(Reset(77), swarms[reset[0]], logs[reset[0]])
            told = {
                name: (round(swarm.mesh_time(), 3), emitted(swarm, 1.0)) for name, swarm in swarms.items()
            }
            for name, swarm in swarms.items():
                for other in sorted(ids.keys() - {name}):
                    at, field = told[other]
                    _do(Hear.rounded(ids[other], at, *field), swarm, logs[name])
                if int(swarm.t) > int((swarm.tick - FIELD_TICKS) * dt):
                    metrics = swarm.metrics() | {"nodes": swarm.params.oscillators, "peers": len(ids) - 1}
                    logs[name].write("telemetry", **_here(swarm), metrics=metrics)
        for log in logs.values():
            log.flush()
    return [log.path for log in logs.values()]


def _here(swarm: Simulation) -> dict[str, Any]:
    return {"tick": swarm.tick, "t": round(swarm.t, 9), "at": swarm.mesh_time()}


def _do(command: Command, swarm: Simulation, log: RunLog) -> None:
    """Apply a command and put it on record, as a live node does."""
    command.apply(swarm)
    if isinstance(command, Hear | Forget):
        log.write_input(swarm.tick, **command.line())
        return
    entry = command.entry()
    here = _here(swarm) if entry.at is None else _here(swarm) | {"at": entry.at}
    event: dict[str, Any] = {"id": entry.id, "origin": entry.origin} if isinstance(command, Fire) else {}
    log.write(entry.type, **here, data=entry.data, **event)


def _fire(
    name: str,
    kind: str,
    swarms: Mapping[str, Simulation],
    logs: Mapping[str, RunLog],
    ids: Mapping[str, str],
) -> None:
    """Fire an event of `kind` at node `name`; every other node hears it."""
    fields = EVENTS[kind].payload.__struct_fields__
    data = {field: value for field, value in PLACED.items() if field in fields}
    at = swarms[name].mesh_time()
    for other, swarm in swarms.items():
        _do(Fire(kind, data, at, other == name, f"{kind}-{at:.0f}", ids[name]), swarm, logs[other])
