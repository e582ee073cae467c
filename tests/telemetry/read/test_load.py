"""Reading logs: whole, damaged, old and new."""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chronoflux.errors import LogError
from chronoflux.model.params import Params
from chronoflux.telemetry import RunLog, load, load_peerings

DTYPES = {
    "time": "datetime64[us, UTC]",
    **dict.fromkeys(("node", "room", "run", "type"), "str"),
    **dict.fromkeys(("seq", "tick", "mono", "nodes", "intents", "peers"), "Int64"),
    **dict.fromkeys(("t", "at", "H", "psi", "omega", "tau", "H_local", "H_mesh"), "float64"),
    "portal": "boolean",
    "data": "object",
}

RUNNER = [
    {
        "timestamp": 1623456789000,
        "t": 45.2,
        "type": "telemetry",
        "metrics": {"H": 0.823, "tau": 0.045, "nodes": 220, "intents": 3, "peers": 2},
    },
    {
        "timestamp": 1623456789500,
        "t": 45.7,
        "type": "remote_portal",
        "data": {"from": "abc"},
        "metrics": {"H": 0.8, "tau": 0.04, "nodes": 220, "intents": 3, "peers": 2},
    },
    {
        "timestamp": 1623456790000,
        "t": 46,
        "type": "intent",
        "data": {"x": 400, "y": 300.5, "E": 0.35, "sigma": 80},
        "metrics": {"H": 1, "tau": 0, "nodes": 220, "intents": 4, "peers": 2},
    },
]
PAGE = [
    {
        "timestamp": 1623456789000,
        "t": 1.5,
        "H": 0.5,
        "tau": 0.1,
        "nodes": 200,
        "intents": [{"x": 1, "y": 2, "E": 0.3}],
    },
    {"timestamp": 1623456789100, "type": "lion_gate", "data": {}, "metrics": {"H": 0.6, "tau": 0.2}},
    {"timestamp": 1623456789200, "t": 1.7, "H": 0.7, "tau": 0.3, "nodes": 200, "intents": []},
]


