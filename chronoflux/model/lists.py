"""Neighbour lists kept from tick to tick, and renewed one by one only when they may have changed.

For each oscillator its k neighbours are kept, and m further candidates. No other oscillator was nearer
than ``reach`` when they were searched, and since then has come nearer by no more than the way of the fastest
and its own. As long as that leaves the reach beyond the k-th candidate, the neighbours are the nearest k of
the candidates; and they are the same k as before until a tick that can be told in advance.

Every candidate is taken to go on in a straight line, relative to the oscillator, with its velocity of now.
It strays from that line by no more than ``A s(s + 1)/2`` px in s ticks if no relative velocity changes by
more than A px a tick a tick; how steep the field can be near by bounds A. So the set cannot change before, on
these lines, the farthest of the k and the nearest of the rest come within ``A s(s + 1)`` px of each other.
Bounds are widened by more than rounding can do. What is kept only saves work: the sets are those of a search
at every tick.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from chronoflux.model.field import FAR, jet_slope, offset, pulse_slope
from chronoflux.model.jit import kernel, part
from chronoflux.model.neighbours import (
    Grid,
    Indices,
    divide,
    put_ascending,
    room_for,
    search,
    sort_into_cells,
)
from chronoflux.model.swarm import Floats, Longs, World

HORIZON = 512
"""Most ticks looked ahead."""
UNSEEN = 1e-9
"""Gradient (1/px) that all pulses too far off to be minded may come to."""
LOCAL = 0.1
"""Part of the gap that the steepest field there is may take until the field near by is worth a look."""
SLACK = 1e-12
"""Allowance for rounding within the horizon, in parts of the world's half circumference."""
STALE = 0.1
"""The grid is filled anew when the fastest may have gone this part of a cell."""
ROUNDS = 100.0
"""The way of the fastest is counted from 0 again when it is this many half circumferences."""
NOBODY = -1
LOOKS = 4
"""Most ticks at which it is looked whether the candidates still stand as they do."""
TINY, NEVER = 1e-300, 1e300
MIDDLE = 0.55
"""Usual relative speed of candidates in parts of the fastest's."""
GRAIN = 4e-15
"""Allowance for rounding in distances squared after some ticks."""
TRAVELLED, FILLED, SPEED, JOLTED, STEEP, WIDE = 0, 1, 2, 3, 4, 5
"""Places in ``Lists.way``."""


class Lists(NamedTuple):
    """What is kept of n oscillators in slots 0 to n − 1.

    ``near``: int32 (n, k), slots of the neighbours, by ascending name. ``rest``: int32 (n, m), slots of the
    other candidates, then NOBODY. ``until``: int64 (n,), the first tick that needs a look. ``reach``:
    float64 (n,), px, plus the way travelled then, less that of its own until the next look. ``names``: int32
    (n,), the index of the oscillator in each slot, by which ties are decided. ``way``: float64 (6,): px that
    the fastest may have travelled in all, that when the grid was filled, px a tick of the fastest now,
    whether velocities may change in the next tick by more than was foreseen, the steepest gradient (1/px)
    foreseen, and the distance (px) of candidates up to which it is asked how steep it is near by.
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

    ``step``: px a tick of a velocity of 1. ``pull``: px a tick that a gradient of 1 changes a velocity by in
    a tick; ``steep``: no gradient exceeds it; ``drag``: the part of a velocity that a tick takes. ``portal``,
    ``fired``: what the field is made of.
    """

    x: Floats
    y: Floats
    vx: Floats
    vy: Floats
    world: World
    plane: bool
    step: float
    pull: float
    steep: float
    drag: float
    portal: bool
    fired: Floats


class Desk(NamedTuple):
    """Where one oscillator's candidates are looked at: float64 and int32, with room to search.

    ``squares``: ``r·r``, ``outward``: ``2 r·w``, ``w2``: ``w·w`` of way r and velocity w relative to the
    oscillator; ``slots``.
    """

    squares: Floats
    outward: Floats
    w2: Floats
    slots: Indices


