"""Logs in other forms than they were written in: Zstandard, single segments, and frames as Parquet."""

from __future__ import annotations

import json
import os
import random
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronoflux.errors import LogError
from chronoflux.model.params import Params
from chronoflux.telemetry import RunLog, load, load_peerings
from chronoflux.telemetry.format.segments import KINDS
from chronoflux.telemetry.read.parquet_export import write_export
from chronoflux.telemetry.write.rotation import publish
from tests.telemetry.read.test_load import (
    PAGE,
    RUNNER,
    WRITTEN,
    damaged,
    dtypes,
    faults,
    jsonl,
    line,
    make_run,
    quietly,
    silent,
)


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, "zstd", asbytes=True))


def alike(found: pd.DataFrame, frame: pd.DataFrame) -> None:
    """The same columns, dtypes and values; the report counts other files."""
    assert dtypes(found) == dtypes(frame)
    pd.testing.assert_frame_equal(found, frame, check_exact=True)
    assert [*map(repr, found["data"])] == [*map(repr, frame["data"])]  # 1 and True are equal otherwise


@pytest.mark.parametrize("ending", [".jsonl", ".json"])
def test_zstandard_is_read_as_what_is_in_it(tmp_path: Path, ending: str) -> None:
    """JSON Lines and JSON arrays give the same frame with Zstandard as without, also in several frames."""
    records = [*(line(i) for i in range(9)), *RUNNER, *PAGE]
    content = jsonl(*records) if ending == ".jsonl" else json.dumps(records, indent=1).encode()
    for folder in ("plain", "packed", "pieces"):
        (tmp_path / folder).mkdir()
    (tmp_path / "plain" / f"x{ending}").write_bytes(content)
    (tmp_path / "packed" / f"x{ending}.zst").write_bytes(zstd(content))
    (tmp_path / "pieces" / f"x{ending}.zst").write_bytes(zstd(content[:99]) + zstd(content[99:]))
    frame = quietly(tmp_path / "plain")
    assert set(frame.run) == {"x"}
    for folder in ("packed", "pieces"):
        alike(quietly(tmp_path / folder), frame)
        alike(quietly(str(tmp_path / folder / "*.zst")), frame)


def test_a_run_may_be_packed_with_zstandard(tmp_path: Path) -> None:
    """A run folder whose log is ``telemetry.jsonl.zst`` is read with its peerings, room and node."""
    run = make_run(tmp_path / "a", *(line(i, peerings=[{"id": "p", "R": 0.5}]) for i in range(3)))
    frame, pairs = load(run), load_peerings(run)
    (run / "telemetry.jsonl.zst").write_bytes(zstd((run / "telemetry.jsonl").read_bytes()))
    (run / "telemetry.jsonl").unlink()
    for source in (run, tmp_path, run / "telemetry.jsonl.zst"):
        with silent():
            alike(load(source), frame)
            pd.testing.assert_frame_equal(load_peerings(source), pairs)


