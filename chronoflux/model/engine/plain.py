"""The plain engine: one tick of the model in NumPy, short and slow; the reference for the compiled kernels.

Choose it with ``CHRONOFLUX_ENGINE=plain``. :func:`step` follows the text of the model and shares no kernel
and no physical constant with the compiled engine. It uses distances of all pairs instead of a cell list, the
double sum instead of sums of sines and cosines, and the gradient of the pressure by the complex step (W.
Squire and G. Trapp, SIAM Review 40, 110, 1998) instead of a formula. NumPy has no fused multiply-add and sums
in another order. So the two engines agree to rounding, not bit for bit, and only while the motion is not
chaotic. The simulation draws the noise, so that it is the same in both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chronoflux.model.engine.arrays import Floats, Indices, World
from chronoflux.model.engine.phases import GLOBAL, GRAPH, KNN, Coupling, Graph
from chronoflux.model.engine.record_buffer import ARRAYS, RecordBuffer
from chronoflux.model.engine.step import ExternalForcing, Particles, StepParams

TAU = 2 * math.pi
ROWS = 256
"""Oscillators whose distances to all others are held in memory at once."""


def step(
    particles: Particles,
    params: StepParams,
    tick: int,
    graph: Graph,
    forcing: ExternalForcing,
    normals: Floats | None = None,
) -> Particles:
    """The particles one tick later, by index. `normals`: standard normal, float64 (n,); None: no noise."""
    x, y, vx, vy, phi, omega = particles
    t = tick * params.dt
    gx, gy = gradient(
        x, y, t, world=params.world, plane=params.plane, portal=params.portal, pulses=alive(forcing.fired, t)
    )
    vx = _bounded(vx + (-params.gamma * gx - params.eta * vx) * params.dt)
    vy = _bounded(vy + (-params.gamma * gy - params.eta * vy) * params.dt)
    x = wrap(x + 60 * vx * params.dt, params.world[0])
    y = wrap(y + 60 * vy * params.dt, params.world[1])

    knn = params.coupling.kind == KNN
    near = nearest(x, y, params.world, params.plane, params.neighbours) if knn else None
    clock = forcing.clock
    T = clock.at + 1000 * params.dt * (tick - clock.tick) / clock.speed
    span = 1000 * params.dt / clock.speed

    def slope(phi: Floats, part: float) -> Floats:
        """dφ/dt in rad/s; the peers' fields are those at this fraction of the tick."""
        within = params.coupling.kappa * pull(phi, params.coupling, near, graph) if len(phi) > 1 else 0.0
        return omega + within + mesh_pull(phi, forcing.fields, T, params.coupling.mesh, part * span)

    if params.rk4:
        k1 = slope(phi, 0.0)
        k2 = slope(phi + params.dt / 2 * k1, 0.5)
        k3 = slope(phi + params.dt / 2 * k2, 0.5)
        k4 = slope(phi + params.dt * k3, 1.0)
        phi = wrap(phi + params.dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4), TAU)
    else:
        phi = wrap(phi + params.dt * slope(phi, 0.0), TAU)
        if normals is not None:
            phi = wrap(phi + math.sqrt(2 * params.noise * params.dt) * normals, TAU)
    return Particles(x, y, vx, vy, phi, omega)


# -- the torus --------------------------------------------------------------------------------------------


def wrap(values: Floats, period: float) -> Floats:
    """`values` modulo `period`, in ``[0, period)`` even where rounding would give `period`."""
    rest = np.mod(values, period)
    return np.where(rest < period, rest, 0.0)


def minimum_image(difference: Any, period: float) -> Any:
    """The nearest image of `difference` on a circle of length `period`."""
    return (difference + period / 2) % period - period / 2


# -- motion -----------------------------------------------------------------------------------------------


