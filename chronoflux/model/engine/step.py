"""One tick in kernels: all oscillators move, then all phases are stepped. Here is only the order of a tick.

Both halves work on a range of slots, so that a team of threads can share them, in blocks that fit the
processor's L1 cache. :func:`run` computes many ticks in one call.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from chronoflux.model.engine.arrays import Floats, Indices, World
from chronoflux.model.engine.barrier import Team, arrive, next_chunk, release
from chronoflux.model.engine.field import decay
from chronoflux.model.engine.jit import cached_kernel, device_function
from chronoflux.model.engine.motion import FRAMES, SPARE, move
from chronoflux.model.engine.periodic import wrap
from chronoflux.model.engine.phases import (
    KNN,
    TAU,
    Coupling,
    Graph,
    euler,
    fixed_point_scale,
    peers_pull,
    rates_block,
    runge_kutta,
    sin_cos_block,
)
from chronoflux.model.engine.record_buffer import RecordBuffer
from chronoflux.model.engine.verlet_lists import (
    CHANGED,
    SPEED,
    STEEPEST,
    Motion,
    VerletLists,
    account_for_tick,
)
from chronoflux.model.engine.verlet_update import Workspace, refresh_lists, workspace_for

BLOCK = 512
"""Oscillators computed together."""
MOTION_BLOCK = 128
"""Oscillators moved together: fewer, because jet and pulses that reach none of them are skipped."""


class StepParams(NamedTuple):
    """The parameters as the kernels take them; names and units are those of ``Params``."""

    world: World
    plane: bool
    portal: bool
    dt: float
    gamma: float
    eta: float
    noise: float
    neighbours: int
    rk4: bool
    coupling: Coupling


class Clock(NamedTuple):
    """Mesh time: `at` ms at tick `tick`, `speed` simulated seconds a second from there on."""

    at: float
    tick: int
    speed: float


class Particles(NamedTuple):
    """The oscillators by slot, float64 (n,): px, px per frame, rad, and frequencies in rad/s."""

    x: Floats
    y: Floats
    vx: Floats
    vy: Floats
    phi: Floats
    omega: Floats


class SinCos(NamedTuple):
    """Sine and cosine of every phase: float64 (n,)."""

    s: Floats
    c: Floats


class ExternalForcing(NamedTuple):
    """What acts on the swarm from outside: pulses, the mean fields of peers, and the mesh clock.

    ``fired``: float64 (P, 5), as in :func:`~chronoflux.model.engine.field.decay`. ``fields``: float64
    (peers, 4), as in :func:`~chronoflux.model.engine.phases.peers_pull`.
    """

    fired: Floats
    fields: Floats
    clock: Clock


@cached_kernel
def mesh_time(clock: Clock, tick: int, dt: float) -> float:
    """Mesh time of a tick, ms; NaN if the clock's `at` is NaN."""
    return clock.at + 1000 * dt * (tick - clock.tick) / clock.speed


@cached_kernel
def motion_of(particles: Particles, params: StepParams, lists: VerletLists, fired: Floats) -> Motion:
    """What the lists need to know of the motion; `fired`: all pulses."""
    step = FRAMES * params.dt
    gain, steepest = step * params.dt * abs(params.gamma), lists.bounds[STEEPEST]
    x, y, vx, vy, _, _ = particles
    world, plane, portal, drag = params.world, params.plane, params.portal, params.eta * params.dt
    return Motion(x, y, vx, vy, world, plane, step, gain, steepest, drag, portal, fired)


@device_function
def step_motion(
    first: int, end: int, t: float, particles: Particles, params: StepParams, pulses: Floats, spare: Floats
) -> tuple[float, bool]:
    """Move the oscillators from slot `first` up to `end`.

    `pulses`: those alive at time `t`. `spare`: float64 (SPARE, BLOCK), overwritten. Returns their largest
    squared speed, and whether any of them crossed the seam.
    """
    fastest, crossed = 0.0, False
    for a in range(first, end, MOTION_BLOCK):
        b = min(a + MOTION_BLOCK, end)
        speed2, crosses = move(
            particles.x[a:b],
            particles.y[a:b],
            particles.vx[a:b],
            particles.vy[a:b],
            params.world,
            params.plane,
            t,
            params.portal,
            pulses,
            params.gamma,
            params.eta,
            params.dt,
            spare,
        )
        fastest, crossed = max(fastest, speed2), crossed | crosses
    return fastest, crossed


