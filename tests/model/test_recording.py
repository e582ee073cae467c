"""Recordings and clones: what is yielded, when, how much at a time, and that nothing else changes by it."""

from __future__ import annotations

import copy
import tracemalloc

import numpy as np
import pytest

from chronoflux.errors import ParameterError
from chronoflux.model import simulation
from chronoflux.model.engine import particles, thread_pool
from chronoflux.model.params import Params
from chronoflux.model.recording import MOST_ROWS, MOST_VALUES
from chronoflux.model.simulation import Simulation
from tests.model.test_simulation import KINDS, assert_same, cycle, scripted


def test_rows_are_the_states_at_their_ticks():
    """Row by row, a recording equals the states of a run that stops at these ticks."""
    sim, other = (Simulation(Params(oscillators=30, gamma=50.0), seed=3) for _ in range(2))
    for one in (sim, other):
        one.advance(5)
        one.intent(x=9, y=9)
    (block,) = sim.record(23, 4, ("phi", "x", "vy"))
    assert list(block.values) == ["phi", "x", "vy"]
    assert block.tick.tolist() == [9, 13, 17, 21, 25]
    assert (block.tick.dtype, block.values["x"].dtype) == (np.int64, np.float64)
    assert len(block) == 5
    for row in range(5):
        other.advance(4)
        assert block.t[row] == other.t
        for name, rows in block.values.items():
            assert rows.shape == (5, 30)
            np.testing.assert_array_equal(rows[row], getattr(other.state, name))
    assert sim.tick == 28
    other.advance(3)
    assert_same(sim, other)


@pytest.mark.parametrize("every", [1, 3, 50])
@pytest.mark.parametrize("kind", [*KINDS, "large"])
def test_rows_are_those_of_a_run_that_stops(kind, every, monkeypatch):
    """Of all kinds of swarm, on one thread and two, and wherever a run is split inside, rows are exact."""
    n = 2100 if kind == "large" else 60  # large: by threads, and kept in another order
    monkeypatch.setattr(thread_pool, "count", 2)
    monkeypatch.setattr(particles, "SHARED", 1)
    monkeypatch.setattr(simulation, "BATCH", 7 * n)
    sim, other = (Simulation(Params(oscillators=n, **KINDS.get(kind, {})), seed=3) for _ in range(2))
    for one in (sim, other):
        one.intent(x=9, y=9)
    chosen = [n - 1, 0, 17]
    for block in sim.record(150, every, ("phi", "y"), of=chosen):
        for row, tick in enumerate(block.tick.tolist()):
            other.advance(tick - other.tick)
            assert block.t[row] == other.t
            np.testing.assert_array_equal(block.values["phi"][row], other.state.phi[chosen])
            np.testing.assert_array_equal(block.values["y"][row], other.state.y[chosen])
    assert_same(sim, other)


def test_recordings_join():
    """Two recordings one after the other are one; a single name will do; some oscillators will do."""
    a, b = (Simulation(Params(oscillators=20), seed=3) for _ in range(2))
    (whole,) = a.record(40, 4)
    parts = [next(b.record(20, 4, of=[7, 3])) for _ in range(2)]
    np.testing.assert_array_equal(whole.tick, np.concatenate([part.tick for part in parts]))
    both = np.concatenate([part.values["phi"] for part in parts])
    np.testing.assert_array_equal(whole.values["phi"][:, [7, 3]], both)


def test_memory_is_bounded():
    """A block is at most 1 MiB of each kind and 1024 rows, and earlier blocks are not kept."""
    sim = Simulation(Params(oscillators=1000, coupling="global"), seed=1)
    sizes = [len(block) for block in sim.record(400, 1, "phi")]
    assert sizes == [131, 131, 131, 7]
    assert MOST_VALUES // 1000 == 131
    small = Simulation(Params(oscillators=2, coupling="global"), seed=1)
    assert [len(block) for block in small.record(2000)] == [MOST_ROWS, 2000 - MOST_ROWS]
    tracemalloc.start()
    for _block in sim.record(1000, 1, ("phi", "x")):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 7 * 8 * MOST_VALUES


