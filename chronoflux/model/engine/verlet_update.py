"""Looks at kept neighbour lists: whether the neighbours are still the nearest, and until when they will be.

What a look goes by is told in :mod:`chronoflux.model.engine.verlet_lists`. Those due for one are looked at
eight at a time, a lane for each: a look at one alone would take as long, as it waits for its own results most
of the time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from chronoflux.model.engine.arrays import Floats
from chronoflux.model.engine.cell_list import Indices, Room, put_ascending, room_for, search
from chronoflux.model.engine.field import jet_slope, offset, pulse_slope
from chronoflux.model.engine.jit import maker, part
from chronoflux.model.engine.simd import (
    LANES,
    Eight,
    all_of,
    floor,
    greatest,
    least,
    pick,
    put,
    root,
    size,
    some,
    take,
)
from chronoflux.model.engine.verlet_lists import (
    FILLED,
    HORIZON,
    NOBODY,
    SLACK,
    SPEED,
    TRAVELLED,
    UNSEEN,
    WIDE,
    Space,
    VerletLists,
    ahead,
)

LOCAL = 0.1
"""Part of the gap that the steepest field there is may take until the field near by is worth a look."""
LOOKS = 4
"""Most ticks at which it is looked whether the candidates still stand as they do."""
MIDDLE = 0.55
"""Usual relative speed of candidates in parts of the fastest's."""
GRAIN = 4e-15
"""Allowance for rounding in distances squared after some ticks."""
TINY, NEVER = 1e-300, 1e299
NOWHERE = 1e150
"""How far off a candidate is that there is not, px; its square is above NEVER, and still a number."""
REACH, OWN, INNER, OUTER, FAR, CLOSE, STATE, GAP, PACE, FARTHEST, NEAR, HELD = range(12)
"""Rows of ``Workspace.lanes``."""


class Workspace(NamedTuple):
    """Where oscillators are looked at, one in each lane.

    ``due``: int32, slots that need a look. ``fresh``: whether that in each lane has just been searched.
    ``squares``: ``r·r``, ``outward``: ``2 r·w``, ``w2``: ``w·w`` of way r and velocity w relative to the
    oscillator: flat, with a row of LANES for each candidate; ``spare`` is one more. ``lanes``: the same with
    a row for each thing to know of the oscillators. ``room``: to search.
    """

    due: Indices
    fresh: Indices
    squares: Floats
    outward: Floats
    w2: Floats
    spare: Floats
    lanes: Floats
    room: Room


@maker
def desk_for(lists: VerletLists, most: int) -> Workspace:
    """A desk to look at such lists, of up to `most` oscillators at once."""
    C = lists.near.shape[1] + lists.rest.shape[1]
    seats = LANES * C
    return Workspace(
        np.zeros(2 * most, np.int32),
        np.zeros(LANES, np.int32),
        np.zeros(seats),
        np.zeros(seats),
        np.zeros(seats),
        np.zeros(seats),
        np.zeros(LANES * (HELD + 1)),
        room_for(C),
    )


@part
def renew(first: int, end: int, tick: int, lists: VerletLists, space: Space, desk: Workspace) -> int:
    """Bring the neighbours of the slots from `first` up to `end` up to date, where `tick` needs a look.

    `tick` is the one in which everybody has just moved. Returns how many were looked at.
    """
    near, rest, until, reaches, names, _, way = lists
    k, m = near.shape[1], rest.shape[1]
    if m == 0:  # everybody else, for ever
        return 0
    due, done = int(np.int64(0)), int(np.int64(0))
    for i in range(first, end):
        desk.due[due] = i
        due += until[i] <= tick
    count, slack = due, SLACK * (space.world[0] + space.world[1])
    while done < due:
        Q = min(LANES, due - done)
        who, done = desk.due[done : done + Q], done + Q
        put(desk.lanes, REACH, all_of(0.0))  # in lanes left over too
        for q in range(Q):
            reach = reaches[who[q]] - way[TRAVELLED]
            desk.fresh[q] = not reach > slack
            if desk.fresh[q]:
                reach = _look_round(who[q], slack, lists, space, desk)
            desk.lanes[REACH * LANES + q] = reach
            _sit(q, who[q], near, rest, space, desk)
        _weigh(k + m, space, desk)
        _choose(who, names, near, rest, desk)
        _hold(who, k, k + m, slack, way[SPEED], way[WIDE], space, desk)
        for q in range(Q):
            i, held = who[q], desk.lanes[HELD * LANES + q]
            if held < 0.0 and not desk.fresh[q]:  # they do not suffice: search
                reaches[i] = -math.inf
                desk.due[due] = i
                due += 1
            else:
                until[i] = tick + 1 + int(held)
                reaches[i] = desk.lanes[REACH * LANES + q] + way[TRAVELLED]
    return count


