"""Merging of copies of one run: rows that the fullest copy lacks come from the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chronoflux.telemetry.format.records import WHOLE
from chronoflux.telemetry.read.columns import TEXTS, Coded, Floats, Masked, Table

Rows: TypeAlias = NDArray[np.intp]


class Part(NamedTuple):
    """What a copy contributed: rows ``taken`` from it, rows already ``known``, and ``different`` ones.

    ``different`` counts known rows whose record with the same seq differs; ``first`` is the first such seq
    and the places of its two records.
    """

    taken: int
    known: int
    different: int
    first: tuple[int, tuple[Path, int], tuple[Path, int]]


class Merged(NamedTuple):
    """The merged table, and the contribution of each copy but the first."""

    table: Table
    copies: list[Part]


_NOWHERE = (0, (Path(), 0), (Path(), 0))


def merge(tables: Sequence[Table]) -> Merged:
    """Merge copies; where they differ, the first one is used."""
    table = tables[0]
    copies = []
    for other in tables[1:]:
        new, different = _compared(table, other)
        first = _NOWHERE
        if len(different):
            mine, theirs = different[0].tolist()
            seq = int(other.whole["seq"].values[theirs])
            first = seq, table.place(mine), other.place(theirs)
        copies.append(Part(len(new), len(other) - len(new), len(different), first))
        if len(new):
            both = np.concatenate([np.arange(len(table)), len(table) + new])
            table = rows_of([table, other], both[_order(table, other, new)])
    return Merged(table, copies)


def _compared(table: Table, other: Table) -> tuple[Rows, NDArray[np.intp]]:
    """Return the rows of `other` that `table` lacks, and the pairs of different rows with one seq."""
    mine, theirs = table.whole["seq"], other.whole["seq"]
    rows, numbered = np.flatnonzero(~mine.missing), np.flatnonzero(~theirs.missing)
    seqs, first = np.unique(mine.values[rows], return_index=True)
    if not len(seqs):
        return _lacking(table, other), np.empty((0, 2), np.intp)
    wanted = theirs.values[numbered]
    place = np.minimum(np.searchsorted(seqs, wanted), len(seqs) - 1)
    known = seqs[place] == wanted
    a, b = rows[first[place[known]]], numbered[known]
    same = _same(table, a, other, b)
    return numbered[~known], np.column_stack([a[~same], b[~same]])


def _lacking(table: Table, other: Table) -> Rows:
    """Return the rows of `other` that `table` has no equal of, for records without a seq."""
    counts: dict[tuple[Any, ...], int] = {}
    for key in _keys(table):
        counts[key] = counts.get(key, 0) + 1
    new = []
    for row, key in enumerate(_keys(other)):
        if counts.get(key, 0):
            counts[key] -= 1
        else:
            new.append(row)
    return np.array(new, np.intp)


def _keys(table: Table) -> list[tuple[Any, ...]]:
    types = table.texts["type"]
    numbers = [np.nan_to_num(table.floats[name], nan=np.inf).tolist() for name in ("t", "H", "tau")]
    return list(zip(table.whole["timestamp"].values.tolist(), _texts(types), *numbers, strict=True))


def _texts(column: Coded) -> list[str | None]:
    texts = [*column.texts, None]
    return [texts[code] for code in column.codes.tolist()]


def _same(table: Table, rows: Rows, other: Table, others: Rows) -> NDArray[np.bool_]:
    """Return which pairs of rows are equal."""
    same = np.ones(len(rows), np.bool_)
    for name in WHOLE:
        same &= _equal(table.whole[name], rows, other.whole[name], others)
    for name in table.logic:
        same &= _equal(table.logic[name], rows, other.logic[name], others)
    for name in table.floats.keys() | other.floats.keys():
        a, b = _floats(table, name)[rows], _floats(other, name)[others]
        same &= (a == b) | (np.isnan(a) & np.isnan(b))
    types, their = table.texts["type"], other.texts["type"]
    place = {text: code for code, text in enumerate(types.texts)}
    codes = np.array([*(place.get(text, -2) for text in their.texts), -1], np.int64)
    same &= types.codes[rows] == codes[their.codes[others]]
    if table.data or other.data:
        for i, (a, b) in enumerate(zip(rows.tolist(), others.tolist(), strict=True)):
            if table.data.get(a) != other.data.get(b):
                same[i] = False
    return same


def _equal(a: Masked, rows: Rows, b: Masked, others: Rows) -> NDArray[np.bool_]:
    gone, theirs = a.missing[rows], b.missing[others]
    equal: NDArray[np.bool_] = np.where(gone | theirs, gone == theirs, a.values[rows] == b.values[others])
    return equal


def _order(table: Table, other: Table, new: Rows) -> Rows:
    """Return the order of the rows of both: by seq or, where there are none, by time."""
    name = "timestamp" if table.whole["seq"].missing.all() else "seq"
    a, b = table.whole[name], other.whole[name]
    # A row without a number stays after the row before it.
    mine = np.maximum.accumulate(np.where(a.missing, np.iinfo(np.int64).min, a.values))
    return np.argsort(np.concatenate([mine, b.values[new]]), kind="stable")


def rows_of(tables: Sequence[Table], rows: Rows) -> Table:
    """Return some rows of several tables.

    Parameters
    ----------
    tables
        Their rows are numbered consecutively.
    rows
        Numbers of the rows to return, intp (m,), in the order of the result.

    Returns
    -------
    Table
        m rows.
    """
    whole = {name: _taken([table.whole[name] for table in tables], rows) for name in tables[0].whole}
    logic = {name: _taken([table.logic[name] for table in tables], rows) for name in tables[0].logic}
    names = dict.fromkeys(name for table in tables for name in table.floats)
    floats = {name: np.concatenate([_floats(table, name) for table in tables])[rows] for name in names}
    sizes = [len(table) for table in tables]
    starts = np.cumsum([0, *sizes])
    place = np.full(starts[-1], -1, np.int64)
    place[rows] = np.arange(len(rows))
    data: dict[int, Any] = {}
    peerings: dict[int, Any] = {}
    for start, table in zip(starts.tolist(), tables, strict=False):
        for into, values in ((data, table.data), (peerings, table.peerings)):
            into |= {int(at): v for row, v in values.items() if (at := place[start + row]) >= 0}
    return Table(
        whole=whole,
        floats=floats,
        logic=logic,
        texts={name: _recoded([table.texts[name] for table in tables], rows) for name in TEXTS},
        data=data,
        peerings=peerings,
        lines=np.concatenate([table.lines for table in tables])[rows],
        files=_files(tables, rows),
    )


def _taken(columns: Sequence[Masked], rows: Rows) -> Masked:
    return Masked(
        np.concatenate([column.values for column in columns])[rows],
        np.concatenate([column.missing for column in columns])[rows],
    )


def _floats(table: Table, name: str) -> Floats:
    found = table.floats.get(name)
    return np.full(len(table), np.nan) if found is None else found


def _recoded(columns: Sequence[Coded], rows: Rows) -> Coded:
    index: dict[str, int] = {}
    codes = []
    for column in columns:
        places = [index.setdefault(text, len(index)) for text in column.texts]
        codes.append(np.array([*places, -1], np.int32)[column.codes])
    return Coded(np.concatenate(codes)[rows], list(index))


def _files(tables: Sequence[Table], rows: Rows) -> list[tuple[int, Path]]:
    paths: list[Path] = []
    whose = []
    for table in tables:
        borders = [first for first, _ in table.files]
        whose.append(np.searchsorted(borders, np.arange(len(table)), side="right") - 1 + len(paths))
        paths += [path for _, path in table.files]
    order = np.concatenate(whose)[rows]
    starts = [0, *(np.flatnonzero(np.diff(order)) + 1).tolist()] if len(order) else []
    return [(start, paths[order[start]]) for start in starts]
