"""Segments read by columns, against the lines that they hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronoflux.errors import LogError
from chronoflux.telemetry import load
from chronoflux.telemetry.format import segments
from chronoflux.telemetry.format.records import to_json
from chronoflux.telemetry.format.segment_encode import TELEMETRY
from chronoflux.telemetry.read import prefetch

STEADY = {"nodes": (220, 221), "intents": (3, 0), "peers": (0, 5), "portal": (False, True)}
SPARSE = {"id": ("a" * 32, "b" * 32), "origin": ("n", "m"), "room": ("room2", "room3"), "node": ("n2", "n3")}


@st.composite
def lines(draw: st.DrawFn) -> list[bytes]:
    """Lines whose columns say one thing, or nothing, or change; some of them are no records."""
    size = draw(st.integers(1, 9))
    columns = {}
    for name, (one, other) in {**STEADY, **SPARSE}.items():
        choices = (
            st.sampled_from([one]),
            st.none(),
            st.sampled_from([one, other]),
            st.sampled_from([one, None]),
        )
        of = draw(st.sampled_from(choices))
        columns[name] = draw(st.lists(of, min_size=size, max_size=size))
    odd = draw(st.sets(st.integers(0, size - 1), max_size=2))
    found = []
    for row in range(size):
        there = {name: column[row] for name, column in columns.items() if column[row] is not None}
        record: dict[str, Any] = {"timestamp": 1_600_000_000_000 + row, "type": "telemetry", "seq": row}
        record |= {name: value for name, value in there.items() if name in SPARSE}
        record["metrics"] = {"H": row / 8} | {name: there[name] for name in there if name in STEADY}
        record |= {"further": 1} if row in odd else {}
        found.append(to_json(record))
    return found


@given(lines(), st.lists(st.integers(0, 9), max_size=4))
@settings(max_examples=12)
def test_a_run_of_segments(found: list[bytes], cuts: list[int]) -> None:
    """Segments, with lines that are no records or without, and lines behind them are read as one log."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefetch, "_TOGETHER", 2)
        folder, log = Path(name) / "run", Path(name) / "run" / "telemetry.jsonl"
        folder.mkdir()
        log.write_bytes(b"".join(line + b"\n" for line in found))
        read = load(folder)
        start = 0
        for end in sorted(min(cut, len(found)) for cut in cuts):
            segments.write_segment(folder, TELEMETRY, [found[start:end]] if end > start else [], start)
            start = max(start, end)
        log.write_bytes(b"".join(line + b"\n" for line in found[start:]))
        pd.testing.assert_frame_equal(read, load(folder))


@given(lines())
@settings(max_examples=12)
def test_columns_that_say_one_thing_or_nothing(found: list[bytes]) -> None:
    """Whatever its columns say, and from group to group, a segment gives the frame that its lines give."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setattr(segments, "_GROUP", 1)
        (folder / "telemetry.jsonl").write_bytes(b"".join(line + b"\n" for line in found))
        blocks = [found[start : start + 3] for start in range(0, len(found), 3)]
        segments.write_segment(folder, TELEMETRY, blocks, 0)
        read, packed = load(folder / "telemetry.jsonl"), load(folder / "telemetry-0001.parquet")
    pd.testing.assert_frame_equal(read, packed)


def test_a_column_of_another_length(tmp_path: Path) -> None:
    """A column that has not a value for each row of its segment is refused, not spread over them."""
    segments.write_segment(
        tmp_path, TELEMETRY, [[to_json({"timestamp": 1_600_000_000_000, "type": "telemetry", "seq": 0})]], 0
    )
    segment = segments.Segment.read(tmp_path / "telemetry-0001.parquet", TELEMETRY)
    assert len(segment.column("seq")) == 1
    other = replace(segment, facts=segments.Facts(1, "telemetry", 0, 2, 2))
    with pytest.raises(LogError, match="1 values of seq in 2 rows"):
        other.column("seq")