@part
def _look_round(i: int, slack: float, lists: VerletLists, space: Space, desk: Workspace) -> float:
    """Search the i-th one's candidates, and return the distance that nobody else is nearer than."""
    near, rest, names, way = lists.near[i], lists.rest[i], lists.names, lists.way
    k, m, stale = len(near), len(rest), way[TRAVELLED] - way[FILLED] + slack
    C, reach = search(
        i,
        k + 1,
        k + m,
        space.x,
        space.y,
        names,
        space.world,
        space.plane,
        lists.grid,
        stale,
        desk.room,
    )
    put_ascending(k, names, desk.room, near)
    for e in range(m):
        rest[e] = desk.room.slots[k + e] if k + e < C else NOBODY
    return reach


@part
def _sit(q: int, i: int, near: Indices, rest: Indices, space: Space, desk: Workspace) -> None:
    """Give the i-th one the lane q: put ways and velocities of its candidates where :func:`_weigh` wants
    them."""
    x, y, vx, vy = space.x, space.y, space.vx, space.vy
    xi, yi, ui, wi, k = x[i], y[i], vx[i], vy[i], near.shape[1]
    desk.lanes[OWN * LANES + q] = ui * ui + wi * wi
    at = np.uint64(q)  # an unsigned index is not looked at for being negative
    for e in range(k):
        j = np.uint32(near[i, e])
        desk.squares[at], desk.outward[at] = x[j] - xi, y[j] - yi
        desk.w2[at], desk.spare[at] = vx[j] - ui, vy[j] - wi
        at += np.uint64(LANES)
    for e in range(rest.shape[1]):
        here = rest[i, e] != NOBODY
        j = np.uint32(rest[i, e]) if here else np.uint32(i)
        desk.squares[at], desk.outward[at] = x[j] - xi if here else NOWHERE, y[j] - yi
        desk.w2[at], desk.spare[at] = vx[j] - ui, vy[j] - wi
        at += np.uint64(LANES)


@part
def _weigh(C: int, space: Space, desk: Workspace) -> None:
    """Make of ways and velocities what the desk is to tell of C candidates, and note the distance squared of
    the farthest, and the fastest's w·w."""
    (width, height), step = space.world, space.step
    if space.plane:
        width, height = math.inf, math.inf
    farthest, widest = all_of(0.0), all_of(0.0)
    for e in range(C):
        a, b, u, w = take(desk.squares, e), take(desk.outward, e), take(desk.w2, e), take(desk.spare, e)
        c, d = a - pick(0.0, a, width, -width), b - pick(0.0, b, height, -height)
        a, b = pick(size(c), size(a), c, a), pick(size(d), size(b), d, b)
        square, speed2 = a * a + b * b, (u * u + w * w) * (step * step)
        put(desk.squares, e, square)
        put(desk.outward, e, (a * u + b * w) * (2 * step))
        put(desk.w2, e, speed2)
        widest = greatest(widest, speed2)
        farthest = greatest(farthest, pick(square, NEVER, square, 0.0))
    put(desk.lanes, FARTHEST, farthest)
    put(desk.lanes, PACE, widest)


