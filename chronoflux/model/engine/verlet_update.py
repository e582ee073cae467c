"""Refreshes Verlet lists: whether the neighbours are still the nearest, and for how many ticks they will be.

The bounds are explained in :mod:`chronoflux.model.engine.verlet_lists`. Lists that are due are checked eight
at a time, one in each SIMD lane: one alone takes as long, as most of the time it waits for its own results.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from chronoflux.model.engine.arrays import Floats
from chronoflux.model.engine.cell_list import Indices, Room, put_ascending, room_for, search
from chronoflux.model.engine.field import jet_slope, offset, pulse_slope
from chronoflux.model.engine.jit import allocating, device_function
from chronoflux.model.engine.simd import (
    LANES,
    Float64x8,
    absolute,
    any_less,
    floor,
    load,
    maximum,
    minimum,
    select,
    splat,
    sqrt,
    store,
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
REACH, OWN, INNER, OUTER, FAR, CLOSE, STATE, GAP, PACE, FARTHEST, NEAR, HELD, LATE = range(13)
"""Rows of ``Workspace.lanes``."""


class Workspace(NamedTuple):
    """Working memory of a refresh, one oscillator in each lane.

    ``due``: int32, slots whose lists are due. ``fresh``: whether that in each lane has just been searched.
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


@allocating
def workspace_for(lists: VerletLists, most: int) -> Workspace:
    """Working memory to refresh such lists, of up to `most` oscillators at once."""
    C = lists.neighbours.shape[1] + lists.candidates.shape[1]
    seats = LANES * C
    return Workspace(
        np.zeros(2 * most, np.int32),
        np.zeros(LANES, np.int32),
        np.zeros(seats),
        np.zeros(seats),
        np.zeros(seats),
        np.zeros(seats),
        np.zeros(LANES * (LATE + 1)),
        room_for(C),
    )


@device_function
def refresh_lists(first: int, end: int, tick: int, lists: VerletLists, space: Space, work: Workspace) -> int:
    """Bring the lists of the slots from `first` up to `end` up to date, where they are due at `tick`.

    `tick` is the one in which everybody has just moved. Returns how many were checked.
    """
    near, candidates, valid_until, exclusion_radii, names, _, way = lists
    k, m = near.shape[1], candidates.shape[1]
    if m == 0:  # everybody else, for ever
        return 0
    due, done = int(np.int64(0)), int(np.int64(0))
    for i in range(first, end):
        work.due[due] = i
        due += abs(valid_until[i]) <= tick
    count, slack = due, SLACK * (space.world[0] + space.world[1])
    while done < due:
        Q = min(LANES, due - done)
        who, done = work.due[done : done + Q], done + Q
        store(work.lanes, REACH, splat(0.0))  # in lanes left over too
        for q in range(Q):
            reach = exclusion_radii[who[q]] - way[TRAVELLED]
            work.fresh[q] = (not reach > slack) | (valid_until[who[q]] < 0)
            if work.fresh[q]:
                reach = _search_candidates(who[q], slack, lists, space, work)
            work.lanes[REACH * LANES + q] = reach
            _load_lane(q, who[q], near, candidates, space, work)
        _relative_motion(k + m, space, work)
        _select_nearest(who, names, near, candidates, work)
        _validity_horizon(who, k, k + m, slack, way[SPEED], way[WIDE], space, work)
        for q in range(Q):
            i, held = who[q], work.lanes[HELD * LANES + q]
            if held < 0.0 and not work.fresh[q]:  # they do not suffice: search
                exclusion_radii[i] = -math.inf
                work.due[due] = i
                due += 1
            else:
                check = tick + 1 + int(held)
                valid_until[i] = -check if work.lanes[LATE * LANES + q] > 0.0 else check
                exclusion_radii[i] = work.lanes[REACH * LANES + q] + way[TRAVELLED]
    return count


