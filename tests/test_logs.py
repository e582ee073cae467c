"""The command line that looks after run folders."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from chronoflux import logs
from chronoflux.errors import LogError
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.replay.past_run import PastRun
from chronoflux.replay.recompute import _unequal
from chronoflux.telemetry import RunLog, load, load_simulation
from chronoflux.telemetry.format.saved_state import pack_simulation
from chronoflux.telemetry.format.segments import KINDS
from chronoflux.telemetry.maintain.inspect import check_run
from chronoflux.telemetry.read.discovery import find_runs
from chronoflux.telemetry.write.rotation import publish, trim_log

PARAMS = Params(oscillators=20)


def new_log(log_dir: Path, **options: str) -> RunLog:
    facts = {"room": "room1", "node": "n1", "kind": "headless", "schedule": "none"} | options
    return RunLog(log_dir, params=PARAMS, seed=7, **facts)


def fill(log: RunLog, seconds: int = 30) -> None:
    """Write a run that is recomputed alike: records, inputs, a keyframe, a checkpoint."""
    sim = Simulation(PARAMS, seed=7)
    sim.anchor(1e12)
    log.write("clock", tick=0, t=0.0, at=1e12, data={"speed": 1.0})
    for second in range(1, seconds):
        sim.hear("peer", sim.mesh_time(), 0.5, 1.0, 2.0)
        log.write_input(sim.tick, peer="peer", at=sim.mesh_time(), R=0.5, psi=1.0, omega=2.0)
        sim.advance(62)
        if second % 10 == 0:
            log.keep(f"keyframes/{sim.tick}.npz", pack_simulation(sim, log.position))
        log.write("telemetry", tick=sim.tick, t=sim.t, at=sim.mesh_time(), metrics=sim.metrics())
    log.keep("checkpoint.npz", pack_simulation(sim, log.position))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with new_log(tmp_path / "logs") as log:
        fill(log)
    return log.path


def call(*words: object) -> Result:
    return CliRunner().invoke(logs.main, [str(word) for word in words])


def test_ls_and_show(run: Path) -> None:
    """`ls` has a line for each run, `show` its facts, records by type and files."""
    other = new_log(run.parent, node="other")
    other.write("telemetry", tick=1, t=0.0)
    other.flush()
    found = call("ls", run.parent)
    assert found.exit_code == 0
    rows = found.output.splitlines()
    assert rows[0].split() == list(logs.COLUMNS)
    assert any(run.name in row and " ended" in row and " 30 " in row for row in rows)
    assert any("other" in row and "running" in row for row in rows)
    other.close()
    found = call("show", run)
    for text in ("room1", "29 telemetry", "1 clock", "2 keyframes", "seed       7"):
        assert text in found.output


def test_check_says_what_is_wrong(run: Path) -> None:
    """A whole run is whole, also recomputed; a damaged one has a line with file and place, and code 1."""
    found = call("check", run, "--recompute")
    assert found.exit_code == 0, found.output
    assert "agrees bit for bit" in found.output
    assert "whole" in found.output
    log = run / "telemetry.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:4]) + b"junk\n" + b"".join(lines[5:]))
    (run / "checkpoint.npz").write_bytes(b"PK\x03\x04")
    found = call("check", run)
    assert found.exit_code == 1
    for text in (
        "telemetry.jsonl:5: not a valid record",
        "records are missing",
        "checkpoint.npz: is damaged",
    ):
        assert text in found.output


def test_repair_mends_what_a_crash_left(run: Path) -> None:
    """Torn tails are cut, half-written files removed, the run noted as interrupted; once."""
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"status": "running", "pid": 2**22 + 1}))
    for name in ("telemetry.jsonl", "inputs.jsonl"):
        with open(run / name, "ab") as file:
            file.write(b'{"torn')
    (run / ".checkpoint.npz.new").write_bytes(b"half")
    assert call("check", run).exit_code == 1
    found = call("repair", run)
    assert found.exit_code == 0, found.output
    assert found.output.count("bytes of an incomplete last line") == 2
    assert "because it was incomplete" in found.output
    assert "interrupted at tick" in found.output
    assert call("check", run).exit_code == 0
    assert "nothing to repair" in call("repair", run).output
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"


def test_repair_leaves_a_running_log_alone(tmp_path: Path) -> None:
    """A run that is being written is refused."""
    with new_log(tmp_path) as log:
        log.write("telemetry", tick=1, t=0.0)
        log.flush()
        found = call("repair", log.path)
        assert found.exit_code == 1
        assert "is writing it" in found.stderr


def test_export(run: Path, tmp_path: Path) -> None:
    """JSON as the first ChronoFlux's, CSV and Parquet hold the same records; other endings are refused."""
    frame = load(run)
    for name in ("x.json", "x.csv", "x.parquet"):
        assert call("export", run, tmp_path / name).exit_code == 0
    assert load(tmp_path / "x.json")["H"].equals(frame["H"])
    assert pd.read_csv(tmp_path / "x.csv")["tick"].tolist() == frame["tick"].tolist()
    np.testing.assert_array_equal(pd.read_parquet(tmp_path / "x.parquet")["H"], frame["H"])
    found = call("export", run, tmp_path / "x.doc")
    assert found.exit_code == 2
    assert "ends in .json, .csv, .parquet" in found.stderr


