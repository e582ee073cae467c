"""Verlet lists: neighbour lists kept from tick to tick, each refreshed only when it may have changed.

Each oscillator has a list of its k neighbours and of m further candidates. No other oscillator was nearer
than ``exclusion_radius`` when they were searched, and since then has come nearer by no more than the distance
travelled by the fastest and its own. As long as that radius exceeds the distance of the k-th candidate, the
neighbours are the nearest k of the candidates; and the set of neighbours stays the same until a tick that is
computed in advance, the validity horizon.

Every candidate is taken to go on in a straight line, relative to the oscillator, with its velocity of now.
It strays from that line by no more than ``A s(s + 1)/2`` px in s ticks if no relative velocity changes by
more than A px a tick a tick; how steep the field can be near by bounds A. So the set cannot change before, on
these lines, the farthest of the k and the nearest of the rest come within ``A s(s + 1)`` px of each other.
Bounds are widened by more than rounding can do; :mod:`chronoflux.model.engine.verlet_update` finds them. What
is kept only saves work: the sets are those of a search at every tick.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from chronoflux.model.engine.arrays import Floats, Longs, World
from chronoflux.model.engine.cell_list import Grid, Indices, sort_into_cells
from chronoflux.model.engine.field import FAR, offset
from chronoflux.model.engine.jit import cached_kernel, device_function

HORIZON = 512
"""Most ticks looked ahead."""
UNSEEN = 1e-9
"""Gradient (1/px) that all pulses too far off to be minded may come to."""
SLACK = 1e-12
"""Allowance for rounding within the horizon, in parts of the world's half circumference."""
STALE = 0.1
"""The grid is filled anew when the fastest may have gone this part of a cell."""
ROUNDS = 100.0
"""The way of the fastest is counted from 0 again when it is this many half circumferences."""
NOBODY = -1
TRAVELLED, FILLED, SPEED, JOLTED, STEEP, WIDE = 0, 1, 2, 3, 4, 5
"""Places in ``VerletLists.way``."""


class VerletLists(NamedTuple):
    """Verlet lists of n oscillators in slots 0 to n − 1.

    ``neighbours``: int32 (n, k), slots of the neighbours, by ascending name. ``candidates``: int32 (n, m),
    slots of the other candidates, then NOBODY. ``valid_until``: int64 (n,), the first tick at which the list
    is checked again, negative where it is to be searched anew then. ``exclusion_radius``: float64 (n,), px:
    when last searched, no non-candidate was closer; stored plus the distance travelled then, minus the
    oscillator's own distance until the next check. ``names``: int32 (n,), the index of the oscillator in each
    slot, which decides ties. ``way``: float64 (6,): the distance (px) that the fastest may have travelled in
    total, that distance when the grid was filled, the speed of the fastest now (px per tick), whether
    velocities may change in the next tick by more than the bounds allow, the bound on the gradient (1/px),
    and the distance (px) of candidates up to which the local bound on the gradient is computed.
    """

    neighbours: Indices
    candidates: Indices
    valid_until: Longs
    exclusion_radius: Floats
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


@device_function
def travel(lists: VerletLists, space: Space, speed2: float, crossed: bool) -> None:
    """Account for a tick in which nobody had a larger speed squared than `speed2`, px² per frame².

    On the plane somebody who crossed the seam has jumped: then nothing kept holds any longer.
    """
    around = space.world[0] + space.world[1]
    speed = math.sqrt(speed2) * space.step
    way = around if crossed and space.plane else min(speed * (1 + 1e-14) + 1e-15 * around, around)
    lists.way[TRAVELLED] = (lists.way[TRAVELLED] + way) * (1 + 5e-16)  # rounded up
    lists.way[SPEED] = speed
    if crossed and space.plane:
        for i in range(len(lists.valid_until)):
            lists.valid_until[i] = 0
    if lists.way[JOLTED] > 0.0:
        for i in range(len(lists.exclusion_radius)):
            lists.exclusion_radius[i] -= way
        lists.way[JOLTED] = 0.0
    if lists.way[TRAVELLED] > ROUNDS * around:
        for i in range(len(lists.exclusion_radius)):
            lists.exclusion_radius[i] -= lists.way[TRAVELLED]
        lists.way[FILLED] -= lists.way[TRAVELLED]
        lists.way[TRAVELLED] = 0.0
    columns, rows = lists.grid.shape
    cell = min(space.world[0] / columns, space.world[1] / rows)
    if lists.way[TRAVELLED] - lists.way[FILLED] > STALE * cell and lists.candidates.shape[1] > 0:
        sort_into_cells(space.x, space.y, space.world, lists.grid)
        lists.way[FILLED] = lists.way[TRAVELLED]


@device_function
def ahead(fastest: float, pull: float) -> float:
    """px that nobody goes further within the horizon, velocities changing by `pull` px a tick at most."""
    return HORIZON * (fastest + HORIZON * pull)


@cached_kernel
def disturb(lists: VerletLists, space: Space, pulse: Floats) -> None:
    """Have those looked at again for whom a new pulse (x, y, E, sigma, …) may matter within the horizon."""
    radius = FAR * pulse[3] + lists.way[WIDE] + 2 * ahead(lists.way[SPEED], space.pull * space.steep)
    for i in range(len(lists.valid_until)):
        dx = abs(offset(space.x[i], pulse[0], space.world[0], False))
        dy = abs(offset(space.y[i], pulse[1], space.world[1], False))
        if not dx * dx + dy * dy > radius * radius:
            lists.valid_until[i] = 0
