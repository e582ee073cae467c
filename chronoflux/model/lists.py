"""Neighbour lists kept from tick to tick, and renewed one by one only when they may have changed.

For each oscillator its k neighbours are kept, and m further candidates. No other oscillator was nearer
than ``reach`` when they were searched, and since then has come nearer by no more than twice the way of
the fastest. As long as that leaves the reach beyond the k-th candidate, the neighbours are the nearest k of
the candidates; and they are the same k as before until a tick that can be told in advance.

Let the k-th candidate be at distance d, the next one (or the reach) at D, and ``ρ = (d + D)/2``. Every
candidate is taken to go on in a straight line, relative to the oscillator, with its velocity of now. No
oscillator strays further than ``A s(s + 1)/2`` px from its line in s ticks if no velocity changes by more
than A px a tick a tick. So the set cannot change before an inner candidate's line leaves the circle of
radius ``ρ − A s(s + 1)``, or an outer one's enters that of ``ρ + A s(s + 1)``. Bounds are widened by more
than rounding can do. What is kept only saves work: the sets are those of a search at every tick.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from chronoflux.model.jit import kernel, part
from chronoflux.model.neighbours import Grid, Indices, put_ascending, search, sort_into_cells
from chronoflux.model.swarm import Floats, Longs, World

HORIZON = 128
"""Most ticks looked ahead: the further, the larger A may become by the drag on what gets faster."""
SLACK = 1e-12
"""Allowance for rounding within the horizon, in parts of the world's half circumference."""
STALE = 0.2
"""The grid is filled anew when the fastest may have gone this part of a cell."""
FAR = 100.0
"""The way of the fastest is counted from 0 again when it is this many half circumferences."""
TINY = 1e-300
TRAVELLED, FILLED, SPEED = 0, 1, 2
"""Places in ``Lists.way``."""


class Lists(NamedTuple):
    """What is kept of n oscillators in slots 0 to n − 1.

    ``near``: int32 (n, k), slots of the neighbours, by ascending name. ``rest``: int32 (n, m), slots of the
    other candidates. ``until``: int64 (n,), the first tick that needs a look. ``reach``: float64 (n,), px,
    plus twice the way travelled when searched. ``names``: int32 (n,), the index of the oscillator in each
    slot, by which ties are decided. ``way``: float64 (3,): px that the fastest may have travelled in all,
    that when the grid was filled, and px a tick of the fastest now.
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
    """Where one oscillator's candidates are looked at: float64 and int32 (k + m,).

    ``squares``: distances squared; ``inward``: ``−r·w``, ``w2``: ``w·w`` of way r and velocity w relative
    to the oscillator; ``slots``.
    """

    squares: Floats
    inward: Floats
    w2: Floats
    slots: Indices


@part
def new_desk(lists: Lists) -> Desk:
    """A desk for these lists."""
    C = lists.near.shape[1] + lists.rest.shape[1]
    return Desk(np.empty(C), np.empty(C), np.empty(C), np.empty(C, np.int32))


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
        lists.until[:] = 0
    if lists.way[TRAVELLED] > FAR * around:
        lists.reach[:] -= 2 * lists.way[TRAVELLED]
        lists.way[FILLED] -= lists.way[TRAVELLED]
        lists.way[TRAVELLED] = 0.0
    columns, rows = lists.grid.shape
    cell = min(space.world[0] / columns, space.world[1] / rows)
    if lists.way[TRAVELLED] - lists.way[FILLED] > STALE * cell and lists.rest.shape[1] > 0:
        sort_into_cells(space.x, space.y, space.world, lists.grid)
        lists.way[FILLED] = lists.way[TRAVELLED]


@part
def renew(i: int, tick: int, lists: Lists, space: Space, desk: Desk) -> None:
    """Bring the neighbours of slot i up to date, and say until when they hold.

    `tick` is the one in which everybody has just moved.
    """
    k, C = lists.near.shape[1], len(desk.slots)
    if k == len(space.x) - 1:
        return  # everybody, for ever
    for e in range(k):
        desk.slots[e] = lists.near[i, e]
    for e in range(C - k):
        desk.slots[k + e] = lists.rest[i, e]
    reach = lists.reach[i] - 2 * lists.way[TRAVELLED]
    slack = SLACK * (space.world[0] + space.world[1])
    changed, inner, outer = False, 0.0, 0.0
    if reach > slack:
        _look(i, space, desk)
        changed, inner, outer = _choose(k, lists.names, desk)
    if not reach - slack > outer or not reach - slack > inner:
        stale = lists.way[TRAVELLED] - lists.way[FILLED]
        search(
            i, space.x, space.y, lists.names, space.world, space.plane, lists.grid, stale + slack,
            desk.squares, desk.slots,
        )
        changed = True
        reach = math.sqrt(desk.squares[-1]) if C < len(space.x) - 1 else math.inf
        lists.reach[i] = reach + 2 * lists.way[TRAVELLED]
        _look(i, space, desk)
        inner, outer = math.sqrt(desk.squares[k - 1]), math.sqrt(desk.squares[k]) if C > k else math.inf
    if changed:
        put_ascending(desk.slots[:k], lists.names, lists.near[i])
        for e in range(C - k):
            lists.rest[i, e] = desk.slots[k + e]
    outer = min(outer, reach)
    lists.until[i] = tick + 1 + _holds(k, inner, outer, slack, reach, lists, space, desk)


@part
def _look(i: int, space: Space, desk: Desk) -> None:
    """Fill the desk's numbers for its slots."""
    x, y, vx, vy, world, plane, step, _, _ = space
    squares, inward, w2, slots = desk
    xi, yi, ui, wi = x[i], y[i], vx[i], vy[i]
    around = math.inf if plane else 1.0
    for e in range(len(slots)):
        j = slots[e]
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
def _choose(k: int, names: Indices, desk: Desk) -> tuple[bool, float, float]:
    """Bring the nearest k to the front of the desk.

    Returns whether that changed anything, the distance of the farthest of them, and of the nearest other.
    """
    squares, inward, w2, slots = desk
    C = len(slots)
    changed = False
    while True:
        far, near = 0, k
        for e in range(1, k):
            if squares[e] > squares[far] or (
                squares[e] == squares[far] and names[slots[e]] > names[slots[far]]
            ):
                far = e
        for e in range(k + 1, C):
            if squares[e] < squares[near] or (
                squares[e] == squares[near] and names[slots[e]] < names[slots[near]]
            ):
                near = e
        if C == k:
            return changed, math.sqrt(squares[far]), math.inf
        if squares[near] > squares[far] or (
            squares[near] == squares[far] and names[slots[near]] > names[slots[far]]
        ):
            return changed, math.sqrt(squares[far]), math.sqrt(squares[near])
        changed = True
        squares[near], squares[far] = squares[far], squares[near]
        inward[near], inward[far] = inward[far], inward[near]
        w2[near], w2[far] = w2[far], w2[near]
        slots[near], slots[far] = slots[far], slots[near]


