"""Plain NumPy twins of the model's kernels, written from the model's text and not from the kernels.

Slow and straightforward: whole matrices of pairs, complex numbers, no loops over oscillators. What makes up
a tick is the plain engine's; the rest is here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from chronoflux.model.engine.phases import GLOBAL, KNN, Coupling
from chronoflux.model.engine.plain import TAU as TAU
from chronoflux.model.engine.plain import alive, minimum_image, nearest, pressure, step
from chronoflux.model.engine.plain import gradient as gradient
from chronoflux.model.engine.plain import mesh_pull as mesh_pull
from chronoflux.model.engine.plain import squared_distances as squared_distances
from chronoflux.model.engine.step import Clock, ExternalForcing, Particles, StepParams
from chronoflux.model.graph import NO_GRAPH
from chronoflux.model.params import Params


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


def rates(phi, omega, matrix, p: Params):
    """dφ/dt in rad/s without peers: the double sum as it is written."""
    difference = phi[None, :] - phi[:, None] - p.phase_lag
    return omega + p.kappa * (matrix * np.sin(difference)).sum(axis=1)


@dataclass
class Twin:
    """A swarm advanced by the plain engine's step, with knn or global coupling, and what is done to it."""

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
        return alive(self.pulses, self.tick * self.p.dt)

    def intent(self, x, y, E=0.35, sigma=80.0):
        self.pulses.append((x, y, E, sigma, self.tick * self.p.dt))

    def flip(self):
        self.vx, self.vy, self.phi = -0.6 * self.vx, -0.6 * self.vy, (self.phi + np.pi / 2) % TAU

    def step(self):
        """One tick."""
        p = self.p
        law = StepParams(
            world=p.world,
            plane=p.boundary == "plane",
            portal=self.portal,
            dt=p.dt,
            gamma=p.gamma,
            eta=p.eta,
            noise=p.noise,
            neighbours=p.neighbours,
            rk4=p.integrator == "rk4",
            coupling=Coupling(
                GLOBAL if p.coupling == "global" else KNN, p.kappa, p.phase_lag, p.mesh_coupling
            ),
        )
        hertz = np.full(len(self.x), p.frequency) if self.hertz is None else self.hertz
        if self.portal:
            hertz = hertz + p.portal_frequency - p.frequency
        before = Particles(self.x, self.y, self.vx, self.vy, self.phi, TAU * hertz)
        forcing = ExternalForcing(self.pulses, self.fields, Clock(self.mesh, 0, 1.0))
        after = step(before, law, self.tick, NO_GRAPH, forcing)
        self.x, self.y, self.vx, self.vy, self.phi, _ = after
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
