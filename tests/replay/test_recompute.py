"""Runs computed again, and gone on with."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chronoflux.node.runner as runner
from chronoflux.errors import LogError, UsageError
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.node.node import Node
from chronoflux.replay import Replay
from chronoflux.replay.past_run import PastRun
from chronoflux.replay.recomputed import RecomputedRun
from chronoflux.signal.server import SignalServer
from chronoflux.telemetry import RunLog, load
from chronoflux.telemetry.format.saved_state import load_saved_state
from tests.conftest import Joiner
from tests.support import until

SMALL = Params(oscillators=30, kappa=1.2, noise=0.01)


def lines(run: Path, name: str = "telemetry.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / name).read_bytes().splitlines()]


def offline(tmp_path: Path, **options: Any) -> Node:
    if "resume" not in options:
        options = {"params": SMALL, "seed": 7, "schedule": "classic", "node_id": "n1"} | options
    return Node("room1", server=None, log_dir=tmp_path, speed=200.0, **options)


@pytest.fixture
def quick_keyframes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "KEYFRAME_PERIOD", 10)
    monkeypatch.setattr(runner, "CHECKPOINT_PERIOD", 0.05)


async def ran(node: Node, seconds: float) -> Path:
    """Let a node run to that simulated second; its folder."""
    async with node:
        await until(lambda: node.snapshot().t >= seconds, 60)
    return node.path


@pytest.mark.usefixtures("quick_keyframes")
async def test_a_run_is_recomputed_bit_for_bit(tmp_path: Path) -> None:
    """Events, parameters, resets, pauses and the schedule: everything that moved the swarm is on record."""
    node = offline(tmp_path)
    async with node:
        await until(lambda: node.snapshot().t >= 8, 60)
        node.intent(x=100, y=200)
        node.params = node.params.replace(kappa=0.3)
        node.pacemaker_flip()
        await until(lambda: node.snapshot().t >= 20, 60)
        node.pause()
        node.lion_gate()
        await asyncio.sleep(0.05)
        node.play()
        node.params = node.params.replace(oscillators=40)  # a reset
        await until(lambda: node.snapshot().t >= 70, 60)
    found = PastRun(node.path).recompute()
    assert found, str(found)
    assert "agrees bit for bit" in str(found)
    assert found.records >= 60
    assert found.keyframes >= 6
    kept = load_saved_state(node.path / "checkpoint.npz")[0]
    np.testing.assert_array_equal(kept.state.phi, found.simulation.state.phi)
    recorded = load(node.path).query("type == 'telemetry'")
    np.testing.assert_array_equal(found.metrics["H"], recorded["H"])


@pytest.mark.usefixtures("quick_keyframes")
async def test_the_engine_is_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of the plain engine is recomputed bit for bit by it; by the other one, the answer says so."""
    monkeypatch.setenv("CHRONOFLUX_ENGINE", "plain")
    run = await ran(offline(tmp_path), 12)
    facts = json.loads((run / "run.json").read_text())
    assert facts["engine"] == "plain"
    assert "agrees bit for bit" in str(PastRun(run).recompute())
    monkeypatch.delenv("CHRONOFLUX_ENGINE")
    told = str(PastRun(run).recompute())
    assert "recorded by the plain engine, recomputed by the compiled one" in told
    assert "agrees bit for bit" not in told
    shown = RecomputedRun(PastRun(run), growing=False)
    while shown.check_for(1):
        pass
    assert "recorded by the plain engine, recomputed by the compiled one" in str(shown.agreement)
    assert "bit for bit with" not in str(shown.agreement)
    with pytest.raises(LogError, match="computed by the plain engine: set CHRONOFLUX_ENGINE=plain"):
        RunLog.resume(run, facts, seq=0, inputs=0)


