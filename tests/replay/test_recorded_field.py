"""What a replay shows as recorded is what the same commands did live, and do when they are computed again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronoflux.model.commands import Anchor, Change, Command, Fire, Forget, Hear, Reset
from chronoflux.model.events import EVENTS
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.model.state import Pulse, Swarm
from chronoflux.node.node import Node
from chronoflux.replay import RECOMPUTED, RECORDED, Replay
from chronoflux.telemetry import RunLog
from tests.support import until

SMALL = Params(oscillators=24)


def burst(swarm: Swarm, age: float, *, on: bool = True) -> None:
    """Three pulses in a row, and portal mode."""
    for k in range(3):
        swarm.pulses.append(Pulse(200.0 * (k + 1), 300.0, 1.0, 80.0, swarm.t - age))
    swarm.portal = on


def calm(swarm: Swarm, age: float) -> None:
    """No pulses, no motion."""
    swarm.pulses.clear()
    swarm.vx *= 0.0


def everywhere(swarm: Swarm, age: float) -> None:
    """A pulse at the first oscillator."""
    swarm.pulses.append(Pulse(swarm.x[0], swarm.y[0], 0.5, 80.0, swarm.t - age))


def chance(swarm: Swarm, age: float) -> None:
    """A pulse somewhere."""
    swarm.pulses.append(Pulse(800 * swarm.rng.random(), 300.0, 0.5, 80.0, swarm.t - age))


@pytest.fixture(autouse=True)
def events() -> Iterator[None]:
    for effect in (burst, calm, everywhere, chance):
        EVENTS.register(effect, wire=effect.__name__, label=effect.__name__)
    yield
    for effect in (burst, calm, everywhere, chance):
        EVENTS.unregister(effect.__name__)


def logged(folder: Path, steps: list[tuple[int, Command]], ticks: int, params: Params = SMALL) -> Path:
    """A run of these commands at these ticks, applied to a simulation and put on record."""
    sim = Simulation(params, seed=3)
    with RunLog(folder, room="r", node="n", kind="headless", params=params, seed=3, schedule="none") as log:

        def do(command: Command) -> None:
            command.apply(sim)
            if isinstance(command, Hear | Forget):
                log.write_input(sim.tick, **command.line())
                return
            entry = command.entry()
            at = sim.mesh_time() if entry.at is None else entry.at
            ids: dict[str, Any] = {"id": entry.id, "origin": entry.origin} if entry.id else {}
            log.write(entry.type, tick=sim.tick, t=round(sim.t, 9), at=at, data=entry.data, **ids)

        for tick, command in steps:
            sim.advance(tick - sim.tick)
            do(command)
        sim.advance(ticks - sim.tick)
        log.write("telemetry", tick=sim.tick, t=round(sim.t, 9), at=sim.mesh_time(), metrics=sim.metrics())
        log.flush()
    return log.path


async def test_a_new_event_is_the_same_live_recomputed_and_as_recorded(tmp_path: Path) -> None:
    """One function and one line: what it does to pulses and portal mode is seen in all three ways."""
    async with Node("room1", server=None, log_dir=tmp_path, speed=20.0, params=SMALL, seed=1) as node:
        await until(lambda: node.snapshot().t > 1)
        node.fire("burst")
        await until(lambda: node.snapshot().portal)
        live = node.snapshot()
        await until(lambda: node.snapshot().t > live.t + 1)
    assert len(live.pulses) == 3
    with Replay(node.path) as replay:
        for mode in (RECOMPUTED, RECORDED):
            shown = replay.at(live.t, mode=mode)
            assert (shown.tick, shown.portal) == (live.tick, True)
            np.testing.assert_allclose(shown.pulses, live.pulses, rtol=1e-7)
        assert replay.recompute()


def test_every_command_leads_to_the_same_field(tmp_path: Path) -> None:
    """Pulses of this node and of late peers, gates, resets, other parameters and speeds: as recorded, pulses,
    portal mode and parameters are those that are computed again."""
    run = logged(
        tmp_path,
        [
            (0, Anchor(1.7e12, 1.0, "start")),
            (
                50,
                Fire("intent", {"x": 10.0, "y": 20.0, "E": 1.5}, 1.7e12 + 800, True, "a", "n"),
            ),
            (60, Hear.rounded("p", 1.7e12 + 900, 0.5, 1.0, 2.0)),
            (70, Fire("intent", {"x": 30.0, "y": 40.0}, 1.7e12 + 1000, False, "b", "p")),
            (80, Anchor(1.7e12 + 1280, 4.0, "speed")),
            (120, Fire("burst", {"on": True}, 1.7e12 + 1300, False, "c", "p")),
            (130, Fire("calm", {}, 1.7e12 + 1500, True, "d", "n")),
            (140, Fire("lion_gate", {"on": False}, 1.7e12 + 1500, False, "e", "p")),
            (150, Fire("burst", {}, 1.7e12 + 1540, False, "f", "p")),
            (150, Change({"kappa": 0.5})),
            (170, Fire("intent", {"x": 1.0, "y": 2.0}, 1.7e12 + 1600, True, "g", "n")),
            (170, Reset(9)),  # the intent acts after it, on the new swarm
            (180, Fire("pacemaker_flip", {}, 1.7e12 + 1650, True, "h", "n")),
            (200, Change({"oscillators": 30})),
            (210, Forget("p")),
            (220, Fire("intent", {"x": 1.0, "y": 2.0}, 1.7e12 + 1750, False, "i", "p")),
        ],
        260,
    )
    with Replay(run) as replay:
        assert replay.recompute()
        counts = set()  # of pulses, between the commands: at their own ticks they are not felt yet
        for tick in set(range(1, 260)) - {50, 70, 120, 130, 140, 150, 170, 180, 200, 220}:
            shown, computed = (
                replay.at(tick * SMALL.dt + 1e-8, mode=mode) for mode in (RECORDED, RECOMPUTED)
            )
            np.testing.assert_allclose(shown.pulses, computed.pulses, rtol=1e-6, err_msg=str(tick))
            assert (shown.tick, shown.portal) == (computed.tick, computed.portal)
            assert shown.params == computed.params
            counts.add(len(shown.pulses))
        assert counts >= {0, 1, 2, 3, 5}
        assert replay.runs[0].status.problem is None


@pytest.mark.parametrize(
    ("name", "why"), [("everywhere", "x, y, E, sigma > 0, t, all finite"), ("chance", "random numbers")]
)
def test_what_depends_on_oscillators_or_chance_is_said_not_to_be_shown(
    tmp_path: Path, name: str, why: str
) -> None:
    """An event whose pulses depend on what is not on record is shown recomputed; as recorded it is named."""
    run = logged(tmp_path, [(0, Anchor(1.7e12)), (20, Fire(name, {}, 1.7e12 + 320, True, "a", "n"))], 100)
    with Replay(run) as replay:
        assert len(replay.at(0.5, mode=RECOMPUTED).pulses) == 1
        assert len(replay.at(0.5, mode=RECORDED).pulses) == 0
        problem = replay.runs[0].status.problem
        assert problem is not None
        assert problem.startswith(f"{name} at 0.3 s is not shown as recorded: ")
        assert why in problem


def test_an_event_that_is_not_registered_here_is_named(tmp_path: Path) -> None:
    """A run with an event of somebody else's notebook is shown, and the event that is not known named."""
    run = logged(tmp_path, [(0, Anchor(1.7e12)), (20, Fire("burst", {}, 1.7e12 + 320, True, "a", "n"))], 100)
    EVENTS.unregister("burst")
    try:
        with Replay(run) as replay:
            assert "event = 'burst'" in str(replay.runs[0].status.problem)
            assert [event.mark.type for event in replay.events] == ["burst"]
    finally:
        EVENTS.register(burst, wire="burst", label="burst")
