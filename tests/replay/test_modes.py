"""A replay asked by a program: the time line, both modes, jumps, events, and what cannot be shown."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

import chronoflux.node.runner as runner
from chronoflux.errors import LogError, ParameterError, UsageError
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation, Snapshot
from chronoflux.node.node import Node
from chronoflux.replay import RECOMPUTED, RECORDED, Replay
from chronoflux.replay.past_run import PastRun
from chronoflux.telemetry import RunLog, load, record_phases
from tests.runs import make_run
from tests.support import until

SMALL = Params(oscillators=24, kappa=1.2, noise=0.01)
KNOWN: dict[int, Snapshot] = {}
"""What a run really was at some ticks, as its node showed it."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """A run of 40 s with events, other parameters and a reset; what it was at some ticks is in KNOWN."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "KEYFRAME_PERIOD", 10)
        folder = tmp_path_factory.mktemp("logs")
        node = Node("room1", server=None, log_dir=folder, speed=100.0, params=SMALL, seed=7, node_id="n1")
        async with node:
            for second, act in (
                (4, lambda: node.intent(x=100, y=200)),
                (8, lambda: node.lion_gate()),
                (11, lambda: node.pacemaker_flip()),
                (13, lambda: setattr(node, "params", node.params.replace(kappa=0.3))),
                (17, lambda: node.lion_gate(on=False)),
                (22, lambda: node.intent(x=300, y=20, E=0.6)),
                (28, lambda: setattr(node, "params", node.params.replace(oscillators=30))),
                (40, lambda: None),
            ):
                await until(lambda second=second: look(node) >= second, 60)
                act()
        yield node.path


def look(node: Node) -> float:
    snapshot = node.snapshot()
    KNOWN[snapshot.tick] = snapshot
    return snapshot.t


def equal(one: Snapshot, other: Snapshot) -> bool:
    names = ("x", "y", "vx", "vy", "phi", "pressure", "pulses")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_recomputed_any_jump_leads_to_what_was(run: Path) -> None:
    """Wherever one jumps from, the swarm of a tick is that of the live run, bit for bit."""
    ticks = random.Random(1).sample(sorted(KNOWN), min(len(KNOWN), 40))
    with Replay(run, mode=RECOMPUTED) as replay:
        for tick in ticks:
            found = replay.at(tick * SMALL.dt)
            assert found.tick == tick
            assert equal(found, KNOWN[tick]), tick
        assert replay.at(-5).tick == 0
        assert replay.at(1e9).t == pytest.approx(replay.duration)


def test_the_check_finds_agreement_and_makes_jumps_short(run: Path) -> None:
    """The whole record is compared, and says so; a record changed by hand is found."""
    with Replay(run, mode=RECOMPUTED) as replay:
        exact = replay.runs[0].computing()
        assert not exact.agreement
        while exact.check_for(1):
            pass
        assert replay.agreement, str(replay.agreement)
        assert "agrees bit for bit" in str(replay.agreement)
        assert replay.agreement.records >= 38
        assert replay.agreement.states >= 4
    copy = run.parent.parent / "changed" / run.name
    shutil.copytree(run, copy)
    log = copy / "telemetry.jsonl"
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    changed = [line for line in lines if line["type"] == "telemetry"][20]
    changed["metrics"]["psi"] += 1e-6
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with Replay(copy, mode=RECOMPUTED) as replay:
        exact = replay.runs[0].computing()
        while exact.check_for(1):
            pass
        assert not replay.agreement
        assert f"tick {changed['tick']}: psi is" in str(replay.agreement)


def test_as_recorded_the_log_and_the_field_speak(run: Path) -> None:
    """Metrics are those of the last record, pulses and portal those of the events; swarms say their tick."""
    frame = load(run).query("type == 'telemetry'")
    states = {int(path.stem) for path in (run / "keyframes").iterdir()}
    states |= {int(path.stem.split("-")[0]) for path in (run / "snapshots").glob("*.npz")}
    with Replay(run) as replay:
        assert replay.mode == RECORDED
        track = replay.runs[0]
        fired = {event.mark.tick for event in replay.events}  # felt from the next tick on
        for tick in set(np.random.default_rng(2).integers(70, 2490, 40).tolist()) - fired:
            t = tick * SMALL.dt
            shown, computed = track.recorded(t), replay.at(t, mode=RECOMPUTED)
            last = frame[frame["t"] <= t].iloc[-1]
            assert shown.metrics["H"] == last["H"]
            assert last["H"] == shown.R
            assert shown.snapshot.tick == computed.tick
            np.testing.assert_allclose(shown.snapshot.pulses, computed.pulses, rtol=1e-6)
            assert shown.snapshot.params == computed.params
            assert shown.snapshot.portal == computed.portal
        keyframe = track.recorded(625 * SMALL.dt)
        assert keyframe.swarm == "swarm saved at 0:00:10"
        if 625 not in fired:  # on a busy machine an event may fall on it
            assert equal(keyframe.snapshot, KNOWN[625]) if 625 in KNOWN else 625 in states
        assert "swarm as saved at 0:00:10" in track.recorded(10.5).swarm
        assert "swarm as it began" in track.recorded(3).swarm
        after = track.recorded(28.6)  # begun anew: nothing on record yet of these 30
        assert after.swarm.startswith("metrics only") == (len(after.snapshot.x) == 0)


