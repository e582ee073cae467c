"""Neighbour lists kept from tick to tick, and renewed one by one only when they may have changed.

For each oscillator its k neighbours are kept, and m further candidates. No other oscillator was nearer
than ``reach`` when they were searched, and since then has come nearer by no more than twice the way of
the fastest. As long as that leaves the reach beyond the k-th candidate, the neighbours are the nearest k of
the candidates; and they are the same k as before until a tick that can be told in advance.

Every candidate is taken to go on in a straight line, relative to the oscillator, with its velocity of now.
No oscillator strays further than ``A s(s + 1)/2`` px from its line in s ticks if no velocity changes by more
than A px a tick a tick. So the set cannot change before, on these lines, the farthest of the k and the
nearest of the rest come within ``2 A s(s + 1)`` px of each other. Bounds are widened by more than rounding
can do. What is kept only saves work: the sets are those of a search at every tick.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from chronoflux.model.jit import kernel, part
from chronoflux.model.neighbours import (
    Grid,
    Indices,
    put_ascending,
    room_for,
    search,
    select,
    sort_into_cells,
)
from chronoflux.model.swarm import Floats, Longs, World

HORIZON = 128
"""Most ticks looked ahead: the further, the larger A may become by the drag on what gets faster."""
SLACK = 1e-12
"""Allowance for rounding within the horizon, in parts of the world's half circumference."""
STALE = 0.1
"""The grid is filled anew when the fastest may have gone this part of a cell."""
FAR = 100.0
"""The way of the fastest is counted from 0 again when it is this many half circumferences."""
NOBODY = -1
LOOKS = 3
"""Most ticks at which it is looked whether the candidates still stand as they do."""
TINY = 1e-300
TRAVELLED, FILLED, SPEED = 0, 1, 2
"""Places in ``Lists.way``."""


class Lists(NamedTuple):
    """What is kept of n oscillators in slots 0 to n − 1.

    ``near``: int32 (n, k), slots of the neighbours, by ascending name. ``rest``: int32 (n, m), slots of the
    other candidates, then NOBODY. ``until``: int64 (n,), the first tick that needs a look. ``reach``:
    float64 (n,), px, plus twice the way travelled when searched. ``names``: int32 (n,), the index of the
    oscillator in each slot, by which ties are decided. ``way``: float64 (3,): px that the fastest may have
    travelled in all, that when the grid was filled, and px a tick of the fastest now.
    """

    near: Indices
    rest: Indices
    until: Longs
    reach: Floats
    names: Indices
    grid: Grid
    way: Floats


class Space(NamedTuple):
    """Where things are and go: all that a renewal needs to know of motion.

    ``step``: px a tick of a velocity of 1. ``pull``: the most that a velocity's change a tick can come to, in
    px a tick, drag aside; ``drag``: the part of a velocity that a tick takes.
    """

    x: Floats
    y: Floats
    vx: Floats
    vy: Floats
    world: World
    plane: bool
    step: float
    pull: float
    drag: float


class Desk(NamedTuple):
    """Where one oscillator's candidates are looked at: float64 and int32, with room to
    search.

    ``squares``: distances squared; ``inward``: ``−r·w``, ``w2``: ``w·w`` of way r and velocity w relative
    to the oscillator; ``slots``.
    """

    squares: Floats
    inward: Floats
    w2: Floats
    slots: Indices