@contextmanager
def silent() -> Iterator[None]:
    """No warning may come; pytest makes every one an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def quietly(source: Any, **options: Any) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return load(source, **options)


def line(seq: int, **more: Any) -> dict[str, Any]:
    """A record as ours are."""
    return {
        "timestamp": 1_800_000_000_000 + 16 * seq,
        "t": 0.016 * seq,
        "type": "telemetry",
        "metrics": {"H": 0.5, "psi": None, "nodes": 30, "portal": False},
        "tick": seq,
        "at": None,
        "seq": seq,
        "mono": 16_000_000 * seq,
        **more,
    }


def jsonl(*records: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def make_run(folder: Path, *records: dict[str, Any], **facts: Any) -> Path:
    folder.mkdir(parents=True)
    known = {"schema": 1, "run": folder.name, "room": "room1", "node": folder.name, "status": "running"}
    (folder / "run.json").write_text(json.dumps(known | facts))
    (folder / "telemetry.jsonl").write_bytes(jsonl(*records))
    return folder


def faults(frame: pd.DataFrame) -> dict[str, int]:
    """What the report counts as wrong, without zeros."""
    report: dict[str, Any] = frame.attrs["report"]
    usual = ("runs", "files", "records", "examples", "superseded")
    return {name: count for name, count in report.items() if count and name not in usual}


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


NUMBERS = st.none() | st.floats(-1e6, 1e6) | st.just(math.nan)
COUNTS = st.none() | st.integers(0, 2**40)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
METRICS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("H", "psi", "omega", "tau", "H_local", "H_mesh", "my_metric"), NUMBERS),
        **dict.fromkeys(("nodes", "intents", "peers"), COUNTS),
        "portal": st.none() | st.booleans(),
    },
)
WRITTEN = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["telemetry", "intent", "remote_lion_gate", "note", "params"]),
        "tick": COUNTS,
        "t": NUMBERS,
        "at": NUMBERS,
        "metrics": st.none() | METRICS,
    },
    optional={
        "data": st.dictionaries(st.text(min_size=1), JSON, max_size=3),
        "colour": JSON.filter(lambda value: value is not None),
    },
)


def same(value: Any, expected: float | None) -> bool:
    if expected is None or math.isnan(expected):
        return bool(pd.isna(value))
    return bool(value == round(expected, 6) if isinstance(expected, float) else value == expected)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(WRITTEN, min_size=1, max_size=12))
def test_what_was_written_is_read_back_equal(written: list[dict[str, Any]]) -> None:
    """Every field of every record comes back from a log, with explicit dtypes, and nothing to warn of."""
    with tempfile.TemporaryDirectory() as log_dir:
        facts: dict[str, Any] = {"kind": "headless", "seed": 1, "schedule": "none"}
        with RunLog(log_dir, room="räum", node="n 1", params=Params(), **facts) as log:
            for record in written:
                log.write(**record)
        with silent():
            frame = load(log.path, strict=True)
    further = any("my_metric" in (record["metrics"] or {}) for record in written)
    assert dtypes(frame) == DTYPES | ({"my_metric": "float64"} if further else {})
    assert set(frame.room) == {"räum"}
    assert set(frame.node) == {"n 1"}
    assert set(frame.run) == {log.path.name}
    assert frame.seq.tolist() == list(range(len(written)))
    for row, record in zip(frame.itertuples(), written, strict=True):
        assert row.type == record["type"]
        assert same(row.tick, record["tick"])
        for name in ("t", "at"):  # these are not rounded
            value = record[name]
            assert (
                pd.isna(getattr(row, name))
                if value is None or value != value
                else getattr(row, name) == value
            )
        for name in frame.columns[10:-1]:
            assert same(getattr(row, name), (record["metrics"] or {}).get(name))
        data = record.get("data") or {}
        if "colour" in data and "colour" in record:
            data = {"data": data}
        assert (row.data or {}) == data | {name: record[name] for name in ("colour",) if name in record}


def test_the_runners_export_is_read(tmp_path: Path) -> None:
    """The first runner's JSON array is read with its values, in one line or indented, or gzipped."""
    for number, indent in enumerate((None, 2)):
        text = json.dumps(RUNNER, indent=indent)
        (tmp_path / f"log{number}.json").write_text(text)
        with gzip.open(tmp_path / f"log{number}.json.gz", "wt") as file:
            file.write(text)
    for path in tmp_path.iterdir():
        with silent():
            frame = load(path)
        assert dtypes(frame) == DTYPES
        assert frame.type.tolist() == ["telemetry", "remote_lion_gate", "intent"]
        assert frame.time[0] == pd.Timestamp(1623456789000, unit="ms", tz="UTC")
        assert frame.t.tolist() == [45.2, 45.7, 46.0]
        assert frame.H.tolist() == [0.823, 0.8, 1.0]
        assert frame.intents.tolist() == [3, 3, 4]
        assert frame.peers.tolist() == [2, 2, 2]
        assert frame.data.tolist() == [None, {"from": "abc"}, RUNNER[2]["data"]]
        assert frame[["node", "room", "seq", "tick", "mono", "portal"]].isna().all(axis=None)
        assert set(frame.run) == {path.name.split(".")[0]}


def test_the_pages_export_is_read(tmp_path: Path) -> None:
    """The page's flat entries become telemetry, with the intents' number and data; events have no t."""
    path = tmp_path / "chronoflux.json"
    path.write_text(json.dumps(PAGE))
    with silent():
        frame = load(path)
    assert dtypes(frame) == DTYPES
    assert frame.type.tolist() == ["telemetry", "lion_gate", "telemetry"]
    assert frame.H.tolist() == [0.5, 0.6, 0.7]
    assert frame.t.isna().tolist() == [False, True, False]
    assert frame.intents.tolist() == [1, pd.NA, 0]
    assert frame.data[0] == {"intents": [{"x": 1, "y": 2, "E": 0.3}]}
    assert frame.nodes[0] == 200


def test_frames_of_all_sources_concatenate(tmp_path: Path) -> None:
    """Ours, the runner's and the page's logs have equal dtypes, also put together or read together."""
    (tmp_path / "runner.json").write_text(json.dumps(RUNNER))
    (tmp_path / "page.json").write_text(json.dumps(PAGE))
    make_run(tmp_path / "ours", line(0), line(1, data={"x": 1}))
    frames = [load(tmp_path / name) for name in ("ours", "page.json", "runner.json")]
    joined = pd.concat(frames, ignore_index=True)
    together = load(tmp_path)
    assert dtypes(joined) == dtypes(together) == DTYPES
    together.attrs = joined.attrs
    pd.testing.assert_frame_equal(together, joined)


