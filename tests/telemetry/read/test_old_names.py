"""Exports of the first ChronoFlux: only their file names say whose they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chronoflux.analysis.rooms import pair_matrix
from chronoflux.analysis.tables import gaps, side_by_side
from chronoflux.analyze import main
from chronoflux.telemetry import load

START = 1_700_000_000_000


def runner_log(path: Path, *, seconds: range = range(120), start: int = START) -> None:
    """What the old runner exports: a JSON array of records without node, room and run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = [
        {
            "timestamp": start + 1000 * second,
            "t": float(second),
            "type": "telemetry",
            "metrics": {"H": 0.5 + 0.001 * (second % 7), "tau": 0.1, "nodes": 100, "intents": 0, "peers": 1},
        }
        for second in seconds
    ]
    path.write_text(json.dumps(records, indent=2))


def page_log(path: Path, *, start: int = START) -> None:
    """What the old page exports: flat entries, and events without `t`."""
    flat = [
        {"timestamp": start + 1000 * n, "t": n, "H": 0.4, "tau": 0.2, "nodes": 220, "intents": []}
        for n in range(60)
    ]
    event = {
        "timestamp": start + 59_500,
        "type": "lion_gate",
        "data": {"portal": True},
        "metrics": {"H": 0.4},
    }
    path.write_text(json.dumps([*flat, event], indent=2))


@pytest.mark.parametrize(
    ("name", "node", "room"),
    [
        ("chrono-lab-1700000000123.json", "lab", None),
        ("chrono-lab-pc-2-1700000000123.json", "lab-pc-2", None),
        ("chrono-telemetry-lion-0808-1700000000123.json", None, "lion-0808"),
        ("chrono-telemetry-room1-1700000000123 (1).json", None, "room1"),
        ("chrono-lab.json", None, None),
        ("telemetry-1700000000123.json", None, None),
    ],
)
def test_the_name_of_an_export_gives_node_or_room(
    tmp_path: Path, name: str, node: str | None, room: str | None
) -> None:
    """The runner's export is named by its node, the page's by its room; other names give neither."""
    (page_log if room else runner_log)(tmp_path / name)
    frame = load(tmp_path / name)
    assert frame["node"].dropna().unique().tolist() == ([node] if node else [])
    assert frame["room"].dropna().unique().tolist() == ([room] if room else [])


@pytest.mark.parametrize(
    "names",
    [
        ("chrono-a-1700000000001.json", "chrono-b-1700000000001.json"),
        ("one.json", "two.json"),
        ("monday/log.json", "tuesday/log.json"),
        ("log.json", "log.jsonl"),
    ],
)
def test_two_runners_logs_are_two_nodes(tmp_path: Path, names: tuple[str, str]) -> None:
    """Whether or not their names tell nodes, records of two files are not taken for one node's: there are two
    columns, one pair, and no gap where the one ended before the other began."""
    runner_log(tmp_path / names[0])
    runner_log(tmp_path / names[1], start=START + 40_250)
    frame = load(tmp_path)
    assert frame["run"].nunique() == 2
    assert len(side_by_side(frame, "H").columns) == 2
    assert pair_matrix(frame, column="H").shape == (2, 2)
    assert gaps(frame).empty
    done = CliRunner().invoke(main, [str(tmp_path), "--surrogates", "19", "--ksg", "0"])
    assert done.exit_code == 0, done.output
    assert "2 runs of 2 nodes" in done.stdout


def test_two_pages_of_one_room_are_two_nodes(tmp_path: Path) -> None:
    """The exports of two pages name their room, not a node: each stays its own."""
    page_log(tmp_path / "chrono-telemetry-room1-1700000000123.json")
    page_log(tmp_path / "chrono-telemetry-room1-1700000009999.json", start=START + 4_321)
    table = side_by_side(load(tmp_path), "H", room="room1")
    assert [name.rpartition("-")[2] for name in table] == ["1700000000123", "1700000009999"]
