"""Recordings: `Plan`, what to record, and `Block`, rows that were recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chronoflux.errors import ParameterError
from chronoflux.model.engine import ARRAYS, Floats, RecordBuffer
from chronoflux.util.validate import whole

MOST_VALUES = 1 << 17
"""Most values of one kind in a block, 1 MiB, unless a single row has more."""
LATEST = 1 << 53
"""Last tick of a run: up to it, ``tick · dt`` differs from tick to tick."""
MOST_ROWS = 1024
"""Most rows in a block: what a recording on disk loses when its process is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rows of a recording, oldest first. Its arrays are its own.

    ``tick``, int64 (rows,), and ``t``, float64 (rows,), s: the time of each row. ``values``: by name, float64
    (rows, m), a column for each of the m oscillators recorded; units as in a ``State``.
    """

    tick: NDArray[np.int64]
    t: Floats
    values: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.tick)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A recording of a swarm of `n` oscillators: a row of `what` after every `every` of `ticks` ticks.

    ``of``: the indices of the oscillators to record, int64 (m,), or None for all.
    """

    n: int
    ticks: int
    every: int
    what: tuple[str, ...]
    of: NDArray[np.int64] | None

    @classmethod
    def checked(cls, n: int, ticks: int, every: int, what: Iterable[str] | str, of: ArrayLike | None) -> Self:
        """A plan from a caller's arguments; ParameterError when one is not allowed."""
        names = (what,) if isinstance(what, str) else tuple(what) if isinstance(what, Iterable) else ()
        text = all(isinstance(name, str) for name in names)
        if not names or not text or len(set(names)) < len(names) or not set(names) <= set(ARRAYS):
            raise ParameterError("what", what, "one or more of " + ", ".join(ARRAYS) + ", each once")
        ticks, every = whole("ticks", ticks, 0, LATEST), whole("every", every, 1, LATEST)
        return cls(n=n, ticks=ticks, every=every, what=names, of=None if of is None else _chosen(of, n))

    @property
    def columns(self) -> int:
        """m, the number of oscillators recorded."""
        return self.n if self.of is None else len(self.of)

    @property
    def block_rows(self) -> int:
        """The number of rows in a full block."""
        return min(MOST_ROWS, max(1, MOST_VALUES // self.columns))

    def buffers(self) -> Iterator[RecordBuffer]:
        """Buffers for the engine, of a block each, allocated on demand."""
        kinds = np.array([ARRAYS.index(name) for name in self.what])
        columns = np.full(self.n, -1, np.int32)
        columns[slice(None) if self.of is None else self.of] = np.arange(self.columns)
        left = self.ticks // self.every
        while left:
            rows = min(left, self.block_rows)
            yield RecordBuffer(self.every, 0, np.empty((len(kinds), rows, self.columns)), kinds, columns)
            left -= rows

    def block(self, buffer: RecordBuffer, tick: int, dt: float) -> Block:
        """The block of a buffer that was filled from `tick` on, in steps of `dt` s."""
        ticks = tick + self.every * np.arange(1, buffer.rows.shape[1] + 1)
        return Block(tick=ticks, t=ticks * dt, values=dict(zip(self.what, buffer.rows, strict=True)))

    def check(self, n: int) -> None:
        """Refuse a swarm whose number of oscillators has changed since the recording began."""
        if n != self.n:
            raise ParameterError("oscillators", n, f"{self.n}, as when the recording began")


def _chosen(of: ArrayLike, n: int) -> NDArray[np.int64]:
    allowed = f"different whole numbers, shape (m,), from 0 to {n - 1}"
    try:
        given = np.asarray(of)
    except ValueError:  # lists of different lengths
        raise ParameterError("of", of, allowed) from None
    sound = given.ndim == 1 and given.size > 0 and given.dtype.kind in "iu"
    if not sound or given.min() < 0 or given.max() >= n or len(np.unique(given)) < len(given):
        raise ParameterError("of", of, allowed)
    return given.astype(np.int64)