def raw_pressure(
    x: Any,
    y: Any,
    t: float,
    world: World = (800.0, 600.0),
    plane: bool = False,
    portal: bool = False,
    pulses: Any = (),
) -> Any:
    """The pressure before it is clamped; ``x, y`` may be complex, `pulses` are rows ``x, y, E(t), sigma``."""
    a, b = x - 0.2 * world[0], y - 0.78 * world[1]
    s = a * np.cos(0.35) + b * np.sin(0.35)
    d = -a * np.sin(0.35) + b * np.cos(0.35)
    p = 0.55 + 0.0 * s
    if not portal:
        p = p + 0.45 * np.sin(TAU * s / 140 - 1.4 * 2.2 * t) * np.exp(-(d**2) / (2 * (0.33 * 140) ** 2))
    for px, py, E, sigma in pulses:
        dx, dy = x - px, y - py
        if not plane:
            dx, dy = _image(dx, world[0]), _image(dy, world[1])
        p = p + E * np.exp(-(dx**2 + dy**2) / (2 * sigma**2))
    return p


def _image(difference: Any, period: float) -> Any:
    """The minimum image of a complex number by its real part."""
    return difference - (np.real(difference) - minimum_image(np.real(difference), period))


def pressure(x: Any, y: Any, t: float, **where: Any) -> Any:
    """The clamped pressure."""
    return np.clip(raw_pressure(x, y, t, **where), 0.0, 1.3)


def gradient(x: Any, y: Any, t: float, **where: Any) -> tuple[Any, Any]:
    """The gradient of the clamped pressure by the complex step, exact to rounding."""
    h = 1e-30
    gx = raw_pressure(x + 1j * h, y, t, **where).imag / h
    gy = raw_pressure(x, y + 1j * h, t, **where).imag / h
    p = raw_pressure(x, y, t, **where)
    free = (p >= 0) & (p <= 1.3)
    return gx * free, gy * free


def alive(fired: Any, t: float) -> list[tuple[float, float, float, float]]:
    """Rows ``x, y, E(t), sigma`` of the pulses alive at `t`, from rows ``x, y, E, sigma, t_k``."""
    rows = [(x, y, E * 0.985 ** (max(t - tk, 0.0) / 0.016), sigma) for x, y, E, sigma, tk in fired]
    return [row for row in rows if row[2] > 0.02]


def _bounded(v: Floats) -> Floats:
    """Velocities clipped to ±1e9, with those below 1e-150 set to 0."""
    v = np.clip(v, -1e9, 1e9)
    return np.where(np.abs(v) > 1e-150, v, 0.0)


# -- phases -----------------------------------------------------------------------------------------------


def squared_distances(x: Any, y: Any, world: World, plane: bool, rows: slice = slice(None)) -> Any:
    """Squared distances of `rows` to all, (m, n), infinite to itself."""
    dx, dy = np.abs(x[rows, None] - x), np.abs(y[rows, None] - y)
    if not plane:
        dx, dy = np.minimum(dx, world[0] - dx), np.minimum(dy, world[1] - dy)
    square = dx * dx + dy * dy
    square[np.arange(len(square)), np.arange(len(x))[rows]] = np.inf
    return square


def nearest(x: Any, y: Any, world: World, plane: bool, k: int) -> Indices:
    """The k nearest of each by comparing all pairs, ties to the lower index: (n, k), rows ascending."""
    n = len(x)
    near = np.empty((n, min(k, n - 1)), np.int32)
    for first in range(0, n, ROWS):
        rows = slice(first, first + ROWS)
        ranked = np.argsort(squared_distances(x, y, world, plane, rows), axis=1, kind="stable")
        near[rows] = np.sort(ranked[:, : near.shape[1]], axis=1)
    return near