def test_between_blocks_the_simulation_may_be_used():
    """What is done between blocks takes effect in the next; another number of oscillators is refused."""
    sim = Simulation(Params(oscillators=200, coupling="global"), seed=1)
    blocks = sim.record(2000)
    next(blocks)
    sim.lion_gate()
    sim.params = sim.params.replace(kappa=2.0)
    next(blocks)
    assert sim.portal
    sim.params = sim.params.replace(oscillators=5)
    with pytest.raises(ParameterError, match=r"oscillators = 5.*200, as when"):
        next(blocks)


def test_an_early_end():
    """Nothing is computed before a block is asked for, and nothing after the last that was."""
    sim = Simulation(Params(oscillators=1000, coupling="global"), seed=1)
    blocks = sim.record(1000)
    assert sim.tick == 0
    next(blocks)
    assert sim.tick == 131
    assert list(Simulation(seed=1).record(0)) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ticks": -1}, "ticks = -1.*whole number >= 0"),
        ({"ticks": 1.5}, "ticks = 1.5"),
        ({"every": 0}, "every = 0.*whole number >= 1"),
        ({"every": True}, "every = True"),
        ({"what": "psi"}, "what = 'psi'.*one or more of x, y, vx, vy, phi"),
        ({"what": ()}, "what"),
        ({"what": ("phi", "phi")}, "what.*each once"),
        ({"of": [220]}, r"of = \[220\].*from 0 to 219"),
        ({"of": [-1]}, "of"),
        ({"of": [1, 1]}, "of.*different"),
        ({"of": []}, "of"),
        ({"of": [0.5]}, "of"),
        ({"of": [[1], [1, 2]]}, "of"),
    ],
)
def test_bad_recordings_are_refused_at_once(given, message):
    """What cannot be recorded is refused when asked for, by name."""
    with pytest.raises(ParameterError, match=message):
        Simulation(seed=1).record(**{"ticks": 10} | given)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clone_goes_on_exactly(kind):
    """A clone goes on as the simulation it was made of, bit for bit, and each leaves the other alone."""
    sim = scripted(Simulation(Params(oscillators=60, **KINDS[kind]), seed=5), 0, 26, cycle(7))
    sim.intent(x=1, y=2)
    before = copy.copy(sim)
    other = sim.clone()
    assert_same(sim, other)
    scripted(other, 26, 60, cycle(1000))
    assert_same(sim, before)
    scripted(sim, 26, 60, cycle(3))
    assert_same(sim, other)


def test_a_branch():
    """A clone with a seed has the same state and frequencies, but other noise, by that seed alone."""
    p = Params(oscillators=60, noise=0.3, frequency_spread=0.2)
    sim = Simulation(p, seed=5)
    sim.advance(10)
    same, one, two, twin = sim.clone(), sim.clone(seed=6), sim.clone(seed=7), sim.clone(seed=6)
    assert (one.seed, one.tick, sim.seed) == (6, 10, 5)
    np.testing.assert_array_equal(one.state.phi, sim.state.phi)
    np.testing.assert_array_equal(one.save()["hertz"], sim.save()["hertz"])
    for each in (sim, same, one, two, twin):
        each.advance(10)
    assert_same(sim, same)
    assert_same(one, twin)
    assert not np.isin(one.state.phi, sim.state.phi).any()
    assert not np.isin(one.state.phi, two.state.phi).any()
    with pytest.raises(ParameterError, match="seed = -1"):
        sim.clone(seed=-1)


def test_a_branch_without_noise_differs_only_in_what_is_drawn():
    """Without noise a branch goes the same way, until something is drawn: a reset."""
    sim = Simulation(Params(oscillators=40), seed=5)
    branch = sim.clone(seed=6)
    sim.advance(20)
    branch.advance(20)
    np.testing.assert_array_equal(sim.state.phi, branch.state.phi)
    sim.reset()
    branch.reset()
    assert not np.isin(sim.state.phi, branch.state.phi).any()
