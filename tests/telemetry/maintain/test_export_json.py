"""The export in the form of the first ChronoFlux's runner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from chronoflux.errors import LogError
from chronoflux.model.params import Params
from chronoflux.telemetry import RunLog, export_json, load, load_peerings


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A closed run with telemetry, events, peers and what else a log holds."""
    facts: dict[str, Any] = {"kind": "headless", "params": Params(), "seed": 1, "schedule": "none"}
    metrics = {"H": 0.5, "psi": float("nan"), "nodes": 220, "intents": 1, "peers": 1, "portal": False}
    with RunLog(tmp_path / "logs", room="räum 1", node="n1", **facts) as log:
        log.write(
            "telemetry", tick=0, t=0.0, metrics=metrics, peerings=[{"id": "p", "R": 0.25, "via": "link"}]
        )
        log.write("intent", tick=1, t=0.016, at=5.0, metrics=metrics, data={"x": 1.0}, id="e1", origin="n1")
        log.write(
            "remote_lion_gate", tick=2, t=0.032, metrics=metrics, data={"on": True}, id="e2", origin="p"
        )
        log.write("telemetry", tick=3, t=0.048, metrics=metrics | {"mine": 0.125}, colour=["red"])
        log.write("end", tick=3, t=0.048)
    return log.path


def test_the_export_is_the_runners_array(run: Path, tmp_path: Path) -> None:
    """The export is one JSON array of records with the core fields; a remote lion gate has its old name."""
    path = export_json(run, tmp_path / "x.json")
    records = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert path == tmp_path / "x.json"
    assert [record["type"] for record in records] == [
        "telemetry",
        "intent",
        "remote_portal",
        "telemetry",
        "end",
    ]
    first = records[0]
    assert isinstance(first["timestamp"], int)
    assert first["t"] == 0.0
    assert first["metrics"] == {
        "H": 0.5,
        "psi": None,
        "nodes": 220,
        "intents": 1,
        "peers": 1,
        "portal": False,
    }
    assert [record["seq"] for record in records] == [0, 1, 2, 3, 4]


def test_the_export_is_read_back_equal(run: Path, tmp_path: Path) -> None:
    """`load` and `load_peerings` give the same frames from an export as from the run itself."""
    path = export_json(run, tmp_path / "x.json")
    for read in (load, load_peerings):
        exported, own = read(path, strict=True), read(run, strict=True)
        assert len(own)
        pd.testing.assert_frame_equal(exported, own)


def test_an_export_can_be_exported_again(run: Path, tmp_path: Path) -> None:
    """An export of an export is the same file; so is one of the run's log file."""
    first = export_json(run, tmp_path / "x.json").read_bytes()
    again = export_json(tmp_path / "x.json", tmp_path / "y.json").read_bytes()
    assert again == first
    assert export_json(run / "telemetry.jsonl", tmp_path / "x.json").read_bytes() == first


def test_what_is_no_record_is_left_out_with_a_warning(run: Path, tmp_path: Path) -> None:
    """Torn and bad lines of the run do not reach the export; one warning says so."""
    with open(run / "telemetry.jsonl", "ab") as file:
        file.write(b'nonsense\n\n{"timestamp": 1')
    with pytest.warns(UserWarning, match="1 torn line, 1 bad line") as caught:
        path = export_json(run, tmp_path / "x.json")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert len(load(path, strict=True)) == 5


def test_an_export_that_fails_leaves_the_old_file(run: Path, tmp_path: Path) -> None:
    """Where nothing can be exported there is a LogError, no leftover, and an earlier export is untouched."""
    (tmp_path / "out").mkdir()
    path = export_json(run, tmp_path / "out" / "x.json")
    before = path.read_bytes()
    (run / "telemetry.jsonl").write_bytes(b"")
    for source, target in (
        (run, path),
        (tmp_path / "missing", path),
        (run, tmp_path / "nowhere" / "x.json"),
        (run, tmp_path / "out"),
        (run, path / "below"),
    ):
        with pytest.raises(LogError):
            export_json(source, target)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["x.json"]


def test_only_one_run_is_exported(run: Path, tmp_path: Path) -> None:
    """A folder of several runs is refused with their number."""
    (run.parent / "b").mkdir()
    (run.parent / "b" / "telemetry.jsonl").write_bytes((run / "telemetry.jsonl").read_bytes())
    with pytest.raises(LogError, match="holds 2 runs"):
        export_json(run.parent, tmp_path / "x.json")