@device_function
def step_phases(
    first: int,
    end: int,
    tick: int,
    particles: Particles,
    params: StepParams,
    lists: VerletLists,
    motion: Motion,
    graph: Graph,
    forcing: ExternalForcing,
    mean: tuple[float, float],
    now: SinCos,
    then: SinCos,
    normals: Floats,
    work: Workspace,
    spare: Floats,
) -> tuple[int, int, int]:
    """Step the phases from slot `first` up to `end`, after all oscillators have moved.

    `mean`: the means of sine and cosine of all phases. `now` is read, `then` written. `normals`: standard
    normal numbers by index, float64 (1, n), or (0, n) without noise. `work`: to refresh lists. `spare`:
    float64 (SPARE, BLOCK), overwritten. Returns the sums of ``then`` as integers, see
    :func:`~chronoflux.model.engine.phases.fixed_point_scale`, and how many lists were refreshed.
    """
    T = mesh_time(forcing.clock, tick, params.dt)
    peers = peers_pull(forcing.fields, T, 0.0)
    kick, scale = math.sqrt(2 * params.noise * params.dt), fixed_point_scale(len(particles.phi))
    sines, cosines, refreshed = 0, 0, 0
    for a in range(first, end, BLOCK):
        b = min(a + BLOCK, end)
        if params.coupling.kind == KNN:
            refreshed += refresh_lists(a, b, tick, lists, motion, work)
        if params.rk4:
            continue
        m = b - a
        phi, change, A, B = particles.phi[a:b], spare[0][:m], spare[1][:m], spare[2][:m]
        rates_block(
            a,
            particles.omega,
            now.s,
            now.c,
            mean,
            params.coupling,
            lists.neighbours,
            graph,
            peers,
            change,
            A,
            B,
        )
        euler(phi, change, params.dt)
        if len(normals) > 0:
            for i in range(len(phi)):
                phi[i] = wrap(phi[i] + kick * normals[0, lists.index_of[a + i]], TAU)
        sums = sin_cos_block(phi, scale, then.s[a:b], then.c[a:b])
        sines, cosines = sines + sums[0], cosines + sums[1]
    if params.rk4:
        span = 1000 * params.dt / forcing.clock.speed
        runge_kutta(
            particles.phi,
            now.s,
            now.c,
            mean,
            params.dt,
            particles.omega,
            params.coupling,
            lists.neighbours,
            graph,
            forcing.fields,
            T,
            span,
        )
        sines, cosines = sin_cos_block(particles.phi, scale, then.s, then.c)
    return sines, cosines, refreshed


@cached_kernel
def record_rotation(
    before: tuple[float, float], after: tuple[float, float], rotations: Floats, place: int
) -> None:
    """Write the change of ψ from one mean of sine and cosine to the next into the ring buffer, rad."""
    rotation = math.atan2(after[0], after[1]) - math.atan2(before[0], before[1])
    rotations[place % len(rotations)] = wrap(rotation + math.pi, TAU) - math.pi


@device_function
def write_row(
    record: RecordBuffer, row: int, first: int, end: int, particles: Particles, index_of: Indices
) -> None:
    """Write the recorded oscillators among the slots from `first` up to `end` into a row."""
    for kind in range(len(record.kinds)):
        of = record.kinds[kind]
        if of == 0:
            values = particles.x
        elif of == 1:
            values = particles.y
        elif of == 2:
            values = particles.vx
        elif of == 3:
            values = particles.vy
        else:
            values = particles.phi
        for i in range(first, end):
            column = record.columns[index_of[i]]
            if column >= 0:
                record.rows[kind, row, column] = values[i]


