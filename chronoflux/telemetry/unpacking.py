"""A closed segment straight to the columns of a `Table`, without a record in between."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chronoflux.telemetry.packing import LINE, floats, unpack_pairs
from chronoflux.telemetry.records import FLOATS, WHOLE, Record, data_of
from chronoflux.telemetry.segments import Segment
from chronoflux.telemetry.sources import Lines

_CODED = ("type", "room", "node", "run")
_REST = ("data", "id", "origin")


class _Same(NamedTuple):
    """A column that says one thing, or nothing (None), in so many rows."""

    value: Any
    size: int


class Unpacked(NamedTuple):
    """The n rows of a segment that are taken apart, ``rows`` being their numbers (from 1), and the others.

    ``whole``: values int64 and where there are none; ``portal`` likewise, of truth values; ``floats``, NaN
    where there are none; ``texts``: codes (−1: none) and the texts; ``data`` and ``peerings`` by position
    among the n; ``kept``: the lines that are kept as they are.
    """

    rows: NDArray[np.int64]
    whole: dict[str, tuple[NDArray[np.int64], NDArray[np.bool_]]]
    portal: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    floats: dict[str, NDArray[np.float64]]
    texts: dict[str, tuple[NDArray[np.int32], list[str]]]
    data: dict[int, dict[str, Any]]
    peerings: dict[int, msgspec.Raw]
    kept: Lines


def unpack(segment: Segment, *, peerings: bool) -> Unpacked:
    """All of a segment; `peerings` only where they are wanted, as they take time."""
    more = ("peerings",) if peerings else ()
    names = (*WHOLE, *FLOATS, "portal", *_CODED, *_REST, *more, LINE)
    same = segment.uniform(names)
    table = segment.table([name for name in names if name not in same])
    table = table.unify_dictionaries().combine_chunks()
    rows, kept = np.arange(1, 1 + len(table)), Lines([], [])
    if LINE not in same:
        regular = _missing(_only(table[LINE]))
        kept = Lines(table[LINE].drop_null().to_pylist(), rows[~regular].tolist())
        table, rows = table.filter(pa.array(regular)).combine_chunks(), rows[regular]
    columns: dict[str, pa.Array | _Same] = {name: _only(table[name]) for name in table.column_names}
    columns["timestamp"] = _only(table["timestamp"]).cast(pa.int64())
    columns |= {name: _Same(value, len(table)) for name, value in same.items()}
    return Unpacked(
        rows=rows,
        whole={name: _masked(columns[name], 0) for name in WHOLE},
        portal=_masked(columns["portal"], False),
        floats={name: floats(columns[name]) for name in FLOATS},
        texts={name: _coded(columns[name]) for name in _CODED},
        data=_data(columns),
        peerings=unpack_pairs(columns["peerings"]) if peerings else {},
        kept=kept,
    )


def _only(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _missing(column: pa.Array | _Same) -> NDArray[np.bool_]:
    if isinstance(column, _Same):
        return np.full(column.size, column.value is None)
    if not column.null_count:
        return np.zeros(len(column), np.bool_)
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False))


def _masked(column: pa.Array | _Same, nothing: int) -> tuple[Any, NDArray[np.bool_]]:
    """Values of the type of `nothing`, which stands where there are none, and where that is."""
    if isinstance(column, _Same):
        value = nothing if column.value is None else column.value
        return np.full(column.size, value, type(nothing)), _missing(column)
    full = column.fill_null(nothing) if column.null_count else column
    return full.to_numpy(zero_copy_only=False), _missing(column)


def _coded(column: pa.DictionaryArray | _Same) -> tuple[NDArray[np.int32], list[str]]:
    if isinstance(column, _Same):
        return np.full(column.size, -1, np.int32), []
    codes = column.indices.fill_null(-1) if column.null_count else column.indices
    return codes.to_numpy(zero_copy_only=False).astype(np.int32, copy=False), column.dictionary.to_pylist()


def _taken(column: pa.Array | _Same, rows: NDArray[np.intp]) -> list[Any]:
    if isinstance(column, _Same):
        return [column.value] * len(rows)
    found: list[Any] = column.take(pa.array(rows)).to_pylist()
    return found


def _data(columns: dict[str, pa.Array | _Same]) -> dict[int, dict[str, Any]]:
    """What remains of records beside their columns, where there is any."""
    some = np.flatnonzero(~np.all([_missing(columns[name]) for name in _REST], axis=0))
    data, ids, origins = (_taken(columns[name], some) for name in _REST)
    decoded = msgspec.json.decode("[" + ",".join("null" if text is None else text for text in data) + "]")
    found = {}
    for row, value, event, origin in zip(some.tolist(), decoded, ids, origins, strict=True):
        if type(value) is dict and event and origin and "id" not in value and "origin" not in value:
            value["id"], value["origin"] = event, origin  # as `data_of` does, and quicker: an event
            found[row] = value
        elif (rest := data_of(Record(0, "", data=value, id=event, origin=origin))) is not None:
            found[row] = rest
    return found