@pytest.mark.slow
def test_recorded_phases_are_shown(run: Path) -> None:
    """Phases and places of a store are those of the picture; phases alone take places from a saved state."""
    for what, places in ((("phi", "x", "y"), "phases"), ("phi", "phases, places")):
        copy = run.parent.parent / places.replace(", ", "-") / run.name
        shutil.copytree(run, copy)
        sim = Simulation(SMALL, seed=7)
        record_phases(sim, copy / "phases.zarr", 100, every=10, what=what)
        twin = Simulation(SMALL, seed=7)
        twin.advance(50)
        with Replay(copy) as replay:
            shown = replay.runs[0].recorded(50 * SMALL.dt)
            np.testing.assert_array_equal(shown.snapshot.phi, twin.state.phi)
            assert shown.swarm == f"{places} recorded at 0:00:00"
            assert pytest.approx(shown.R) == twin.mean_field()[0]
            if places == "phases":
                np.testing.assert_array_equal(shown.snapshot.x, twin.state.x)


def test_a_position_moves_and_events_are_stepped_to(run: Path) -> None:
    """Stepping goes from event to event both ways, just after each; bad positions and speeds are named."""
    with Replay(run) as replay:
        kinds = [event.mark.type for event in replay.events]
        types = load(run)["type"]
        assert kinds == types[~types.isin(["telemetry", "clock", "end"])].tolist()
        assert {"intent", "lion_gate", "pacemaker_flip", "params", "reset"} <= set(kinds)
        moments = sorted({event.s for event in replay.events})
        assert [event.s for event in iter(replay.step, None)] == moments
        assert replay.position > replay.events[-1].s
        assert [event.s for event in iter(lambda: replay.step(-1), None)] == moments[-2::-1]
        replay.seek(0)
        intent = next(event for event in iter(replay.step, None) if event.mark.type == "intent")
        assert replay.position == pytest.approx(intent.s + SMALL.dt)
        assert len(replay.state.pulses) >= 1
        replay.seek(1e12)
        assert replay.position == replay.duration
        replay.speed = 1000
        replay.play()  # from the beginning again
        assert replay.position < replay.duration
        for value in (float("nan"), "x"):
            with pytest.raises(ParameterError, match="s = "):
                replay.seek(value)  # type: ignore[arg-type]
        with pytest.raises(ParameterError, match="speed = 2000"):
            replay.speed = 2000
        with pytest.raises(ParameterError, match="mode = 'live' is not allowed"):
            replay.mode = "live"
        with pytest.raises(UsageError, match="is a past run"):
            replay.runs[0].fire("intent")


async def test_while_somebody_looks_it_is_made(run: Path) -> None:
    """What is shown follows the position in either mode, on a thread that ends with the replay."""
    with Replay(run) as replay:
        track = replay.runs[0]
        for mode in (RECOMPUTED, RECORDED):
            replay.mode = mode
            replay.seek(20)
            await until(lambda mode=mode: track.snapshot().tick == 1250 and track.shown.mode == mode)
        replay.speed = 10
        replay.play()
        await until(lambda: track.snapshot().tick > 1400)
        replay.pause()
        here = replay.position
        replay.mode = RECOMPUTED
        await until(lambda: track.snapshot().tick == round(here / SMALL.dt) and bool(replay.agreement))
        assert track.status.text == "recomputed: every tick computed"
    assert replay.closed
    assert not replay._player._thread


async def test_computing_is_made_ready_ahead(run: Path) -> None:
    """Who looks at the record for a while finds the run ready to be computed again, who does not does not."""
    with Replay(run) as replay:
        track = replay.runs[0]
        track.snapshot()
        await until(lambda: track.shown.mode == RECORDED and track.exact is not None)
        assert replay.mode == RECORDED
        ready = track.exact
        replay.mode = RECOMPUTED
        await until(lambda: track.snapshot().tick == 0 and track.shown.mode == RECOMPUTED)
        assert track.exact is ready
    assert not replay._player._prefetcher.is_alive()
    with Replay(run) as replay:
        replay.frame(3.0)
        assert replay.runs[0].exact is None


def test_frames_are_arrays(run: Path) -> None:
    """A frame is an RGB array of the size asked for, the same for the same moment, with dots in it."""
    with Replay(run, mode=RECOMPUTED) as replay:
        frame = replay.frame(12.0, side=400)
        assert frame.shape == (300, 400, 3)
        assert frame.dtype == np.uint8
        np.testing.assert_array_equal(frame, replay.frame(12.0, side=400))
        assert (frame != replay.frame(2.0, side=400)).any()
        with pytest.raises(ParameterError, match="side"):
            replay.frame(1, side=0)
        with pytest.raises(ParameterError, match="run = 1"):
            replay.at(1, 1)