@device_function
def _search_candidates(i: int, slack: float, lists: VerletLists, space: Space, work: Workspace) -> float:
    """Search the i-th one's candidates, and return the distance that nobody else is nearer than."""
    near, candidates, names, way = lists.neighbours[i], lists.candidates[i], lists.names, lists.way
    k, m, stale = len(near), len(candidates), way[TRAVELLED] - way[FILLED] + slack
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
        work.room,
    )
    put_ascending(k, names, work.room, near)
    for e in range(m):
        candidates[e] = work.room.slots[k + e] if k + e < C else NOBODY
    return reach


@device_function
def _load_lane(q: int, i: int, near: Indices, candidates: Indices, space: Space, work: Workspace) -> None:
    """Load oscillator i into lane q: relative positions and velocities of its candidates, as
    :func:`_relative_motion` takes them."""
    x, y, vx, vy = space.x, space.y, space.vx, space.vy
    xi, yi, ui, wi, k = x[i], y[i], vx[i], vy[i], near.shape[1]
    work.lanes[OWN * LANES + q] = ui * ui + wi * wi
    at = np.uint64(q)  # an unsigned index is not looked at for being negative
    for e in range(k):
        j = np.uint32(near[i, e])
        work.squares[at], work.outward[at] = x[j] - xi, y[j] - yi
        work.w2[at], work.spare[at] = vx[j] - ui, vy[j] - wi
        at += np.uint64(LANES)
    for e in range(candidates.shape[1]):
        here = candidates[i, e] != NOBODY
        j = np.uint32(candidates[i, e]) if here else np.uint32(i)
        work.squares[at], work.outward[at] = x[j] - xi if here else NOWHERE, y[j] - yi
        work.w2[at], work.spare[at] = vx[j] - ui, vy[j] - wi
        at += np.uint64(LANES)


@device_function
def _relative_motion(C: int, space: Space, work: Workspace) -> None:
    """Compute distances squared, ``2 r·w`` and ``w·w`` of C candidates, and store the distance squared of the
    farthest and the fastest's ``w·w``."""
    (width, height), step = space.world, space.step
    if space.plane:
        width, height = math.inf, math.inf
    farthest, widest = splat(0.0), splat(0.0)
    for e in range(C):
        a, b, u, w = load(work.squares, e), load(work.outward, e), load(work.w2, e), load(work.spare, e)
        c, d = a - select(0.0, a, width, -width), b - select(0.0, b, height, -height)
        a, b = select(absolute(c), absolute(a), c, a), select(absolute(d), absolute(b), d, b)
        square, speed2 = a * a + b * b, (u * u + w * w) * (step * step)
        store(work.squares, e, square)
        store(work.outward, e, (a * u + b * w) * (2 * step))
        store(work.w2, e, speed2)
        widest = maximum(widest, speed2)
        farthest = maximum(farthest, select(square, NEVER, square, 0.0))
    store(work.lanes, FARTHEST, farthest)
    store(work.lanes, PACE, widest)


@device_function
def _select_nearest(
    who: Indices, names: Indices, near: Indices, candidates: Indices, work: Workspace
) -> None:
    """Bring the nearest k of each one's candidates to the first rows and into its list, and note the
    distances squared of the farthest of them and of the nearest other."""
    k, C, lanes = near.shape[1], near.shape[1] + candidates.shape[1], work.lanes
    inner, second, far = splat(0.0), splat(0.0), splat(0.0)
    for e in range(k):
        square = load(work.squares, e)
        second = maximum(second, minimum(inner, square))
        far = select(inner, square, float(e), far)
        inner = maximum(inner, square)
    outer, next_, close = splat(NEVER), splat(NEVER), splat(float(k))
    for e in range(k, C):
        square = load(work.squares, e)
        next_ = minimum(next_, maximum(outer, square))
        close = select(square, outer, float(e), close)
        outer = minimum(outer, square)
    # Mostly one has come nearer than one of the k, or nobody.
    lesser, greater = maximum(second, outer), minimum(next_, inner)
    store(lanes, INNER, select(inner, outer, inner, lesser))
    store(lanes, OUTER, select(inner, outer, outer, greater))
    if not any_less(select(inner, outer, 1.0, 0.0), 0.5):
        return
    store(lanes, STATE, select(inner, outer, 1.0, select(lesser, greater, 0.0, -1.0)))
    store(lanes, FAR, far)
    store(lanes, CLOSE, close)
    for q in range(len(who)):
        state = lanes[STATE * LANES + q]
        if state > 0.0:
            continue
        i = who[q]
        if state == 0.0:
            _swap(q, i, int(lanes[FAR * LANES + q]), int(lanes[CLOSE * LANES + q]), near, candidates, work)
        elif not _exchange(q, i, names, near, candidates, work):
            continue
        for e in range(k):
            work.room.slots[e] = near[i, e]
        put_ascending(k, names, work.room, near[i])


