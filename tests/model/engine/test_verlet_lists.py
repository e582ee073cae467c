"""Kept neighbour lists against a search of everybody at every tick."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from chronoflux.model.engine import particles, thread_pool
from chronoflux.model.params import Params
from chronoflux.model.simulation import ARRAYS, Simulation
from chronoflux.model.state import State
from tests import reference


def state(world, x, y, speed, rng):
    n = len(x)
    v = rng.normal(0, 1, (2, n)) * speed
    return State(x=x * world[0], y=y * world[1], vx=v[0], vy=v[1], phi=rng.random(n) * reference.TAU)


def check(sim):
    """The neighbours of the tick just done are those of brute force."""
    s, p = sim.state, sim.params
    expected = reference.nearest(s.x, s.y, p.world, p.boundary == "plane", p.neighbours)
    np.testing.assert_array_equal(sim._stepper.particles.neighbours(), expected, err_msg=f"tick {sim.tick}")


SHAPES = {
    "uniform": lambda u, rng: u,
    "spot": lambda u, rng: 0.5 + u * 1e-9,
    "one place": lambda u, rng: 0.5 + 0 * u,
    "seam": lambda u, rng: np.where(u < 0.5, 0.0, np.nextafter(1, 0)),
    "lattice": lambda u, rng: np.floor(u * 9) / 9,
    "clusters": lambda u, rng: np.where(rng.random(u.shape) < 0.7, 0.3 + u * 1e-2, u),
}
SPEEDS = [0.0, 1e-6, 0.01, 0.5, 20.0, 1e4, 1e9]


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(2, 130),
    k=st.integers(1, 20),
    world=st.tuples(*[st.sampled_from([1.0, 90.0, 600.0, 1e5, 1e7])] * 2),
    boundary=st.sampled_from(["torus", "plane"]),
    shape=st.sampled_from(sorted(SHAPES)),
    speed=st.sampled_from(SPEEDS),
    gamma=st.sampled_from([0.0, 0.55, -30.0, 1e4]),
    eta=st.sampled_from([0.0, 0.18, 30.0, 1e4]),
    dt=st.sampled_from([0.016, 1e-3, 1.0]),
    seed=st.integers(0, 2**32),
    script=st.lists(
        st.sampled_from(["go", "go", "go", "intent", "flip", "portal", "gamma", "k", "coupling", "reset"]),
        max_size=14,
    ),
)
@example(  # drag reverses velocities and makes them 159 times as large in a tick
    n=97,
    k=4,
    world=(1e7, 1e7),
    boundary="torus",
    shape="clusters",
    speed=0.5,
    gamma=0.0,
    eta=1e4,
    dt=0.016,
    seed=99,
    script=[],
)
def test_equal_to_brute_force_at_every_tick(
    n, k, world, boundary, shape, speed, gamma, eta, dt, seed, script
):
    """Whatever the shape, the motion, the events and the changes, every tick's sets are those of a search."""
    rng = np.random.default_rng(seed)
    x, y = SHAPES[shape](rng.random((2, n)), rng)
    p = Params(oscillators=n, neighbours=k, world=world, boundary=boundary, gamma=gamma, eta=eta, dt=dt)
    sim = Simulation(p, seed=seed, state=state(world, x, y, speed, rng))
    for word in ["go", *script]:
        if word == "intent":
            sim.intent(x=0.3 * world[0], y=0.5 * world[1], E=2.0, sigma=max(1.0, min(world) / 9))
        elif word == "flip":
            sim.pacemaker_flip()
        elif word == "portal":
            sim.lion_gate(not sim.portal)
        elif word == "gamma":
            sim.params = sim.params.replace(gamma=float(rng.choice([0.0, 1.0, 100.0])))
        elif word == "k":
            sim.params = sim.params.replace(neighbours=int(rng.integers(1, 20)))
        elif word == "coupling":
            sim.params = sim.params.replace(coupling="global")
            sim.advance(2)
            sim.params = sim.params.replace(coupling="knn")
        elif word == "reset":
            sim.reset()
        for ticks in (1, 1, 2, 3):
            sim.advance(ticks)
            check(sim)


@pytest.mark.parametrize("boundary", ["torus", "plane"])
@pytest.mark.parametrize("speed", [pytest.param(0.02, marks=pytest.mark.slow), 0.5, 30.0])
def test_over_many_ticks(boundary, speed):
    """Over 300 ticks too, with pulses, calm and fast."""
    rng = np.random.default_rng(3)
    p = Params(oscillators=300, boundary=boundary, eta=0.0 if speed else 0.18, gamma=5.0)
    sim = Simulation(p, seed=1, state=state(p.world, *rng.random((2, 300)), speed, rng))
    for tick in range(300):
        if tick % 100 == 20:
            sim.intent(x=400, y=300)
        sim.advance()
        check(sim)


