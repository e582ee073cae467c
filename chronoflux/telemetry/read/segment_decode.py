"""Decoding of a closed segment directly into the columns of a run, without intermediate records."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from chronoflux.telemetry.format.records import FLOATS, WHOLE, Record, data_of
from chronoflux.telemetry.format.segment_encode import LINE, floats, unpack_pairs
from chronoflux.telemetry.format.segments import Segment
from chronoflux.telemetry.read.columns import LOGIC, NUMBER, TEXTS, Masked, empty_columns
from chronoflux.telemetry.read.lines import Lines

_REST = ("data", "id", "origin")


class _Same(NamedTuple):
    """A column with the same value, or none (None), in all rows."""

    value: Any


_Read: TypeAlias = pa.Array | _Same


class Unpacked(NamedTuple):
    """The n decoded rows of a segment, and its lines that were stored unchanged.

    ``columns``: values by name; ``in_place``: whether they are already in the table; text columns are codes
    (−1: none) of ``texts``, and not yet written where there is no text; ``data``: the rows of n that have
    any, and their values; ``peerings``: by row of n.
    """

    columns: dict[str, Any]
    in_place: bool
    texts: dict[str, list[str]]
    data: tuple[NDArray[np.intp], list[dict[str, Any]]]
    peerings: dict[int, msgspec.Raw]
    kept: Lines


def unpack(segment: Segment, space: dict[str, Any] | None, *, peerings: bool) -> Unpacked:
    """Decode a whole segment, into the space reserved for its rows if there is one.

    Columns are read one by one, so that little is in memory beside the result. `peerings` are decoded only on
    request, since that takes time.
    """
    same = segment.uniform((*WHOLE, *LOGIC, *TEXTS, *_REST, LINE))
    numbers, kept, regular = np.arange(1, 1 + segment.facts.rows), Lines([], []), None
    if LINE not in same:
        lines = segment.column(LINE)
        regular = lines.is_null()
        there = np.asarray(regular.to_numpy(zero_copy_only=False))
        kept = Lines(lines.drop_null().to_pylist(), numbers[~there].tolist())
        numbers = numbers[there]

    def read(name: str) -> _Read:
        if name in same:
            return _Same(same[name])
        column = segment.column(name)
        return column if regular is None else column.filter(regular)

    columns = empty_columns(len(numbers)) if space is None else space
    columns[NUMBER][:] = numbers
    for name in (*WHOLE, *LOGIC):
        _put_masked(columns[name], read(name))
    for name in FLOATS:
        floats(read(name), columns[name])
    return Unpacked(
        columns=columns,
        in_place=space is not None,
        texts={name: _put_codes(columns[name], read(name)) for name in TEXTS},
        data=_data([read(name) for name in _REST], len(numbers)),
        peerings=unpack_pairs(read("peerings")) if peerings else {},
        kept=kept,
    )


def _missing(column: _Read) -> NDArray[np.bool_] | bool:
    """Return where values are missing, or one bool for all rows."""
    if isinstance(column, _Same) or not column.null_count:
        return isinstance(column, _Same) and column.value is None
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False))


def _put_masked(into: Masked, column: _Read) -> None:
    if isinstance(column, _Same):
        into.values[:] = 0 if column.value is None else column.value
    else:
        full = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        nothing = into.values.dtype.type().item()
        full = full.fill_null(nothing) if column.null_count else full
        into.values[:] = full.to_numpy(zero_copy_only=False)
    into.missing[:] = _missing(column)


def _put_codes(into: NDArray[np.int32], column: _Read) -> list[str]:
    """Write the codes. Return the texts that they stand for."""
    if isinstance(column, _Same):
        return []
    into[:] = column.indices.fill_null(-1) if column.null_count else column.indices
    texts: list[str] = column.dictionary.to_pylist()
    return texts


def _taken(column: _Read, rows: NDArray[np.intp]) -> list[Any]:
    if isinstance(column, _Same):
        return [column.value] * len(rows)
    found = column.take(pa.array(rows))
    if not pa.types.is_dictionary(found.type):
        values: list[Any] = found.to_pylist()
        return values
    texts = [*found.dictionary.to_pylist(), None]  # decoded once each, not once per occurrence
    return [texts[code] for code in found.indices.fill_null(-1).to_numpy().tolist()]


def _decoded(column: _Read, rows: NDArray[np.intp]) -> list[Any]:
    """Parse the JSON texts of some rows (None: none) as one joined array."""
    if isinstance(column, _Same):
        return [None] * len(rows)
    texts = column.take(pa.array(rows)).fill_null("null")
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), ",")[0]
    return msgspec.json.decode(b"".join((b"[", joined.as_buffer(), b"]")), type=list)


def _data(columns: list[_Read], rows: int) -> tuple[NDArray[np.intp], list[dict[str, Any]]]:
    """Return the rows that have content beside their columns, and this content."""
    nothing = np.ones(rows, np.bool_)
    for column in columns:
        nothing &= _missing(column)
    some = np.flatnonzero(~nothing)
    data, ids, origins = columns
    found, gone = [], []
    for position, (value, event, origin) in enumerate(
        zip(_decoded(data, some), _taken(ids, some), _taken(origins, some), strict=True)
    ):
        if type(value) is dict and event and origin and "id" not in value and "origin" not in value:
            value["id"], value["origin"] = event, origin  # like `data_of`, but faster: an event
            found.append(value)
        elif (rest := data_of(Record(0, "", data=value, id=event, origin=origin))) is not None:
            found.append(rest)
        else:
            gone.append(position)
    return np.delete(some, gone), found