def test_further_metrics_and_fields_are_kept(tmp_path: Path) -> None:
    """An unknown metric gets a float column, unknown fields stay in data, and no column is overwritten."""
    odd = {"H": 0.1, "lyapunov": 2, "spiral": None, "time": 5, "shape": "ring", "big": True}
    path = tmp_path / "x.jsonl"
    path.write_bytes(
        jsonl(
            line(0),
            line(1, metrics=odd, colour="red", data=5),
            line(2, id="e1", origin="p", data={"x": 1, "id": 7}),
        )
    )
    with silent():
        frame = load(path)
    assert dtypes(frame) == DTYPES | dict.fromkeys(("lyapunov", "spiral", "big"), "float64")
    assert frame.lyapunov.tolist()[1] == 2
    assert frame.lyapunov.isna().tolist() == [True, False, True]
    assert frame.data[1] == {"colour": "red", "data": 5, "metrics": {"time": 5, "shape": "ring"}}
    assert frame.data[2] == {"id": "e1", "origin": "p", "data": {"x": 1, "id": 7}}


@pytest.mark.parametrize("ending", [b"\n", b"", b"\r\n", b"\n\n \n"])
def test_line_ends_do_not_matter(tmp_path: Path, ending: bytes) -> None:
    """Blank lines, carriage returns, a byte order mark and a missing last newline lose nothing."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + ending.join(jsonl(line(i)).strip() for i in range(3)) + ending)
    if ending == b"":
        path.write_bytes(jsonl(line(0), line(1), line(2))[:-1])
    with silent():
        assert load(path, strict=True).seq.tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["jsonl", "array", "indented"])
def test_a_torn_log_loses_at_most_its_last_record_and_says_so(tmp_path: Path, kind: str) -> None:
    """Cut at any byte of its last records, a log gives all whole ones before, and is reported torn."""
    ms = 1_800_000_000_000
    records = [{"timestamp": ms + i, "type": "x", "seq": i, "data": {"text": 'a{"b":[é'}} for i in range(4)]
    if kind == "jsonl":
        whole = jsonl(*records)
    else:
        whole = json.dumps(records, indent=1 if kind == "indented" else None, ensure_ascii=False).encode()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("}") and _closes_record(whole, i, kind)]
    assert len(ends) == 4
    path = tmp_path / "x.log"
    for cut in range(ends[1], len(whole)):
        path.write_bytes(whole[:cut])
        complete = sum(end <= cut for end in ends)
        frame = quietly(path)
        assert frame.seq.tolist() == list(range(complete)), cut
        at_border = kind == "jsonl" and whole[:cut].endswith((b"}", b"}\n")) and cut - ends[complete - 1] <= 1
        assert faults(frame) == ({} if at_border else {"torn": 1}), cut


def _closes_record(whole: bytes, at: int, kind: str) -> bool:
    if kind == "jsonl":
        return whole[at + 1 : at + 2] == b"\n"
    text = whole[: at + 1].decode()
    try:
        json.loads(text + "]")
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("cut", [0, 1, 5, 17, 200, 1000])
def test_a_torn_gzip_gives_what_is_there(tmp_path: Path, cut: int) -> None:
    """A gzip file that ends early gives the records up to there, and is reported as torn."""
    rng = random.Random(1)
    records = [line(i, metrics={"H": rng.random()}) for i in range(500)]
    path = tmp_path / "x.jsonl.gz"
    whole = gzip.compress(jsonl(*records))
    path.write_bytes(whole[: len(whole) - cut])
    frame = quietly(path)
    assert frame.seq.tolist() == list(range(len(frame)))
    assert len(frame) > 450 - cut / 4
    assert (frame.attrs["report"]["torn"] > 0) == (cut > 0)


def test_the_loss_of_whole_records_at_the_end_is_noted(tmp_path: Path) -> None:
    """When a closed run's log was cut exactly between two records, the manifest's count betrays it."""
    run = make_run(tmp_path / "a", line(0), line(1), records=5, status="ended")
    with pytest.warns(UserWarning, match="the end is missing"):
        frame = load(run)
    assert faults(frame) == {"gaps": 1, "missing": 3}


def test_bad_lines_are_counted_and_one_warning_is_given(tmp_path: Path) -> None:
    """What is no record is left out and counted, and one warning names the first by file and line."""
    bad = [
        b"nonsense\n",
        b"[]\n",
        b"1\n",
        b'{"timestamp": "now", "type": "x"}\n',
        b'{"type": "x"}\n',
        b"\xff\n",
    ]
    bad += [
        b'{"timestamp": 1, "type": "x", "seq": 1e40}\n',
        b'{"timestamp": 1e300, "type": "x"}\n',
        b"[" * 99999 + b"\n",
    ]
    bad += [
        b'{"timestamp": 1, "type": "x", "t": NaN}\n',
        b'{"timestamp": 1, "type": "x", "metrics": {"H": "y"}}\n',
    ]
    path = tmp_path / "x.jsonl"
    path.write_bytes(jsonl(line(0)) + b"".join(bad) + jsonl(line(1)))
    with pytest.warns(UserWarning, match=r"x.jsonl:2: .*see frame") as caught:
        frame = load(path)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert frame.seq.tolist() == [0, 1]
    assert faults(frame) == {"bad": len(bad)}
    assert len(frame.attrs["report"]["examples"]) == len(bad)


STRICT: dict[str, tuple[bytes, int]] = {
    "bad": (jsonl(line(0)) + b"nonsense\n" + jsonl(line(1)), 2),
    "torn": (jsonl(line(0), line(1)) + b'{"time', 3),
    "gap": (jsonl(line(0), line(1), line(4)), 3),
    "repeat": (jsonl(line(0), line(1), line(1), line(2)), 3),
    "clock set back": (jsonl(line(0), line(1, timestamp=1_799_999_000_000)), 2),
    "clock set on": (jsonl(line(0), line(1), line(2, timestamp=1_800_000_005_000)), 3),
    "dropped": (jsonl(line(0), line(1, type="gap", data={"dropped": 3})), 2),
    "array": (b"[\n" + jsonl(line(0)) + b",\n\n" + b'{"type": 5}\n]', 5),
}


@pytest.mark.parametrize("name", STRICT)
def test_strict_reading_names_file_and_line(tmp_path: Path, name: str) -> None:
    """With `strict` the first fault is a LogError that names the file and the line it was found in."""
    content, number = STRICT[name]
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(LogError) as caught:
        load(path, strict=True)
    assert (caught.value.path, caught.value.line) == (path, number)
    with pytest.warns(UserWarning, match=f"x.jsonl:{number}"):
        load(path)


def test_gaps_and_repeats_are_counted(tmp_path: Path) -> None:
    """Gaps, records missing in them, and repeats are counted; a run that lacks its start has a gap there."""
    run = make_run(tmp_path / "a", *[line(i) for i in (2, 3, 3, 5, 9, 10, 10, 10)])
    assert faults(quietly(run)) == {"gaps": 3, "missing": 2 + 1 + 3, "repeats": 3}
    (tmp_path / "part.jsonl").write_bytes(jsonl(line(2), line(3)))
    with silent():
        load(tmp_path / "part.jsonl")


def test_slow_records_are_no_clock_step(tmp_path: Path) -> None:
    """A long pause, in which the monotonic clock went on too, is no step; nor is a resume on another boot."""
    later = line(1, timestamp=1_800_000_900_000, mono=900_000_000_000)
    resumed = line(2, type="resume", timestamp=1_800_001_000_000, mono=1_000_000_000_000_000)
    run = make_run(tmp_path / "a", line(0), later, resumed)
    with silent():
        load(run)


def test_resumed_ticks_are_superseded(tmp_path: Path) -> None:
    """Records of later ticks directly before a `resume` are left out and counted, without a warning."""
    ticks = [
        ("a", 0),
        ("b", 10),
        ("c", 20),
        (None, None),
        ("resume", 10),
        ("d", 11),
        ("e", 20),
        ("resume", 30),
        ("f", 5),
    ]
    records = [line(i, type=kind or "note", tick=tick) for i, (kind, tick) in enumerate(ticks)]
    run = make_run(tmp_path / "a", *records)
    with silent():
        frame = load(run)
    assert frame.type.tolist() == ["a", "b", "resume", "d", "e", "resume", "f"]
    assert frame.attrs["report"]["superseded"] == 2


def test_an_unknown_schema_is_noted_and_read(tmp_path: Path) -> None:
    """A run of a newer schema is read as far as it can be, and noted; strictly it is refused."""
    run = make_run(tmp_path / "a", line(0), schema=99)
    with pytest.warns(UserWarning, match="99"):
        assert faults(load(run)) == {"unknown_schema": 1}
    with pytest.raises(LogError, match="99"):
        load(run, strict=True)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_bad_manifest_does_not_hide_the_log(tmp_path: Path, content: bytes) -> None:
    """Without a readable run.json the records are there, with room and node missing."""
    run = make_run(tmp_path / "a", line(0))
    (run / "run.json").write_bytes(content)
    frame = quietly(run)
    assert faults(frame) == {"manifests": 1}
    assert frame.run.tolist() == ["a"]
    assert frame[["room", "node"]].isna().all(axis=None)


def test_sources_of_every_kind(tmp_path: Path) -> None:
    """Runs, folders of runs, files, globs, lists and relative paths are sources; nothing is read twice."""
    for name in "abc":
        make_run(tmp_path / "logs" / name, line(0), line(1))
    logs = tmp_path / "logs"
    (logs / "deep").mkdir()
    make_run(logs / "deep" / "d", line(0))
    (logs / "README.md").write_text("not a log")
    (logs / "a" / "inputs.jsonl").write_text("{}\n")
    assert set(load(logs / "a").run) == {"a"}
    assert load(logs).run.unique().tolist() == ["a", "b", "c", "d"]
    assert load(str(logs / "[ab]")).run.unique().tolist() == ["a", "b"]
    assert load(str(logs / "*" / "telemetry.jsonl")).node.unique().tolist() == ["a", "b", "c"]
    frame = load([logs / "b", str(logs / "a"), logs / "a" / "telemetry.jsonl", str(logs / "*")])
    assert frame.run.tolist() == ["b", "b", "a", "a", "c", "c", "d"]
    assert frame.attrs["report"]["runs"] == 4
    with gzip.open(logs / "c" / "telemetry.jsonl.gz", "wb") as file:
        file.write((logs / "c" / "telemetry.jsonl").read_bytes())
    (logs / "c" / "telemetry.jsonl").unlink()
    assert set(load(logs / "c").run) == {"c"}
    before = Path.cwd()
    try:
        os.chdir(logs / "a")
        assert set(load(".").run) == {"a"}
        assert set(load("telemetry.jsonl").room) == {"room1"}
    finally:
        os.chdir(before)


def test_a_missing_or_empty_source_says_what_was_looked_for(tmp_path: Path) -> None:
    """No file, no match, no log in a folder, no record in a log: each is a LogError that says so."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing.jsonl").write_text("\n")
    (tmp_path / "junk.bin").write_bytes(bytes(range(256)))
    make_run(tmp_path / "fresh")
    for source in ("missing", "x*y", "empty", "nothing.jsonl", "junk.bin", "fresh", "\0", "x" * 5000):
        with pytest.raises(LogError, match=r"looked for a run folder|not a usable path") as caught:
            load(str(tmp_path / source))
        assert source[:100].replace("\0", "\\x00") in str(caught.value)
    with pytest.raises(LogError, match="looked for"):
        load([])
    make_run(tmp_path / "good", line(0))
    with pytest.raises(LogError, match="missing"):
        load([tmp_path / "good", tmp_path / "missing"])
    assert len(load([tmp_path / "good", tmp_path / "fresh"])) == 1


