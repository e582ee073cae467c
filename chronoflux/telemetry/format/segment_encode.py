"""Conversion between lines of a log and Arrow columns, the content of a closed segment.

A line is split into columns when they represent each of its values exactly. Any other line (an unknown field,
additional decimals, damage) is stored unchanged in the column ``line`` and parsed when it is read, as from
the log. A segment therefore holds exactly what its lines held.

To make segments small, metrics are stored as decimals, as they were rounded; decimals and integers are
delta-encoded, and floats are split by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chronoflux.telemetry.format.layout import INPUTS, LOG
from chronoflux.telemetry.format.records import (
    DECIMALS,
    METRICS,
    REFUSALS,
    Input,
    Metrics,
    Peering,
    Record,
    seq_of,
)

LINE = "line"
"""Column of lines that are stored unchanged."""
EXACT = 2**53
"""Integers below this are exact as float64."""
COUNTS = ("nodes", "intents", "peers")
MEASURES = tuple(name for name in METRICS if name not in (*COUNTS, "portal"))
_TEXTS = ("data", "id", "origin", "room", "node", "run")
_PAIR_FLOATS = ("R", "dpsi", "rtt_ms", "offset_ms", "uncertainty_ms")
_NO_METRICS = Metrics()

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """One of the two logs of a run: how its lines are packed and how its columns are encoded.

    ``dictionaries``: columns with few distinct values; ``coded``: those of them that are read as codes.
    """

    log: str
    schema: pa.Schema
    pack: Callable[[Sequence[bytes]], pa.RecordBatch]
    unpack: Callable[[pa.RecordBatch], Iterator[Record | Input | bytes]]
    encodings: dict[str, str]
    dictionaries: list[str]
    coded: list[str]

    @property
    def stem(self) -> str:
        """The prefix of its file names."""
        return self.log.removesuffix(".jsonl")


class _ExactPeering(Peering, forbid_unknown_fields=True, gc=False):
    """A peering with only the standard fields."""


class _ExactRecord(Record, forbid_unknown_fields=True, gc=False):
    """A record whose peerings have only the standard fields, too."""

    peerings: list[_ExactPeering] | None = None  # type: ignore[assignment]


class _ExactInput(Input, forbid_unknown_fields=True, gc=False):
    """An input with only the standard fields."""


_parse_record = msgspec.json.Decoder(_ExactRecord).decode
_parse_input = msgspec.json.Decoder(_ExactInput).decode


def decimals(values: Floats, places: int) -> pa.Array:
    """Convert floats to decimals.

    Parameters
    ----------
    values
        float64 (n,); NaN becomes null. All must fit: see :func:`fits`.
    places
        Number of decimals.

    Returns
    -------
    pyarrow.Array
        decimal128(18, places), (n,).
    """
    missing = np.isnan(values)
    raw = np.zeros((len(values), 2), np.int64)  # 128 bits, lower half first
    raw[:, 0] = np.rint(np.where(missing, 0.0, values) * 10.0**places)
    raw[:, 1] = raw[:, 0] >> 63
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    return pa.Array.from_buffers(pa.decimal128(18, places), len(values), [valid, pa.py_buffer(raw)])


def fits(values: Floats, places: int) -> NDArray[np.bool_]:
    """Return which floats are exact as decimals.

    Parameters
    ----------
    values
        float64 (n,). NaN stands for a missing value and is exact; -0.0 is not.
    places
        Number of decimals.

    Returns
    -------
    numpy.ndarray
        bool (n,): whether the value is the float64 nearest to a number with `places` decimals.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(values * 10.0**places)
        same = (scaled / 10.0**places == values) & (np.abs(scaled) < EXACT)
    found: NDArray[np.bool_] = np.isnan(values) | (same & ~((values == 0) & np.signbit(values)))
    return found


def floats(column: pa.Array, into: Floats | None = None) -> Floats:
    """Convert a column of decimals or floats to float64.

    Parameters
    ----------
    column
        Decimals or floats, (n,).
    into
        float64 (n,) to write to; a new array by default.

    Returns
    -------
    numpy.ndarray
        float64 (n,), NaN where the column is null: `into`, if given.
    """
    values = np.empty(len(column)) if into is None else into
    if pa.types.is_decimal(column.type) and len(column):
        raw = np.frombuffer(column.buffers()[1], np.int64)[::2][column.offset : column.offset + len(column)]
        np.divide(raw, 10.0**column.type.scale, out=values)
        if column.null_count:
            values[column.is_null().to_numpy(zero_copy_only=False)] = np.nan
    elif len(column):
        full = column.fill_null(np.nan) if column.null_count else column
        values[:] = full.to_numpy(zero_copy_only=False)
    return values


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array(values, dtype=np.float64)  # None becomes NaN


# -- telemetry -------------------------------------------------------------------------------------------

