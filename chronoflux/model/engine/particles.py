"""`ParticleStore`: the oscillators in an order that suits memory, with their neighbour lists.

Outside, an oscillator has an index. Inside, it has a slot: in a large swarm, neighbours lie in slots close to
each other, along a Z-order curve (G. M. Morton, 1966). No result depends on the order: sums over neighbours
go by ascending index, and sums over all oscillators are sums of integers.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from chronoflux.model.engine import thread_pool
from chronoflux.model.engine.arrays import Floats, Indices, World
from chronoflux.model.engine.barrier import make_team
from chronoflux.model.engine.cell_list import Grid, nearest, shape_of, sort_into_cells
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
    motion_of,
    run,
)
from chronoflux.model.engine.verlet_lists import (
    CHANGED,
    NEARBY,
    NEGLIGIBLE,
    SPEED,
    STEEPEST,
    VerletLists,
    invalidate_near,
)

Arrays = dict[str, Floats]
Mean = tuple[float, float]

SHARED = 50_000
"""Oscillator-ticks in a call from which on waking threads pays."""
PARTED = 2_000
"""Oscillators from which on the barriers of threads pay."""
SORTED = 2_000
"""Oscillators from which on the order in memory pays."""
EXTRA = 12
"""Candidates kept in addition to half as many as there are neighbours."""
SPARE = 2.0
"""The bound on the gradient is this many times the present one, so that few pulses exceed it."""
BROAD = 2.0
"""Most candidates lie within this many times their mean distance."""
STRAY = 50.0
"""The order in memory is renewed when the fastest may have travelled this many mean spacings."""


class ParticleStore:
    """Positions, velocities and phases of a swarm, advanced by the compiled engine.

    `arrays` by name, float64 (n,), in range; `omega`: natural frequencies, float64 (n,), rad/s. The store
    owns the arrays from now on.
    """

    def __init__(self, arrays: Arrays, omega: Floats, params: StepParams) -> None:
        self._step_params = params
        self._assumed, self._steepest = (0.0, 0.0), 0.0
        """Gain and drag, and the bound on the gradient, that the validity horizons assume; see
        :class:`~chronoflux.model.engine.verlet_lists.Motion`."""
        self._pulses: set[tuple[float, ...]] = set()
        self.looks: int = 0
        """Neighbour lists checked so far."""
        self._reorder(arrays, omega)

    def _reorder(self, arrays: Arrays, omega: Floats) -> None:
        """Find an order in memory for these positions, and drop all lists. Both arguments are by index."""
        params, n = self._step_params, len(arrays["x"])
        k = min(params.neighbours, n - 1) if params.coupling.kind == KNN else 0
        m = min(k // 2 + EXTRA, n - 1 - k) if k else 0
        self._index_of: Indices = np.arange(n, dtype=np.int32)
        self._ordered = (m > 0 or params.coupling.kind == GLOBAL) and n >= SORTED
        if self._ordered:
            self._index_of = _along_a_curve(arrays["x"], arrays["y"], params.world)
            for name in ARRAYS:
                arrays[name] = arrays[name][self._index_of]
        self._particles = Particles(**arrays, omega=omega[self._index_of])
        shape = shape_of(n, k + m // 2, params.world) if m else (1, 1)
        grid = Grid(np.zeros(shape[0] * shape[1] + 1, np.int64), np.zeros(n if m else 0, np.int32), shape)
        if m:
            sort_into_cells(self._particles.x, self._particles.y, params.world, grid)
        near = np.zeros((n, k), np.int32)
        if k == n - 1:  # all other oscillators
            near[:] = np.arange(k) + (np.arange(k) >= np.arange(n)[:, None])
        self._lists = VerletLists(
            neighbours=near,
            candidates=np.full((n, m), -1, np.int32),
            valid_until=np.zeros(n if k else 0, np.int64),
            exclusion_radius=np.full(n if k else 0, -np.inf),
            index_of=self._index_of,
            grid=grid,
            bounds=np.zeros(6),
        )
        self._lists.bounds[STEEPEST] = self._steepest
        self._lists.bounds[SPEED] = math.inf  # unknown before the first tick
        self._lists.bounds[NEARBY] = BROAD * math.sqrt(
            params.world[0] * params.world[1] * (k + m + 1) / (math.pi * n)
        )
        self._strayed, self._fresh = 0.0, False
        self._sin_cos = SinCos(np.empty(n), np.empty(n))
        # With global coupling, no oscillator reads another's sine and cosine: they are overwritten in place.
        in_place = params.coupling.kind == GLOBAL
        self._spare = self._sin_cos if in_place else SinCos(np.empty(n), np.empty(n))
        self._single = make_team(1, n, BLOCK)  # every run leaves it as it was
        self._mean: Mean | None = None

    # -- reading and changing -------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        """Copies of the arrays, by index: float64 (n,)."""
        return {name: self.array(name) for name in ARRAYS}

    def put(self, arrays: Arrays) -> None:
        """Replace some or all arrays, by index, in range. Lists are kept if no position has changed."""
        for name in (name for name in ARRAYS if name in arrays):
            mine, given = getattr(self._particles, name), arrays[name][self._index_of]
            if np.array_equal(mine, given):
                continue
            if name in ("x", "y"):
                kept = {name: self.array(name) for name in ARRAYS if name not in arrays}
                self._reorder(kept | arrays, self.array("omega"))
                return
            mine[:] = given
            if name == "phi":
                self._mean = None
            else:
                self._invalidate_lists()

    def update_frequencies(self, omega: Floats) -> None:
        """Continue with these natural frequencies, rad/s, by index."""
        self._particles.omega[:] = omega[self._index_of]

    def update_params(self, params: StepParams, fired: Floats) -> None:
        """Continue with these parameters and pulses."""
        old, self._step_params = self._step_params, params
        if (old.coupling.kind, old.neighbours) != (params.coupling.kind, params.neighbours):
            self._reorder(self.arrays(), self.array("omega"))
        self._update_bounds(old, fired)

    def _update_bounds(self, old: StepParams, fired: Floats) -> None:
        """Have lists checked again whose horizons assume smaller bounds on the field than now."""
        params, lists, pulses = self._step_params, self._lists, {tuple(row) for row in fired}
        new, self._pulses = pulses - self._pulses, pulses
        bound, motion = steepest(params.portal, fired), motion_of(self._particles, params, lists, fired)
        if not bound <= self._steepest <= SPARE**2 * bound:
            lists.bounds[STEEPEST] = self._steepest = SPARE * bound
        far = sum(pulse_slope(pulse[2], pulse[3], math.inf) for pulse in pulses)
        more = (
            self._steepest > motion.steepest
            or (motion.gain, motion.drag) != self._assumed
            or old.portal != params.portal
            or far > NEGLIGIBLE
        )
        self._assumed = (motion.gain, motion.drag)
        if more:
            self._invalidate_lists()
        elif new:
            lists.bounds[CHANGED] = 1.0
            for pulse in new:
                invalidate_near(lists, motion, np.array(pulse))

    def _invalidate_lists(self) -> None:
        """Have all lists checked again at the next tick."""
        self._lists.valid_until[:] = 0
        self._lists.bounds[CHANGED] = 1.0

    def phases(self) -> Floats:
        """The phases, rad, float64 (n,), in no particular order; not to be changed."""
        return self._particles.phi

    def neighbours(self) -> Indices:
        """The coupling sets at the present positions, by index, each ascending: int32 (n, k)."""
        near = np.empty_like(self._lists.neighbours)
        if self._fresh:
            near[self._index_of] = self._index_of[self._lists.neighbours]
        else:
            nearest(self.array("x"), self.array("y"), self._step_params.world, self._step_params.plane, near)
        return near

    def array(self, name: str) -> Floats:
        """A copy of one array, by index: float64 (n,)."""
        return self._by_index(getattr(self._particles, name))

    def pressure(self, t: float, pulses: Floats) -> Floats:
        """The pressure at the present positions, by index, float64 (n,); `t` in s, `pulses`: those alive."""
        # Computed in the order of memory, where neighbours lie together.
        params, x, y = self._step_params, self._particles.x, self._particles.y
        return self._by_index(pressure(x, y, params.world, params.plane, t, params.portal, pulses))

    def _by_index(self, values: Floats) -> Floats:
        array = np.empty_like(values)
        _put(values, self._index_of, array)
        return array

    # -- running --------------------------------------------------------------------------------------

    def run(
        self,
        ticks: int,
        tick: int,
        graph: Graph,
        forcing: ExternalForcing,
        normals: Floats,
        rotations: Floats,
        rotation_count: int,
        record: RecordBuffer,
    ) -> None:
        """Advance by `ticks` from `tick`; arguments as in :class:`~chronoflux.model.engine.step.Task`."""
        if self._mean is None:
            self._mean = sin_cos(self._particles.phi, *self._sin_cos)
        n, now, then, mean = len(self._index_of), self._sin_cos, self._spare, self._mean
        one_thread = self._step_params.rk4 or ticks * n < SHARED or n < PARTED
        with thread_pool.team(1 if one_thread else thread_pool.count) as workers:
            team = self._single if workers == 1 else make_team(workers, n, BLOCK)
            task = Task(
                team,
                ticks,
                tick,
                self._particles,
                self._step_params,
                self._lists,
                graph,
                forcing,
                now,
                then,
                mean,
                normals,
                rotations,
                rotation_count,
                record,
            )
            done = thread_pool.run_on_threads(workers, lambda worker: run(task, worker))
        self._mean = done[0][0]
        self.looks += sum(looks for _, looks in done)
        if ticks % 2:
            self._sin_cos, self._spare = then, now
        self._fresh = True
        self._strayed += ticks * self._lists.bounds[SPEED]
        width, height = self._step_params.world
        if self._ordered and self._strayed > STRAY * math.sqrt(width * height / n):
            self._reorder(self.arrays(), self.array("omega"))


@cached_kernel
def _put(values: Floats, places: Indices, array: Floats) -> None:
    """``array[places] = values``, faster than in NumPy."""
    for i in range(len(values)):
        array[places[i]] = values[i]


def _along_a_curve(x: Floats, y: Floats, world: tuple[float, float]) -> Indices:
    """The indices of the positions `x, y` along a Z-order curve: int32 (n,)."""
    key = _spread(x * (65536 / world[0])) | _spread(y * (65536 / world[1])) << np.uint32(1)
    return np.argsort(key).astype(np.int32)


def _spread(values: Floats) -> NDArray[np.uint32]:
    """The lowest 16 bits of the integer parts, with a 0 after each bit."""
    bits = values.astype(np.uint32)
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        bits = (bits | bits << np.uint32(shift)) & np.uint32(mask)
    return bits


def in_range(arrays: Arrays, world: World) -> Arrays:
    """Bring `arrays` back into range, in place, after a change from outside; return them."""
    periods = {"x": world[0], "y": world[1], "phi": TAU}
    for name, values in arrays.items():
        if name in ("vx", "vy"):
            np.clip(values, -FASTEST, FASTEST, out=values)
            continue
        period = periods[name]
        np.mod(values, period, out=values)
        values[values >= period] = 0.0  # np.mod rounds −tiny up to the period itself
    return arrays