@part
def _choose(who: Indices, names: Indices, near: Indices, rest: Indices, desk: Workspace) -> None:
    """Bring the nearest k of each one's candidates to the first rows and into its list, and note the
    distances squared of the farthest of them and of the nearest other."""
    k, C, lanes = near.shape[1], near.shape[1] + rest.shape[1], desk.lanes
    inner, second, far = all_of(0.0), all_of(0.0), all_of(0.0)
    for e in range(k):
        square = take(desk.squares, e)
        second = greatest(second, least(inner, square))
        far = pick(inner, square, float(e), far)
        inner = greatest(inner, square)
    outer, next_, close = all_of(NEVER), all_of(NEVER), all_of(float(k))
    for e in range(k, C):
        square = take(desk.squares, e)
        next_ = least(next_, greatest(outer, square))
        close = pick(square, outer, float(e), close)
        outer = least(outer, square)
    # Mostly one has come nearer than one of the k, or nobody.
    lesser, greater = greatest(second, outer), least(next_, inner)
    put(lanes, INNER, pick(inner, outer, inner, lesser))
    put(lanes, OUTER, pick(inner, outer, outer, greater))
    if not some(pick(inner, outer, 1.0, 0.0), 0.5):
        return
    put(lanes, STATE, pick(inner, outer, 1.0, pick(lesser, greater, 0.0, -1.0)))
    put(lanes, FAR, far)
    put(lanes, CLOSE, close)
    for q in range(len(who)):
        state = lanes[STATE * LANES + q]
        if state > 0.0:
            continue
        i = who[q]
        if state == 0.0:
            _swap(q, i, int(lanes[FAR * LANES + q]), int(lanes[CLOSE * LANES + q]), near, rest, desk)
        elif not _exchange(q, i, names, near, rest, desk):
            continue
        for e in range(k):
            desk.room.slots[e] = near[i, e]
        put_ascending(k, names, desk.room, near[i])


@part
def _swap(q: int, i: int, far: int, close: int, near: Indices, rest: Indices, desk: Workspace) -> None:
    """Let a neighbour and another candidate of the i-th one, in lane q, change places."""
    squares, outward, w2, other = desk.squares, desk.outward, desk.w2, close - near.shape[1]
    a, b = far * LANES + q, close * LANES + q
    squares[a], squares[b] = squares[b], squares[a]
    outward[a], outward[b] = outward[b], outward[a]
    w2[a], w2[b] = w2[b], w2[a]
    near[i, far], rest[i, other] = rest[i, other], near[i, far]


@part
def _exchange(q: int, i: int, names: Indices, near: Indices, rest: Indices, desk: Workspace) -> bool:
    """Swap the farthest neighbour in lane q and the nearest other until they are the nearest k; ties go to
    the lower name. Notes their distances squared, and returns whether that changed anything."""
    squares, k, C = desk.squares, near.shape[1], near.shape[1] + rest.shape[1]
    changed = False
    while True:
        far, close = 0, k
        for e in range(1, k):
            more = squares[e * LANES + q] - squares[far * LANES + q]
            if more > 0.0 or (more == 0.0 and names[near[i, e]] > names[near[i, far]]):
                far = e
        for e in range(k + 1, C):
            more = squares[e * LANES + q] - squares[close * LANES + q]
            if more < 0.0 or (more == 0.0 and names[rest[i, e - k]] < names[rest[i, close - k]]):
                close = e
        inner, outer = squares[far * LANES + q], squares[close * LANES + q]
        if inner < outer or (inner == outer and names[near[i, far]] < names[rest[i, close - k]]):
            break
        changed = True
        _swap(q, i, far, close, near, rest, desk)
    desk.lanes[INNER * LANES + q], desk.lanes[OUTER * LANES + q] = inner, outer
    return changed


