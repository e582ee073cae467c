"""A tick in kernels: everybody moves, then every phase is stepped. The order of a step, and nothing else.

Both halves are written for a range of slots, so that a team of threads can share them; a range is worked
through in blocks that stay in the processor's first cache. `run` does many ticks in one call.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from chronoflux.model.engine.arrays import Floats, World
from chronoflux.model.engine.barrier import Team, arrive, next_chunk, release
from chronoflux.model.engine.cell_list import Indices
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
from chronoflux.model.engine.verlet_lists import JOLTED, SPEED, STEEP, Space, VerletLists, travel
from chronoflux.model.engine.verlet_update import Workspace, refresh_lists, workspace_for

BLOCK = 512
"""Oscillators worked on at once."""
NEARBY = 128
"""Oscillators moved at once: fewer, as what of the field none of them feels is left out."""


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
    """What is stepped, by slots, float64 (n,): px, px per frame, rad, and natural frequencies in rad/s."""

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
    """What acts from outside.

    ``fired``: float64 (P, 5), pulses as :func:`~chronoflux.model.engine.field.decay` takes them. ``fields``:
    float64 (peers, 4) as :func:`~chronoflux.model.engine.phases.peers_pull` takes them.
    """

    fired: Floats
    fields: Floats
    clock: Clock


@cached_kernel
def mesh_time(clock: Clock, tick: int, dt: float) -> float:
    """Mesh time of a tick in ms; NaN while the clock's `at` is."""
    return clock.at + 1000 * dt * (tick - clock.tick) / clock.speed


@cached_kernel
def space_of(body: Particles, law: StepParams, lists: VerletLists, fired: Floats) -> Space:
    """What the lists need to know of the motion, `fired` being all pulses there are."""
    step = FRAMES * law.dt
    pull, steep = step * law.dt * abs(law.gamma), lists.way[STEEP]
    x, y, vx, vy, _, _ = body
    world, plane, portal, drag = law.world, law.plane, law.portal, law.eta * law.dt
    return Space(x, y, vx, vy, world, plane, step, pull, steep, drag, portal, fired)


@device_function
def drift(
    first: int, end: int, t: float, body: Particles, law: StepParams, pulses: Floats, spare: Floats
) -> tuple[float, bool]:
    """Move the oscillators from slot `first` up to `end`; their largest speed squared, whether one crossed
    the seam. `pulses`: those alive at time `t`. `spare`: float64 (SPARE, BLOCK), overwritten."""
    fastest, crossed = 0.0, False
    for a in range(first, end, NEARBY):
        b = min(a + NEARBY, end)
        speed2, over = move(
            body.x[a:b],
            body.y[a:b],
            body.vx[a:b],
            body.vy[a:b],
            law.world,
            law.plane,
            t,
            law.portal,
            pulses,
            law.gamma,
            law.eta,
            law.dt,
            spare,
        )
        fastest, crossed = max(fastest, speed2), crossed | over
    return fastest, crossed


@device_function
def turn(
    first: int,
    end: int,
    tick: int,
    body: Particles,
    law: StepParams,
    lists: VerletLists,
    space: Space,
    graph: Graph,
    others: ExternalForcing,
    mean: tuple[float, float],
    now: SinCos,
    then: SinCos,
    normals: Floats,
    work: Workspace,
    spare: Floats,
) -> tuple[int, int, int]:
    """Step the phases from slot `first` up to `end`, after everybody has moved.

    `mean`: of sine and cosine of all phases. `now` is read, `then` written. `normals`: standard normal
    numbers by names, float64 (1, n), or (0, n). `work`: room to refresh lists. `spare`: (SPARE, BLOCK),
    overwritten. Returns the sums of ``then`` as whole numbers, see
    :func:`~chronoflux.model.engine.phases.fixed_point_scale`, and how many lists were refreshed.
    """
    T = mesh_time(others.clock, tick, law.dt)
    peers = peers_pull(others.fields, T, 0.0)
    kick, scale = math.sqrt(2 * law.noise * law.dt), fixed_point_scale(len(body.phi))
    sines, cosines, renewed = 0, 0, 0
    for a in range(first, end, BLOCK):
        b = min(a + BLOCK, end)
        if law.coupling.kind == KNN:
            renewed += refresh_lists(a, b, tick, lists, space, work)
        if law.rk4:
            continue
        m = b - a
        phi, change, A, B = body.phi[a:b], spare[0][:m], spare[1][:m], spare[2][:m]
        rates_block(
            a, body.omega, now.s, now.c, mean, law.coupling, lists.neighbours, graph, peers, change, A, B
        )
        euler(phi, change, law.dt)
        if len(normals) > 0:
            for i in range(len(phi)):
                phi[i] = wrap(phi[i] + kick * normals[0, lists.names[a + i]], TAU)
        sums = sin_cos_block(phi, scale, then.s[a:b], then.c[a:b])
        sines, cosines = sines + sums[0], cosines + sums[1]
    if law.rk4:
        span = 1000 * law.dt / others.clock.speed
        runge_kutta(
            body.phi,
            now.s,
            now.c,
            mean,
            law.dt,
            body.omega,
            law.coupling,
            lists.neighbours,
            graph,
            others.fields,
            T,
            span,
        )
        sines, cosines = sin_cos_block(body.phi, scale, then.s, then.c)
    return sines, cosines, renewed