def test_tail_follows_until_the_end(tmp_path: Path) -> None:
    """The last records, and those to come, until the run ends."""
    log = new_log(tmp_path)
    for tick in range(20):
        log.write("telemetry", tick=tick, t=float(tick), metrics={"H": 0.5})
    log.flush()
    assert call("tail", log.path, "-n", 3, "--once").output.count("telemetry") == 3

    def go_on() -> None:
        time.sleep(0.3)
        log.write("note", tick=20, t=20.0, data={"text": "the last"})
        log.flush()
        time.sleep(1.0)
        log.close()

    writing = threading.Thread(target=go_on)
    writing.start()
    found = call("tail", log.path, "-n", 2)
    writing.join()
    assert found.exit_code == 0
    assert "the last" in found.output


def corrupt(run: Path, rng: random.Random, times: int) -> None:
    """Damage every kind of file at random places: it is told or refused by name, or does no harm.

    In a line of JSON a digit in place of another is none of these: only `check --recompute` finds it.
    """
    files = [path for path in run.rglob("*") if path.is_file()]
    kept = {path: path.read_bytes() for path in files}
    states = {path: load_simulation(path).save() for path in files if path.suffix == ".npz"}
    values = load(run).set_index("seq")[["tick", "H", "psi", "tau"]]
    for number in range(times):
        path = rng.choice([path for path in files if kept[path]])
        content = bytearray(kept[path])
        place = rng.randrange(len(content))
        binary = path.suffix in (".npz", ".parquet")
        junk = rng.randrange(256) if binary else rng.choice(b'\0\n",}\xff')
        before, content[place] = content[place], junk
        path.write_bytes(content)
        faults = check_run(find_runs(run)[0])
        assert all(run.name in fault for fault in faults)
        if path in states and not faults:
            assert not _unequal(states[path], load_simulation(path).save()), (path, place, before)
        assert faults or path.suffix != ".parquet" or junk == before
        if number % 10 == 0:
            for words in (("ls", run), ("show", run), ("check", run), ("tail", run, "--once")):
                assert "unexpected" not in call(*words).output
        try:
            frame = load(run).set_index("seq")
        except LogError as error:  # nothing is left
            if run.name not in str(error):
                raise
            path.write_bytes(kept[path])
            continue
        frame = frame[frame.index.isin(values.index)]
        shared = values.loc[frame.index]
        wrong = (frame[list(values)] != shared) & frame[list(values)].notna() & shared.notna()
        assert not wrong.any(axis=None), (path, place, before)
        path.write_bytes(kept[path])
    assert not check_run(find_runs(run)[0])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damage_is_found(run: Path) -> None:
    """A byte that cannot stand where it stands is found by `check`, wherever it is."""
    corrupt(run, random.Random(1), 40)


@pytest.fixture
def closed(run: Path) -> Path:
    """A run in segments; inputs are in the JSON Lines as well."""
    for kind in KINDS:
        publish(run, kind)
    trim_log(run, "telemetry.jsonl")
    return run


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damage_is_found_in_segments(closed: Path) -> None:
    """In a closed segment any byte that is another is found: it is not read, and named."""
    corrupt(closed, random.Random(4), 11)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("form", ["run", "closed"])
def test_damage_is_found_at_a_thousand_places(form: str, request: pytest.FixtureRequest) -> None:
    """The same at a thousand places, each in JSON Lines and in segments."""
    corrupt(request.getfixturevalue(form), random.Random(2), 1000)


