"""The k nearest oscillators of each, exactly, with a cell grid.

Oscillators are sorted into the cells of a grid; round each one, ring after ring of cells is searched
until nothing outside can be nearer than the k-th found. Distances are compared as
``dx·dx + dy·dy`` with ``dx = |xᵢ − xⱼ|``, on the torus ``min(dx, W − dx)``; ties go to the lower index.
A row lists its neighbours by ascending index: the set alone decides the order of sums over it, so that
sums come out the same however the set was found. Nothing outside this file is called.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.jit import inlined, kernel
from chronoflux.model.swarm import Floats, World

Indices = NDArray[np.int32]

CROWD = 3.0
"""Oscillators a cell on average; about the quickest for k = 8."""
SLACK = 1e-12
"""Allowance for rounding in the distance to a cell's edge, in parts of the world."""
NOBODY = np.iinfo(np.int32).max


@kernel
def nearest(x: Floats, y: Floats, world: World, plane: bool, found: Indices) -> None:
    """Fill row i of `found` with the indices of the k oscillators nearest to i, ascending.

    `x, y`: float64 (n,), within ``[0, W) × [0, H)``. `found`: int32 (n, k), ``k <= n − 1``. `plane`: plain
    distances, otherwise minimum image.
    """
    n, k = found.shape
    if k == 0:
        return
    columns, rows = _grid(n, world)
    first, order = _sort_into_cells(x, y, world, columns, rows)
    xs, ys = x[order], y[order]
    squares, best = np.empty(k), np.empty(k, np.int32)
    for row in range(rows):
        for column in range(columns):
            cell = row * columns + column
            for a in range(first[cell], first[cell + 1]):
                squares[:], best[:] = math.inf, NOBODY
                _search(a, column, row, xs, ys, world, plane, first, order, columns, rows, squares, best)
                _put_ascending(best, found[order[a]])


@inlined
def _put_ascending(best: Indices, row: Indices) -> None:
    """Copy `best` into `row`, sorted; by insertion, as it is short."""
    for e in range(len(best)):
        place = e
        while place > 0 and row[place - 1] > best[e]:
            row[place] = row[place - 1]
            place -= 1
        row[place] = best[e]


@kernel
def _grid(n: int, world: World) -> tuple[int, int]:
    """Columns and rows of nearly square cells, at most about ``n / CROWD`` of them."""
    cells = max(1, int(n / CROWD))
    columns = min(cells, max(1, int(math.sqrt(cells * world[0] / world[1]))))
    return columns, max(1, cells // columns)


@kernel
def _sort_into_cells(
    x: Floats, y: Floats, world: World, columns: int, rows: int
) -> tuple[NDArray[np.int64], Indices]:
    """``first`` (cells + 1,) and ``order`` (n,): cell c holds ``order[first[c]:first[c + 1]]``, ascending."""
    n = len(x)
    cell_of = np.empty(n, np.int64)
    first = np.zeros(columns * rows + 1, np.int64)
    for i in range(n):
        column = min(int(x[i] * columns / world[0]), columns - 1)
        row = min(int(y[i] * rows / world[1]), rows - 1)
        cell_of[i] = row * columns + column
        first[cell_of[i] + 1] += 1
    for cell in range(columns * rows):
        first[cell + 1] += first[cell]
    order = np.empty(n, np.int32)
    at = first[:-1].copy()
    for i in range(n):
        order[at[cell_of[i]]] = i
        at[cell_of[i]] += 1
    return first, order


@kernel
def _reach(place: int, count: int, plane: bool) -> tuple[int, int]:
    """How many cells there are to go backward and forward from `place` so that each is met once."""
    if plane:
        return place, count - 1 - place
    return (count - 1) // 2, count // 2


@kernel
def _gap(at: float, place: int, ring: int, count: int, side: float, plane: bool) -> float:
    """Lower bound on the distance along one axis to whatever lies more than `ring` cells off."""
    size = side / count
    ahead, behind = (place + ring + 1) * size - at, at - (place - ring) * size
    if plane:
        ahead = ahead if place + ring + 1 < count else math.inf
        behind = behind if place - ring > 0 else math.inf
    elif 2 * ring + 1 >= count:
        return math.inf
    return min(ahead, behind) - SLACK * side


@inlined
def _search(
    a: int,
    column: int,
    row: int,
    xs: Floats,
    ys: Floats,
    world: World,
    plane: bool,
    first: NDArray[np.int64],
    order: Indices,
    columns: int,
    rows: int,
    squares: Floats,
    best: Indices,
) -> None:
    """Bring the k nearest of the a-th oscillator in cell order, nearest first, into `best` (k,).

    `squares` (k,) gets their squared distances; both come filled with infinity and NOBODY.
    """
    left, right = _reach(column, columns, plane)
    up, down = _reach(row, rows, plane)
    ring = 0
    while True:
        for dr in range(-min(ring, up), min(ring, down) + 1):
            inside = -ring < dr < ring  # then only the two ends of this row of cells are new
            for dc in range(-ring, ring + 1, 2 * ring if inside else 1):
                if -left <= dc <= right:
                    cell = _around(row + dr, rows) * columns + _around(column + dc, columns)
                    _scan(a, first[cell], first[cell + 1], xs, ys, world, plane, order, squares, best)
        gap = min(
            _gap(xs[a], column, ring, columns, world[0], plane),
            _gap(ys[a], row, ring, rows, world[1], plane),
        )
        if (gap > 0.0 and squares[-1] < gap * gap) or ring >= max(max(left, right), max(up, down)):
            break
        ring += 1


@kernel
def _around(place: int, count: int) -> int:
    """`place` modulo `count`, for a place at most one round off."""
    if place < 0:
        return place + count
    return place - count if place >= count else place


@inlined
def _scan(
    a: int,
    begin: int,
    end: int,
    xs: Floats,
    ys: Floats,
    world: World,
    plane: bool,
    order: Indices,
    squares: Floats,
    best: Indices,
) -> None:
    """Merge the oscillators `begin` to `end` of the cell order into the best so far."""
    last = len(best) - 1
    for b in range(begin, end):
        dx, dy = abs(xs[a] - xs[b]), abs(ys[a] - ys[b])
        if not plane:
            dx, dy = min(dx, world[0] - dx), min(dy, world[1] - dy)
        square = dx * dx + dy * dy
        if b == a or square > squares[last]:
            continue
        j = order[b]
        if square == squares[last] and j > best[last]:
            continue
        place = last
        while place > 0 and (
            square < squares[place - 1] or (square == squares[place - 1] and j < best[place - 1])
        ):
            squares[place], best[place] = squares[place - 1], best[place - 1]
            place -= 1
        squares[place], best[place] = square, j
