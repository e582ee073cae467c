"""Verlet lists: neighbour lists, kept from tick to tick and refreshed only when they may have changed.

Each oscillator has a list of its k neighbours and of m further candidates. At the last search, no other
oscillator was closer than the exclusion radius. Since then, that bound has shrunk by at most the distance
that the fastest oscillator and the oscillator itself have travelled. As long as it exceeds the distance of
the k-th candidate, the neighbours are the nearest k of the candidates. The set of neighbours cannot change
before a tick that is computed in advance: the validity horizon.

The horizon assumes that every candidate moves in a straight line relative to the oscillator, at its present
velocity. The error of that is at most ``A s(s + 1)/2`` px after s ticks, if no relative velocity changes by
more than A px per tick in a tick; the steepest gradient nearby bounds A. So the set cannot change before, on
these lines, the farthest of the k and the nearest of the rest are within ``A s(s + 1)`` px of each other.
All bounds are widened by more than rounding can contribute; :mod:`chronoflux.model.engine.verlet_update`
computes them. Lists only save work: the sets are those of a search at every tick.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from chronoflux.model.engine.arrays import Floats, Indices, Longs, World
from chronoflux.model.engine.cell_list import Grid, sort_into_cells
from chronoflux.model.engine.field import FAR, offset
from chronoflux.model.engine.jit import cached_kernel, device_function

HORIZON = 512
"""Longest validity horizon, ticks."""
NEGLIGIBLE = 1e-9
"""Gradient (1/px) that all pulses too far away to be considered may add up to."""
SLACK = 1e-12
"""Allowance for rounding within the horizon, relative to half the world's circumference."""
GRID_TOLERANCE = 0.1
"""The grid is refilled when the fastest oscillator may have travelled this fraction of a cell."""
RESTART = 100.0
"""The distance travelled is counted from 0 again when it is this many half circumferences of the world."""
NOBODY = -1
"""A free place among the candidates."""
TRAVELLED, FILLED, SPEED, CHANGED, STEEPEST, NEARBY = 0, 1, 2, 3, 4, 5
"""Places in ``VerletLists.bounds``."""


class VerletLists(NamedTuple):
    """Verlet lists of n oscillators in slots 0 to n − 1.

    ``neighbours``: int32 (n, k), slots of the neighbours, ascending by index. ``candidates``: int32 (n, m),
    slots of the other candidates, then NOBODY. ``valid_until``: int64 (n,), the first tick at which the list
    is checked again; negative if it is to be searched again at that tick. ``exclusion_radius``: float64 (n,),
    px: when last searched, no non-candidate was closer; stored plus the distance travelled then, minus the
    oscillator's own distance until the next check. ``index_of``: int32 (n,), the index of the oscillator in
    each slot, which decides ties.

    ``bounds``, float64 (6,), by place. TRAVELLED: the distance (px) that the fastest oscillator may have
    travelled in total. FILLED: that distance when the grid was filled. SPEED: the present speed of the
    fastest (px per tick). CHANGED: not 0 if velocities may change by more than the bounds allow in the next
    tick. STEEPEST: the bound on the gradient anywhere (1/px). NEARBY: the distance (px) of candidates up to
    which the local bound on the gradient is computed.
    """

    neighbours: Indices
    candidates: Indices
    valid_until: Longs
    exclusion_radius: Floats
    index_of: Indices
    grid: Grid
    bounds: Floats


class Motion(NamedTuple):
    """Positions, velocities and what can change them: what is needed to refresh lists.

    ``step``: px per tick of a velocity of 1. ``gain``: px per tick by which a gradient of 1 changes a
    velocity in a tick; ``steepest``: the bound on the gradient (1/px); ``drag``: the fraction of a velocity
    lost in a tick. ``portal`` and ``fired`` determine the field.
    """

    x: Floats
    y: Floats
    vx: Floats
    vy: Floats
    world: World
    plane: bool
    step: float
    gain: float
    steepest: float
    drag: float
    portal: bool
    fired: Floats


@device_function
def account_for_tick(lists: VerletLists, motion: Motion, speed2: float, crossed: bool) -> None:
    """Update the bounds after a tick in which no squared speed exceeded `speed2`, px² per frame².

    `crossed`: whether an oscillator crossed the seam. On the plane it has jumped, and no list is valid any
    longer.
    """
    around = motion.world[0] + motion.world[1]
    speed = math.sqrt(speed2) * motion.step
    way = around if crossed and motion.plane else min(speed * (1 + 1e-14) + 1e-15 * around, around)
    lists.bounds[TRAVELLED] = (lists.bounds[TRAVELLED] + way) * (1 + 5e-16)  # rounded up
    lists.bounds[SPEED] = speed
    if crossed and motion.plane:
        for i in range(len(lists.valid_until)):
            lists.valid_until[i] = 0
    if lists.bounds[CHANGED] > 0.0:
        for i in range(len(lists.exclusion_radius)):
            lists.exclusion_radius[i] -= way
        lists.bounds[CHANGED] = 0.0
    if lists.bounds[TRAVELLED] > RESTART * around:
        for i in range(len(lists.exclusion_radius)):
            lists.exclusion_radius[i] -= lists.bounds[TRAVELLED]
        lists.bounds[FILLED] -= lists.bounds[TRAVELLED]
        lists.bounds[TRAVELLED] = 0.0
    columns, rows = lists.grid.shape
    cell = min(motion.world[0] / columns, motion.world[1] / rows)
    since_filled = lists.bounds[TRAVELLED] - lists.bounds[FILLED]
    if since_filled > GRID_TOLERANCE * cell and lists.candidates.shape[1] > 0:
        sort_into_cells(motion.x, motion.y, motion.world, lists.grid)
        lists.bounds[FILLED] = lists.bounds[TRAVELLED]


@device_function
def farthest_within_horizon(fastest: float, gain: float) -> float:
    """Bound on the distance (px) travelled in the horizon; a tick changes velocities by up to `gain`."""
    return HORIZON * (fastest + HORIZON * gain)


@cached_kernel
def invalidate_near(lists: VerletLists, motion: Motion, pulse: Floats) -> None:
    """Have lists checked at the next tick that a new pulse (x, y, E, sigma, …) may affect in the horizon."""
    travel = farthest_within_horizon(lists.bounds[SPEED], motion.gain * motion.steepest)
    radius = FAR * pulse[3] + lists.bounds[NEARBY] + 2 * travel
    for i in range(len(lists.valid_until)):
        dx = abs(offset(motion.x[i], pulse[0], motion.world[0], False))
        dy = abs(offset(motion.y[i], pulse[1], motion.world[1], False))
        if not dx * dx + dy * dy > radius * radius:
            lists.valid_until[i] = 0
