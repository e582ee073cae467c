"""Mesh time and peers' fields: which is kept, which is used, and what it does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chronoflux.errors import ParameterError
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.model.state import State
from tests import reference


def lone(**more):
    """One oscillator that feels only its own frequency and its peers."""
    state = State(x=[1], y=[1], vx=[0], vy=[0], phi=[0.5])
    return Simulation(Params(oscillators=1, gamma=0.0, **more), seed=1, state=state)


def test_locked_to_a_peer():
    """A peer turning Δω faster is followed at the phase difference asin(Δω/(κ_mesh R)): the closed form."""
    sim = lone(mesh_coupling=1.0, integrator="rk4", frequency=1.0)
    delta, R = 0.3, 0.8
    omega = reference.TAU + delta
    sim.anchor(1000.0)
    for _ in range(40):
        at = sim.mesh_time()
        sim.hear("a", at, R, omega * at / 1000, omega)
        sim.advance(60)
    lag = omega * sim.mesh_time() / 1000 - sim.state.phi[0]
    assert reference.apart(lag, math.asin(delta / R)) < 1e-6


def test_beating_with_a_peer():
    """A peer out of reach leaves a beat of √(Δω² − (κ_mesh R)²)."""
    sim = lone(mesh_coupling=1.0, integrator="rk4", frequency=0.0)
    omega, R = 1.25, 0.75
    sim.anchor(0.0)
    difference = []
    for tick in range(6000):
        if tick % 60 == 0:
            at = sim.mesh_time()
            sim.hear("a", at, R, omega * at / 1000, omega)
        difference.append(omega * sim.mesh_time() / 1000 - sim.state.phi[0])
        sim.advance()
    unwrapped = np.unwrap(difference)
    turns = int(unwrapped[-1] // reference.TAU)
    first, last = (np.interp(turn * reference.TAU, unwrapped, np.arange(6000) * 0.016) for turn in (1, turns))
    assert reference.TAU * (turns - 1) / (last - first) == pytest.approx(1.0, rel=1e-3)


def test_speed():
    """At double speed a peer's phase advances half as far a tick."""
    sim = lone()
    sim.anchor(1000.0, speed=2.0)
    sim.advance(10)
    assert sim.mesh_time() == 1000 + 10 * 16 / 2
    assert sim.mesh_time(0) == 1000
    assert sim.mesh_time(125) == 2000


def test_anchor_goes_from_the_current_tick():
    """A later anchor holds from its own tick on."""
    sim = lone()
    assert math.isnan(sim.mesh_time())
    sim.advance(5)
    sim.anchor(7.0)
    assert sim.mesh_time() == 7.0
    sim.advance(2)
    assert sim.mesh_time() == 7.0 + 32.0


def test_fresh_for_two_seconds():
    """A field counts while it is no more than 2 s of mesh time away; then it is left out."""
    sim = lone()
    sim.hear("a", 1000.0, 1.0, 0.0, 0.0)
    sim.advance()
    assert sim.peers_used == 0  # no mesh time yet
    sim.anchor(1000.0)
    sim.hear("b", 3100.0, 1.0, 0.0, 0.0)
    sim.advance()
    assert sim.peers_used == 1
    sim.advance(10)
    assert sim.peers_used == 2
    sim.advance(115)  # the last of these began at 1000 + 125 · 16 ms
    assert sim.peers_used == 2
    sim.advance()
    assert sim.peers_used == 1
    sim.forget("b")
    sim.forget("never heard of")
    sim.advance()
    assert sim.peers_used == 0


def test_newest_wins():
    """An older field than the one held is ignored, a newer one replaces it."""
    sim, other = lone(), lone()
    for one in (sim, other):
        one.anchor(1000.0)
        one.hear("a", 1000.0, 0.5, 1.0, 3.0)
    other.hear("a", 999.0, 1.0, -1.0, 0.0)
    sim.advance()
    other.advance()
    assert sim.state.phi == other.state.phi
    other.hear("a", 1010.0, 1.0, -1.0, 0.0)
    sim.advance()
    other.advance()
    assert sim.state.phi != other.state.phi


def test_order_of_hearing_does_not_matter():
    """Peers enter in the order of their ids, not of their arrival: the same to the last bit."""
    rng = np.random.default_rng(1)
    fields = {f"p{i}": rng.random(4) for i in range(20)}
    runs = []
    for order in (sorted(fields), sorted(fields, reverse=True)):
        sim = Simulation(seed=1)
        sim.anchor(0.0)
        for peer in order:
            sim.hear(peer, *fields[peer])
        sim.advance(20)
        runs.append(sim.state.phi)
    np.testing.assert_array_equal(*runs)


def test_without_coupling():
    """With mesh_coupling 0 peers change nothing."""
    sim, alone = (Simulation(Params(mesh_coupling=0.0), seed=1) for _ in range(2))
    sim.anchor(0.0)
    sim.hear("a", 0.0, 1.0, 2.0, 3.0)
    sim.advance(20)
    alone.advance(20)
    np.testing.assert_array_equal(sim.state.phi, alone.state.phi)
    assert sim.peers_used == 1


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ((math.nan, 0.5, 0.0, 0.0), "at"),
        ((math.inf, 0.5, 0.0, 0.0), "at"),
        ((0.0, 1.1, 0.0, 0.0), "R"),
        ((0.0, -0.1, 0.0, 0.0), "R"),
        ((0.0, math.nan, 0.0, 0.0), "R"),
        ((0.0, 0.5, math.inf, 0.0), "psi"),
        ((0.0, 0.5, 0.0, 201.0), "omega"),
        ((0.0, 0.5, 0.0, math.nan), "omega"),
    ],
)
def test_bad_fields(field, name):
    """A field that is not finite or out of range is refused by name and changes nothing."""
    sim = lone()
    with pytest.raises(ParameterError, match=f"^{name} = "):
        sim.hear("a", *field)
    assert sim.save()["peers"]["fields"] == {}


def test_rounding_above_one():
    """An order parameter rounded to just above 1 is taken as 1."""
    sim = lone()
    sim.hear("a", 0.0, 1 + 1e-10, 0.0, 0.0)
    assert sim.save()["peers"]["fields"]["a"][1] == 1.0


@pytest.mark.parametrize(("at", "speed"), [(math.nan, 1.0), (0.0, 0.0), (0.0, -1.0), (0.0, math.inf)])
def test_bad_anchors(at, speed):
    """Mesh time is finite and its speed above 0."""
    with pytest.raises(ParameterError, match=r"at = |speed = "):
        lone().anchor(at, speed)
