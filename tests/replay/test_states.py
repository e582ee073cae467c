"""Saved states of runs that were killed: which of them count, and where a run goes on."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.replay.past_run import PastRun
from chronoflux.telemetry import RunLog
from chronoflux.telemetry.format.layout import CHECKPOINT, KEYFRAMES, LOG, replace_file
from chronoflux.telemetry.format.saved_state import load_simulation, pack_simulation

PARAMS = Params(oscillators=10, noise=0.05)


class Killed:
    """A run written as a node writes it, that can be left at any moment and gone on with."""

    def __init__(self, log_dir: Path) -> None:
        facts = {"room": "room1", "node": "n1", "kind": "headless", "schedule": "none"}
        self.log = RunLog(log_dir, params=PARAMS, seed=7, **facts)
        self.path = self.log.path
        (self.path / KEYFRAMES).mkdir()
        self.simulation = Simulation(PARAMS, seed=7)

    def record(self, kind: str = "telemetry", **more: object) -> None:
        tick, t = self.simulation.tick, self.simulation.t
        self.log.write(kind, tick=tick, t=t, metrics=self.simulation.metrics(), **more)

    def intent(self, x: float) -> None:
        self.simulation.intent(x=x, y=50)
        self.record("intent", data={"x": x, "y": 50.0}, id=f"n1:{x}", origin="n1")

    def keyframe(self) -> None:
        self.save(f"{KEYFRAMES}/{self.simulation.tick}.npz")

    def save(self, name: str = CHECKPOINT) -> None:
        """What the log's thread for files does."""
        assert self.log.flush()
        replace_file(self.path / name, pack_simulation(self.simulation, self.log.position))

    def kill(self, lost: int = 0) -> None:
        """End the process; a power loss takes the last records with it."""
        self.log.close("interrupted")
        log = self.path / LOG
        lines = log.read_bytes().splitlines(keepends=True)
        log.write_bytes(b"".join(lines[: len(lines) - lost]))

    def resume(self) -> str:
        """Go on with it; the file that it goes on from."""
        past = PastRun(self.path)
        found = past.continuation()
        self.simulation = found.simulation
        self.log = RunLog.resume(past.path, past.facts, seq=found.seq, inputs=found.inputs)
        self.record("resume", data=found.facts | {"number": self.log.position["resumed"]})
        assert self.log.flush()
        return str(found.facts["from"])


@pytest.fixture
def run(tmp_path: Path) -> Killed:
    run = Killed(tmp_path)
    run.simulation.advance(10)
    run.record()
    run.intent(10.0)
    run.simulation.advance(5)
    return run


def test_a_keyframe_after_the_checkpoint(run: Killed) -> None:
    """Killed with a keyframe newer than the checkpoint and no record between them: both agree, and it goes on
    from the keyframe; the same files with a swarm that differs are found."""
    run.save()
    run.simulation.advance(4)
    run.keyframe()
    run.kill()
    found = PastRun(run.path).recompute()
    assert found, str(found)
    assert found.keyframes == 2
    assert found.simulation.tick == 19
    assert run.resume() == "19.npz"
    assert PastRun(run.path).recompute().keyframes == 2
    run.simulation = load_simulation(run.path / CHECKPOINT)
    run.simulation.pacemaker_flip()
    run.simulation.advance(5)
    run.save()
    run.kill()
    found = PastRun(run.path).recompute()
    assert found.differences[0].startswith("checkpoint.npz: ")
    assert found.different == 1


def test_a_keyframe_of_a_course_that_was_left(run: Killed) -> None:
    """Where a run went on from before a keyframe, with no record between the two, that counts no more."""
    run.save()
    run.simulation.advance(4)
    run.keyframe()
    run.kill()
    left = run.path / KEYFRAMES / "19.npz"
    content = left.read_bytes()
    left.unlink()  # out of reach just then
    assert run.resume() == CHECKPOINT
    left.write_bytes(content)
    run.intent(30.0)
    run.simulation.advance(9)
    run.record()
    run.kill()
    found = PastRun(run.path).recompute()
    assert found, str(found)
    assert found.keyframes == 1


def test_states_ahead_of_a_log_that_lost_its_end(run: Killed) -> None:
    """They are told as such; when the run went on another course from before them, they count no more."""
    run.keyframe()
    run.simulation.advance(3)
    run.record()
    run.intent(20.0)
    run.simulation.advance(3)
    run.keyframe()
    run.save()
    run.kill(lost=2)
    found = PastRun(run.path).recompute()
    assert found.differences == [
        f"{name} is ahead of the log: 2 lines at its end are missing" for name in ("21.npz", "checkpoint.npz")
    ]
    assert run.resume() == "15.npz"
    run.intent(30.0)
    for _ in range(5):
        run.simulation.advance(1)
        run.record()
    assert run.log.flush()
    found = PastRun(run.path).recompute()
    assert found, str(found)
    assert found.keyframes == 1
    run.kill()
    assert run.resume() == "15.npz"
    assert run.simulation.tick == 20
    np.testing.assert_array_equal(run.simulation.state.phi, found.simulation.state.phi)
    run.kill()


@pytest.mark.parametrize(
    "seed", [0, 4, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 25))]
)
def test_killed_at_any_moment(run: Killed, seed: int) -> None:
    """Whatever was written in whatever order when a run was killed, and whatever end of its log was lost:
    gone on with, it is recomputed bit for bit."""
    rng = random.Random(seed)
    for _ in range(6):
        for _ in range(rng.randrange(8)):
            rng.choice([run.record, run.save, run.keyframe, lambda: run.intent(rng.uniform(1, 99))])()
            run.simulation.advance(rng.randrange(3))
        run.kill(lost=rng.choice([0, 0, 1, 4]))
        found = PastRun(run.path).recompute()
        assert all("is ahead of the log" in text for text in found.differences), found.differences
        run.resume()
        found = PastRun(run.path).recompute()
        assert found, str(found)
    run.kill()