@part
def _hold(
    who: Indices, k: int, C: int, slack: float, fastest: float, wide: float, space: Space, desk: Workspace
) -> None:
    """Note for how many ticks the first k stay the nearest of the candidates of each one, who[q] in lane q;
    −1 where others may be nearer already. `wide` as in ``VerletLists.way``.

    Of ``REACH``, how far nobody else was nearer, is taken how far each can go until the tick after those; −∞
    is left where a search is due then.
    """
    pull, drag, lanes = space.pull * space.steep, space.drag, desk.lanes
    inner, outer = root(take(lanes, INNER)), root(take(lanes, OUTER))
    reach, own, widest2 = take(lanes, REACH), root(take(lanes, OWN)) * space.step, take(lanes, PACE)
    others = least(reach, NOWHERE)
    if not space.plane:  # other images than the nearest on the torus are as others
        others = least(others, min(space.world[0], space.world[1]) / 2)
    gap = least(outer, others) - inner - 4 * slack
    widest = root(widest2)
    pace, near = widest * MIDDLE, all_of(pull)
    if some(pace * pace * LOCAL, gap * (2 * pull)):  # else it is the velocities that set the time
        put(lanes, GAP, gap * (2 * pull) - pace * pace * LOCAL)
        put(lanes, NEAR, near)
        for q in range(len(who)):
            farthest = math.sqrt(lanes[FARTHEST * LANES + q])
            if lanes[GAP * LANES + q] > 0.0 and farthest <= wide:
                steep = _steepest_near(who[q], farthest + ahead(fastest, pull), space)
                lanes[NEAR * LANES + q] = space.pull * steep
        near = take(lanes, NEAR)
    # Others can have come half the gap too near by then; and the gap cannot last longer than it would by
    # what the field alone may do.
    spare = greatest(gap, 0.0)
    most = least(root(spare / (near * 2 + TINY)) + 1, float(HORIZON))
    most = least(most, _last(greatest(others - inner - spare * 0.5, 0.0), own + fastest, near + pull))
    most = pick(0.0, gap, floor(most), 0.0) if drag <= 1.0 else all_of(0.0)
    bend = near * 2 + (widest + most * near * 2) * drag + TINY
    # The overlap is convex in time. So where it is below 0 it has always been; and between a tick where it is
    # and one where it is not, it is still at least until the chord crosses 0.
    held, end, excess = all_of(0.0), all_of(NEVER), all_of(0.0)
    tick = floor(_last(spare, pace, bend)) + 1
    for _ in range(LOOKS):
        tick = least(tick, most)
        asked = pick(held, tick, tick, math.inf)
        if not some(asked, end):
            break
        bent = tick * (tick + 1)
        around = others - tick * (own + fastest) - (near + pull) * bent
        overlap = _overlap(k, C, tick, around, desk) + bend * bent + 4 * slack
        state = pick(asked, end, overlap + TINY, math.nan)
        held, spare = pick(state, 0.0, tick, held), pick(state, 0.0, overlap * -1.0, spare)
        end, excess = pick(0.0, state, tick, end), pick(0.0, state, overlap, excess)
        slope = (spare + excess) / pick(end, NEVER, end - held, 1.0)
        sure = pick(end, NEVER, least(held + floor(spare / (slope + TINY)), end - 1), held)
        held, spare = sure, spare - (sure - held) * slope
        tick = pick(end, NEVER, pick(excess, NEVER, held + 1, floor((held + end) * 0.5)), held * 2)
    going = (held + 1) * (own + near * (held + 2) * 0.5) * (1 + SLACK)
    late = pick(reach - inner - gap * 0.5, (held + 1) * (own + fastest), -math.inf, reach - going)
    put(lanes, HELD, pick(outer, reach - slack, held, -1.0))
    put(lanes, REACH, pick(0.0, gap, late, reach - going))


@part
def _overlap(k: int, C: int, tick: Eight, others: Eight, desk: Workspace) -> Eight:
    """By how much, after that many ticks, the farthest of the k is farther than the nearest of the rest and
    of `others`, if everybody goes straight on: at most.

    Of the rest, ``r·r + 2 t r·w`` is a bound from below: its root is concave in time, as that of the k is
    convex. NEVER where it has none.
    """
    farthest, nearest = all_of(0.0), all_of(NEVER)
    for e in range(k):
        square = take(desk.squares, e) + tick * tick * take(desk.w2, e)
        farthest = greatest(farthest, square * (1 + GRAIN) + tick * take(desk.outward, e))
    for e in range(k, C):
        nearest = least(nearest, take(desk.squares, e) + tick * take(desk.outward, e))
    return pick(0.0, nearest, root(farthest) - least(root(greatest(nearest, 0.0)), others), NEVER)


@part
def _last(gap: Eight, pace: Eight, bend: Eight) -> Eight:
    """The time s at which ``pace · s + bend · s(s + 1)`` comes to `gap`, about."""
    start = pace + bend + TINY
    return gap * 2 / (start + root(start * start + bend * gap * 4))


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