@pytest.mark.usefixtures("quick_keyframes")
async def test_what_was_changed_by_hand_is_found(tmp_path: Path) -> None:
    """A record, an event, a parameter or a keyframe that was changed afterwards does not agree."""
    run = await ran(offline(tmp_path), 35)
    log = run / "telemetry.jsonl"
    whole = log.read_bytes()
    assert PastRun(run).recompute()
    records = lines(run)
    place = next(i for i, record in enumerate(records) if record["type"] == "telemetry")
    records[place]["metrics"]["H"] += 1e-6
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    found = PastRun(run).recompute()
    assert not found
    assert found.different == 1
    assert "H is" in found.differences[0]
    without = [record for record in lines(run) if record["type"] != "lion_gate"]
    log.write_text("".join(json.dumps(record) + "\n" for record in without))
    assert any("missing" in text for text in PastRun(run).recompute().differences)
    log.write_bytes(whole)
    frame = next((run / "keyframes").glob("*.npz"))
    frame.write_bytes(frame.read_bytes()[:-100])
    assert any(frame.name in text for text in PastRun(run).recompute().differences)


async def test_a_coupled_run_is_recomputed(
    joined: Joiner, server: SignalServer, quick_keyframes: None
) -> None:
    """Two nodes that really coupled: each is recomputed from its own folder, peers' fields included, and
    peers have their names in a replay."""
    params = Params(oscillators=30, mesh_coupling=2.0)
    nodes = [await joined(server=server.url, params=params) for _ in range(2)]
    first, second = nodes
    await until(lambda: all((node.peers["state"] == "live").any() for node in nodes), 20)
    first.intent(x=5, y=6)
    second.pacemaker_flip()
    inputs = first.path / "inputs.jsonl"
    await until(lambda: inputs.exists() and len(inputs.read_bytes().splitlines()) > 30, 20)
    await second.leave()
    await until(lambda: any("at" not in line for line in lines(first.path, "inputs.jsonl")), 10)
    await first.leave()
    for node in nodes:
        found = PastRun(node.path).recompute()
        assert found, str(found)
        assert found.records >= 2
        assert found.keyframes >= 1
    fields = [line for line in lines(first.path, "inputs.jsonl") if "at" in line]
    assert all(np.float32(line["psi"]) == np.float32(str(line["psi"])) for line in fields)
    with Replay([node.path for node in nodes]) as replay:
        one, other = replay.runs
        moments = [one.recorded(float(t)) for t in np.arange(0.0, one.record.end, 0.5)]
        assert {peer["name"] for shown in moments for peer in shown.peers} == {other.node}
    twin = Simulation(params, seed=first.seed)
    twin.advance(PastRun(first.path).recompute().simulation.tick)
    assert twin.metrics()["psi"] != PastRun(first.path).recompute().simulation.metrics()["psi"]


@pytest.mark.usefixtures("quick_keyframes")
async def test_gone_on_with_offline_bit_for_bit(tmp_path: Path) -> None:
    """A run ended and gone on with twice has the records of one that was never ended, and recomputes."""
    straight = await ran(offline(tmp_path / "a"), 70)
    run = await ran(offline(tmp_path / "b"), 12)
    for seconds in (31, 72):
        run = await ran(offline(tmp_path, resume=run), seconds)
    frames = [load(path, strict=True).query("type in ['telemetry', 'intent', 'lion_gate', 'pacemaker_flip']")
              for path in (straight, run)]  # fmt: skip
    shared = min(frame["tick"].max() for frame in frames)
    names = ["tick", "type", "H", "psi", "tau", "H_local", "intents", "portal"]
    one, other = (frame[frame["tick"] < shared][names].reset_index(drop=True) for frame in frames)
    assert len(one) > 60
    assert one.equals(other)
    found = PastRun(run).recompute()
    assert found, str(found)
    facts = json.loads((run / "run.json").read_text())
    assert facts["status"] == "ended"
    assert facts["resumed"] == 2
    resumes = [record["data"] for record in lines(run) if record["type"] == "resume"]
    assert [data["from"] for data in resumes] == ["checkpoint.npz"] * 2
    assert all(data["gap_s"] >= 0 and data["torn_bytes"] == 0 for data in resumes)