_MEASURE = pa.decimal128(18, DECIMALS)
_PAIR = pa.struct([("id", pa.string()), *((name, _MEASURE) for name in _PAIR_FLOATS), ("via", pa.string())])
_RECORD_SCHEMA = pa.schema(
    [
        ("timestamp", pa.timestamp("ms", "UTC")),
        ("type", pa.string()),
        *((name, pa.int64()) for name in ("seq", "tick", "mono")),
        *((name, pa.float64()) for name in ("t", "at")),
        *((name, _MEASURE) for name in MEASURES),
        *((name, pa.int64()) for name in COUNTS),
        ("portal", pa.bool_()),
        *((name, pa.string()) for name in _TEXTS),
        ("peerings", pa.list_(_PAIR)),
        (LINE, pa.binary()),
    ]
)


def pack_records(lines: Sequence[bytes]) -> pa.RecordBatch:
    """Pack lines of ``telemetry.jsonl``, without newlines, into a batch with a row for each."""
    found = [_record_of(line) for line in lines]
    records = [record if fit else None for record, fit in zip(found, _fitting(found), strict=True)]
    metrics = [(record and record.metrics) or _NO_METRICS for record in records]

    def of(name: str) -> list[Any]:
        return [None if record is None else getattr(record, name) for record in records]

    seqs = [
        _seq_of(line) if record is None else record.seq for line, record in zip(lines, records, strict=True)
    ]
    columns: dict[str, pa.Array] = {"seq": pa.array(seqs, pa.int64())}
    for name in ("timestamp", "type", "tick", "mono", "t", "at", "id", "origin", "room", "node", "run"):
        columns[name] = pa.array(of(name), _RECORD_SCHEMA.field(name).type)
    for name in MEASURES:
        columns[name] = decimals(_numbers([getattr(found, name) for found in metrics]), DECIMALS)
    for name in (*COUNTS, "portal"):
        columns[name] = pa.array([getattr(found, name) for found in metrics], _RECORD_SCHEMA.field(name).type)
    data = [None if value is None else msgspec.json.encode(value).decode() for value in of("data")]
    columns["data"] = pa.array(data, pa.string())
    columns["peerings"] = _pack_pairs(of("peerings"))
    kept = [line if record is None else None for line, record in zip(lines, records, strict=True)]
    columns[LINE] = pa.array(kept, pa.binary())
    return pa.record_batch([columns[name] for name in _RECORD_SCHEMA.names], schema=_RECORD_SCHEMA)


def _record_of(line: bytes) -> _ExactRecord | None:
    try:
        return _parse_record(line)
    except REFUSALS:
        return None


def _seq_of(line: bytes) -> int | None:
    """Return the seq of a line that is stored unchanged; None when it has none."""
    try:
        return seq_of(line)
    except REFUSALS:
        return None


def _fitting(records: Sequence[_ExactRecord | None]) -> NDArray[np.bool_]:
    """Return whether all measures of each record, including those of its peerings, are exact as decimals."""
    metrics = [(record and record.metrics) or _NO_METRICS for record in records]
    good = np.ones(len(records), np.bool_)
    for name in MEASURES:
        good &= fits(_numbers([getattr(found, name) for found in metrics]), DECIMALS)
    pairs = [(i, pair) for i, record in enumerate(records) if record for pair in record.peerings or ()]
    whose = np.array([i for i, _ in pairs], np.int64)
    for name in _PAIR_FLOATS:
        good[whose[~fits(_numbers([getattr(pair, name) for _, pair in pairs]), DECIMALS)]] = False
    return good


def _pack_pairs(found: Sequence[Sequence[Peering] | None]) -> pa.Array:
    pairs = [pair for some in found for pair in some or ()]
    parts = [pa.array([pair.id for pair in pairs], pa.string())]
    parts += [decimals(_numbers([getattr(pair, name) for pair in pairs]), DECIMALS) for name in _PAIR_FLOATS]
    parts.append(pa.array([pair.via for pair in pairs], pa.string()))
    ends = np.cumsum([0, *(len(some or ()) for some in found)])
    starts = pa.array(ends.astype(np.int32), mask=np.array([*(some is None for some in found), False]))
    return pa.ListArray.from_arrays(starts, pa.StructArray.from_arrays(parts, fields=list(_PAIR)))


def unpack_records(batch: pa.RecordBatch) -> Iterator[Record | bytes]:
    """Yield the records of a batch in order; unchanged lines are yielded as bytes."""
    values = {name: batch.column(name).to_pylist() for name in ("seq", "tick", "mono", "type", *_TEXTS, LINE)}
    values["timestamp"] = batch.column("timestamp").cast(pa.int64()).to_pylist()
    for name in ("t", "at", *MEASURES):
        column = floats(batch.column(name))
        values[name] = [None if value != value else value for value in column.tolist()]
    for name in (*COUNTS, "portal"):
        values[name] = batch.column(name).to_pylist()
    pairs = unpack_pairs(batch.column("peerings"))
    measured = zip(*(values[name] for name in METRICS), strict=True)
    for row, metrics in enumerate(measured):
        if (line := values[LINE][row]) is not None:
            yield line
            continue
        found = {name: values[name][row] for name in _FIELDS}
        if found["data"] is not None:
            found["data"] = msgspec.json.decode(found["data"])
        some = any(value is not None for value in metrics)
        yield Record(**found, metrics=Metrics(*metrics) if some else None, peerings=pairs.get(row))