@part
def desk_for(lists: Lists) -> Desk:
    """A desk to renew such lists at."""
    room = room_for(lists.near.shape[1] + lists.rest.shape[1])
    return Desk(np.empty(room), np.empty(room), np.empty(room), np.empty(room, np.int32))


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
    if lists.way[JOLTED] > 0.0:
        for i in range(len(lists.reach)):
            lists.reach[i] -= way
        lists.way[JOLTED] = 0.0
    if lists.way[TRAVELLED] > ROUNDS * around:
        for i in range(len(lists.reach)):
            lists.reach[i] -= lists.way[TRAVELLED]
        lists.way[FILLED] -= lists.way[TRAVELLED]
        lists.way[TRAVELLED] = 0.0
    columns, rows = lists.grid.shape
    cell = min(space.world[0] / columns, space.world[1] / rows)
    if lists.way[TRAVELLED] - lists.way[FILLED] > STALE * cell and lists.rest.shape[1] > 0:
        sort_into_cells(space.x, space.y, space.world, lists.grid)
        lists.way[FILLED] = lists.way[TRAVELLED]


@part
def ahead(fastest: float, pull: float) -> float:
    """px that nobody goes further within the horizon, velocities changing by `pull` px a tick at most."""
    return HORIZON * (fastest + HORIZON * pull)


@kernel
def disturb(lists: Lists, space: Space, pulse: Floats) -> None:
    """Have those looked at again for whom a new pulse (x, y, E, sigma, …) may matter within the horizon."""
    radius = FAR * pulse[3] + lists.way[WIDE] + 2 * ahead(lists.way[SPEED], space.pull * space.steep)
    for i in range(len(lists.until)):
        dx = abs(offset(space.x[i], pulse[0], space.world[0], False))
        dy = abs(offset(space.y[i], pulse[1], space.world[1], False))
        if not dx * dx + dy * dy > radius * radius:
            lists.until[i] = 0


@part
def renew(first: int, end: int, tick: int, lists: Lists, space: Space, desk: Desk) -> int:
    """Bring the neighbours of the slots from `first` up to `end` up to date, where `tick` needs a look.

    `tick` is the one in which everybody has just moved. Returns how many were looked at.
    """
    near, rest, until, reaches, names, grid, way = lists
    k, m = near.shape[1], rest.shape[1]
    count = 0
    if m == 0:  # everybody else, for ever
        return count
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
        reach = reaches[i] - way[TRAVELLED]
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
                divide(k, C, reach, desk.squares, desk.slots)
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
        held, own = _holds(i, k, C, inner, outer, slack, reach, way[SPEED], way[WIDE], space, desk)
        until[i] = tick + 1 + int(held)
        reaches[i] = reach - own + way[TRAVELLED] if own < math.inf else -math.inf
    return count


@part
def _look(i: int, C: int, space: Space, desk: Desk) -> None:
    """Fill the desk's numbers for its first C slots."""
    x, y, vx, vy, world, plane, step = space[:7]
    squares, outward, w2, slots = desk
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
        outward[e] = 2 * (ax * sx + ay * sy)
        w2[e] = ux * ux + uy * uy


@part
def _choose(k: int, C: int, names: Indices, desk: Desk) -> tuple[bool, float, float]:
    """Bring the nearest k of the first C to the front of the desk.

    Returns whether that changed anything, the distance of the farthest of them, and of the nearest other.
    """
    squares, outward, w2, slots = desk
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
        outward[near], outward[far] = outward[far], outward[near]
        w2[near], w2[far] = w2[far], w2[near]
        slots[near], slots[far] = slots[far], slots[near]