@pytest.mark.usefixtures("quick_keyframes")
@pytest.mark.parametrize("lost", ["nothing", "checkpoint", "states"])
async def test_gone_on_with_after_a_crash(tmp_path: Path, lost: str) -> None:
    """A torn log is cut and computed to its last record, from whichever saved state is left, or the seed."""
    straight = await ran(offline(tmp_path / "a"), 40)
    run = await ran(offline(tmp_path / "b"), 25)
    log = run / "telemetry.jsonl"
    records = lines(run)
    cut = next(i for i, record in enumerate(records) if record["tick"] >= 1250)
    whole = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(whole[: cut + 1]) + whole[cut + 1][:40])
    if lost in ("checkpoint", "states"):
        (run / "checkpoint.npz").write_bytes(b"PK\x03\x04 nonsense")
    if lost == "states":
        for frame in (run / "keyframes").iterdir():
            frame.unlink()
    run = await ran(offline(tmp_path, resume=run), 40)
    resume = next(record for record in lines(run) if record["type"] == "resume")
    assert resume["tick"] == records[cut]["tick"]
    assert resume["data"]["torn_bytes"] == 40
    assert resume["data"]["from"] == ("seed" if lost == "states" else "1250.npz")
    frames = [load(path, strict=True).query("type == 'telemetry'") for path in (straight, run)]
    one, other = (frame[frame["tick"] < 2400][["tick", "H", "psi", "tau"]] for frame in frames)
    assert one.reset_index(drop=True).equals(other.reset_index(drop=True))
    if lost == "nothing":
        assert PastRun(run).recompute(), str(PastRun(run).recompute())


@pytest.mark.usefixtures("quick_keyframes")
async def test_what_does_not_agree_is_taken_back(tmp_path: Path) -> None:
    """Where records after the checkpoint are missing it goes on from there, and what was since is dropped."""
    run = await ran(offline(tmp_path), 25)
    (run / "checkpoint.npz").unlink()
    log = run / "telemetry.jsonl"
    records = lines(run)
    hole = next(i for i, record in enumerate(records) if record["tick"] > 1300)
    whole = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(whole[:hole] + whole[hole + 1 :]))
    run = await ran(offline(tmp_path, resume=run), 33)
    resume = next(record for record in lines(run) if record["type"] == "resume")
    assert resume["tick"] == 1250
    assert "missing" in resume["data"]["why"]
    found = PastRun(run).recompute()
    assert found, str(found)
    with pytest.warns(UserWarning, match="gap in seq"):
        ticks = load(run).query("type == 'telemetry'")["tick"]
    assert ticks.is_monotonic_increasing
    assert ticks.is_unique


async def test_what_cannot_be_gone_on_with(tmp_path: Path) -> None:
    """A run that is still written, parameters beside it, and a folder that is no run are refused by name."""
    run = await ran(offline(tmp_path), 1)
    facts = json.loads((run / "run.json").read_text())
    with pytest.raises(LogError, match="process 1 is writing it"):
        RunLog.resume(run, facts | {"status": "running", "pid": 1}, seq=0, inputs=0)
    with pytest.raises(UsageError, match="leave out params, seed"):
        offline(tmp_path, resume=run, params=SMALL, seed=1)
    with pytest.raises(LogError, match="does not exist"):
        offline(tmp_path, resume=tmp_path / run.name / "keyframes")
    (run / "run.json").write_text("{}")
    with pytest.raises(LogError, match=r"run\.json.*does not have the initial parameters"):
        PastRun(run)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_keyframes")
async def test_gone_on_with_at_any_tick(tmp_path: Path) -> None:
    """A run that is ended again and again, often at a second's tick, says and does everything once."""
    run = await ran(offline(tmp_path / "b"), 1)
    for second in range(5, 66, 5):
        run = await ran(offline(tmp_path, resume=run), second)
    frame = load(run, strict=True)
    ticks = frame.query("type == 'telemetry'")["tick"]
    assert ticks.is_unique
    assert ticks.tolist() == [-(-second * 1000 // 16) for second in range(1, len(ticks) + 1)]
    straight = load(await ran(offline(tmp_path / "a"), 66), strict=True)
    fired = [
        one[one["type"].isin(["intent", "lion_gate", "pacemaker_flip"]) & (one["tick"] < 4060)]
        for one in (frame, straight)
    ]
    assert fired[0]["tick"].tolist() == fired[1]["tick"].tolist()
    assert [data["id"] for data in fired[0]["data"]] != [data["id"] for data in fired[1]["data"]]
    assert PastRun(run).recompute()
