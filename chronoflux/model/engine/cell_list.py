"""Cell list: the k nearest oscillators of each, exactly.

Oscillators are sorted into the cells of a grid. Around each one, rings of cells are searched until no
oscillator outside can be nearer than the k-th found. Distances are compared as ``dx·dx + dy·dy`` with ``dx =
|xᵢ − xⱼ|``, on the torus ``min(dx, W − dx)``; ties go to the lower index. A row lists its neighbours by
ascending index. So the order of sums depends on the set only, and not on how the set was found.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from chronoflux.model.engine.arrays import Floats, Indices, Longs, World
from chronoflux.model.engine.jit import allocating, cached_kernel, device_function, inlined
from chronoflux.model.engine.simd import LANES, load, select, splat, store

PER_CELL, PER_NEIGHBOUR = 3.0, 0.2
"""Mean oscillators per cell, and how many more for each neighbour wanted; measured to be fast."""
FILL = 0.85
"""Fraction of the maximum number of candidates to aim at."""
SLACK = 1e-12
"""Allowance for rounding in the distance to a cell's edge, relative to the world."""


class Grid(NamedTuple):
    """Oscillators by cell: cell c holds ``members[first[c]:first[c + 1]]``.

    ``first``: int64 (cells + 1,). ``members``: int32 (n,). ``shape``: columns and rows.
    """

    first: Longs
    members: Indices
    shape: tuple[int, int]


class SearchBuffers(NamedTuple):
    """Working memory of a search; see :func:`make_buffers`.

    ``slots``: int32, and ``squares``: float64, the oscillators found and their squared distances. ``picked``
    and ``keys``: the same before sorting; ``ranks``: float64, their places in the sorted order.
    """

    slots: Indices
    squares: Floats
    picked: Indices
    keys: Floats
    ranks: Floats


@cached_kernel
def nearest(x: Floats, y: Floats, world: World, plane: bool, found: Indices) -> None:
    """Fill row i of `found` with the indices of the k oscillators nearest to i, ascending.

    `x, y`: float64 (n,), within ``[0, W) × [0, H)``. `found`: int32 (n, k), ``k <= n − 1``. `plane`: plain
    distances; otherwise the minimum image.
    """
    n, k = found.shape
    if k == 0:
        return
    columns, rows = shape_of(n, k, world)
    grid = Grid(np.empty(columns * rows + 1, np.int64), np.empty(n, np.int32), (columns, rows))
    sort_into_cells(x, y, world, grid)
    index_of, buffers = np.arange(n).astype(np.int32), make_buffers(k)
    for i in range(n):
        search(i, k, k, x, y, index_of, world, plane, grid, 0.0, buffers)
        put_ascending(k, index_of, buffers, found[i])