@device_function
def _swap(q: int, i: int, far: int, close: int, near: Indices, candidates: Indices, work: Workspace) -> None:
    """Let a neighbour and another candidate of the i-th one, in lane q, change places."""
    squares, outward, w2, other = work.squares, work.outward, work.w2, close - near.shape[1]
    a, b = far * LANES + q, close * LANES + q
    squares[a], squares[b] = squares[b], squares[a]
    outward[a], outward[b] = outward[b], outward[a]
    w2[a], w2[b] = w2[b], w2[a]
    near[i, far], candidates[i, other] = candidates[i, other], near[i, far]


@device_function
def _exchange(q: int, i: int, names: Indices, near: Indices, candidates: Indices, work: Workspace) -> bool:
    """Swap the farthest neighbour in lane q and the nearest other until they are the nearest k; ties go to
    the lower name. Notes their distances squared, and returns whether that changed anything."""
    squares, k, C = work.squares, near.shape[1], near.shape[1] + candidates.shape[1]
    changed = False
    while True:
        far, close = 0, k
        for e in range(1, k):
            more = squares[e * LANES + q] - squares[far * LANES + q]
            if more > 0.0 or (more == 0.0 and names[near[i, e]] > names[near[i, far]]):
                far = e
        for e in range(k + 1, C):
            more = squares[e * LANES + q] - squares[close * LANES + q]
            if more < 0.0 or (more == 0.0 and names[candidates[i, e - k]] < names[candidates[i, close - k]]):
                close = e
        inner, outer = squares[far * LANES + q], squares[close * LANES + q]
        if inner < outer or (inner == outer and names[near[i, far]] < names[candidates[i, close - k]]):
            break
        changed = True
        _swap(q, i, far, close, near, candidates, work)
    work.lanes[INNER * LANES + q], work.lanes[OUTER * LANES + q] = inner, outer
    return changed