def pull(phi: Floats, coupling: Coupling, near: Indices | None, graph: Graph) -> Floats:
    """``Σⱼ wᵢⱼ sin(φⱼ − φᵢ − α)`` for each oscillator, (n,)."""
    n, alpha = len(phi), coupling.lag
    if coupling.kind == GLOBAL:
        mean = np.mean(np.exp(1j * phi))
        return np.asarray((mean * np.exp(-1j * (phi + alpha))).imag)
    if coupling.kind == GRAPH:
        row = np.repeat(np.arange(n), np.diff(graph.indptr))
        terms = graph.weights * np.sin(phi[graph.indices] - phi[row] - alpha)
        return np.asarray(np.bincount(row, terms, n), np.float64)
    assert near is not None
    return np.asarray(np.mean(np.sin(phi[near] - phi[:, None] - alpha), axis=1))


def mesh_pull(phi: Floats, fields: Any, T: float, kappa: float, ahead: float = 0.0) -> Floats:
    """Coupling to the peers' fields (rows ``at, R, psi, omega``) fresh at `T` (ms), `ahead` ms later."""
    fresh = [f for f in fields if abs(T - f[0]) <= 2000]
    if not fresh:
        return np.zeros_like(phi)
    pulls = [R * np.sin(psi + omega * (T + ahead - at) / 1000 - phi) for at, R, psi, omega in fresh]
    return np.asarray(kappa * np.mean(pulls, axis=0))


# -- the store --------------------------------------------------------------------------------------------


class PlainStore:
    """The interface of :class:`~chronoflux.model.engine.particles.ParticleStore`, by :func:`step`."""

    def __init__(self, arrays: dict[str, Floats], omega: Floats, params: StepParams) -> None:
        self._particles, self._step_params = Particles(**arrays, omega=omega), params
        self.looks: int = 0
        """Neighbour lists checked so far."""

    def arrays(self) -> dict[str, Floats]:
        """Copies of the arrays, by index: float64 (n,)."""
        return {name: self.array(name) for name in ARRAYS}

    def array(self, name: str) -> Floats:
        """A copy of one array, by index: float64 (n,)."""
        values: Floats = getattr(self._particles, name)
        return values.copy()

    def put(self, arrays: dict[str, Floats]) -> None:
        """Replace some or all arrays, by index, in range."""
        self._particles = self._particles._replace(**arrays)

    def update_frequencies(self, omega: Floats) -> None:
        """Continue with these natural frequencies, rad/s, by index."""
        self._particles = self._particles._replace(omega=omega)

    def update_params(self, params: StepParams, fired: Floats) -> None:
        """Continue with these parameters; pulses come with each run."""
        self._step_params = params

    def phases(self) -> Floats:
        """The phases, rad, float64 (n,); not to be changed."""
        return self._particles.phi

    def neighbours(self) -> Indices:
        """The coupling sets at the present positions, each ascending: int32 (n, k)."""
        params, (x, y, *_) = self._step_params, self._particles
        return nearest(
            x, y, params.world, params.plane, params.neighbours if params.coupling.kind == KNN else 0
        )

    def pressure(self, t: float, pulses: Floats) -> Floats:
        """The pressure at the present positions, at time `t` (s) with the `pulses` alive: float64 (n,)."""
        params, (x, y, *_) = self._step_params, self._particles
        values: Floats = pressure(
            x, y, t, world=params.world, plane=params.plane, portal=params.portal, pulses=pulses
        )
        return values

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
        for i in range(ticks):
            before = self._particles
            noise = normals[i] if len(normals) else None
            after = self._particles = step(before, self._step_params, tick + i, graph, forcing, noise)
            rotations[(rotation_count + i) % len(rotations)] = minimum_image(
                _psi(after.phi) - _psi(before.phi), TAU
            )
            self.looks += len(after.phi) if self._step_params.coupling.kind == KNN else 0
            done = record.begun + i + 1
            if record.every > 0 and done % record.every == 0:
                kept = record.columns >= 0
                for kind, of in enumerate(record.kinds):
                    row = record.rows[kind, done // record.every - 1]
                    row[record.columns[kept]] = getattr(after, ARRAYS[of])[kept]


def _psi(phi: Floats) -> float:
    """The mean field's phase, rad."""
    return float(np.angle(np.mean(np.exp(1j * phi))))