@inlined
def rank(count: int, keys: Floats, ranks: Floats) -> bool:
    """Fill `ranks` with how many of the first `count` keys are less than each. Returns whether all differ.

    The arrays hold whole rows of LANES. All keys are compared with all: for a few dozen, that is faster than
    sorting, because no comparison waits for another.
    """
    rows = -(-count // LANES)
    for e in range(count, rows * LANES):
        keys[e] = math.inf
    for row in range(rows):
        mine, less = load(keys, row), splat(0.0)
        for e in range(count):
            less = less + select(keys[e], mine, 1.0, 0.0)
        store(ranks, row, less)
    total = 0.0
    for e in range(count):
        total += ranks[e]
    return 2 * total == count * (count - 1)


@inlined
def put_ascending(k: int, index_of: Indices, buffers: SearchBuffers, row: Indices) -> None:
    """Copy the first `k` slots found into `row`, ascending by index."""
    for e in range(k):
        buffers.keys[e] = index_of[np.uint32(buffers.slots[e])]
    rank(k, buffers.keys, buffers.ranks)
    for e in range(k):
        row[int(buffers.ranks[e])] = buffers.slots[e]


@inlined
def sort(count: int, index_of: Indices, buffers: SearchBuffers) -> None:
    """Sort what was picked into ``slots`` and ``squares``, the nearest first; ties go to the lower index."""
    slots, squares, picked, keys, ranks = buffers
    if not rank(count, keys, ranks):
        for e in range(count):
            less, index = 0, index_of[picked[e]]
            for f in range(count):
                tied = (keys[f] == keys[e]) & (index_of[picked[f]] < index)
                less += (keys[f] < keys[e]) | tied
            ranks[e] = less
    for e in range(count):
        place = np.uint32(ranks[e])
        slots[place], squares[place] = picked[e], keys[e]


@cached_kernel
def shape_of(n: int, k: int, world: World) -> tuple[int, int]:
    """Columns and rows of nearly square cells for searches of about k among n oscillators.

    A cell is so large that all the nearest are mostly found in it and the eight around it.
    """
    cells = max(1, int(n / (PER_CELL + PER_NEIGHBOUR * k)))
    columns = min(cells, max(1, int(math.sqrt(cells * world[0] / world[1]))))
    return columns, max(1, cells // columns)


@device_function
def _place(at: float, side: float, count: int) -> int:
    """The column (or row) of position `at`, of `count` along `side`."""
    return min(int(at * count / side), count - 1)


@cached_kernel
def sort_into_cells(x: Floats, y: Floats, world: World, grid: Grid) -> None:
    """Fill `grid`, whose shape is given; the members of a cell ascend by slot."""
    first, members, (columns, rows) = grid
    first[:] = 0
    for i in range(len(x)):
        first[_place(y[i], world[1], rows) * columns + _place(x[i], world[0], columns) + 1] += 1
    for cell in range(1, len(first)):
        first[cell] += first[cell - 1]
    for i in range(len(x) - 1, -1, -1):  # from the end of each cell down, so that `first` becomes its start
        cell = _place(y[i], world[1], rows) * columns + _place(x[i], world[0], columns)
        first[cell + 1] -= 1
        members[first[cell + 1]] = i
    for cell in range(len(first) - 1):
        first[cell] = first[cell + 1]
    first[-1] = len(x)


@device_function
def _reach(place: int, count: int, plane: bool) -> tuple[int, int]:
    """How many cells to go backward and forward from `place` to visit each exactly once."""
    if plane:
        return place, count - 1 - place
    return (count - 1) // 2, count // 2


@device_function
def _gap(at: float, place: int, ring: int, count: int, side: float, plane: bool) -> float:
    """Lower bound on the distance along one axis to anything more than `ring` cells away."""
    size = side / count
    ahead, behind = (place + ring + 1) * size - at, at - (place - ring) * size
    if plane:
        ahead = ahead if place + ring + 1 < count else math.inf
        behind = behind if place - ring > 0 else math.inf
    elif 2 * ring + 1 >= count:
        return math.inf
    return min(ahead, behind) - SLACK * side


@allocating
def make_buffers(most: int) -> SearchBuffers:
    """Buffers for a :func:`search` of at most that many."""
    places = -(-(2 * most + 32) // LANES) * LANES
    return SearchBuffers(
        np.zeros(places, np.int32),
        np.zeros(places),
        np.zeros(places, np.int32),
        np.zeros(places),
        np.zeros(places),
    )


@inlined
def search(
    i: int,
    least: int,
    most: int,
    x: Floats,
    y: Floats,
    index_of: Indices,
    world: World,
    plane: bool,
    grid: Grid,
    stale: float,
    buffers: SearchBuffers,
) -> tuple[int, float]:
    """Find the `least` to `most` oscillators nearest to slot i; `buffers` gets them, the nearest first.

    Ties go to the lower of `index_of`, int32 (n,). No oscillator has moved more than `stale` px since `grid`
    was filled. Returns their number, and a distance in px: no other oscillator is closer.
    """
    slots, squares = buffers.slots, buffers.squares
    columns, rows = grid.shape
    first, members, xi, yi = grid.first, grid.members, x[i], y[i]
    around_x, around_y = (math.inf, math.inf) if plane else world
    column, row = _place(xi, world[0], columns), _place(yi, world[1], rows)
    left, right = _reach(column, columns, plane)
    up, down = _reach(row, rows, plane)
    count, limit, ring, done = int(np.int64(0)), math.inf, 1, -1  # a literal has another type
    while True:
        for dr in range(-min(ring, up), min(ring, down) + 1):
            start = _around(row + dr, rows) * columns
            for half in range(2):
                a, b = _columns(half, column, ring, -done <= dr <= done, left, right, columns)
                a, b = first[start + a], first[start + b]
                if limit == math.inf and count + b - a < len(slots):
                    for e in range(b - a):  # all of them: faster than testing which are needed
                        j = np.uint32(members[np.uint64(a) + np.uint64(e)])
                        dx, dy = abs(xi - x[j]), abs(yi - y[j])
                        ex, ey = around_x - dx, around_y - dy
                        dx, dy = dx if dx < ex else ex, dy if dy < ey else ey
                        place = np.uint64(count) + np.uint64(e)
                        squares[place] = dx * dx + dy * dy if j != i else math.inf
                        slots[place] = j
                    count += b - a
                    continue
                for e in range(a, b):
                    j = np.uint32(members[e])
                    dx, dy = abs(xi - x[j]), abs(yi - y[j])
                    ex, ey = around_x - dx, around_y - dy
                    dx, dy = dx if dx < ex else ex, dy if dy < ey else ey
                    square = dx * dx + dy * dy
                    squares[count], slots[count] = square, j
                    count += (square <= limit) & (j != i)
                    if count == len(slots):
                        quickselect(most, count, index_of, squares, slots)
                        count, limit = most, squares[most - 1]
        sure = math.inf
        if ring < max(max(left, right), max(up, down)):
            sure = min(
                _gap(xi, column, ring, columns, world[0], plane),
                _gap(yi, row, ring, rows, world[1], plane),
            )
            sure -= stale
        ring, done = ring + 1, ring
        within = _within(sure * sure, count, squares)
        if sure > 0.0 and within >= least:
            break
    near = sure * sure
    if within > most:  # try a circle that should hold about as many as wanted: faster than selecting them
        fewer = near * FILL * most / within
        if near < math.inf and least <= _within(fewer, count, squares) <= most:
            near = fewer
    front = int(np.int64(0))
    for e in range(count):
        buffers.keys[front], buffers.picked[front] = squares[e], slots[e]
        front += squares[e] < near
    sort(front, index_of, buffers)
    if front > most:
        return most, math.sqrt(squares[most - 1])
    return front, math.sqrt(min(near, limit))


@device_function
def _columns(
    half: int, column: int, ring: int, inside: bool, left: int, right: int, columns: int
) -> tuple[int, int]:
    """The range of columns to search in a row, in two parts: the first or second `half`.

    It reaches `ring` cells to both sides; in rows `inside` the rings already searched, it is the outermost
    cells only.
    """
    if inside:
        if ring > (right if half else left):
            return 0, 0
        cell = _around(column + ring if half else column - ring, columns)
        return cell, cell + 1
    low, high = column - min(ring, left), column + min(ring, right) + 1
    if low < 0:
        return (0, high) if half else (low + columns, columns)
    if high > columns:
        return (0, high - columns) if half else (low, columns)
    return (0, 0) if half else (low, high)


@device_function
def _within(square: float, count: int, squares: Floats) -> int:
    """How many of the first `count` squares are less than `square`."""
    within = 0
    for e in range(count):
        within += squares[e] < square
    return within


@device_function
def quickselect(most: int, count: int, index_of: Indices, squares: Floats, slots: Indices) -> None:
    """Move the `most` nearest of the first `count` to the front, the farthest of them last.

    C. A. R. Hoare, Algorithm 65: Find (1961).
    """
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        square, index = squares[middle], index_of[np.uint32(slots[middle])]
        i, j = low, high
        while i <= j:
            while squares[i] < square or (squares[i] == square and index_of[np.uint32(slots[i])] < index):
                i += 1
            while squares[j] > square or (squares[j] == square and index_of[np.uint32(slots[j])] > index):
                j -= 1
            if i <= j:
                squares[i], squares[j] = squares[j], squares[i]
                slots[i], slots[j] = slots[j], slots[i]
                i += 1
                j -= 1
        if most - 1 <= j:
            high = j
        elif most - 1 >= i:
            low = i
        else:
            break


@device_function
def _around(place: int, count: int) -> int:
    """`place` modulo `count`, for a place at most `count` outside."""
    if place < 0:
        return place + count
    return place - count if place >= count else place
