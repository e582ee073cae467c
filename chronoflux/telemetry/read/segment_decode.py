"""A closed segment straight to the columns of a run, without a record in between."""

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
    """A column that says one thing, or nothing (None), in all rows."""

    value: Any


_Read: TypeAlias = pa.Array | _Same


class Unpacked(NamedTuple):
    """The n rows of a segment that are taken apart, and the lines that were kept as they are.

    ``columns``, ``in_place`` where they belong or not; those of texts are codes (−1: none) of ``texts``, and
    not written yet where there is no text; ``data``: at which of the n rows there is some, and what;
    ``peerings`` by row, of the n.
    """

    columns: dict[str, Any]
    in_place: bool
    texts: dict[str, list[str]]
    data: tuple[NDArray[np.intp], list[dict[str, Any]]]
    peerings: dict[int, msgspec.Raw]
    kept: Lines


def unpack(segment: Segment, space: dict[str, Any] | None, *, peerings: bool) -> Unpacked:
    """All of a segment, into the space for all of its rows, if there is one.

    A column is read when its turn comes: there is little in memory beside what is kept. `peerings` only where
    they are wanted, as they take time.
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
    """Where there is nothing, or whether there is nothing at all or something everywhere."""
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
    """The texts that the codes stand for."""
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
    texts = [*found.dictionary.to_pylist(), None]  # each of them once, and not as often as it occurs
    return [texts[code] for code in found.indices.fill_null(-1).to_numpy().tolist()]


def _decoded(column: _Read, rows: NDArray[np.intp]) -> list[Any]:
    """What the JSON texts in some rows say (None: none), parsed as the one array that they are together."""
    if isinstance(column, _Same):
        return [None] * len(rows)
    texts = column.take(pa.array(rows)).fill_null("null")
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), ",")[0]
    return msgspec.json.decode(b"".join((b"[", joined.as_buffer(), b"]")), type=list)


def _data(columns: list[_Read], rows: int) -> tuple[NDArray[np.intp], list[dict[str, Any]]]:
    """What remains of records beside their columns, and where there is any."""
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
            value["id"], value["origin"] = event, origin  # as `data_of` does, and quicker: an event
            found.append(value)
        elif (rest := data_of(Record(0, "", data=value, id=event, origin=origin))) is not None:
            found.append(rest)
        else:
            gone.append(position)
    return np.delete(some, gone), found
