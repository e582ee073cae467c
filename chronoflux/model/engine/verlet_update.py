"""Refreshes Verlet lists: checks that the neighbours are the nearest, and for how many ticks they will be.

:mod:`chronoflux.model.engine.verlet_lists` explains the bounds. Lists that are due are checked eight at a
time, one in each SIMD lane. One alone would take as long, because it mostly waits for its own results.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from chronoflux.model.engine.arrays import Floats, Indices
from chronoflux.model.engine.cell_list import SearchBuffers, make_buffers, put_ascending, search
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
    NEARBY,
    NEGLIGIBLE,
    NOBODY,
    SLACK,
    SPEED,
    TRAVELLED,
    Motion,
    VerletLists,
    farthest_within_horizon,
)

LOCAL = 0.1
"""Fraction of the gap that the steepest gradient may use before the gradient nearby is computed."""
PROBES = 4
"""Most ticks for which the order of the candidates is computed."""
MIDDLE = 0.55
"""Usual relative speed of candidates, relative to the fastest."""
GRAIN = 4e-15
"""Relative allowance for rounding in squared distances after some ticks."""
TINY, NEVER = 1e-300, 1e299
NOWHERE = 1e150
"""Distance of a candidate that does not exist, px; its square is above NEVER, and finite."""
RADIUS, OWN, INNER, OUTER, FAR, CLOSE, STATE, GAP, FASTEST, FARTHEST, GAIN, VALID, SEARCH = range(13)
"""Rows of ``Workspace.lanes``."""


class Workspace(NamedTuple):
    """Working memory of a refresh, one oscillator in each lane.

    ``due``: int32, slots whose lists are due. ``searched``: int32 (LANES,), whether the list in each lane has
    just been searched. ``squares``: ``r·r``, ``outward``: ``2 r·w``, ``w2``: ``w·w`` of position r and
    velocity w relative to the oscillator, flat, with a row of LANES for each candidate; ``spare`` has the
    same shape. ``lanes``: flat, with a row of LANES for each quantity of the oscillators. ``buffers``: for
    searches.
    """

    due: Indices
    searched: Indices
    squares: Floats
    outward: Floats
    w2: Floats
    spare: Floats
    lanes: Floats
    buffers: SearchBuffers


@allocating
def workspace_for(lists: VerletLists, most: int) -> Workspace:
    """Working memory to refresh lists of these sizes, for up to `most` oscillators in one call."""
    C = lists.neighbours.shape[1] + lists.candidates.shape[1]
    size = LANES * C
    return Workspace(
        np.zeros(2 * most, np.int32),
        np.zeros(LANES, np.int32),
        np.zeros(size),
        np.zeros(size),
        np.zeros(size),
        np.zeros(size),
        np.zeros(LANES * (SEARCH + 1)),
        make_buffers(C),
    )


@device_function
def refresh_lists(
    first: int, end: int, tick: int, lists: VerletLists, motion: Motion, work: Workspace
) -> int:
    """Refresh the lists of the slots from `first` up to `end` that are due at `tick`.

    All oscillators have just moved in that tick. Returns how many lists were checked.
    """
    near, candidates, valid_until, exclusion_radii, index_of, _, bounds = lists
    k, m = near.shape[1], candidates.shape[1]
    if m == 0:  # all other oscillators are neighbours, always
        return 0
    due, done = int(np.int64(0)), int(np.int64(0))
    for i in range(first, end):
        work.due[due] = i
        due += abs(valid_until[i]) <= tick
    count, slack = due, SLACK * (motion.world[0] + motion.world[1])
    while done < due:
        Q = min(LANES, due - done)
        slots, done = work.due[done : done + Q], done + Q
        store(work.lanes, RADIUS, splat(0.0))  # in unused lanes, too
        for q in range(Q):
            radius = exclusion_radii[slots[q]] - bounds[TRAVELLED]
            work.searched[q] = (not radius > slack) | (valid_until[slots[q]] < 0)
            if work.searched[q]:
                radius = _search_candidates(slots[q], slack, lists, motion, work)
            work.lanes[RADIUS * LANES + q] = radius
            _load_lane(q, slots[q], near, candidates, motion, work)
        _relative_motion(k + m, motion, work)
        _select_nearest(slots, index_of, near, candidates, work)
        _validity_horizon(slots, k, k + m, slack, bounds[SPEED], bounds[NEARBY], motion, work)
        for q in range(Q):
            i, valid = slots[q], work.lanes[VALID * LANES + q]
            if valid < 0.0 and not work.searched[q]:  # the candidates do not suffice: search
                exclusion_radii[i] = -math.inf
                work.due[due] = i
                due += 1
            else:
                check = tick + 1 + int(valid)
                valid_until[i] = -check if work.lanes[SEARCH * LANES + q] > 0.0 else check
                exclusion_radii[i] = work.lanes[RADIUS * LANES + q] + bounds[TRAVELLED]
    return count


@device_function
def _search_candidates(i: int, slack: float, lists: VerletLists, motion: Motion, work: Workspace) -> float:
    """Search the candidates of slot i; return the exclusion radius, px: no other oscillator is closer."""
    near, candidates, index_of, bounds = (
        lists.neighbours[i],
        lists.candidates[i],
        lists.index_of,
        lists.bounds,
    )
    k, m, stale = len(near), len(candidates), bounds[TRAVELLED] - bounds[FILLED] + slack
    C, radius = search(
        i,
        k + 1,
        k + m,
        motion.x,
        motion.y,
        index_of,
        motion.world,
        motion.plane,
        lists.grid,
        stale,
        work.buffers,
    )
    put_ascending(k, index_of, work.buffers, near)
    for e in range(m):
        candidates[e] = work.buffers.slots[k + e] if k + e < C else NOBODY
    return radius


@device_function
def _load_lane(q: int, i: int, near: Indices, candidates: Indices, motion: Motion, work: Workspace) -> None:
    """Load slot i into lane q: relative positions and velocities of its candidates, for
    :func:`_relative_motion`."""
    x, y, vx, vy = motion.x, motion.y, motion.vx, motion.vy
    xi, yi, ui, wi, k = x[i], y[i], vx[i], vy[i], near.shape[1]
    work.lanes[OWN * LANES + q] = ui * ui + wi * wi
    at = np.uint64(q)  # an unsigned index needs no check for a negative one
    for e in range(k):
        j = np.uint32(near[i, e])
        work.squares[at], work.outward[at] = x[j] - xi, y[j] - yi
        work.w2[at], work.spare[at] = vx[j] - ui, vy[j] - wi
        at += np.uint64(LANES)
    for e in range(candidates.shape[1]):
        exists = candidates[i, e] != NOBODY
        j = np.uint32(candidates[i, e]) if exists else np.uint32(i)
        work.squares[at], work.outward[at] = x[j] - xi if exists else NOWHERE, y[j] - yi
        work.w2[at], work.spare[at] = vx[j] - ui, vy[j] - wi
        at += np.uint64(LANES)


@device_function
def _relative_motion(C: int, motion: Motion, work: Workspace) -> None:
    """Compute ``r·r``, ``2 r·w`` and ``w·w`` of C candidates, and store the largest ``r·r`` and ``w·w``."""
    (width, height), step = motion.world, motion.step
    if motion.plane:
        width, height = math.inf, math.inf
    farthest, fastest = splat(0.0), splat(0.0)
    for e in range(C):
        a, b, u, w = load(work.squares, e), load(work.outward, e), load(work.w2, e), load(work.spare, e)
        c, d = a - select(0.0, a, width, -width), b - select(0.0, b, height, -height)
        a, b = select(absolute(c), absolute(a), c, a), select(absolute(d), absolute(b), d, b)
        square, speed2 = a * a + b * b, (u * u + w * w) * (step * step)
        store(work.squares, e, square)
        store(work.outward, e, (a * u + b * w) * (2 * step))
        store(work.w2, e, speed2)
        fastest = maximum(fastest, speed2)
        farthest = maximum(farthest, select(square, NEVER, square, 0.0))
    store(work.lanes, FARTHEST, farthest)
    store(work.lanes, FASTEST, fastest)


@device_function
def _select_nearest(
    slots: Indices, index_of: Indices, near: Indices, candidates: Indices, work: Workspace
) -> None:
    """Move the nearest k of all candidates to the first rows and into the list of neighbours.

    Stores the squared distances of the farthest of these and of the nearest of the others.
    """
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
    # Mostly one candidate has replaced one of the k, or none has.
    lesser, greater = maximum(second, outer), minimum(next_, inner)
    store(lanes, INNER, select(inner, outer, inner, lesser))
    store(lanes, OUTER, select(inner, outer, outer, greater))
    if not any_less(select(inner, outer, 1.0, 0.0), 0.5):
        return
    store(lanes, STATE, select(inner, outer, 1.0, select(lesser, greater, 0.0, -1.0)))
    store(lanes, FAR, far)
    store(lanes, CLOSE, close)
    for q in range(len(slots)):
        state = lanes[STATE * LANES + q]
        if state > 0.0:
            continue
        i = slots[q]
        if state == 0.0:
            _swap(q, i, int(lanes[FAR * LANES + q]), int(lanes[CLOSE * LANES + q]), near, candidates, work)
        elif not _exchange(q, i, index_of, near, candidates, work):
            continue
        for e in range(k):
            work.buffers.slots[e] = near[i, e]
        put_ascending(k, index_of, work.buffers, near[i])


@device_function
def _swap(q: int, i: int, far: int, close: int, near: Indices, candidates: Indices, work: Workspace) -> None:
    """Exchange a neighbour and another candidate of slot i, in lane q."""
    squares, outward, w2, other = work.squares, work.outward, work.w2, close - near.shape[1]
    a, b = far * LANES + q, close * LANES + q
    squares[a], squares[b] = squares[b], squares[a]
    outward[a], outward[b] = outward[b], outward[a]
    w2[a], w2[b] = w2[b], w2[a]
    near[i, far], candidates[i, other] = candidates[i, other], near[i, far]


@device_function
def _exchange(q: int, i: int, index_of: Indices, near: Indices, candidates: Indices, work: Workspace) -> bool:
    """Swap the farthest neighbour in lane q and the nearest other until the neighbours are the nearest k.

    Ties go to the lower index. Stores both squared distances; returns whether anything changed.
    """
    squares, k, C = work.squares, near.shape[1], near.shape[1] + candidates.shape[1]
    changed = False
    while True:
        far, close = 0, k
        for e in range(1, k):
            more = squares[e * LANES + q] - squares[far * LANES + q]
            if more > 0.0 or (more == 0.0 and index_of[near[i, e]] > index_of[near[i, far]]):
                far = e
        for e in range(k + 1, C):
            more = squares[e * LANES + q] - squares[close * LANES + q]
            if more < 0.0 or (
                more == 0.0 and index_of[candidates[i, e - k]] < index_of[candidates[i, close - k]]
            ):
                close = e
        inner, outer = squares[far * LANES + q], squares[close * LANES + q]
        if inner < outer or (inner == outer and index_of[near[i, far]] < index_of[candidates[i, close - k]]):
            break
        changed = True
        _swap(q, i, far, close, near, candidates, work)
    work.lanes[INNER * LANES + q], work.lanes[OUTER * LANES + q] = inner, outer
    return changed


@device_function
def _validity_horizon(
    slots: Indices,
    k: int,
    C: int,
    slack: float,
    fastest: float,
    nearby: float,
    motion: Motion,
    work: Workspace,
) -> None:
    """Store the validity horizon of each lane: for how many ticks the first k stay the nearest.

    It is −1 where other oscillators may be nearer already. `fastest` and `nearby`: SPEED and NEARBY of
    ``VerletLists.bounds``. RADIUS, the exclusion radius, shrinks by how far each oscillator can travel until
    the tick after the horizon. SEARCH is 1 where it will be too small then for another horizon as long.
    """
    gain, drag, lanes = motion.gain * motion.steepest, motion.drag, work.lanes
    inner, outer = sqrt(load(lanes, INNER)), sqrt(load(lanes, OUTER))
    radius, own, widest2 = load(lanes, RADIUS), sqrt(load(lanes, OWN)) * motion.step, load(lanes, FASTEST)
    others = minimum(radius, NOWHERE)
    if not motion.plane:  # farther images on the torus count as other oscillators
        others = minimum(others, min(motion.world[0], motion.world[1]) / 2)
    gap = minimum(outer, others) - inner - 4 * slack
    widest = sqrt(widest2)
    pace, local = widest * MIDDLE, splat(gain)
    if any_less(pace * pace * LOCAL, gap * (2 * gain)):  # otherwise the velocities set the horizon
        store(lanes, GAP, gap * (2 * gain) - pace * pace * LOCAL)
        store(lanes, GAIN, local)
        for q in range(len(slots)):
            farthest = math.sqrt(lanes[FARTHEST * LANES + q])
            if lanes[GAP * LANES + q] > 0.0 and farthest <= nearby:
                reach = farthest + farthest_within_horizon(fastest, gain)
                lanes[GAIN * LANES + q] = motion.gain * _steepest_near(slots[q], reach, motion)
        local = load(lanes, GAIN)
    # Until the horizon, other oscillators may use half the gap. And the gap cannot last longer than if only
    # the field closed it.
    spare = maximum(gap, 0.0)
    most = minimum(sqrt(spare / (local * 2 + TINY)) + 1, float(HORIZON))
    most = minimum(
        most, _time_to_close(maximum(others - inner - spare * 0.5, 0.0), own + fastest, local + gain)
    )
    most = select(0.0, gap, floor(most), 0.0) if drag <= 1.0 else splat(0.0)
    bend = local * 2 + (widest + most * local * 2) * drag + TINY
    # The overlap is convex in time. So it is below 0 at all ticks before one where it is; and between
    # a tick where it is and one where it is not, it stays below 0 at least until the chord crosses 0.
    held, end, excess = splat(0.0), splat(NEVER), splat(0.0)
    tick = floor(_time_to_close(spare, pace, bend)) + 1
    for _ in range(PROBES):
        tick = minimum(tick, most)
        asked = select(held, tick, tick, math.inf)
        if not any_less(asked, end):
            break
        bent = tick * (tick + 1)
        around = others - tick * (own + fastest) - (local + gain) * bent
        overlap = _overlap(k, C, tick, around, work) + bend * bent + 4 * slack
        state = select(asked, end, overlap + TINY, math.nan)
        held, spare = select(state, 0.0, tick, held), select(state, 0.0, overlap * -1.0, spare)
        end, excess = select(0.0, state, tick, end), select(0.0, state, overlap, excess)
        slope = (spare + excess) / select(end, NEVER, end - held, 1.0)
        sure = select(end, NEVER, minimum(held + floor(spare / (slope + TINY)), end - 1), held)
        held, spare = sure, spare - (sure - held) * slope
        tick = select(end, NEVER, select(excess, NEVER, held + 1, floor((held + end) * 0.5)), held * 2)
    # A drag above 2 reverses velocities and makes them grow; the horizon is 0 then.
    travel = (held + 1) * (own * max(1.0, drag - 1) + local * (held + 2) * 0.5) * (1 + SLACK)
    search_due = select(radius - inner - gap * 0.5, (held + 1) * (own + fastest), 1.0, 0.0)
    store(lanes, VALID, select(outer, radius - slack, held, -1.0))
    store(lanes, RADIUS, radius - travel)
    store(lanes, SEARCH, select(0.0, gap, search_due, 0.0))


@device_function
def _overlap(k: int, C: int, tick: Float64x8, others: Float64x8, work: Workspace) -> Float64x8:
    """Upper bound, after some ticks, on the farthest of the k minus the nearest of the rest and `others`, px.

    All oscillators move in straight lines. For the rest, ``r·r + 2 t r·w`` is a lower bound: its root is
    concave in time, and that of the k is convex. NEVER where the root does not exist.
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
    """About the time s at which ``pace · s + bend · s(s + 1)`` reaches `gap`."""
    start = pace + bend + TINY
    return gap * 2 / (start + sqrt(start * start + bend * gap * 4))


@device_function
def _steepest_near(i: int, radius: float, motion: Motion) -> float:
    """Bound on the gradient (1/px) within `radius` px of slot i, now and later."""
    x, y, (width, height) = motion.x[i], motion.y[i], motion.world
    left, right = x - radius < 0.0, x + radius >= width
    above, below = y - radius < 0.0, y + radius >= height
    if (left & right) | (above & below) | (motion.plane & (left | right | above | below)):
        return motion.steepest
    bound = NEGLIGIBLE
    if not motion.portal:
        for across in range(-int(right), int(left) + 1):  # beyond a seam, the other side of the torus
            for down in range(-int(below), int(above) + 1):
                bound = max(bound, jet_slope(x + across * width, y + down * height, radius, motion.world))
    for pulse in motion.fired:
        dx = offset(x, pulse[0], width, motion.plane)
        dy = offset(y, pulse[1], height, motion.plane)
        bound += pulse_slope(pulse[2], pulse[3], math.sqrt(dx * dx + dy * dy) - radius)
    return min(bound * (1 + SLACK), motion.steepest)