_FIELDS = ("timestamp", "type", "t", "seq", "tick", "mono", "at", *_TEXTS)


def unpack_pairs(column: pa.Array) -> dict[int, msgspec.Raw]:
    """Return the peerings of each row that has any, as JSON, by row number."""
    inner = column.flatten()
    parts = [inner.field(0).to_pylist()]
    for i in range(1, 1 + len(_PAIR_FLOATS)):
        parts.append([None if value != value else value for value in floats(inner.field(i)).tolist()])
    parts.append(inner.field(1 + len(_PAIR_FLOATS)).to_pylist())
    pairs = [Peering(*values) for values in zip(*parts, strict=True)]
    found, at = {}, 0
    for row, count in enumerate(column.value_lengths().to_pylist()):
        if count is not None:
            found[row] = msgspec.Raw(msgspec.json.encode(pairs[at : at + count]))
            at += count
    return found


_FRESH = (
    "R",
    "dpsi",
    "offset_ms",
    "uncertainty_ms",
)  # these change with each record, rtt_ms rarely
TELEMETRY = Kind(
    log=LOG,
    schema=_RECORD_SCHEMA,
    pack=pack_records,
    unpack=unpack_records,
    encodings={
        **dict.fromkeys(("timestamp", "seq", "tick", "mono", *COUNTS, *MEASURES), "DELTA_BINARY_PACKED"),
        **dict.fromkeys(("t", "at"), "BYTE_STREAM_SPLIT"),
        **{f"peerings.list.element.{name}": "DELTA_BINARY_PACKED" for name in _FRESH},
    },
    dictionaries=[
        *("type", "origin", "room", "node", "run", "peerings.list.element.id", "peerings.list.element.via"),
        "peerings.list.element.rtt_ms",
    ],
    coded=["type", "origin", "room", "node", "run"],
)

# -- inputs ----------------------------------------------------------------------------------------------

PLACES = 3
"""Decimals of an input's time in ms: 1 µs."""
_INPUT_SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("tick", pa.int64()),
        ("peer", pa.string()),
        ("at", pa.decimal128(18, PLACES)),
        *((name, pa.float32()) for name in ("R", "psi", "omega")),
        (LINE, pa.binary()),
    ]
)


def pack_inputs(lines: Sequence[bytes]) -> pa.RecordBatch:
    """Pack lines of ``inputs.jsonl``, without newlines, into a batch with a row for each."""
    found = [_input_of(line) for line in lines]
    at = _numbers([None if given is None else given.at for given in found])
    given = [one if fit else None for one, fit in zip(found, fits(at, PLACES), strict=True)]
    columns: dict[str, pa.Array] = {}
    for name in ("tick", "peer", "R", "psi", "omega"):
        values = [None if one is None else getattr(one, name) for one in given]
        columns[name] = pa.array(values, _INPUT_SCHEMA.field(name).type)
    columns["at"] = decimals(np.where([one is None for one in given], np.nan, at), PLACES)
    seqs = [_seq_of(line) if one is None else one.seq for line, one in zip(lines, given, strict=True)]
    columns["seq"] = pa.array(seqs, pa.int64())
    kept = [line if one is None else None for line, one in zip(lines, given, strict=True)]
    columns[LINE] = pa.array(kept, pa.binary())
    return pa.record_batch([columns[name] for name in _INPUT_SCHEMA.names], schema=_INPUT_SCHEMA)


def _input_of(line: bytes) -> Input | None:
    try:
        return _parse_input(line)
    except REFUSALS:
        return None


def unpack_inputs(batch: pa.RecordBatch) -> Iterator[Input | bytes]:
    """Yield the inputs of a batch in order; unchanged lines are yielded as bytes."""
    at = [None if value != value else value for value in floats(batch.column("at")).tolist()]
    columns = (batch.column(name).to_pylist() for name in ("seq", "tick", "peer", "R", "psi", "omega", LINE))
    for when, (seq, tick, peer, R, psi, omega, line) in zip(at, zip(*columns, strict=True), strict=True):
        yield Input(seq, tick, peer, when, R, psi, omega) if line is None else line


FIELDS = Kind(
    log=INPUTS,
    schema=_INPUT_SCHEMA,
    pack=pack_inputs,
    unpack=unpack_inputs,
    encodings={
        **dict.fromkeys(("seq", "tick"), "DELTA_BINARY_PACKED"),
        **dict.fromkeys(("at", "R", "psi", "omega"), "BYTE_STREAM_SPLIT"),
    },
    dictionaries=["peer"],
    coded=["peer"],
)