@part
def _holds(
    k: int,
    inner: float,
    outer: float,
    slack: float,
    reach: float,
    lists: Lists,
    space: Space,
    desk: Desk,
) -> int:
    """For how many ticks the chosen k stay the nearest, `inner` being the distance of the last of them, and
    `outer` of the next after them."""
    half = (outer - inner) / 2 - slack
    if not half > slack or space.drag > 1.0:
        return 0
    squares, inward, w2, slots = desk
    fastest = lists.way[SPEED]
    bend = space.pull + space.drag * (fastest + HORIZON * space.pull) + TINY
    mean = 0.0
    for e in range(len(slots)):
        mean += w2[e]
    speed = 0.5 * math.sqrt(mean / len(slots))
    # How much of the gap to leave to straying: about as much as it will come to when the rest is used up.
    likely = 2 * half / (speed + math.sqrt(speed * speed + 4 * bend * half))
    stray = min(bend * likely * (likely + 1), 0.75 * half)
    straight = half - stray
    ticks = min(float(HORIZON), (math.sqrt(1 + 4 * stray / bend) - 1) / 2)
    within, beyond = (inner + straight) ** 2, (outer - straight) ** 2
    for e in range(k):
        away, room = max(-inward[e], 0.0), within - squares[e]
        desk.inward[e] = room / (away + math.sqrt(away * away + w2[e] * room) + TINY)
    for e in range(k, len(slots)):
        nearing, room = max(inward[e], 0.0), squares[e] - beyond
        desk.inward[e] = room / (nearing + math.sqrt(max(nearing * nearing - w2[e] * room, 0.0)) + TINY)
    for e in range(len(slots)):
        ticks = min(ticks, desk.inward[e])
    if reach < math.inf:
        ticks = min(ticks, (reach - (outer - straight)) / (2 * fastest + TINY))
    if not space.plane:  # until then nobody's other image on the torus can have come that near
        ticks = min(ticks, (min(space.world[0], space.world[1]) / 2 - outer) / (2 * fastest + TINY))
    return int(ticks) if ticks > 0.0 else 0
