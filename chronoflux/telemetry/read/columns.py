"""Columns of a run's records: `Table`, the result, and `Columns`, which grow during reading."""

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
"""Integer column without missing values: the line number of each row in its file."""
PAGES = 1 << 16
"""Size in bytes from which a column gets its own memory pages."""

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


class Masked(NamedTuple):
    """Integers or booleans with a mask of missing values."""

    values: NDArray[Any]
    missing: NDArray[np.bool_]


class Coded(NamedTuple):
    """Texts as indices into a list of distinct texts; −1 where missing."""

    codes: NDArray[np.int32]
    texts: list[str]


Column: TypeAlias = Masked | NDArray[Any]


@dataclass
class Table:
    """The records of one run, n rows.

    ``whole``, ``logic``: columns of shape (n,) with masks; ``floats``: (n,) float64, NaN where missing;
    ``texts``: (n,) codes; ``data`` and ``peerings``: values by row, where present; ``lines``: (n,) line
    numbers; ``files``: the first row and the path of each file.
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
        """Return the file and line that a row comes from."""
        path = next(path for first, path in reversed(self.files) if first <= row)
        return path, int(self.lines[row])


def empty_columns(rows: int) -> dict[str, Any]:
    """Return uninitialised columns for all of `WHOLE`, `FLOATS`, `LOGIC`, `TEXTS` and `NUMBER`."""
    columns: dict[str, Any] = {name: _empty(rows, np.float64) for name in FLOATS}
    columns |= {name: _empty(rows, np.int32) for name in TEXTS}
    for names, dtype in ((WHOLE, np.int64), (LOGIC, np.bool_)):
        columns |= {name: Masked(_empty(rows, dtype), _empty(rows, np.bool_)) for name in names}
    return columns | {NUMBER: _empty(rows, np.int64)}


def _empty(rows: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Allocate an uninitialised array; large ones get their own memory pages.

    Pages use no memory until they are written, and return to the system with the array. C libraries often
    keep freed memory that lies between other allocations.
    """
    size = rows * np.dtype(dtype).itemsize
    return np.empty(rows, dtype) if size < PAGES else np.frombuffer(mmap.mmap(-1, size), dtype, rows)


class Columns:
    """Growing columns of a run, with reserved space that can be written before it is added."""

    def __init__(self) -> None:
        self._size = self._capacity = 0
        self._columns = empty_columns(0)

    def __len__(self) -> int:
        return self._size

    def reserve(self, rows: int) -> None:
        """Reserve space for `rows` more rows. Earlier results of `space` are invalid afterwards."""
        needed = self._size + rows
        if needed <= self._capacity:
            return
        # Unwritten memory costs nothing, and the lines after closed segments often fit into the extra space.
        self._capacity = max(needed + needed // 4, 2 * self._capacity)
        for name, grown in empty_columns(self._capacity).items():
            _put(_part(grown, slice(self._size)), _part(self._columns[name], slice(self._size)))
            self._columns[name] = grown

    def space(self, start: int, rows: int) -> dict[str, Any]:
        """Return views of `rows` reserved rows from row `start` on, to be written."""
        assert self._size <= start <= start + rows <= self._capacity
        return {name: _part(column, slice(start, start + rows)) for name, column in self._columns.items()}

    def extend(self, rows: int) -> None:
        """Add rows that were written to their reserved space."""
        self._size += rows

    def append(self, columns: Mapping[str, Column]) -> None:
        """Append rows by copying them; text columns are codes."""
        rows = len(columns[NUMBER])
        self.reserve(rows)
        for name, column in self.space(self._size, rows).items():
            _put(column, columns[name])
        self.extend(rows)

    def rows(self) -> dict[str, Any]:
        """Return all rows added so far."""
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