def test_peerings_are_pairwise_rows(tmp_path: Path) -> None:
    """`load_peerings` has one row for each peer in each record, with nulls and missing fields allowed."""
    pair = {
        "id": "p1",
        "R": 0.9,
        "dpsi": -0.5,
        "rtt_ms": 1,
        "offset_ms": 0.25,
        "uncertainty_ms": 0.5,
        "via": "link",
    }
    records = [
        line(0, peerings=[pair, {"id": "p2", "R": None}]),
        line(1),
        line(2, at=5.5, peerings=[]),
        line(3, at=6.5, peerings=[{"id": "p2", "via": None, "new": 1}]),
    ]
    run = make_run(tmp_path / "a", *records)
    with silent():
        frame = load_peerings(run)
        assert len(load(run)) == 4
    assert " ".join(frame.columns) == "time at node run peer R dpsi rtt_ms offset_ms uncertainty_ms via"
    assert dtypes(frame) == {
        "time": "datetime64[us, UTC]",
        **dict.fromkeys(("node", "run", "peer", "via"), "str"),
        **dict.fromkeys(("at", "R", "dpsi", "rtt_ms", "offset_ms", "uncertainty_ms"), "float64"),
    }
    assert frame.peer.tolist() == ["p1", "p2", "p2"]
    assert frame.node.tolist() == ["a"] * 3
    assert frame.iloc[0].R == 0.9
    assert frame.iloc[0].via == "link"
    assert frame.iloc[1:][["R", "via", "rtt_ms"]].isna().all(axis=None)
    assert frame["at"].tolist()[2] == 6.5
    assert frame.time[2] == pd.Timestamp(records[3]["timestamp"], unit="ms", tz="UTC")


