"""Coupled rooms of the past, made without a network: the nodes compute, tell and hear as live ones do."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.inputs import single, widened

BEGAN = 1.79e12
FIELD_TICKS = 6


def make_room(
    folder: Path,
    nodes: Mapping[str, Params],
    *,
    seconds: float = 20.0,
    events: Mapping[float, tuple[str, str]] | None = None,
    reset: tuple[str, float] | None = None,
    seed: int = 1,
) -> list[Path]:
    """The run folders of a room in which everybody hears everybody.

    `events`: seconds at which a node fires an event, ``(node, kind)``; the others hear it. `reset`: a node
    that begins anew at a second.
    """
    rng = np.random.default_rng(seed)
    ids = {name: f"{k + 1:032x}" for k, name in enumerate(nodes)}
    with ExitStack() as stack:
        logs: dict[str, RunLog] = {}
        swarms: dict[str, Simulation] = {}
        for k, (name, params) in enumerate(nodes.items()):
            facts: dict[str, Any] = {"kind": "headless", "seed": seed * 100 + k, "schedule": "none"}
            logs[name] = stack.enter_context(RunLog(folder, room="r", node=name, params=params, **facts))
            logs[name].update(peer_id=ids[name])
            swarms[name] = Simulation(params, seed=seed * 100 + k)
            at = BEGAN + float(rng.uniform(0, 16))
            swarms[name].anchor(at)
            begun = {"tick": 0, "t": 0.0, "at": at}
            logs[name].write("clock", **begun, data={"why": "start", "speed": 1.0})
            for other in sorted(ids.keys() - {name}):
                facts = {"id": ids[other], "name": other, "change": "linked", "reason": ""}
                logs[name].write("peer", **begun, data=facts)
        for tick in range(0, round(seconds / 0.016), FIELD_TICKS):
            for swarm in swarms.values():
                swarm.advance(FIELD_TICKS)
            for second, (name, kind) in (events or {}).items():
                if _due(second, tick):
                    _fire(name, kind, swarms, logs, ids)
            if reset is not None and _due(reset[1], tick):
                swarm = swarms[reset[0]]
                swarm.reset(77, tick=swarm.tick)
                logs[reset[0]].write("reset", **_here(swarm), data={"seed": 77})
            told = {name: _field(swarm) for name, swarm in swarms.items()}
            for name, swarm in swarms.items():
                for other in sorted(ids.keys() - {name}):
                    at, R, psi, omega = told[other]
                    swarm.hear(ids[other], at, *map(widened, (R, psi, omega)))
                    logs[name].write_input(swarm.tick, peer=ids[other], at=at, R=R, psi=psi, omega=omega)
                if int(swarm.t) > int((swarm.tick - FIELD_TICKS) * 0.016):
                    metrics = swarm.metrics() | {"nodes": swarm.params.oscillators}
                    logs[name].write("telemetry", **_here(swarm), metrics=metrics)
        for log in logs.values():
            log.flush()
    return [log.path for log in logs.values()]


def _due(second: float, tick: int) -> bool:
    return tick * 0.016 <= second < (tick + FIELD_TICKS) * 0.016


def _field(swarm: Simulation) -> tuple[float, float, float, float]:
    R, psi, omega = swarm.mean_field()
    return round(swarm.mesh_time(), 3), single(R), single(psi), single(0.0 if omega != omega else omega)


def _here(swarm: Simulation) -> dict[str, Any]:
    return {"tick": swarm.tick, "t": round(swarm.t, 9), "at": swarm.mesh_time()}


def _fire(name: str, kind: str, swarms: Mapping[str, Simulation], logs: Any, ids: Mapping[str, str]) -> None:
    data = {"x": 400.0, "y": 300.0, "E": 0.35, "sigma": 80.0} if kind == "intent" else {}
    at = swarms[name].mesh_time()
    event = {"id": f"{kind}-{at:.0f}", "origin": ids[name]}
    for other, swarm in swarms.items():
        own = other == name
        here = _here(swarm) | {"at": at}
        late = 0.0 if own else max(0.0, swarm.mesh_time() - at)
        swarm.fire(kind, age=late / 1000, **data)
        logs[other].write(kind if own else f"remote_{kind}", **here, data=data, **event)
