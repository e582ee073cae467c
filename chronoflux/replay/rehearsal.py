"""Rooms without a network, at full speed: nodes in one process compute, exchange fields and log as live ones.

A rehearsal tests an experiment and its analysis before an overnight run. Messages have no delay and none is
lost, so it does not test networks.
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
"""Mesh time (ms) at the start of a rehearsal."""
FIELD_TICKS = 6
"""Ticks between two mean fields that a node sends."""
PLACED = {"x": 400.0, "y": 300.0, "E": 0.35, "sigma": 80.0}
"""Data of the events that a rehearsal fires, for the fields that an event has."""


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
    """Run a room in which all nodes are linked, and return its run folders.

    Parameters
    ----------
    folder
        The folder in which the run folders are created.
    nodes
        Parameters by name of the node, all with the same `dt`.
    seconds
        Simulated time. Each node writes a telemetry record per second.
    events
        Events ``(node, kind)`` by simulated second; the other nodes receive them.
    reset
        A node that is reset, and the second at which.
    seed
        Seed of all nodes: the same seed gives the same room.

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
            sent = {
                name: (round(swarm.mesh_time(), 3), emitted(swarm, 1.0)) for name, swarm in swarms.items()
            }
            for name, swarm in swarms.items():
                for other in sorted(ids.keys() - {name}):
                    at, field = sent[other]
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
    """Apply a command and log it, as a live node does."""
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
    """Fire an event of `kind` at node `name`; all other nodes receive it."""
    fields = EVENTS[kind].payload.__struct_fields__
    data = {field: value for field, value in PLACED.items() if field in fields}
    at = swarms[name].mesh_time()
    for other, swarm in swarms.items():
        _do(Fire(kind, data, at, other == name, f"{kind}-{at:.0f}", ids[name]), swarm, logs[other])