def test_without_peers_there_are_no_peerings(tmp_path: Path) -> None:
    """Logs without peers give an empty frame of the same dtypes; bad peerings are counted."""
    alone = load_peerings(make_run(tmp_path / "a", line(0)))
    assert len(alone) == 0
    run = make_run(
        tmp_path / "b", line(0, peerings=[{"id": 5}]), line(1, peerings=[{"id": "p"}]), line(2, peerings=3)
    )
    with pytest.warns(UserWarning, match="2 bad lines"):
        frame = load_peerings(run)
    assert frame.peer.tolist() == ["p"]
    assert dtypes(frame) == dtypes(alone)


def test_more_records_than_a_batch_and_a_block(tmp_path: Path) -> None:
    """Records come in their order and unchanged, whatever batches and blocks they are read in."""
    rng = np.random.default_rng(1)
    H = rng.random(12_000).round(6)
    data = [{"n": i} if i % 997 == 0 else None for i in range(12_000)]
    records = [
        line(i, metrics={"H": h, "extra": 1.0} if i % 1500 == 3 else {"H": h}) for i, h in enumerate(H)
    ]
    for record, value in zip(records, data, strict=True):
        if value:
            record["data"] = value
    frame = load(make_run(tmp_path / "a", *records), strict=True)
    assert (tmp_path / "a" / "telemetry.jsonl").stat().st_size > 1 << 20
    assert (frame.H == H).all()
    assert frame.data.tolist() == data
    assert np.flatnonzero(frame.extra.notna()).tolist() == list(range(3, 12_000, 1500))


