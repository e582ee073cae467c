"""The plain engine and the compiled one: the same model, to rounding."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import random_array

from chronoflux.errors import ParameterError
from chronoflux.model.engine import choice
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from tests import reference

N, TICKS, CLOSE = 40, 1000, 1e-12


@pytest.fixture
def plain(monkeypatch):
    """Makes a simulation on the plain engine."""

    def make(*args, **options):
        with monkeypatch.context() as context:
            context.setenv(choice.VARIABLE, "plain")
            return Simulation(*args, **options)

    return make


CASES = {
    "classic": {},
    "global": {"coupling": "global", "phase_lag": 0.4, "frequency_spread": 0.05},
    "plane": {"boundary": "plane", "gamma": 2.0},
    "rk4": {"integrator": "rk4", "frequency_spread": 0.05},
    "rk4, global": {"integrator": "rk4", "coupling": "global"},
    "noise": {"noise": 0.05},
    "one": {"oscillators": 1, "coupling": "global", "phase_lag": 0.3},
    "three": {"oscillators": 3},
}
ACTIONS = {
    "quiet": {},
    "portal": {100: lambda sim: sim.lion_gate(), 600: lambda sim: sim.lion_gate(False)},
    "pulses": {50: lambda sim: sim.intent(x=20, y=590, E=0.5), 60: lambda sim: sim.intent(x=400, y=300)},
    "flip": {300: lambda sim: sim.pacemaker_flip()},
    "peers": {
        0: lambda sim: sim.anchor(1e6, speed=2.0),
        10: lambda sim: (sim.hear("a", 1e6, 0.7, 1.0, 7.0), sim.hear("b", 1e6 + 90, 0.9, 2.0, 5.0)),
        400: lambda sim: sim.hear("a", 1e6 + 3200, 0.8, 1.0, 7.0),
    },
    "changes": {200: lambda sim: setattr(sim, "params", sim.params.replace(kappa=1.4, neighbours=5))},
}


def take_along(sim, script, ticks=TICKS):
    """Advance by `ticks`, with what is in the script."""
    for mark, following in zip(sorted({0, *script}), [*sorted({0, *script})[1:], ticks], strict=True):
        script.get(mark, lambda sim: None)(sim)
        sim.advance(following - mark)
    return sim


def apart(a, b):
    """Largest difference of two simulations: of places in parts of the world, of velocities and phases."""
    s, r, world = a.state, b.state, a.params.world
    differences = [
        np.max(np.abs(reference.minimum_image(getattr(s, name) - getattr(r, name), side))) / side
        for name, side in zip("xy", world, strict=True)
    ]
    differences += [np.max(np.abs(getattr(s, name) - getattr(r, name))) for name in ("vx", "vy")]
    return float(max(*differences, reference.apart(s.phi, r.phi)))


@pytest.mark.parametrize("case", CASES)
def test_agrees_in_every_kind_of_swarm(plain, case):
    """1,000 ticks of both engines agree to 1e-12, noise included."""
    params = Params(**{"oscillators": N} | CASES[case])
    slow, fast = plain(params, seed=4), Simulation(params, seed=4)
    assert (slow.engine, fast.engine) == ("plain", "compiled")
    slow.advance(TICKS)
    fast.advance(TICKS)
    assert apart(slow, fast) <= CLOSE
    for name, value in fast.metrics().items():
        assert slow.metrics()[name] == pytest.approx(value, abs=1e-10), name
    np.testing.assert_allclose(slow.snapshot().pressure, fast.snapshot().pressure, rtol=0, atol=1e-12)


@pytest.mark.parametrize("action", ACTIONS)
def test_agrees_whatever_is_done(plain, action):
    """1,000 ticks of both engines agree to 1e-12 with events, changes and peers' fields."""
    slow, fast = plain(Params(oscillators=N), seed=9), Simulation(Params(oscillators=N), seed=9)
    take_along(slow, ACTIONS[action])
    take_along(fast, ACTIONS[action])
    assert apart(slow, fast) <= CLOSE
    assert slow.peers_used == fast.peers_used
    np.testing.assert_allclose(slow.pulses, fast.pulses, rtol=1e-12)


@pytest.mark.parametrize("integrator", ["euler", "rk4"])
def test_agrees_on_a_graph(plain, integrator):
    """1,000 ticks of both engines agree to 1e-12 on a weighted directed graph."""
    graph = random_array((N, N), density=0.1, rng=np.random.default_rng(1))
    params = Params(oscillators=N, integrator=integrator, phase_lag=0.2)
    slow, fast = plain(params, seed=4, graph=graph), Simulation(params, seed=4, graph=graph)
    slow.advance(TICKS)
    fast.advance(TICKS)
    assert apart(slow, fast) <= CLOSE


def test_recordings_agree(plain):
    """A recording by the plain engine has the rows of the states, for those that are asked for."""
    params, of = Params(oscillators=N, noise=0.1), [7, 3, 30]
    recorded, stepped = plain(params, seed=4), plain(params, seed=4)
    (block,) = recorded.record(30, every=10, what=("phi", "x"), of=of)
    for row in range(3):
        stepped.advance(10)
        np.testing.assert_array_equal(block.values["phi"][row], stepped.state.phi[of])
        np.testing.assert_array_equal(block.values["x"][row], stepped.state.x[of])


def test_plain_goes_on_bit_for_bit(plain, monkeypatch):
    """Saved and loaded, a simulation on the plain engine goes on to the last bit."""
    whole = plain(Params(oscillators=N, noise=0.1), seed=4)
    take_along(whole, ACTIONS["pulses"], 100)
    half = plain(Params(oscillators=N, noise=0.1), seed=4)
    take_along(half, {50: ACTIONS["pulses"][50]}, 60)
    half.intent(x=400, y=300)
    monkeypatch.setenv(choice.VARIABLE, "plain")
    half = half.clone()
    half.advance(40)
    for name in ("x", "y", "vx", "vy", "phi"):
        np.testing.assert_array_equal(getattr(half.state, name), getattr(whole.state, name))


def test_more_rows_than_are_compared_at_once():
    """Neighbours are the same however many rows of distances are held at once."""
    from chronoflux.model.engine import plain as engine

    rng = np.random.default_rng(3)
    x, y = rng.random(engine.ROWS + 9) * 800, rng.random(engine.ROWS + 9) * 600
    near = engine.nearest(x, y, (800.0, 600.0), False, 4)
    square = reference.squared_distances(x, y, (800.0, 600.0), False)
    np.testing.assert_array_equal(near, np.sort(np.argsort(square, axis=1)[:, :4], axis=1))


@pytest.mark.parametrize("name", ["", "Plain", "numpy"])
def test_another_engine_is_refused(monkeypatch, name):
    """What is neither of the two is refused, by the variable's name."""
    monkeypatch.setenv(choice.VARIABLE, name)
    with pytest.raises(ParameterError, match=r"CHRONOFLUX_ENGINE = .*'compiled'.*'plain'"):
        Simulation(Params(oscillators=3))