@kernel
def travel(lists: Lists, space: Space, speed2: float, crossed: bool) -> None:
    """Account for a tick in which nobody had a larger speed squared than `speed2`, px² per frame².

    On the plane somebody who crossed the seam has jumped: then nothing kept holds any longer.
    """
    around = space.world[0] + space.world[1]
    speed = math.sqrt(speed2) * space.step
    way = around if crossed and space.plane else min(speed * (1 + 1e-14) + 1e-15 * around, around)
    lists.way[TRAVELLED] = (lists.way[TRAVELLED] + way) * (1 + 5e-16)  # rounded up
    lists.way[SPEED] = speed
    if crossed and space.plane:
        for i in range(len(lists.until)):
            lists.until[i] = 0
    if lists.way[TRAVELLED] > FAR * around:
        for i in range(len(lists.reach)):
            lists.reach[i] -= 2 * lists.way[TRAVELLED]
        lists.way[FILLED] -= lists.way[TRAVELLED]
        lists.way[TRAVELLED] = 0.0
    columns, rows = lists.grid.shape
    cell = min(space.world[0] / columns, space.world[1] / rows)
    if lists.way[TRAVELLED] - lists.way[FILLED] > STALE * cell and lists.rest.shape[1] > 0:
        sort_into_cells(space.x, space.y, space.world, lists.grid)
        lists.way[FILLED] = lists.way[TRAVELLED]


@part
def renew(first: int, end: int, tick: int, lists: Lists, space: Space) -> int:
    """Bring the neighbours of the slots from `first` up to `end` up to date, where `tick` needs a look.

    `tick` is the one in which everybody has just moved. Returns how many were looked at.
    """
    near, rest, until, reaches, names, grid, way = lists
    k, m = near.shape[1], rest.shape[1]
    count = 0
    if m == 0:  # everybody else, for ever
        return count
    room = room_for(k + m)
    desk = Desk(np.empty(room), np.empty(room), np.empty(room), np.empty(room, np.int32))
    slack = SLACK * (space.world[0] + space.world[1])
    for i in range(first, end):
        if until[i] > tick:
            continue
        count += 1
        for e in range(k):
            desk.slots[e] = near[i, e]
        C = k
        while C - k < m and rest[i, C - k] != NOBODY:
            desk.slots[C] = rest[i, C - k]
            C += 1
        reach = reaches[i] - 2 * way[TRAVELLED]
        searched, changed = False, False
        while True:
            if not reach > slack:  # look round anew
                stale = way[TRAVELLED] - way[FILLED] + slack
                C, reach = search(
                    i,
                    k + 1,
                    k + m,
                    space.x,
                    space.y,
                    names,
                    space.world,
                    space.plane,
                    grid,
                    stale,
                    desk.squares,
                    desk.slots,
                )
                reaches[i] = reach + 2 * way[TRAVELLED]
                select(k, C, names, desk.squares, desk.slots)
                searched = True
            _look(i, C, space, desk)
            moved, inner, outer = _choose(k, C, names, desk)
            changed = changed or moved or searched
            if searched or reach - slack > outer:
                break
            reach = 0.0
        if changed:
            put_ascending(desk.slots[:k], names, near[i])
            for e in range(m):
                rest[i, e] = desk.slots[k + e] if k + e < C else NOBODY
        until[i] = tick + 1 + int(_holds(k, C, inner, outer, slack, reach, way[SPEED], space, desk))
    return count


@part
def _look(i: int, C: int, space: Space, desk: Desk) -> None:
    """Fill the desk's numbers for its first C slots."""
    x, y, vx, vy, world, plane, step, _, _ = space
    squares, inward, w2, slots = desk
    xi, yi, ui, wi = x[i], y[i], vx[i], vy[i]
    around = math.inf if plane else 1.0
    for e in range(C):
        j = np.uint32(slots[e])
        dx, dy = x[j] - xi, y[j] - yi
        ux, uy = (vx[j] - ui) * step, (vy[j] - wi) * step
        ax, ay = abs(dx), abs(dy)
        bx, by = around * world[0] - ax, around * world[1] - ay
        sx = ux if (dx > 0.0) == (ax <= bx) else -ux
        sy = uy if (dy > 0.0) == (ay <= by) else -uy
        ax, ay = min(ax, bx), min(ay, by)
        squares[e] = ax * ax + ay * ay
        inward[e] = -(ax * sx + ay * sy)
        w2[e] = ux * ux + uy * uy


