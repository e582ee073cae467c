"""The swarm with its pulses and portal mode, as events change it."""

from __future__ import annotations

import numpy as np
import pytest

from chronoflux.model.engine import ARRAYS
from chronoflux.model.events import EVENTS, EventKind
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.model.state import Pulse

N = 2500  # kept in another order in memory than by index


@pytest.fixture
def apply(monkeypatch):
    """Applies an effect to a swarm at its next tick, and counts what is copied out of the store."""
    copied = []

    def applied(effect, **more):
        kind = EventKind(effect, wire=effect.__name__, label="")
        monkeypatch.setitem(EVENTS._kinds, kind.name, kind)
        sim = Simulation(Params(oscillators=N, gamma=0.0, **more), seed=3)
        sim.advance(2)
        before = sim.state
        store = sim._stepper.particles
        array = store.array
        monkeypatch.setattr(store, "array", lambda name: (copied.append(name), array(name))[1])
        sim.fire(kind.name)
        sim.advance()
        monkeypatch.undo()
        return before, sim, copied

    return applied


def test_a_pulse_copies_no_array(apply):
    """An event that uses no oscillator costs no copy of any."""

    def bang(swarm, age):
        swarm.pulses.append(Pulse(1.0, 2.0, 0.5, 80.0, swarm.t))

    _, sim, copied = apply(bang)
    assert copied == []
    assert len(sim.pulses) == 1


def test_only_arrays_in_use_are_copied(apply):
    """An array that is replaced before it is read is taken as given; the others stay as they are."""

    def halt(swarm, age):
        swarm.vx = np.full(N, 3.0)
        swarm.vy += swarm.x * 0.0

    before, sim, copied = apply(halt, eta=0.0)
    assert copied == ["vy", "x"]
    np.testing.assert_array_equal(sim.state.vx, np.full(N, 3.0))
    np.testing.assert_array_equal(sim.state.vy, before.vy)
    np.testing.assert_allclose((sim.state.x - before.x) % 800, 3.0 * 60 * 0.016, atol=1e-9)


def test_positions_may_change_alone(apply):
    """With new positions alone, the other arrays are kept; positions are wrapped into the world."""

    def shift(swarm, age):
        swarm.x += 500.0

    before, sim, copied = apply(shift, kappa=0.0, mesh_coupling=0.0)
    assert copied[0] == "x"
    np.testing.assert_allclose(sim.state.x, (before.x + 500.0) % 800.0, atol=1e-9)
    for name in ("y", "vx", "vy"):
        np.testing.assert_array_equal(getattr(sim.state, name), getattr(before, name))


def test_frequencies_follow_portal_mode(apply):
    """An effect that switches portal mode changes the natural frequencies from that tick on."""

    def gate(swarm, age):
        swarm.portal = True

    before, sim, _ = apply(gate, kappa=0.0)
    turned = (sim.state.phi - before.phi) % (2 * np.pi)
    np.testing.assert_allclose(turned, 2 * np.pi * 0.9 * 0.016, atol=1e-9)


def test_an_unknown_attribute_is_refused():
    """A swarm has no attribute of another name, and says so."""

    def slip(swarm, age):
        assert swarm.velocity is None

    kind = EventKind(slip, wire="slip", label="")
    sim = Simulation(Params(oscillators=5), seed=1)
    sim._queue.append((kind, 0.0, {}))
    with pytest.raises(AttributeError, match="no velocity"):
        sim.advance()
    assert all(hasattr(sim.state, name) for name in ARRAYS)
