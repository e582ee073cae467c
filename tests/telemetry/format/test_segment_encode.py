"""Lines of a log as columns and back, and where in a log a seq is."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chronoflux.telemetry.format.records import FIELDS, Metrics, parse, parse_input, parse_peerings, to_json
from chronoflux.telemetry.format.seek import offset_of
from chronoflux.telemetry.format.segment_encode import (
    pack_inputs,
    pack_records,
    unpack_inputs,
    unpack_records,
)

LINES = st.lists(
    st.integers(0, 40).map(lambda size: b'"' + b"x" * size + b'"') | st.just(b"junk") | st.just(None),
    max_size=30,
)


@given(LINES, st.integers(0, 40), st.booleans())
def test_where_a_seq_begins(kinds: list[bytes | None], seq: int, torn: bool) -> None:
    """`offset_of` is the end of the last line below a seq, whatever else lies between the lines."""
    content, end = b"", 0
    for number, kind in enumerate(kinds):
        numbered = kind is not None and kind != b"junk"
        content += (b'{"seq":%d,"data":%s}\n' % (number, kind)) if numbered else (kind or b"") + b"\n"
        if numbered and number < seq:
            end = len(content)
    content += b'{"seq":50' if torn else b""
    assert offset_of(io.BufferedReader(io.BytesIO(content)), seq) == end


METRIC = st.integers(-(10**7), 10**7).map(lambda number: number / 1e6)
VALUES = st.none() | st.floats(allow_nan=False, allow_infinity=False) | METRIC
TEXT = st.text(max_size=3)
PAIRS = st.fixed_dictionaries(
    {"id": TEXT}, optional={"R": VALUES, "dpsi": VALUES, "via": TEXT, "odd": st.none()}
)
METRICS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("H", "psi", "odd"), VALUES),
        "nodes": st.integers(0, 9),
        "portal": st.booleans(),
    },
)
DATA = st.recursive(
    VALUES | st.integers(0, 9) | TEXT,
    lambda some: st.lists(some, max_size=2) | st.dictionaries(TEXT, some, max_size=2),
)
RECORDS = st.fixed_dictionaries(
    {"timestamp": st.integers(0, 2**43), "type": TEXT},
    optional={
        **dict.fromkeys(("t", "at", "further"), VALUES),
        "seq": st.none() | st.integers(-(2**63), 2**63 - 1),
        "mono": st.integers(0, 2**62),
        "metrics": st.none() | METRICS,
        "data": DATA,
        "id": st.none() | TEXT,
        "room": TEXT,
        "peerings": st.lists(PAIRS, max_size=3),
    },
)


def lines_of(records: list[dict[str, Any]]) -> list[bytes]:
    lines = []
    for record in records:
        with contextlib.suppress(TypeError, ValueError):  # lone surrogates
            lines.append(to_json(record))
    return [*lines, b"junk", b""]


@given(st.lists(RECORDS, max_size=5))
def test_a_line_is_packed_whole(records: list[dict[str, Any]]) -> None:
    """A record comes back from its columns with every value to the last bit, or as the line it was."""
    lines = lines_of(records)
    for line, found in zip(lines, unpack_records(pack_records(lines)), strict=True):
        if isinstance(found, bytes):
            assert found == line
            continue
        before = parse(line)
        assert not before.metrics
        assert not before.rest
        for name in FIELDS:
            had, has = getattr(before.record, name), getattr(found, name)
            if name == "peerings" and had is not None:
                had, has = parse_peerings(had), parse_peerings(has)
            if name == "metrics" and had == Metrics():
                had = None
            assert repr(had) == repr(has), name  # −0.0 is not 0.0


INPUTS = st.fixed_dictionaries(
    {"seq": st.integers(0, 2**40), "tick": st.integers(0, 2**40), "peer": TEXT},
    optional={
        "at": st.none()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.integers(0, 2**50).map(lambda n: n / 1e3),
        **dict.fromkeys(("R", "psi", "omega"), st.floats(-(2.0**90), 2.0**90, width=32)),
        "odd": st.none(),
    },
)


@given(st.lists(INPUTS, max_size=8))
def test_an_input_is_packed_whole(inputs: list[dict[str, Any]]) -> None:
    """An input comes back with its time to the last bit and its field as float32, or as the line it was."""
    lines = lines_of(inputs)
    for line, found in zip(lines, unpack_inputs(pack_inputs(lines)), strict=True):
        if isinstance(found, bytes):
            assert found == line
        else:
            assert repr(found) == repr(parse_input(line))