@pytest.mark.parametrize("speed", [0.0, 0.5, 5.0])
def test_a_large_swarm(speed, monkeypatch):
    """A swarm put in another order in memory again and again has the neighbours of SciPy's periodic tree."""
    monkeypatch.setattr(particles, "STRAY", 0.5)
    n, rng = 6000, np.random.default_rng(4)
    p = Params(oscillators=n, world=(3000.0, 2500.0), eta=0.0)
    sim = Simulation(p, seed=1, state=state(p.world, *rng.random((2, n)), speed, rng))
    for ticks in (1, 1, 3, 10, 40, 1, 1):
        sim.advance(ticks)
        points = np.column_stack([sim.state.x, sim.state.y])
        _, tree = cKDTree(points, boxsize=p.world).query(points, k=9)
        np.testing.assert_array_equal(sim._stepper.particles.neighbours(), np.sort(tree[:, 1:], axis=1))


@pytest.mark.parametrize("boundary", ["torus", "plane"])
@pytest.mark.parametrize(("gamma", "eta"), [(0.55, 0.18), (20.0, 5.0), (200.0, 0.0)])
def test_calm_far_from_jet_and_pulses(boundary, gamma, eta):
    """Where the field is flat for long, lists hold for long, and still every tick's sets are those of SciPy's
    tree: with pulses fired afar and near, on seams and off, at once or on top of each other."""
    n, rng = 1500, np.random.default_rng(6)
    p = Params(oscillators=n, world=(9000.0, 7000.0), gamma=gamma, eta=eta, boundary=boundary)
    sim = Simulation(p, seed=1, state=state(p.world, *rng.random((2, n)), 0.0, rng))
    box = p.world if boundary == "torus" else None
    for tick in range(160):
        if tick % 40 == 10:
            for x, y in ((10, 6990), (3000, 1000), *(rng.random((2, 2)) * p.world).tolist()):
                sim.intent(x=x, y=y, E=2.0, sigma=60.0 + tick)
        if tick == 90:
            sim.lion_gate()
        if tick == 120:
            sim.lion_gate(on=False)
        sim.advance()
        points = np.column_stack([sim.state.x, sim.state.y])
        _, tree = cKDTree(points, boxsize=box).query(points, k=9)
        np.testing.assert_array_equal(
            sim._stepper.particles.neighbours(), np.sort(tree[:, 1:], axis=1), f"tick {tick}"
        )
    assert gamma > 1 or sim.looks < 0.05 * n * 160


KINDS = {
    "knn": {"gamma": 20.0, "phase_lag": 0.3},
    "lively": {"eta": 0.0},
    "plane": {"boundary": "plane"},
    "global": {"coupling": "global"},
    "noise": {"noise": 0.2},
    "rk4": {"integrator": "rk4"},
}


def scripted(kind, sizes, count, sort, monkeypatch, through=None):
    """A run of 60 ticks with events, in pieces of these sizes, on `count` threads."""
    monkeypatch.setattr(thread_pool, "count", count)
    monkeypatch.setattr(particles, "SHARED", 1000 if count > 1 else math.inf)
    monkeypatch.setattr(particles, "SORTED", 1000 if sort else math.inf)
    n, rng = 3000, np.random.default_rng(5)
    p = Params(oscillators=n, world=(2000.0, 1500.0), **KINDS[kind])
    speed = 0.5 if kind == "lively" else 0.0
    sim = Simulation(p, seed=9, state=state(p.world, *rng.random((2, n)), speed, rng))
    for mark in (0, 20, 45, 60):
        while sim.tick < mark:
            sim.advance(min(next(sizes), mark - sim.tick))
            if through is not None:
                sim = through(sim)
        if mark == 20:
            sim.intent(x=300, y=1100)
            sim.pacemaker_flip()
        if mark == 45:
            sim.params = sim.params.replace(kappa=1.5, gamma=50.0)
    return sim


def cycle(*sizes):
    while True:
        yield from sizes


@pytest.mark.parametrize("kind", KINDS)
def test_bit_for_bit(kind, monkeypatch):
    """A large run is the same to the last bit on 1 and 2 threads, in memory's order or not, in one piece, in
    many, and saved and loaded in between."""
    one = scripted(kind, cycle(1000), 1, False, monkeypatch)
    others = [
        scripted(kind, cycle(1000), 1, True, monkeypatch),
        scripted(kind, cycle(1000), 2, True, monkeypatch),
        scripted(kind, cycle(3, 1, 8), 2, False, monkeypatch),
        scripted(kind, cycle(7), 1, True, monkeypatch, through=lambda sim: Simulation.load(sim.save())),
    ]
    for other in others:
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(one.state, name), getattr(other.state, name), err_msg=name)
        assert one.metrics() == other.metrics()