@device_function
def _validity_horizon(
    who: Indices, k: int, C: int, slack: float, fastest: float, wide: float, space: Space, work: Workspace
) -> None:
    """Store for how many ticks the first k stay the nearest of the candidates of who[q], in lane q: the
    validity horizon; −1 where others may be nearer already. `wide` as in ``VerletLists.way``.

    ``REACH``, the exclusion radius, becomes smaller by how far each can go until the tick after those.
    ``LATE``: 1 where it will be too small then for another such time, so that a search is due.
    """
    pull, drag, lanes = space.pull * space.steep, space.drag, work.lanes
    inner, outer = sqrt(load(lanes, INNER)), sqrt(load(lanes, OUTER))
    reach, own, widest2 = load(lanes, REACH), sqrt(load(lanes, OWN)) * space.step, load(lanes, PACE)
    others = minimum(reach, NOWHERE)
    if not space.plane:  # other images than the nearest on the torus are as others
        others = minimum(others, min(space.world[0], space.world[1]) / 2)
    gap = minimum(outer, others) - inner - 4 * slack
    widest = sqrt(widest2)
    pace, near = widest * MIDDLE, splat(pull)
    if any_less(pace * pace * LOCAL, gap * (2 * pull)):  # else it is the velocities that set the time
        store(lanes, GAP, gap * (2 * pull) - pace * pace * LOCAL)
        store(lanes, NEAR, near)
        for q in range(len(who)):
            farthest = math.sqrt(lanes[FARTHEST * LANES + q])
            if lanes[GAP * LANES + q] > 0.0 and farthest <= wide:
                steep = _steepest_near(who[q], farthest + ahead(fastest, pull), space)
                lanes[NEAR * LANES + q] = space.pull * steep
        near = load(lanes, NEAR)
    # Others can have come half the gap too near by then; and the gap cannot last longer than it would by
    # what the field alone may do.
    spare = maximum(gap, 0.0)
    most = minimum(sqrt(spare / (near * 2 + TINY)) + 1, float(HORIZON))
    most = minimum(
        most, _time_to_close(maximum(others - inner - spare * 0.5, 0.0), own + fastest, near + pull)
    )
    most = select(0.0, gap, floor(most), 0.0) if drag <= 1.0 else splat(0.0)
    bend = near * 2 + (widest + most * near * 2) * drag + TINY
    # The overlap is convex in time. So where it is below 0 it has always been; and between a tick where it is
    # and one where it is not, it is still at least until the chord crosses 0.
    held, end, excess = splat(0.0), splat(NEVER), splat(0.0)
    tick = floor(_time_to_close(spare, pace, bend)) + 1
    for _ in range(LOOKS):
        tick = minimum(tick, most)
        asked = select(held, tick, tick, math.inf)
        if not any_less(asked, end):
            break
        bent = tick * (tick + 1)
        around = others - tick * (own + fastest) - (near + pull) * bent
        overlap = _overlap(k, C, tick, around, work) + bend * bent + 4 * slack
        state = select(asked, end, overlap + TINY, math.nan)
        held, spare = select(state, 0.0, tick, held), select(state, 0.0, overlap * -1.0, spare)
        end, excess = select(0.0, state, tick, end), select(0.0, state, overlap, excess)
        slope = (spare + excess) / select(end, NEVER, end - held, 1.0)
        sure = select(end, NEVER, minimum(held + floor(spare / (slope + TINY)), end - 1), held)
        held, spare = sure, spare - (sure - held) * slope
        tick = select(end, NEVER, select(excess, NEVER, held + 1, floor((held + end) * 0.5)), held * 2)
    going = (held + 1) * (own + near * (held + 2) * 0.5) * (1 + SLACK)
    late = select(reach - inner - gap * 0.5, (held + 1) * (own + fastest), 1.0, 0.0)
    store(lanes, HELD, select(outer, reach - slack, held, -1.0))
    store(lanes, REACH, reach - going)
    store(lanes, LATE, select(0.0, gap, late, 0.0))


@device_function
def _overlap(k: int, C: int, tick: Float64x8, others: Float64x8, work: Workspace) -> Float64x8:
    """By how much, after that many ticks, the farthest of the k is farther than the nearest of the rest and
    of `others`, if everybody goes straight on: at most.

    Of the rest, ``r·r + 2 t r·w`` is a bound from below: its root is concave in time, as that of the k is
    convex. NEVER where it has none.
    """
    farthest, nearest = splat(0.0), splat(NEVER)
    for e in range(k):
        square = load(work.squares, e) + tick * tick * load(work.w2, e)
        farthest = maximum(farthest, square * (1 + GRAIN) + tick * load(work.outward, e))
    for e in range(k, C):
        nearest = minimum(nearest, load(work.squares, e) + tick * load(work.outward, e))
    return select(0.0, nearest, sqrt(farthest) - minimum(sqrt(maximum(nearest, 0.0)), others), NEVER)


@device_function
def _time_to_close(gap: Float64x8, pace: Float64x8, bend: Float64x8) -> Float64x8:
    """The time s at which ``pace · s + bend · s(s + 1)`` comes to `gap`, about."""
    start = pace + bend + TINY
    return gap * 2 / (start + sqrt(start * start + bend * gap * 4))


@device_function
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
