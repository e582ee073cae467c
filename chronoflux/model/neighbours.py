"""The k nearest oscillators of each, exactly, with a cell grid.

Oscillators are sorted into the cells of a grid; round each one, ring after ring of cells is searched
until nothing outside can be nearer than the k-th found. Distances are compared as
``dx·dx + dy·dy`` with ``dx = |xᵢ − xⱼ|``, on the torus ``min(dx, W − dx)``; ties go to the lower index.
A row lists its neighbours by ascending index: the set alone decides the order of sums over it, so that
sums come out the same however the set was found.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.jit import inlined, kernel, part
from chronoflux.model.swarm import Floats, World

Indices = NDArray[np.int32]

CROWD = 3.0
"""Oscillators a cell on average; about the quickest for k = 8."""
SLACK = 1e-12
"""Allowance for rounding in the distance to a cell's edge, in parts of the world."""
NOBODY = np.iinfo(np.int32).max


class Grid(NamedTuple):
    """Oscillators by cells: cell c holds ``members[first[c]:first[c + 1]]``.

    ``first``: int64 (cells + 1,). ``members``: int32 (n,). ``shape``: columns and rows.
    """

    first: NDArray[np.int64]
    members: Indices
    shape: tuple[int, int]


@kernel
def nearest(x: Floats, y: Floats, world: World, plane: bool, found: Indices) -> None:
    """Fill row i of `found` with the indices of the k oscillators nearest to i, ascending.

    `x, y`: float64 (n,), within ``[0, W) × [0, H)``. `found`: int32 (n, k), ``k <= n − 1``. `plane`: plain
    distances, otherwise minimum image.
    """
    n, k = found.shape
    if k == 0:
        return
    columns, rows = shape_of(n, world)
    grid = Grid(np.empty(columns * rows + 1, np.int64), np.empty(n, np.int32), (columns, rows))
    sort_into_cells(x, y, world, grid)
    squares, best, names = np.empty(k), np.empty(k, np.int32), np.arange(n).astype(np.int32)
    for i in range(n):
        search(i, x, y, names, world, plane, grid, 0.0, squares, best)
        put_ascending(best, names, found[i])


@part
def put_ascending(best: Indices, names: Indices, row: Indices) -> None:
    """Copy `best` into `row`, ascending by `names`; by insertion, as it is short."""
    for e in range(len(best)):
        place = e
        while place > 0 and names[row[place - 1]] > names[best[e]]:
            row[place] = row[place - 1]
            place -= 1
        row[place] = best[e]


@kernel
def shape_of(n: int, world: World) -> tuple[int, int]:
    """Columns and rows of nearly square cells, at most about ``n / CROWD`` of them."""
    cells = max(1, int(n / CROWD))
    columns = min(cells, max(1, int(math.sqrt(cells * world[0] / world[1]))))
    return columns, max(1, cells // columns)


@part
def _place(at: float, side: float, count: int) -> int:
    """The column of `at` of `count` along `side`, or the row."""
    return min(int(at * count / side), count - 1)


@kernel
def sort_into_cells(x: Floats, y: Floats, world: World, grid: Grid) -> None:
    """Fill `grid`, whose shape is given; the members of a cell are ascending."""
    first, members, (columns, rows) = grid
    first[:] = 0
    for i in range(len(x)):
        first[_place(y[i], world[1], rows) * columns + _place(x[i], world[0], columns) + 1] += 1
    for cell in range(1, len(first)):
        first[cell] += first[cell - 1]
    for i in range(len(x) - 1, -1, -1):  # from the ends of cells down, so that `first` becomes their starts
        cell = _place(y[i], world[1], rows) * columns + _place(x[i], world[0], columns)
        first[cell + 1] -= 1
        members[first[cell + 1]] = i
    for cell in range(len(first) - 1):
        first[cell] = first[cell + 1]
    first[-1] = len(x)


@part
def _reach(place: int, count: int, plane: bool) -> tuple[int, int]:
    """How many cells there are to go backward and forward from `place` so that each is met once."""
    if plane:
        return place, count - 1 - place
    return (count - 1) // 2, count // 2


@part
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


@part
def search(
    i: int,
    x: Floats,
    y: Floats,
    names: Indices,
    world: World,
    plane: bool,
    grid: Grid,
    stale: float,
    squares: Floats,
    best: Indices,
) -> None:
    """Bring the oscillators nearest to the i-th, nearest first, into `best` (int32, as many as wanted).

    `squares` gets their squared distances. Ties go to the lower of `names` (int32 (n,)). Nobody has moved
    further than `stale` px since `grid` was filled.
    """
    columns, rows = grid.shape
    column, row = _place(x[i], world[0], columns), _place(y[i], world[1], rows)
    left, right = _reach(column, columns, plane)
    up, down = _reach(row, rows, plane)
    squares[:], best[:] = math.inf, NOBODY
    ring = 0
    while True:
        for dr in range(-min(ring, up), min(ring, down) + 1):
            inside = -ring < dr < ring  # then only the two ends of this row of cells are new
            for dc in range(-ring, ring + 1, 2 * ring if inside else 1):
                if -left <= dc <= right:
                    cell = _around(row + dr, rows) * columns + _around(column + dc, columns)
                    _scan(i, cell, x, y, names, world, plane, grid, squares, best)
        if ring >= max(max(left, right), max(up, down)):
            break
        gap = min(
            _gap(x[i], column, ring, columns, world[0], plane),
            _gap(y[i], row, ring, rows, world[1], plane),
        )
        if gap > stale and squares[-1] < (gap - stale) * (gap - stale):
            break
        ring += 1


@part
def _around(place: int, count: int) -> int:
    """`place` modulo `count`, for a place at most one round off."""
    if place < 0:
        return place + count
    return place - count if place >= count else place


@inlined
def _scan(
    i: int,
    cell: int,
    x: Floats,
    y: Floats,
    names: Indices,
    world: World,
    plane: bool,
    grid: Grid,
    squares: Floats,
    best: Indices,
) -> None:
    """Merge the members of a cell into the best so far."""
    last = len(best) - 1
    for b in range(grid.first[cell], grid.first[cell + 1]):
        j = grid.members[b]
        dx, dy = abs(x[i] - x[j]), abs(y[i] - y[j])
        if not plane:
            dx, dy = min(dx, world[0] - dx), min(dy, world[1] - dy)
        square = dx * dx + dy * dy
        if j == i or square > squares[last]:
            continue
        name = names[j]
        if square == squares[last] and name > names[best[last]]:
            continue
        place = last
        while place > 0 and (
            square < squares[place - 1]
            or (square == squares[place - 1] and name < names[best[place - 1]])
        ):
            squares[place], best[place] = squares[place - 1], best[place - 1]
            place -= 1
        squares[place], best[place] = square, j