@part
def _choose(k: int, C: int, names: Indices, desk: Desk) -> tuple[bool, float, float]:
    """Bring the nearest k of the first C to the front of the desk.

    Returns whether that changed anything, the distance of the farthest of them, and of the nearest other.
    """
    squares, inward, w2, slots = desk
    changed = False
    while True:
        inner, outer = 0.0, math.inf
        for e in range(k):
            inner = squares[e] if squares[e] > inner else inner
        for e in range(k, C):
            outer = squares[e] if squares[e] < outer else outer
        if inner < outer:
            return changed, math.sqrt(inner), math.sqrt(outer)
        far, near = -1, -1  # ties go to the lower name
        for e in range(k):
            if squares[e] == inner and (far < 0 or names[slots[e]] > names[slots[far]]):
                far = e
        for e in range(k, C):
            if squares[e] == outer and (near < 0 or names[slots[e]] < names[slots[near]]):
                near = e
        if inner == outer and names[slots[far]] < names[slots[near]]:
            return changed, math.sqrt(inner), math.sqrt(outer)
        changed = True
        squares[near], squares[far] = squares[far], squares[near]
        inward[near], inward[far] = inward[far], inward[near]
        w2[near], w2[far] = w2[far], w2[near]
        slots[near], slots[far] = slots[far], slots[near]


@part
def _holds(
    k: int,
    C: int,
    inner: float,
    outer: float,
    slack: float,
    reach: float,
    fastest: float,
    space: Space,
    desk: Desk,
) -> float:
    """For how many ticks the chosen k stay the nearest, `inner` being the distance of the last of them, and
    `outer` of the next after them."""
    gap = outer - inner - 4 * slack
    if not gap > 0.0 or space.drag > 1.0:
        return 0.0
    most = float(HORIZON)
    if not space.plane:  # until then nobody's other image on the torus can have come that near
        most = min(most, (min(space.world[0], space.world[1]) / 2 - outer) / (2 * fastest + TINY))
    bend = 2 * (space.pull + space.drag * (fastest + HORIZON * space.pull)) + TINY
    pace = 0.0
    for e in range(C):
        pace += desk.w2[e]
    pace = math.sqrt(pace / C)
    for e in range(k, C):
        desk.squares[e] = math.sqrt(desk.squares[e])
        desk.inward[e] /= desk.squares[e] + TINY
    # The overlap is convex in time. So where it is below 0 it has always been; and between a tick where it is
    # and one where it is not, it is still at least until the chord crosses 0.
    held, spare, end, excess = 0.0, gap, math.inf, 0.0
    tick = np.floor(2 * gap / (pace + math.sqrt(pace * pace + 4 * bend * gap))) + 1
    for _ in range(LOOKS):
        tick = min(tick, np.floor(most))
        if not held < tick < end:
            break
        overlap = (
            _overlap(k, C, tick, reach - 2 * fastest * tick, desk) + bend * tick * (tick + 1) + 4 * slack
        )
        if overlap <= 0.0:
            held, spare = tick, -overlap
        else:
            end, excess = tick, overlap
        if end == math.inf:
            tick = 2 * held
        else:
            sure = np.floor(held + (end - held) * spare / (spare + excess))
            if sure > held:
                held, spare = sure, spare - (sure - held) * (spare + excess) / (end - held)
            tick = held + 1
    return held


@part
def _overlap(k: int, C: int, tick: float, others: float, desk: Desk) -> float:
    """By how much, after that many ticks, the farthest of the k is farther than the nearest of the rest and
    of `others`, if everybody goes straight on: at most."""
    squares, inward, w2, _ = desk
    farthest, nearest = 0.0, others
    for e in range(k):
        square = squares[e] + tick * (tick * w2[e] - 2 * inward[e])
        farthest = square if square > farthest else farthest
    for e in range(k, C):
        distance = squares[e] - tick * inward[e]
        nearest = distance if distance < nearest else nearest
    return math.sqrt(farthest) - nearest