def damaged(content: bytes, draw: random.Random) -> bytes:
    """`content` with some bytes changed, cut out, put in, or repeated."""
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(content) + 1)
        length = draw.choice((1, 1, 1, 2, 10, 200))
        middle = draw.choice(
            (draw.randbytes(length), b"", content[at : at + length] * 2, b'"', b"[", b"{", b"\n", b"\0")
        )
        content = content[:at] + middle + content[at + draw.choice((0, length)) :]
    return content


FORMS = {
    "jsonl": jsonl(*[line(i, data={"é": [1, "x"]}, peerings=[{"id": "p"}]) for i in range(6)], *RUNNER),
    "array": json.dumps([line(0), *RUNNER, *PAGE]).encode(),
    "indented": json.dumps([line(0), *RUNNER, *PAGE], indent=2).encode(),
    "gzip": gzip.compress(jsonl(*[line(i) for i in range(30)])),
}


@settings(max_examples=150, deadline=None)
@given(form=st.sampled_from(sorted(FORMS)), seed=st.integers(0, 2**32))
@example(form="array", seed=0)
def test_damage_never_raises_anything_but_a_log_error(form: str, seed: int) -> None:
    """However bytes are changed, lost or added, reading gives a frame of the usual dtypes or a LogError."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        run = make_run(Path(name, "a"), line(0))
        (run / "telemetry.jsonl").write_bytes(damaged(FORMS[form], draw))
        if draw.random() < 0.3:
            (run / "run.json").write_bytes(damaged((run / "run.json").read_bytes(), draw))
        for read in (load, load_peerings):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                try:
                    frame = read(run)
                except LogError:
                    continue
            assert read is load_peerings or DTYPES.items() <= dtypes(frame).items()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), form=st.sampled_from(["jsonl", "array", "indented"]))
def test_one_bad_byte_costs_at_most_the_record_it_is_in(seed: int, form: str) -> None:
    """One byte overwritten by a NUL in a log of n records leaves at least n − 1 of them."""
    draw = random.Random(seed)
    content = bytearray(FORMS[form])
    content[draw.randrange(1, len(content) - 1)] = 0
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "x.json")
        path.write_bytes(content)
        whole = 9 if form == "jsonl" else 7
        frame = quietly(path)
    joined = 2 if form == "jsonl" else 1  # a lost newline joins two lines into a bad one
    assert len(frame) >= whole - joined
    assert len(frame) == whole or faults(frame)


def test_reading_is_imported_lightly() -> None:
    """Importing the package loads no pandas; the first read does."""
    check = "import sys, chronoflux.telemetry; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