def test_runs_of_a_room_stand_side_by_side(run: Path, tmp_path: Path) -> None:
    """Two runs share a time line by mesh time; each shows its own second; other rooms are refused by name."""
    for name, change in (("a", {}), ("b", {"node": "n2", "run": "b"}), ("c", {"room": "room2", "run": "c"})):
        shutil.copytree(run, tmp_path / name)
        facts = json.loads((run / "run.json").read_text())
        (tmp_path / name / "run.json").write_text(json.dumps(facts | change))
    log = tmp_path / "b" / "telemetry.jsonl"
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    for line in lines:
        line["at"] += 100.0
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UsageError, match="runs of 2 rooms: choose one with room=, of room1, room2"):
        Replay(tmp_path)
    with pytest.raises(UsageError, match="no run of room 'x' there; there are runs of room1, room2"):
        Replay(tmp_path, room="x")
    with Replay(tmp_path, room="room1") as replay:
        assert [track.node for track in replay.runs] == ["n1", "n2"]
        one, two = replay.at(0.2, 0), replay.at(0.3, 1)
        assert one.t == pytest.approx(two.t, abs=0.05)
        assert one.t > replay.at(0.2, 1).t
        assert len(replay.events) == 2 * len(replay.runs[0].record.marks)
        assert {event.run for event in replay.events} == {0, 1}
        with pytest.raises(UsageError, match="for one run"):
            replay.recompute()


def test_the_record_of_a_room_is_left_out(tmp_path: Path) -> None:
    """Among runs the record of their room is left out with a warning; alone it is refused in words."""
    run = make_run(tmp_path)
    record = RunLog(
        tmp_path, room="room1", node="rec", kind="recorder", params=None, seed=None, schedule="none"
    )
    record.write("telemetry", tick=3, t=1.0, metrics={"H": 0.5})
    record.close()
    with pytest.warns(UserWarning, match=f"{record.path.name} is the record of a room"):
        replay = Replay(tmp_path)
    with replay:
        assert [track.name for track in replay.runs] == [run.name]
        assert replay.recompute()
    with pytest.raises(LogError, match=f"{record.path.name}: is the record of a room, with no swarm"):
        Replay(record.path)


def test_a_run_that_grows_is_followed(run: Path, tmp_path: Path) -> None:
    """Of a run that is still written the end follows, and what was computed so far goes on exactly."""
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    log, facts = copy / "telemetry.jsonl", json.loads((copy / "run.json").read_text())
    whole = log.read_bytes().splitlines(keepends=True)
    half = next(i for i, line in enumerate(whole) if json.loads(line)["tick"] > 1600)
    log.write_bytes(b"".join(whole[:half]) + whole[half][:30])  # a line that is just being written
    (copy / "run.json").write_text(json.dumps(facts | {"status": "running", "host": "elsewhere"}))
    with Replay(copy, mode=RECOMPUTED) as replay:
        track = replay.runs[0]
        assert track.growing
        assert 20 < replay.duration < 27
        replay.at(replay.duration)
        while track.computing().check_for(1):
            pass
        assert replay.agreement
        log.write_bytes(b"".join(whole))
        (copy / "run.json").write_text(json.dumps(facts))
        assert track.refresh()
        replay.extended()
        assert replay.duration > 39
        assert equal(replay.at(replay.duration), PastRun(run).recompute().simulation.snapshot())
        while track.computing().check_for(1):
            pass
        assert replay.agreement, str(replay.agreement)
        assert not track.refresh()


def test_what_has_no_manifest_is_shown_as_recorded_only(tmp_path: Path) -> None:
    """An export of the first ChronoFlux has metrics, events and a field, and says why it has no more."""
    entries: list[dict[str, Any]] = [
        {"timestamp": 1_700_000_000_000 + 1000 * i, "t": float(i), "H": 0.5, "tau": 0.1, "nodes": 9,
         "intents": []}
        for i in range(20)
    ]  # fmt: skip
    place = {"x": 10, "y": 20, "E": 0.35}
    fired = {"timestamp": 1_700_000_005_500, "type": "intent", "data": place, "metrics": {"H": 0.5}}
    entries.insert(6, fired)
    (tmp_path / "old.json").write_text(json.dumps(entries))
    with Replay(tmp_path / "old.json") as replay:
        assert replay.duration == 19
        assert len(replay.at(5.6).pulses) == 1
        assert replay.runs[0].recorded(6).R == 0.5
        assert len(replay.at(6).x) == 0
        with pytest.raises(UsageError, match=r"old cannot be recomputed: it has no run\.json"):
            replay.mode = RECOMPUTED


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """An empty folder, a missing one and an empty log are named, with what was looked for."""
    with pytest.raises(LogError, match="holds no log; looked for"):
        Replay(tmp_path)
    with pytest.raises(LogError, match="does not exist"):
        Replay(tmp_path / "no")
    (tmp_path / "telemetry.jsonl").touch()
    with pytest.raises(LogError, match="holds no record"):
        Replay(tmp_path / "telemetry.jsonl")