@part
def _holds(
    i: int,
    k: int,
    C: int,
    inner: float,
    outer: float,
    slack: float,
    reach: float,
    fastest: float,
    wide: float,
    space: Space,
    desk: Desk,
) -> tuple[float, float]:
    """For how many ticks the chosen k stay the nearest, `inner` being the distance of the last of them, and
    `outer` of the next after them, `wide` as in ``Lists.way``; and how far the i-th can go until the tick
    after those, px; infinity where a search is due then."""
    own = math.sqrt(space.vx[i] * space.vx[i] + space.vy[i] * space.vy[i]) * space.step
    pull = space.pull * space.steep
    others = reach
    if not space.plane:  # other images than the nearest on the torus are as others
        others = min(others, min(space.world[0], space.world[1]) / 2)
    gap = min(outer, others) - inner - 4 * slack
    if not gap > 0.0 or space.drag > 1.0:
        return 0.0, (own + pull) * (1 + SLACK)
    widest = 0.0
    for e in range(C):
        widest = desk.w2[e] if desk.w2[e] > widest else widest
    widest = math.sqrt(widest)
    pace, near = MIDDLE * widest, pull
    if 2 * pull * gap > LOCAL * pace * pace:  # else it is the velocities that set the time
        farthest = 0.0
        for e in range(C):
            farthest = desk.squares[e] if desk.squares[e] > farthest else farthest
        if farthest <= wide * wide:
            near = space.pull * _steepest_near(i, math.sqrt(farthest) + ahead(fastest, pull), space)
    # Others can have come half the gap too near by then; and the gap cannot last longer than it would by
    # what the field alone may do.
    most = min(float(HORIZON), 1 + math.sqrt(gap / (2 * near + TINY)))
    most = np.floor(min(most, _last(others - inner - gap / 2, fastest + own, pull + near)))
    bend = 2 * near + space.drag * (widest + 2 * most * near) + TINY
    for e in range(k):  # wider than rounding can make them
        desk.squares[e] *= 1 + GRAIN
        desk.w2[e] *= 1 + GRAIN
    # The overlap is convex in time. So where it is below 0 it has always been; and between a tick where it is
    # and one where it is not, it is still at least until the chord crosses 0.
    held, spare, end, excess = 0.0, gap, math.inf, 0.0
    tick = np.floor(_last(gap, pace, bend)) + 1
    for _ in range(LOOKS):
        tick = min(tick, most)
        if not held < tick < end:
            break
        around = others - tick * (fastest + own) - (pull + near) * tick * (tick + 1)
        overlap = _overlap(k, C, tick, around, desk) + bend * tick * (tick + 1) + 4 * slack
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
            tick = held + 1 if excess < NEVER else np.floor((held + end) / 2)
    if (held + 1) * (fastest + own) > reach - inner - gap / 2:
        return held, math.inf  # by then the candidates will not do: no need to look at them
    return held, (held + 1) * (own + near * (held + 2) / 2) * (1 + SLACK)


@part
def _last(gap: float, pace: float, bend: float) -> float:
    """The time s at which ``pace · s + bend · s(s + 1)`` comes to `gap`, about."""
    pace += bend + TINY
    return 2 * gap / (pace + math.sqrt(pace * pace + 4 * bend * gap))


@part
def _steepest_near(i: int, radius: float, space: Space) -> float:
    """No gradient within `radius` px of the i-th oscillator exceeds this (1/px), now or later."""
    x, y, (width, height) = space.x[i], space.y[i], space.world
    left, right = x - radius < 0.0, x + radius >= width
    above, below = y - radius < 0.0, y + radius >= height
    if (left & right) | (above & below) | (space.plane & (left | right | above | below)):
        return space.steep
    bound = UNSEEN
    if not space.portal:
        for across in range(-int(right), int(left) + 1):  # what lies beyond a seam comes in at the other side
            for down in range(-int(below), int(above) + 1):
                bound = max(bound, jet_slope(x + across * width, y + down * height, radius, space.world))
    for pulse in space.fired:
        dx = offset(x, pulse[0], width, space.plane)
        dy = offset(y, pulse[1], height, space.plane)
        bound += pulse_slope(pulse[2], pulse[3], math.sqrt(dx * dx + dy * dy) - radius)
    return min(bound * (1 + SLACK), space.steep)


@part
def _overlap(k: int, C: int, tick: float, others: float, desk: Desk) -> float:
    """By how much, after that many ticks, the farthest of the k is farther than the nearest of the rest and
    of `others`, if everybody goes straight on: at most.

    Of the rest, ``r·r + 2 t r·w`` is a bound from below: its root is concave in time, as that of the k is
    convex. NEVER where it has none.
    """
    squares, outward, w2, _ = desk
    farthest, nearest = 0.0, math.inf
    for e in range(k):
        square = squares[e] + tick * (outward[e] + tick * w2[e])
        farthest = square if square > farthest else farthest
    for e in range(k, C):
        square = squares[e] + tick * outward[e]
        nearest = square if square < nearest else nearest
    if not nearest > 0.0:
        return NEVER
    return math.sqrt(farthest) - min(math.sqrt(nearest), others)
