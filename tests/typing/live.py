"""What the README does with a node, for type checkers: it is read by them and never run."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import pandas as pd

import chronoflux as cf


async def take_part() -> None:
    """Join a room and act in it."""
    node = await cf.join("room1", params=cf.Params(oscillators=300, kappa=1.0))
    assert_type(node, cf.Node)
    assert_type(node.intent(x=400, y=300), str)
    node.intent(400, 300, E=2.0)
    node.lion_gate()
    node.lion_gate(on=False)
    node.pacemaker_flip()
    node.note("coffee")
    node.pause()
    node.step()
    node.play()
    node.step(10)
    node.reset()
    node.reset(seed=7)
    node.speed = 2
    assert_type(node.peers, pd.DataFrame)
    assert_type(node.telemetry(), pd.DataFrame)
    node.params = node.params.replace(mesh_coupling=1.0)
    node.params = cf.presets["storm"]
    assert_type(node.params, cf.Params)
    assert_type(node.params.kappa, float)
    node.view3d()
    node.view3d("helix")
    assert_type(node.export_log("x.json"), Path)
    assert_type(node.seed, int)
    assert_type(node.room, str)
    await node.leave()


async def join_in_other_ways() -> None:
    """The further arguments of `join`."""
    await cf.join("room1", server="wss://example.org", token="secret", node_id="n1")
    await cf.join("room1", server=None, preset="storm", seed=7, background=True)
    await cf.join(server=None, speed="max", duration=3600)
    await cf.join(server=None, speed=60, duration=8 * 3600.0)
    await cf.join(resume="logs/room1-n1")
    await cf.join("room1", schedule="night", schedule_start="2026-11-23T22:00:00Z")
    await cf.join("room1", schedule=Path("night.toml"), log_dir=Path("logs"), phases=1.0, phases_of=100)
    await cf.join("room1", ice_servers=[{"urls": "turn:example.org"}], ice_transport_policy="relay")
    recorder = await cf.join("room1", kind="recorder")
    assert_type(recorder, cf.Recorder)
    await recorder.leave()


def refused() -> None:
    """What a checker must refuse; both refuse a comment here that nothing needs."""
    cf.Params(kapa=1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cf.Params(oscillators="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    cf.join(rom="room1")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def refused_by_join() -> None:
    """The same of what `join` takes."""
    await cf.join("room1", speed="fast")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await cf.join("room1", kind="recorder", kappa=2)  # type: ignore[call-overload]  # pyright: ignore