KILLED = """
import asyncio, sys
import chronoflux.node.runner as runner
import chronoflux.telemetry.write.rotation as rotation
from chronoflux.model.params import Params
from chronoflux.node.node import Node
runner.KEYFRAME_PERIOD, runner.CHECKPOINT_PERIOD = 10, 0.01
rotation.AGE, rotation.TRIM_AFTER = 0.05, 0.02
async def main():
    options = {"params": Params(oscillators=20, noise=0.1), "seed": 7, "schedule": "classic", "node_id": "n1"}
    if len(sys.argv) > 2:
        options = {"resume": sys.argv[2]}
    node = Node("room1", server=None, log_dir=sys.argv[1], speed=100.0, **options)
    async with node:
        print(node.path, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


def kill_and_go_on(log_dir: Path, rng: random.Random, times: int) -> None:
    """Kill a node again and again that writes, rotates and checkpoints as it can, and goes on each time."""
    more: list[str] = []
    for _ in range(times):
        command = [sys.executable, "-c", KILLED, str(log_dir), *more]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            path = Path(process.stdout.readline().strip())
            begun, more = 1000 * time.time(), [str(path)]
            time.sleep(rng.uniform(0.3, 2.0))
            process.kill()
            killed = 1000 * time.time()
        assert max(begun, load(path)["time"].max().timestamp() * 1000) > killed - 1500
        assert call("repair", path).exit_code == 0
        assert not check_run(find_runs(path)[0])
    assert len(list(path.glob("telemetry-*.parquet"))) > times
    found = PastRun(path).recompute()
    assert found, str(found)
    assert len(load(path, strict=True).query("type == 'resume'")) == times - 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_killed_and_gone_on_with(tmp_path: Path) -> None:
    """After kill -9 at most a second is lost; repaired, a run is whole, goes on, and is recomputed."""
    kill_and_go_on(tmp_path, random.Random(3), 10)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_killed_two_hundred_times(tmp_path: Path) -> None:
    """The same at 200 random moments."""
    for number in range(20):
        kill_and_go_on(tmp_path / str(number), random.Random(number), 10)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_names_of_others_cannot_steer_a_terminal(tmp_path: Path) -> None:
    """What a foreign run.json and its records say is shown, without escape sequences; CSV has no formula."""
    evil = "\x1b]0;owned\x07\u202e=1"
    folder = tmp_path / "logs" / "run"
    folder.mkdir(parents=True)
    facts = {
        "schema": 1,
        "run": evil,
        "room": evil,
        "node": "=cmd|' /C calc'!A0",
        "host": evil,
        "start": evil,
    }
    (folder / "run.json").write_text(json.dumps(facts | {"status": evil}))
    record = {"timestamp": 1_800_000_000_000, "type": evil, "seq": 0, "data": {"a": evil}}
    record |= {"metrics": {"H": 0.5, "@SUM(A1)": 1.0}}
    (folder / "telemetry.jsonl").write_text(json.dumps(record) + "\n" + json.dumps(evil) + "\n")
    for words in (("ls", folder.parent), ("show", folder), ("check", folder), ("tail", folder, "--once")):
        output = call(*words).output
        assert "\x1b" not in output
        assert "\x07" not in output
        assert "\u202e" not in output
        assert "\\x1b" in output or words[0] == "check"
    call("export", folder, tmp_path / "x.csv")
    frame = pd.read_csv(tmp_path / "x.csv")
    assert frame["node"].tolist() == ["'=cmd|' /C calc'!A0"]
    assert "'@SUM(A1)" in frame.columns
    with pytest.raises(LogError) as caught:
        load(tmp_path / evil)
    assert "\x1b" not in str(caught.value)


def test_copies_are_named_and_looked_at(run: Path) -> None:
    """`ls` and `show` name a copy; `check` looks at it as well."""
    copy = Path(shutil.copytree(run, run.with_name("copy")))
    assert f"{copy}: is a copy of {run}" in call("ls", run.parent).output
    assert call("check", run.parent).exit_code == 0
    with open(copy / "telemetry.jsonl", "ab") as file:
        file.write(b'{"tor')
    assert "torn" in load(run.parent, strict=True).attrs["report"]
    result = call("check", run.parent)
    assert result.exit_code == 1
    assert "copy/telemetry.jsonl" in result.output