class Task(NamedTuple):
    """The arguments of :func:`run`: advance all by `ticks` from tick `tick`, in place.

    ``now``: sine and cosine of the phases; after an odd number of ticks, ``then`` holds them. ``mean``: their
    means. ``normals``: standard normal numbers by index, float64 (ticks, n), or (0, n) without noise.
    ``rotations``: float64 (window,), a ring buffer of the changes of ψ per tick, rad; ``rotation_count``: how
    many were ever written to it.
    """

    team: Team
    ticks: int
    tick: int
    particles: Particles
    params: StepParams
    lists: VerletLists
    graph: Graph
    forcing: ExternalForcing
    now: SinCos
    then: SinCos
    mean: tuple[float, float]
    normals: Floats
    rotations: Floats
    rotation_count: int
    record: RecordBuffer


@cached_kernel
def run(task: Task, worker: int) -> tuple[tuple[float, float], int]:
    """Compute the task; each worker of the team calls this, with its own number.

    Returns the means of sine and cosine, and how many lists this worker refreshed.
    """
    motion = motion_of(task.particles, task.params, task.lists, task.forcing.fired)
    work, spare = workspace_for(task.lists, BLOCK), np.empty((SPARE, BLOCK))
    return _run(task, worker, motion, work, spare, np.empty((len(motion.fired), 4)))


@device_function
def _run(
    task: Task, worker: int, motion: Motion, work: Workspace, spare: Floats, alive: Floats
) -> tuple[tuple[float, float], int]:
    """:func:`run` with its working memory; `alive`: float64 (P, 4), for the pulses alive."""
    (
        team,
        ticks,
        tick,
        particles,
        params,
        lists,
        graph,
        forcing,
        now,
        then,
        mean,
        normals,
        rotations,
        rotation_count,
        record,
    ) = task
    n, refreshed = len(particles.phi), 0
    size = fixed_point_scale(n) * n
    # Without a field, oscillators at rest stay there. All workers decide this from results of the last tick.
    still = params.gamma == 0.0 and lists.bounds[SPEED] == 0.0 and lists.bounds[CHANGED] == 0.0
    for step in range(ticks):
        if not still:
            t, fastest, crossed = (tick + step) * params.dt, 0.0, False
            pulses = alive[: decay(forcing.fired, t, alive)]
            first, end = next_chunk(team, worker)
            while first < end:
                speed2, crosses = step_motion(first, end, t, particles, params, pulses, spare)
                fastest, crossed = max(fastest, speed2), crossed | crosses
                first, end = next_chunk(team, worker)
            team.speeds[worker, 0], team.results[worker, 0] = fastest, int(crossed)
            if arrive(team):
                for other in range(len(team.results)):
                    fastest = max(fastest, team.speeds[other, 0])
                    crossed |= team.results[other, 0] != 0
                account_for_tick(lists, motion, fastest, crossed)
                release(team)
        kicks = normals[step : step + 1]
        sines, cosines = 0, 0
        first, end = next_chunk(team, worker)
        while first < end:
            s, c, count = step_phases(
                first,
                end,
                tick + step,
                particles,
                params,
                lists,
                motion,
                graph,
                forcing,
                mean,
                now,
                then,
                kicks,
                work,
                spare,
            )
            sines, cosines, refreshed = sines + s, cosines + c, refreshed + count
            recorded = record.begun + step + 1
            if record.every > 0 and recorded % record.every == 0:
                write_row(record, recorded // record.every - 1, first, end, particles, lists.index_of)
            first, end = next_chunk(team, worker)
        at = 1 + step % 2 * 2  # alternating, because some workers may still read the results of the last tick
        team.results[worker, at], team.results[worker, at + 1] = sines, cosines
        if arrive(team):
            release(team)
        before, sines, cosines = mean, 0, 0
        for other in range(len(team.results)):
            sines, cosines = sines + team.results[other, at], cosines + team.results[other, at + 1]
        mean = (sines / size, cosines / size)
        if worker == 0:
            record_rotation(before, mean, rotations, rotation_count + step)
        now, then = then, now
    return mean, refreshed
