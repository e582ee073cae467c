"""The demo's reading finds what went wrong. (The demo itself is `make demo`.)"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from chronoflux import demo
from chronoflux.errors import ChronofluxError
from chronoflux.model.params import Params
from chronoflux.model.schedule_file import parse
from chronoflux.notebooks import TUTORIAL, find_notebook
from chronoflux.telemetry import RunLog

START = 1.7e12
IDS = {"notebook": "aa", "bot-1": "bb", "bot-2": "cc"}


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """Logs of three nodes that linked and shared one event, fired at bot-1."""
    for node, own in IDS.items():
        others = {name: key for name, key in IDS.items() if name != node}
        run = RunLog(
            tmp_path, room="demo", node=node, kind="headless", params=Params(), seed=1, schedule="none"
        )
        run.update(peer_id=own)
        for name, key in others.items():
            data = {"id": key, "name": name, "change": "linked", "reason": ""}
            run.write("peer", tick=0, t=0.0, at=START, data=data)
        for second in range(1, 11):
            metrics = {"H": 0.5, "H_local": 0.6, "H_mesh": 0.4, "peers": 2}
            peerings = [{"id": key, "R": 0.5, "dpsi": 0.1, "via": "direct"} for key in others.values()]
            moment = {"tick": 62 * second, "t": float(second), "at": START + 1000 * second}
            run.write("telemetry", **moment, metrics=metrics, peerings=peerings)
            if second == 5:
                kind = "intent" if node == "bot-1" else "remote_intent"
                run.write(kind, **moment, data={"x": 1, "y": 2}, id="event-1", origin="bb", metrics=metrics)
        run.write("end", tick=700, t=11.0, at=START + 12_000)
        run.close()
    return tmp_path


def edit(room: Path, node: str, drop: str) -> None:
    """Take the lines that contain a text out of a node's log."""
    (log,) = room.glob(f"demo-{node}-*/telemetry.jsonl")
    log.write_text("".join(line for line in log.read_text().splitlines(keepends=True) if drop not in line))


def test_a_good_room_is_reported(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables, phase locking and a picture come out of the logs."""
    demo.report(room)
    said = capsys.readouterr().out
    assert "no event fired while all three were there was lost" in said
    assert (room / "room.png").stat().st_size > 10_000
    assert all(name in said for name in IDS)
    assert "1.0" in said  # the phase-locking value of a constant difference


@pytest.mark.filterwarnings("ignore:.*records are missing:UserWarning")
def test_a_lost_event_is_named(room: Path) -> None:
    """An event that one log lacks ends the demo with an error that says which and where."""
    edit(room, "bot-2", '"remote_intent"')
    with pytest.raises(ChronofluxError, match=r"intent that bot-1 fired .* never reached bot-2"):
        demo.report(room)


@pytest.mark.filterwarnings("ignore:.*records are missing:UserWarning")
def test_a_missing_link_is_named(room: Path) -> None:
    """A pair that never linked ends the demo with an error that names it."""
    edit(room, "notebook", '"name":"bot-1"')
    with pytest.raises(ChronofluxError, match="notebook never linked to bot-1"):
        demo.report(room)


def test_earlier_runs_make_room_and_nothing_else_does(tmp_path: Path) -> None:
    """A new demo removes the runs of an earlier one, and no other file of the folder."""
    (tmp_path / "demo-bot-1-20261123T010101Z").mkdir()
    (tmp_path / "mine").mkdir()
    demo._emptied(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    shutil.rmtree(tmp_path)
    assert demo._emptied(tmp_path).is_dir()


def test_the_notebook_has_what_the_demo_sets() -> None:
    """Every setting that the demo injects is one that the notebook's parameters cell has."""
    notebook = json.loads(find_notebook(TUTORIAL).read_text(encoding="utf-8"))
    (cell,) = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    source = "".join(cell["source"])
    for name in demo.settings("ws://x", Path("y"), 10):
        assert name in source


def test_the_third_bot_does_what_the_notebook_does() -> None:
    """The schedule in place of the notebook is one, with the notebook's events (a gate is on by default)."""
    text = demo.schedule(30)
    found = parse(text, "bot-3.toml", 13, Params()).due(30.0, Params().world)
    assert [action.event for action in found] == [event for event, _ in demo.SCHEDULE]
    assert [action.data.get("on") for action in found if action.event == "lion_gate"] == [None, False]


def test_a_node_without_a_log_is_named(room: Path) -> None:
    """A node that left no log ends the demo with an error that says whose logs there are."""
    (run,) = room.glob("demo-bot-2-*")
    shutil.rmtree(run)
    with pytest.raises(ChronofluxError, match=r"3 nodes ran, but there are logs of .*bot-1"):
        demo.report(room)
