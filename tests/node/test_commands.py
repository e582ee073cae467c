"""The queue of commands: applied between two ticks, in order, and recorded."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import chronoflux as cf
from chronoflux.replay.past_run import PastRun
from chronoflux.signal.server import SignalServer
from tests.conftest import Joiner
from tests.node.test_controls import PARAMS, alone
from tests.node.test_node import events, linked
from tests.support import until

QUICK = cf.Params(oscillators=60)


async def test_what_was_fired_in_a_pause_is_old_when_it_ends(server: SignalServer, joined: Joiner) -> None:
    """A pulse that arrived while the swarm was paused has faded as much as elsewhere when the swarm plays
    again."""
    a, b = [await joined(server=server.url, params=QUICK) for _ in range(2)]
    await linked(a, b)
    b.pause()
    await until(lambda: "pause" in set(b.telemetry()["type"]))
    key = a.intent(x=1, y=1)
    await until(lambda: len(a.snapshot().pulses) == 1)
    await until(lambda: len(a.snapshot().pulses) == 0, what="the pulse fades")
    b.play()
    await until(lambda: events(b)["remote_intent", key] == 1)
    assert len(b.snapshot().pulses) == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
async def test_any_commands_can_be_recomputed(tmp_path: Path, seed: int) -> None:
    """After any sequence of commands the run is recomputed bit for bit, and can be resumed."""
    dice = random.Random(seed)
    async with alone(tmp_path, speed=10.0) as node:
        orders = {
            "step": lambda: node.step(dice.randint(1, 90)),
            "reset": lambda: node.reset(dice.choice([None, 3])),
            "speed": lambda: setattr(node, "speed", dice.choice([0.5, 1, 20, 60])),
            "play": node.play,
            "pause": node.pause,
            "intent": node.intent,
            "flip": node.pacemaker_flip,
            "gate": lambda: node.lion_gate(on=dice.random() < 0.5),
            "fewer": lambda: setattr(node, "params", PARAMS.replace(oscillators=dice.randint(5, 30))),
            "kappa": lambda: setattr(node, "params", node.params.replace(kappa=dice.random())),
        }
        for _ in range(60):
            orders[dice.choice(list(orders))]()
            if dice.random() < 0.4:
                tick = node.snapshot().tick
                node.play()
                await until(lambda tick=tick: node.snapshot().tick > tick + 3)
        node.play()
    found = PastRun(node.path).recompute()
    assert found, found
    async with alone(tmp_path, resume=node.path, speed=10.0) as on:
        await until(lambda: on.t > node.t)
    assert PastRun(on.path).recompute()
