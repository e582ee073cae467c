"""The oscillators as the engine keeps them: in an order that is good for memory, with their neighbour lists.

From outside an oscillator is known by its index. Inside it has a slot: in a large swarm, neighbours are
brought to slots close by, along a Z-order curve (G. M. Morton, 1966). No result depends on the order: sums
over neighbours go by ascending index, and sums over all are taken in whole numbers.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.engine import thread_pool
from chronoflux.model.engine.arrays import Floats, World
from chronoflux.model.engine.barrier import make_team
from chronoflux.model.engine.cell_list import Grid, Indices, nearest, shape_of, sort_into_cells
from chronoflux.model.engine.field import pressure, pulse_slope, steepest
from chronoflux.model.engine.jit import cached_kernel
from chronoflux.model.engine.motion import FASTEST
from chronoflux.model.engine.phases import GLOBAL, KNN, TAU, Graph, sin_cos
from chronoflux.model.engine.record_buffer import ARRAYS, RecordBuffer
from chronoflux.model.engine.step import (
    BLOCK,
    ExternalForcing,
    Particles,
    SinCos,
    StepParams,
    Task,
    run,
    space_of,
)
from chronoflux.model.engine.verlet_lists import JOLTED, SPEED, STEEP, UNSEEN, WIDE, VerletLists, disturb

Arrays = dict[str, Floats]
Mean = tuple[float, float]

SHARED = 50_000
"""From this many steps of an oscillator on, threads take less time than it costs to wake them."""
PARTED = 2_000
"""From this many oscillators on, threads take less time than it costs them to meet."""
SORTED = 2_000
"""From this many on, the order in memory pays."""
EXTRA = 12
"""Candidates kept beside half as many as there are neighbours."""
SPARE = 2.0
"""The steepest gradient foreseen is so many times that of now, so that few pulses exceed it."""
BROAD = 2.0
"""Candidates are mostly within so many times their mean distance."""
STRAY = 50.0
"""Mean distances from one to the next that the fastest may go until the order in memory is made anew."""


class ParticleStore:
    """Positions, velocities and phases of a swarm, stepped by a law.

    `arrays` by name, float64 (n,), in range. The store owns them from now on.
    """

    def __init__(self, arrays: Arrays, omega: Floats, law: StepParams) -> None:
        self._step_params = law
        self._foreseen, self._steep = (0.0, 0.0), 0.0
        """Pull and drag, and the steepest gradient, that the lists' times were told with; see
        :class:`~chronoflux.model.engine.verlet_lists.Space`."""
        self._pulses: set[tuple[float, ...]] = set()
        self.looks: int = 0
        """Neighbour lists looked at again so far."""
        self._reorder(arrays, omega)

    def _reorder(self, arrays: Arrays, omega: Floats) -> None:
        """Find an order in memory for what is at these places, and forget all lists. Both are by index."""
        law, n = self._step_params, len(arrays["x"])
        k = min(law.neighbours, n - 1) if law.coupling.kind == KNN else 0
        m = min(k // 2 + EXTRA, n - 1 - k) if k else 0
        self._names: Indices = np.arange(n, dtype=np.int32)
        self._ordered = (m > 0 or law.coupling.kind == GLOBAL) and n >= SORTED
        if self._ordered:
            self._names = _along_a_curve(arrays["x"], arrays["y"], law.world)
            for name in ARRAYS:
                arrays[name] = arrays[name][self._names]
        self._particles = Particles(**arrays, omega=omega[self._names])
        shape = shape_of(n, k + m // 2, law.world) if m else (1, 1)
        grid = Grid(np.zeros(shape[0] * shape[1] + 1, np.int64), np.zeros(n if m else 0, np.int32), shape)
        if m:
            sort_into_cells(self._particles.x, self._particles.y, law.world, grid)
        near = np.zeros((n, k), np.int32)
        if k == n - 1:  # everybody else
            near[:] = np.arange(k) + (np.arange(k) >= np.arange(n)[:, None])
        self._lists = VerletLists(
            neighbours=near,
            candidates=np.full((n, m), -1, np.int32),
            valid_until=np.zeros(n if k else 0, np.int64),
            exclusion_radius=np.full(n if k else 0, -np.inf),
            names=self._names,
            grid=grid,
            way=np.zeros(6),
        )
        self._lists.way[STEEP] = self._steep
        self._lists.way[SPEED] = math.inf  # not known before the first tick
        self._lists.way[WIDE] = BROAD * math.sqrt(law.world[0] * law.world[1] * (k + m + 1) / (math.pi * n))
        self._strayed, self._fresh = 0.0, False
        self._sin_cos = SinCos(np.empty(n), np.empty(n))
        # Who reads no other's sine and cosine writes its own over them: less memory to go through.
        alone = law.coupling.kind == GLOBAL
        self._spare = self._sin_cos if alone else SinCos(np.empty(n), np.empty(n))
        self._single = make_team(1, n, BLOCK)  # as it was after every run
        self._mean: Mean | None = None

    # -- seen and changed from outside ----------------------------------------------------------------

    def arrays(self) -> Arrays:
        """Copies of the arrays by index."""
        return {name: self.array(name) for name in ARRAYS}

    def put(self, arrays: Arrays) -> None:
        """Take changed arrays by index, in range. Lists are kept where positions are as they were."""
        for name in ARRAYS:
            mine, given = getattr(self._particles, name), arrays[name][self._names]
            if np.array_equal(mine, given):
                continue
            if name in ("x", "y"):
                self._reorder(arrays, self.array("omega"))
                return
            mine[:] = given
            if name == "phi":
                self._mean = None
            else:
                self._invalidate_lists()

    def update_params(self, law: StepParams, omega: Floats, fired: Floats) -> None:
        """Go on by `law`, with natural frequencies `omega` by index and the pulses `fired`."""
        old, self._step_params = self._step_params, law
        if (old.coupling.kind, old.neighbours) != (law.coupling.kind, law.neighbours):
            self._reorder(self.arrays(), omega)
        self._particles.omega[:] = omega[self._names]
        self._update_bounds(old, fired)

    def _update_bounds(self, old: StepParams, fired: Floats) -> None:
        """Have lists looked at again whose times were told when less was to be expected of the field."""
        law, lists, pulses = self._step_params, self._lists, {tuple(row) for row in fired}
        new, self._pulses = pulses - self._pulses, pulses
        steep, space = steepest(law.portal, fired), space_of(self._particles, law, lists, fired)
        if not steep <= self._steep <= SPARE**2 * steep:
            lists.way[STEEP] = self._steep = SPARE * steep
        far = sum(pulse_slope(pulse[2], pulse[3], math.inf) for pulse in pulses)
        more = (
            self._steep > space.steep
            or (space.pull, space.drag) != self._foreseen
            or old.portal != law.portal
            or far > UNSEEN
        )
        self._foreseen = (space.pull, space.drag)
        if more:
            self._invalidate_lists()
        elif new:
            lists.way[JOLTED] = 1.0
            for pulse in new:
                disturb(lists, space, np.array(pulse))

    def _invalidate_lists(self) -> None:
        """Have all lists looked at again after the next tick."""
        self._lists.valid_until[:] = 0
        self._lists.way[JOLTED] = 1.0

    def phases(self) -> Floats:
        """The phases, in no particular order; not to be changed."""
        return self._particles.phi

    def neighbours(self) -> Indices:
        """The coupling sets at the positions of now by index, each ascending: int32 (n, k)."""
        near = np.empty_like(self._lists.neighbours)
        if self._fresh:
            near[self._names] = self._names[self._lists.neighbours]
        else:
            nearest(self.array("x"), self.array("y"), self._step_params.world, self._step_params.plane, near)
        return near

    def array(self, name: str) -> Floats:
        """A copy of one array by index."""
        return self._by_index(getattr(self._particles, name))

    def pressure(self, t: float, pulses: Floats) -> Floats:
        """The pressure at the places of now by index, at time `t` with the `pulses` alive: float64 (n,)."""
        # Taken in the order of memory, as neighbours then come together.
        law, x, y = self._step_params, self._particles.x, self._particles.y
        return self._by_index(pressure(x, y, law.world, law.plane, t, law.portal, pulses))

    def _by_index(self, values: Floats) -> Floats:
        array = np.empty_like(values)
        _put(values, self._names, array)
        return array

    # -- going on -------------------------------------------------------------------------------------

    def run(
        self,
        ticks: int,
        tick: int,
        graph: Graph,
        others: ExternalForcing,
        normals: Floats,
        turns: Floats,
        turned: int,
        record: RecordBuffer,
    ) -> None:
        """Advance by `ticks` from `tick`; see :func:`~chronoflux.model.engine.step.run`."""
        if self._mean is None:
            self._mean = sin_cos(self._particles.phi, *self._sin_cos)
        n, now, then, mean = len(self._names), self._sin_cos, self._spare, self._mean
        alone = self._step_params.rk4 or ticks * n < SHARED or n < PARTED
        with thread_pool.team(1 if alone else thread_pool.count) as workers:
            team = self._single if workers == 1 else make_team(workers, n, BLOCK)
            task = Task(
                team,
                ticks,
                tick,
                self._particles,
                self._step_params,
                self._lists,
                graph,
                others,
                now,
                then,
                mean,
                normals,
                turns,
                turned,
                record,
            )
            done = thread_pool.together(workers, lambda worker: run(task, worker))
        self._mean = done[0][0]
        self.looks += sum(looks for _, looks in done)
        if ticks % 2:
            self._sin_cos, self._spare = then, now
        self._fresh = True
        self._strayed += ticks * self._lists.way[SPEED]
        width, height = self._step_params.world
        if self._ordered and self._strayed > STRAY * math.sqrt(width * height / n):
            self._reorder(self.arrays(), self.array("omega"))


@cached_kernel
def _put(values: Floats, places: Indices, array: Floats) -> None:
    """``array[places] = values``, in a fraction of NumPy's time."""
    for i in range(len(values)):
        array[places[i]] = values[i]


def _along_a_curve(x: Floats, y: Floats, world: tuple[float, float]) -> Indices:
    """The indices of the places `x, y` along a Z-order curve: int32 (n,)."""
    key = _spread(x * (65536 / world[0])) | _spread(y * (65536 / world[1])) << np.uint32(1)
    return np.argsort(key).astype(np.int32)


def _spread(values: Floats) -> NDArray[np.uint32]:
    """The lowest 16 bits of whole parts, each bit followed by a 0."""
    bits = values.astype(np.uint32)
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        bits = (bits | bits << np.uint32(shift)) & np.uint32(mask)
    return bits


def in_range(arrays: Arrays, world: World) -> Arrays:
    """`arrays` brought back into range in place, after a change from outside."""
    for name in ("vx", "vy"):
        np.clip(arrays[name], -FASTEST, FASTEST, out=arrays[name])
    for name, period in (("x", world[0]), ("y", world[1]), ("phi", TAU)):
        values = arrays[name]
        np.mod(values, period, out=values)
        values[values >= period] = 0.0  # np.mod rounds −tiny up to the period itself
    return arrays