@cached_kernel
def note_turn(before: tuple[float, float], after: tuple[float, float], turns: Floats, at: int) -> None:
    """Write by how much ψ turned from one mean of sine and cosine to the next into the ring `turns`."""
    turned = math.atan2(after[0], after[1]) - math.atan2(before[0], before[1])
    turns[at % len(turns)] = wrap(turned + math.pi, TAU) - math.pi


@device_function
def write_row(record: RecordBuffer, row: int, first: int, end: int, body: Particles, names: Indices) -> None:
    """Write what is recorded of the slots from `first` up to `end` into a row."""
    for kind in range(len(record.kinds)):
        of = record.kinds[kind]
        if of == 0:
            values = body.x
        elif of == 1:
            values = body.y
        elif of == 2:
            values = body.vx
        elif of == 3:
            values = body.vy
        else:
            values = body.phi
        for i in range(first, end):
            column = record.columns[names[i]]
            if column >= 0:
                record.rows[kind, row, column] = values[i]


class Task(NamedTuple):
    """What a run is to do: advance all by `ticks` from tick `tick`, in place.

    ``now`` is filled, and after an odd number of ticks ``then`` is. ``mean``: of sine and cosine of all.
    ``normals``: standard normal numbers by names, float64 (ticks, n), or (0, n) without noise. ``turns``,
    ``turned``: ring of the turns of ψ in rad, one a tick, and how many were ever written to it.
    """

    team: Team
    ticks: int
    tick: int
    body: Particles
    law: StepParams
    lists: VerletLists
    graph: Graph
    others: ExternalForcing
    now: SinCos
    then: SinCos
    mean: tuple[float, float]
    normals: Floats
    turns: Floats
    turned: int
    record: RecordBuffer


@cached_kernel
def run(task: Task, worker: int) -> tuple[tuple[float, float], int]:
    """Do the task; to be called by each worker of the team, with its own number.

    Returns the mean of sine and cosine, and how many lists this worker refreshed.
    """
    space = space_of(task.body, task.law, task.lists, task.others.fired)
    work, spare = workspace_for(task.lists, BLOCK), np.empty((SPARE, BLOCK))
    return _go(task, worker, space, work, spare, np.empty((len(space.fired), 4)))


@device_function
def _go(
    task: Task, worker: int, space: Space, work: Workspace, spare: Floats, alive: Floats
) -> tuple[tuple[float, float], int]:
    """:func:`run`, once there is room to work in; `alive`: for the pulses that are."""
    team, ticks, tick, body, law, lists, graph, others, now, then, mean, normals, turns, turned, record = task
    n, renewed = len(body.phi), 0
    size = fixed_point_scale(n) * n
    # Nothing moves what rests, without a field. Told of by what the last tick left, so that all agree on it.
    still = law.gamma == 0.0 and lists.way[SPEED] == 0.0 and lists.way[JOLTED] == 0.0
    for step in range(ticks):
        if not still:
            t, fastest, crossed = (tick + step) * law.dt, 0.0, False
            pulses = alive[: decay(others.fired, t, alive)]
            first, end = next_chunk(team, worker)
            while first < end:
                speed2, over = drift(first, end, t, body, law, pulses, spare)
                fastest, crossed = max(fastest, speed2), crossed | over
                first, end = next_chunk(team, worker)
            team.speeds[worker, 0], team.told[worker, 0] = fastest, int(crossed)
            if arrive(team):
                for other in range(len(team.told)):
                    fastest = max(fastest, team.speeds[other, 0])
                    crossed |= team.told[other, 0] != 0
                travel(lists, space, fastest, crossed)
                release(team)
        kicks = normals[step : step + 1]
        sines, cosines = 0, 0
        first, end = next_chunk(team, worker)
        while first < end:
            s, c, new = turn(
                first,
                end,
                tick + step,
                body,
                law,
                lists,
                space,
                graph,
                others,
                mean,
                now,
                then,
                kicks,
                work,
                spare,
            )
            sines, cosines, renewed = sines + s, cosines + c, renewed + new
            recorded = record.begun + step + 1
            if record.every > 0 and recorded % record.every == 0:
                write_row(record, recorded // record.every - 1, first, end, body, lists.names)
            first, end = next_chunk(team, worker)
        at = 1 + step % 2 * 2  # by turns, as some may still read what was told a tick ago
        team.told[worker, at], team.told[worker, at + 1] = sines, cosines
        if arrive(team):
            release(team)
        before, sines, cosines = mean, 0, 0
        for other in range(len(team.told)):
            sines, cosines = sines + team.told[other, at], cosines + team.told[other, at + 1]
        mean = (sines / size, cosines / size)
        if worker == 0:
            note_turn(before, mean, turns, turned + step)
        now, then = then, now
    return mean, renewed
