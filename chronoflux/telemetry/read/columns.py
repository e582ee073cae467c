"""The columns that a run's records become: `Table`, and `Columns`, which grow while it is read."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from chronoflux.telemetry.format.records import FLOATS, WHOLE

TEXTS = ("node", "room", "run", "type")
LOGIC = ("portal",)
NUMBER = "number"
"""Whole numbers that all rows have: what line of its file each was."""
PAGES = 1 << 16
"""Bytes from which a column has memory pages of its own."""

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


class Masked(NamedTuple):
    """Whole numbers or truth values, and where there are none."""

    values: NDArray[Any]
    missing: NDArray[np.bool_]


class Coded(NamedTuple):
    """Texts as positions in a list of the distinct ones; −1 where there is none."""

    codes: NDArray[np.int32]
    texts: list[str]


Column: TypeAlias = Masked | NDArray[Any]


@dataclass
class Table:
    """The records of one run, n rows.

    ``whole``, ``logic``: columns of shape (n,) with masks; ``floats``: (n,) float64, NaN where missing;
    ``texts``: (n,) codes; ``data`` and ``peerings``: values by row, where there are any; ``lines``: (n,)
    line numbers; ``files``: the first row and the path of each file.
    """

    whole: dict[str, Masked]
    floats: dict[str, Floats]
    logic: dict[str, Masked]
    texts: dict[str, Coded]
    data: dict[int, dict[str, Any]]
    peerings: dict[int, msgspec.Raw]
    lines: Ints
    files: list[tuple[int, Path]]

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, row: int) -> tuple[Path, int]:
        """The file and line a row comes from."""
        path = next(path for first, path in reversed(self.files) if first <= row)
        return path, int(self.lines[row])


def empty_columns(rows: int) -> dict[str, Any]:
    """Columns that are still to be written: those of `WHOLE`, `FLOATS`, `LOGIC` and `TEXTS`, and `NUMBER`."""
    columns: dict[str, Any] = {name: _empty(rows, np.float64) for name in FLOATS}
    columns |= {name: _empty(rows, np.int32) for name in TEXTS}
    for names, dtype in ((WHOLE, np.int64), (LOGIC, np.bool_)):
        columns |= {name: Masked(_empty(rows, dtype), _empty(rows, np.bool_)) for name in names}
    return columns | {NUMBER: _empty(rows, np.int64)}


def _empty(rows: int, dtype: type[np.generic]) -> NDArray[Any]:
    """An array in pages of its own, if it is not small: they cost nothing until they are written to, and go
    back to the system with the array. C libraries often keep what is freed between other things."""
    size = rows * np.dtype(dtype).itemsize
    return np.empty(rows, dtype) if size < PAGES else np.frombuffer(mmap.mmap(-1, size), dtype, rows)


class Columns:
    """Rows of a run, and space behind them, which others may write to before it is theirs."""

    def __init__(self) -> None:
        self._size = self._capacity = 0
        self._columns = empty_columns(0)

    def __len__(self) -> int:
        return self._size

    def reserve(self, rows: int) -> None:
        """Make space for so many; what was given out by `space` before is none of it any more."""
        needed = self._size + rows
        if needed <= self._capacity:
            return
        # Memory that is never written to costs nothing: the lines after closed segments often find it here.
        self._capacity = max(needed + needed // 4, 2 * self._capacity)
        for name, grown in empty_columns(self._capacity).items():
            _put(_part(grown, slice(self._size)), _part(self._columns[name], slice(self._size)))
            self._columns[name] = grown

    def space(self, start: int, rows: int) -> dict[str, Any]:
        """So many rows of what is reserved, from the `start`-th on, to be written to."""
        assert self._size <= start <= start + rows <= self._capacity
        return {name: _part(column, slice(start, start + rows)) for name, column in self._columns.items()}

    def extend(self, rows: int) -> None:
        """Take rows that were written to their space."""
        self._size += rows

    def append(self, columns: Mapping[str, Column]) -> None:
        """Take rows that stand elsewhere; text columns are codes."""
        rows = len(columns[NUMBER])
        self.reserve(rows)
        for name, column in self.space(self._size, rows).items():
            _put(column, columns[name])
        self.extend(rows)

    def rows(self) -> dict[str, Any]:
        """All rows that were taken."""
        return {name: _part(column, slice(self._size)) for name, column in self._columns.items()}


def _part(column: Column, rows: slice) -> Column:
    if isinstance(column, Masked):
        return Masked(column.values[rows], column.missing[rows])
    return column[rows]


def _put(into: Column, column: Column) -> None:
    if isinstance(into, Masked):
        assert isinstance(column, Masked)
        into.values[:], into.missing[:] = column
    else:
        into[:] = column