@pytest.mark.parametrize("cut", [0, 1, 5, 1000, 150_000])
def test_torn_zstandard_gives_what_is_there(tmp_path: Path, cut: int) -> None:
    """A file that ends early gives the records of all its whole blocks (128 KiB), and is reported as torn."""
    records = [line(i, data={"x": os.urandom(60).hex()}) for i in range(3000)]
    lines, whole = jsonl(*records), zstd(jsonl(*records))
    assert len(whole) > 200_000
    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(whole[: len(whole) - cut])
    frame = quietly(path)
    assert frame.seq.tolist() == list(range(len(frame)))
    share = (len(whole) - cut) / len(whole)
    assert len(frame) >= len(records) * (share if not cut else share - 2 * (128 << 10) / len(lines)) - 1
    assert (faults(frame).get("torn", 0) > 0) == (cut > 0)
    if cut:
        with pytest.raises(LogError, match=r"x\.jsonl\.zst"):
            load(path, strict=True)


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32), form=st.sampled_from(["lines", "array", "export"]))
def test_damage_never_raises_anything_but_a_log_error(seed: int, form: str) -> None:
    """However bytes are changed, lost or added, reading gives a frame or a LogError that names the file."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "x.parquet" if form == "export" else "x.jsonl.zst")
        lines = jsonl(*(line(i) for i in range(30)))
        if form == "export":
            Path(name, "y.jsonl").write_bytes(lines)
            write_export(load(Path(name, "y.jsonl")), path)
        else:
            path.write_bytes(zstd(lines if form == "lines" else json.dumps(RUNNER).encode()))
        path.write_bytes(damaged(path.read_bytes(), draw))
        told = path.name
        try:
            quietly(path)
        except LogError as error:
            told = str(error)
        assert path.name in told


@settings(max_examples=10)
@given(written=st.lists(WRITTEN, min_size=1, max_size=6))
def test_an_export_to_parquet_is_read_back_equal(written: list[dict[str, Any]]) -> None:
    """Whatever was written, `load` gives the same frame of the run and of its export to Parquet."""
    with tempfile.TemporaryDirectory() as name:
        facts: dict[str, Any] = {"room": "r", "node": "n", "kind": "headless", "schedule": "none"}
        with RunLog(name, params=Params(), seed=1, **facts) as log:
            for record in written:
                log.write(**record)
        frame = load(log.path)
        write_export(frame, Path(name, "x.parquet"))
        with silent():
            alike(load(Path(name, "x.parquet"), strict=True), frame)


def test_an_export_of_several_runs_is_read_back_equal(tmp_path: Path) -> None:
    """Runs that begin at the same seq, were resumed or have gaps: what their export holds is not judged."""
    tick = {"type": "note", "tick": 5}
    make_run(
        tmp_path / "logs" / "a", line(0), line(1, tick=9), line(2, type="resume", tick=0), line(3, **tick)
    )
    make_run(tmp_path / "logs" / "b", line(0), line(2, metrics={"H": 0.1, "mine": 2.5}), *RUNNER)
    make_run(tmp_path / "logs" / "c", line(0), line(1, type="resume", tick=1, data={"records": [0, 1]}))
    frame = quietly(tmp_path / "logs")
    path = tmp_path / "all.parquet"
    write_export(frame, path)
    with silent():
        alike(load(path), frame)
        alike(load(str(tmp_path / "*.parquet")), frame)
    with pytest.raises(LogError, match=r"all\.parquet: is an export, which holds no peerings"):
        load_peerings(path)


def test_a_segment_is_read_on_its_own(tmp_path: Path) -> None:
    """A closed segment is a source, in its run's folder and under any name elsewhere; inputs are no log."""
    facts: dict[str, Any] = {"room": "r", "node": "n", "kind": "headless", "schedule": "none"}
    with RunLog(tmp_path, params=Params(), seed=1, **facts) as log:
        for tick in range(5):
            log.write("telemetry", tick=tick, t=0.0, at=0.0, metrics={"H": 0.5})
            log.write_input(tick, peer="p", at=0.0, R=0.5, psi=0.0, omega=1.0)
    for kind in KINDS:
        assert publish(log.path, kind)
    frame = load(log.path)
    with silent():
        alike(load(log.path / "telemetry-0001.parquet"), frame)
    other = tmp_path / "mine.parquet"
    other.write_bytes((log.path / "telemetry-0001.parquet").read_bytes())
    found = load(other)
    assert set(found.run) == {"mine"}
    alike(found.drop(columns=["run", "room", "node"]), frame.drop(columns=["run", "room", "node"]))
    with pytest.raises(LogError, match=r"inputs-0001\.parquet: holds inputs of peers"):
        load(log.path / "inputs-0001.parquet")


def test_other_parquet_is_refused(tmp_path: Path) -> None:
    """A foreign table, columns of other types and a damaged export are refused by name, with what to do."""
    path = tmp_path / "x.parquet"
    pd.DataFrame({"H": [0.5]}).to_parquet(path)
    with pytest.raises(LogError, match=r"x\.parquet: is not a log: it has no column H_local, .*logs export"):
        load(path)
    make_run(tmp_path / "a", *(line(i) for i in range(50)))
    assert len(load(tmp_path)) == 50  # beside runs, tables that nobody named are let be
    frame = load(tmp_path / "a")
    write_export(frame, path)
    content = path.read_bytes()
    column = pq.ParquetFile(path).metadata.row_group(0).column(frame.columns.get_loc("mono"))
    at = column.dictionary_page_offset + column.total_compressed_size - 5  # in the last page
    for bad in (content[:-9], b"PAR1", b"", content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]):
        path.write_bytes(bad)
        with pytest.raises(
            LogError, match=r"x\.parquet: is damaged, or not a log in Parquet format .*; give a segment"
        ):
            load(path)
    frame.assign(time="now", data=None).to_parquet(path)
    with pytest.raises(LogError, match=r"x\.parquet: is damaged, or not a log in Parquet format"):
        load(path)
