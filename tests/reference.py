"""Plain NumPy twins of the model's kernels, written from the model's text and not from the kernels.

Slow and straightforward: whole matrices of pairs, complex numbers, no loops over oscillators.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from chronoflux.model.params import Params

TAU = 2 * np.pi


def minimum_image(difference, period):
    """`difference` brought to the nearest of its images on a circle of length `period`."""
    return (difference + period / 2) % period - period / 2


def raw_pressure(x, y, t, world=(800.0, 600.0), plane=False, portal=False, pulses=()):
    """The pressure before it is clamped; `pulses` are rows ``x, y, E(t), sigma``."""
    a, b = x - 0.2 * world[0], y - 0.78 * world[1]
    s = a * np.cos(0.35) + b * np.sin(0.35)
    d = -a * np.sin(0.35) + b * np.cos(0.35)
    angle = 0.0 if portal else TAU * s / 140 - 1.4 * 2.2 * t
    p = 0.55 + 0.45 * np.sin(angle) * np.exp(-(d**2) / (2 * (0.33 * 140) ** 2))
    for px, py, E, sigma in pulses:
        dx, dy = x - px, y - py
        if not plane:
            dx, dy = minimum_image(dx, world[0]), minimum_image(dy, world[1])
        p = p + E * np.exp(-(dx**2 + dy**2) / (2 * sigma**2))
    return p


def pressure(x, y, t, **where):
    """The clamped pressure."""
    return np.clip(raw_pressure(x, y, t, **where), 0.0, 1.3)


def gradient(x, y, t, **where):
    """The gradient of the clamped pressure by the complex step: exact to rounding.

    The minimum image is taken first, as a function of the real part only.
    """
    pulses = where.pop("pulses", ())
    world, plane = where.get("world", (800.0, 600.0)), where.get("plane", False)
    gx, gy = np.zeros_like(x), np.zeros_like(y)
    h = 1e-30
    gx += raw_pressure(x + 1j * h, y, t, **where).imag / h
    gy += raw_pressure(x, y + 1j * h, t, **where).imag / h
    for px, py, E, sigma in pulses:
        dx, dy = x - px, y - py
        if not plane:
            dx, dy = minimum_image(dx, world[0]), minimum_image(dy, world[1])
        gx += (E * np.exp(-((dx + 1j * h) ** 2 + dy**2) / (2 * sigma**2))).imag / h
        gy += (E * np.exp(-(dx**2 + (dy + 1j * h) ** 2) / (2 * sigma**2))).imag / h
    p = raw_pressure(x, y, t, pulses=pulses, **where)
    free = (p >= 0) & (p <= 1.3)
    return gx * free, gy * free


def squared_distances(x, y, world, plane):
    """All pairs' squared distances (n, n), infinite on the diagonal."""
    dx, dy = np.abs(x[:, None] - x), np.abs(y[:, None] - y)
    if not plane:
        dx, dy = np.minimum(dx, world[0] - dx), np.minimum(dy, world[1] - dy)
    square = dx * dx + dy * dy
    np.fill_diagonal(square, np.inf)
    return square


def nearest(x, y, world, plane, k):
    """The k nearest of each by looking at all, ties to the lower index; rows ascending (n, k)."""
    k = min(k, len(x) - 1)
    ranked = np.argsort(squared_distances(x, y, world, plane), axis=1, kind="stable")
    return np.sort(ranked[:, :k], axis=1)


def weights(x, y, p: Params):
    """Matrix (n, n) of the weights with which column acts on row, κ left out."""
    n = len(x)
    if n == 1:
        return np.zeros((1, 1))
    if p.coupling == "global":
        return np.full((n, n), 1 / n)
    near = nearest(x, y, p.world, p.boundary == "plane", p.neighbours)
    matrix = np.zeros((n, n))
    np.put_along_axis(matrix, near, 1 / near.shape[1], axis=1)
    return matrix


def mesh_pull(phi, fields, T, kappa):
    """Pull of the peers' fields, rows ``at, R, psi, omega``, at mesh time `T` in ms."""
    fresh = [f for f in fields if abs(T - f[0]) <= 2000]
    if not fresh:
        return np.zeros_like(phi)
    pulls = [R * np.sin(psi + omega * (T - at) / 1000 - phi) for at, R, psi, omega in fresh]
    return kappa * np.mean(pulls, axis=0)


def rates(phi, omega, matrix, p: Params):
    """dφ/dt in rad/s without peers: the double sum as it is written."""
    difference = phi[None, :] - phi[:, None] - p.phase_lag
    return omega + p.kappa * (matrix * np.sin(difference)).sum(axis=1)


@dataclass
class Twin:
    """A swarm advanced as the model says, with knn or global coupling and Euler's method."""

    p: Params
    x: np.ndarray
    y: np.ndarray
    vx: np.ndarray
    vy: np.ndarray
    phi: np.ndarray
    hertz: np.ndarray | None = None
    tick: int = 0
    portal: bool = False
    pulses: list = field(default_factory=list)
    fields: list = field(default_factory=list)
    mesh: float = np.nan

    def alive(self):
        """Rows ``x, y, E(t), sigma`` of the pulses that are left now."""
        t = self.tick * self.p.dt
        rows = [(x, y, E * 0.985 ** ((t - tk) / 0.016), sigma) for x, y, E, sigma, tk in self.pulses]
        return [row for row in rows if row[2] > 0.02]

    def intent(self, x, y, E=0.35, sigma=80.0):
        self.pulses.append((x, y, E, sigma, self.tick * self.p.dt))

    def flip(self):
        self.vx, self.vy, self.phi = -0.6 * self.vx, -0.6 * self.vy, (self.phi + np.pi / 2) % TAU

    def step(self):
        """One tick."""
        p, t = self.p, self.tick * self.p.dt
        where = {"world": p.world, "plane": p.boundary == "plane", "portal": self.portal}
        gx, gy = gradient(self.x, self.y, t, pulses=self.alive(), **where)
        self.vx = self.vx + (-p.gamma * gx - p.eta * self.vx) * p.dt
        self.vy = self.vy + (-p.gamma * gy - p.eta * self.vy) * p.dt
        self.x = (self.x + 60 * self.vx * p.dt) % p.world[0]
        self.y = (self.y + 60 * self.vy * p.dt) % p.world[1]
        hertz = np.full(len(self.x), p.frequency) if self.hertz is None else self.hertz
        if self.portal:
            hertz = hertz + p.portal_frequency - p.frequency
        slope = rates(self.phi, TAU * hertz, weights(self.x, self.y, p), p)
        slope = slope + mesh_pull(self.phi, self.fields, self.mesh + 1000 * t, p.mesh_coupling)
        self.phi = (self.phi + p.dt * slope) % TAU
        self.tick += 1


def local_order(phi, matrix):
    """Mean of ``|⟨e^{iφ}⟩|`` over each oscillator and those with a weight in its row."""
    members = (matrix != 0) | np.eye(len(phi), dtype=bool)
    return float(np.mean(np.abs(members @ np.exp(1j * phi)) / members.sum(axis=1)))


def turbulence(t, **where):
    """The measure tau of the field, point by point."""
    W, H = where["world"]
    total = []
    for i in range(1, 23):
        for j in range(1, 23):
            x, y = i * W / 24, j * H / 24
            p = [pressure(x + dx, y + dy, t, **where) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))]
            total.append(abs((p[0] - p[1]) - (p[2] - p[3])))
    return float(np.mean(total))


def apart(a, b):
    """Largest distance between phases on the circle, rad."""
    return float(np.max(np.abs(minimum_image(np.asarray(a) - np.asarray(b), TAU))))
