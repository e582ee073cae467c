"""Whole runs: against the twin, bit for bit however split, and never NaN."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from chronoflux.errors import ParameterError
from chronoflux.model.params import SPECS, Params
from chronoflux.model.simulation import ARRAYS, Simulation, Snapshot
from chronoflux.model.state import State
from tests import reference


def assert_same(a: Simulation, b: Simulation) -> None:
    """Both stand at the same tick in the same state, to the last bit."""
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a.state, name), getattr(b.state, name), err_msg=name)
    assert (a.tick, a.t, a.portal, a.seed, a.peers_used) == (b.tick, b.t, b.portal, b.seed, b.peers_used)
    assert str(a.metrics()) == str(b.metrics())
    np.testing.assert_array_equal(a.snapshot().pulses, b.snapshot().pulses)


def twin_of(sim: Simulation, hertz=None) -> reference.Twin:
    s = sim.state
    return reference.Twin(sim.params, s.x, s.y, s.vx, s.vy, s.phi, hertz)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"boundary": "plane"},
        {"coupling": "global", "phase_lag": 0.4},
        {"world": (300.0, 200.0), "dt": 0.05},
    ],
    ids=["default", "plane", "global", "small"],
)
def test_equal_to_the_twin(changes):
    """40 ticks with pulses, portal, a flip, own frequencies and a peer equal the NumPy twin's."""
    hertz = np.random.default_rng(3).normal(1.2, 0.2, 30)
    sim = Simulation(Params(oscillators=30, gamma=60.0, **changes), seed=8, frequencies=hertz)
    twin = twin_of(sim, hertz)
    sim.anchor(1e6)
    sim.hear("a", 1e6 + 100, 0.7, 1.0, 7.0)
    twin.mesh, twin.fields = 1e6, [(1e6 + 100, 0.7, 1.0, 7.0)]
    for tick in range(40):
        if tick == 3:
            sim.intent(x=20, y=190, E=0.5, sigma=40)
            twin.intent(20, 190, 0.5, 40)
        if tick in (10, 20):
            sim.lion_gate(tick == 10)
            twin.portal = tick == 10
        if tick == 30:
            sim.pacemaker_flip()
            twin.flip()
        sim.advance()
        twin.step()
    for name in ("x", "y", "vx", "vy"):
        np.testing.assert_allclose(getattr(sim.state, name), getattr(twin, name), rtol=0, atol=1e-9)
    assert reference.apart(sim.state.phi, twin.phi) < 1e-10


KINDS = {
    "default": {},
    "plane": {"boundary": "plane", "neighbours": 300},
    "global": {"coupling": "global", "phase_lag": 0.5},
    "noise": {"noise": 0.4, "frequency_spread": 0.1, "frequency_distribution": "lorentz"},
    "rk4": {"integrator": "rk4", "frequency_spread": 0.1, "frequency_distribution": "uniform"},
}


def scripted(sim: Simulation, start: int, stop: int, steps) -> Simulation:
    """Advance to tick `stop`, with events, changes and peers' fields at fixed ticks, in steps of any size."""
    script = {
        0: lambda: (sim.anchor(5e5, speed=2.0), sim.hear("b", 5e5, 0.6, 0.3, 7.1)),
        6: lambda: sim.intent(x=700, y=10),
        9: lambda: sim.lion_gate(),
        13: lambda: (sim.hear("a", 5e5 + 60, 0.9, 2.0, 5.0), sim.hear("b", 5e5 + 90, 0.5, 0.1, 7.0)),
        17: lambda: setattr(sim, "params", sim.params.replace(kappa=1.9, gamma=30.0)),
        25: lambda: sim.pacemaker_flip(),
        33: lambda: setattr(sim, "params", sim.params.replace(oscillators=40)),
        41: lambda: (sim.forget("a"), sim.lion_gate(False), sim.intent(x=1, y=2, E=1.0)),
    }
    marks = sorted({*(tick for tick in script if start <= tick < stop), stop})
    for mark in marks:
        while sim.tick < mark:
            sim.advance(min(next(steps), mark - sim.tick))
        if mark in script and mark < stop:
            script[mark]()
    return sim


def cycle(*sizes):
    while True:
        yield from sizes


@pytest.mark.parametrize("kind", KINDS)
def test_bit_for_bit_however_split(kind):
    """A run is the same to the last bit in one call, tick by tick, and in pieces of any size."""
    runs = [
        scripted(Simulation(Params(oscillators=60, **KINDS[kind]), seed=5), 0, 300, cycle(*sizes))
        for sizes in ([1000], [1], [2, 7, 1, 30])
    ]
    assert_same(runs[0], runs[1])
    assert_same(runs[0], runs[2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0, 7, 26, 45])
def test_bit_for_bit_through_save_and_load(kind, at):
    """Saving and loading at any tick changes nothing, the dictionary being arrays and JSON."""
    whole = scripted(Simulation(Params(oscillators=60, **KINDS[kind]), seed=5), 0, 100, cycle(1000))
    half = scripted(Simulation(Params(oscillators=60, **KINDS[kind]), seed=5), 0, at, cycle(3))
    half.intent(x=3, y=4)
    other = Simulation.load(through_json(half.save()))
    assert through_json(other.save()).keys() == half.save().keys()
    assert_same(half, other)
    assert_same(scripted(half, at, 100, cycle(9)), scripted(other, at, 100, cycle(4)))
    assert whole.tick == half.tick


def through_json(saved):
    """What becomes of a saved simulation in a file: arrays as they are, the rest as JSON without NaN."""
    plain = {name: value for name, value in saved.items() if not isinstance(value, np.ndarray)}
    arrays = {name: value.copy() for name, value in saved.items() if isinstance(value, np.ndarray)}
    return arrays | json.loads(json.dumps(plain, allow_nan=False))


def test_save_with_graph_and_frequencies():
    """A graph and given frequencies are saved too."""
    rng = np.random.default_rng(1)
    graph = csr_array((rng.random((20, 20)) < 0.2) * rng.normal(size=(20, 20)))
    sim = Simulation(seed=1, graph=graph, frequencies=rng.normal(1.2, 0.1, 20))
    sim.advance(10)
    other = Simulation.load(through_json(sim.save()))
    sim.advance(10)
    other.advance(10)
    assert_same(sim, other)


def test_load_refuses_another_format():
    """What was saved in another format is refused by name."""
    saved = Simulation(seed=1).save()
    with pytest.raises(ParameterError, match="format = 99"):
        Simulation.load({**saved, "format": 99})


def test_seeds():
    """One seed makes a run; without one each run has its own, kept in .seed."""
    a, b = Simulation(seed=7), Simulation(seed=np.int64(7))
    assert_same(a, b)
    fresh = Simulation()
    assert fresh.seed != Simulation().seed
    assert_same(fresh, Simulation(seed=fresh.seed))
    assert isinstance(fresh.seed, int)


def test_drawn_state():
    """Without a state: at rest, uniform in the world and in phase."""
    s = Simulation(Params(oscillators=20_000), seed=1).state
    assert not s.vx.any()
    assert not s.vy.any()
    for values, side in ((s.x, 800), (s.y, 600), (s.phi, reference.TAU)):
        assert values.min() >= 0
        assert values.max() < side
        assert np.histogram(values, 10, (0, side))[0].std() < 3 * np.sqrt(2000)


def test_given_state():
    """A given state is copied, and wrapped into the world and into [0, 2π)."""
    one = State(x=[801.0], y=[-1e-20], vx=[0.5], vy=[0.0], phi=[-1.0])
    sim = Simulation(seed=1, state=one)
    assert sim.params.oscillators == 1
    assert (sim.state.x[0], sim.state.y[0]) == (1.0, 0.0)
    assert sim.state.phi[0] == pytest.approx(reference.TAU - 1)
    sim.advance()
    assert one.x[0] == 801.0
    sim.state.x[0] = 99.0
    assert sim.state.x[0] != 99.0


def test_phases_alone_are_a_state():
    """Positions are drawn as without a state, by the same seed, and everything is at rest."""
    phi = np.linspace(0.0, 6.0, 30)
    drawn, given = Simulation(Params(oscillators=30), seed=5), Simulation(seed=5, state=State(phi=phi))
    assert given.params.oscillators == 30
    np.testing.assert_array_equal(given.state.phi, phi)
    for name in ("x", "y", "vx", "vy"):
        np.testing.assert_array_equal(getattr(given.state, name), getattr(drawn.state, name))


def test_only_what_is_left_out_is_drawn():
    """A state may leave out one coordinate."""
    sim = Simulation(seed=5, state=State(x=[1.0, 2.0], phi=[0.0, 1.0]))
    assert sim.state.x.tolist() == [1.0, 2.0]
    assert (sim.state.y > 0).all()


def test_time_is_tick_times_dt():
    """t is tick · dt and no running sum."""
    sim = Simulation(Params(oscillators=2, dt=0.1), seed=1)
    sim.advance(1003)
    assert sim.t == 1003 * 0.1
    assert sim.tick == 1003


def test_portal_frequency():
    """Portal mode turns every phase at the portal frequency; given frequencies are shifted."""
    p = Params(oscillators=3, kappa=0.0)
    for hertz, expected in ((None, [0.9] * 3), ([1.0, 2.0, 3.0], [0.7, 1.7, 2.7])):
        sim = Simulation(p, seed=1, frequencies=hertz)
        sim.lion_gate()
        before = sim.state.phi
        sim.advance()
        assert sim.portal
        assert reference.apart(sim.state.phi, before + p.dt * reference.TAU * np.array(expected)) < 1e-13
        sim.lion_gate(on=False)
        sim.advance()
        assert not sim.portal


def test_events_wait_for_the_tick():
    """An event changes nothing until the next tick begins; its pulse then dates from that tick."""
    sim = Simulation(seed=1)
    sim.advance(10)
    sim.intent(x=100, y=200)
    assert len(sim.snapshot().pulses) == 0
    sim.advance(0)
    assert len(sim.snapshot().pulses) == 0
    sim.advance(1)
    np.testing.assert_allclose(sim.snapshot().pulses, [[100, 200, 0.35 * 0.985, 80]], rtol=1e-13)


def test_age():
    """An event fired late is as old as it says."""
    sim = Simulation(seed=1)
    sim.fire("intent", age=0.16, x=1, y=2)
    sim.advance()
    assert sim.snapshot().pulses[0, 2] == pytest.approx(0.35 * 0.985**11, rel=1e-12)


@pytest.mark.parametrize("dt", [0.016, 0.05, 1.0])
def test_pulse_removal(dt):
    """A pulse is gone once it is at 0.02 or less, and forgotten."""
    sim = Simulation(Params(oscillators=5, dt=dt), seed=1)
    sim.intent(x=1, y=2)
    lasts = 0.016 * math.log(0.02 / 0.35) / math.log(0.985)
    sim.advance(math.floor(lasts / dt))
    assert len(sim.snapshot().pulses) == 1
    sim.advance()
    assert len(sim.snapshot().pulses) == 0
    assert len(sim.save()["pulses"]) == 0


def test_many_pulses():
    """There is no limit to the number of pulses."""
    sim = Simulation(Params(oscillators=5), seed=1)
    for i in range(1000):
        sim.intent(x=i % 800, y=1)
    sim.advance()
    assert len(sim.snapshot().pulses) == 1000


BAD_EVENTS = [
    ("explode", {}, "event = 'explode'.*one of intent, lion_gate, pacemaker_flip"),
    ("intent", {"x": 1}, "`y`"),
    ("intent", {"x": 801, "y": 1}, "intent.x = 801.*at most 800 px"),
    ("intent", {"x": 1, "y": math.nan}, "intent"),
    ("intent", {"x": 1, "y": 2, "E": 3}, r"E"),
    ("intent", {"x": 1, "y": 2, "sigma": 0.5}, r"sigma"),
    ("intent", {"x": "1", "y": 2}, r"x"),
    ("lion_gate", {"on": 1}, "on"),
    ("intent", {"x": 1, "y": 2, "age": -1}, "age = -1"),
    ("intent", {"x": 1, "y": 2, "age": math.inf}, "age = inf"),
]


@pytest.mark.parametrize(("name", "data", "message"), BAD_EVENTS)
def test_bad_events_are_refused_at_once(name, data, message):
    """An unknown event or data out of range is refused when fired, with the name of what is wrong."""
    sim = Simulation(seed=1)
    with pytest.raises(ParameterError, match=message):
        sim.fire(name, **data)
    assert sim.save()["queue"] == []


BAD = [
    ({"params": {"kappa": 1}}, "params = .* a Params"),
    ({"seed": -1}, "seed = -1.*whole number"),
    ({"seed": 1.5}, "seed = 1.5"),
    ({"seed": True}, "seed = True"),
    ({"state": 3}, "state = 'int'.*a State"),
    ({"params": Params(), "state": State(x=[1], y=[1], vx=[0], vy=[0], phi=[0])}, "state.*1 oscill.*220"),
    ({"params": Params(), "frequencies": [1.0, 2.0]}, r"frequencies.*\(220,\)"),
    ({"frequencies": [1.0, math.nan]}, "frequencies.*finite"),
    ({"frequencies": []}, "frequencies"),
    ({"frequencies": [1e300]}, "frequencies.*within"),
    ({"frequencies": [1, 2], "params": Params(oscillators=2, frequency_spread=0.1)}, "frequency_spread"),
    ({"graph": csr_array(np.eye(3)), "params": Params()}, "oscillators = 220.*3, the graph"),
    ({"graph": "ring"}, "graph = 'str'.*networkx"),
]


@pytest.mark.parametrize(("given", "message"), BAD)
def test_bad_beginnings_are_refused(given, message):
    """What does not fit is refused at construction, with name, value and remedy."""
    with pytest.raises(ParameterError, match=message):
        Simulation(**given)


@pytest.mark.parametrize("ticks", [-1, 1.0, True, "3"])
def test_bad_ticks(ticks):
    """Ticks are a whole number, not negative."""
    with pytest.raises(ParameterError, match="ticks"):
        Simulation(seed=1).advance(ticks)


def test_parameters_take_effect_at_the_next_tick():
    """A change that needs no reset leaves the state and shapes the tick that follows."""
    a, b = Simulation(seed=1), Simulation(Params(kappa=2.0), seed=1)
    before = a.state.phi
    a.params = a.params.replace(kappa=2.0)
    np.testing.assert_array_equal(a.state.phi, before)
    a.advance(5)
    b.advance(5)
    assert_same(a, b)


@pytest.mark.parametrize(
    "change",
    [
        {"oscillators": 50},
        {"world": (90.0, 80.0)},
        {"boundary": "plane"},
        {"integrator": "rk4"},
        {"frequency_spread": 0.1},
        {"frequency_distribution": "lorentz"},
    ],
)
def test_parameters_that_reset(change):
    """A change that needs a reset draws a new state; the tick goes on, mesh time too, omega begins anew."""
    sim = Simulation(seed=1)
    sim.anchor(1000.0)
    sim.intent(x=1, y=1)
    sim.advance(20)
    before, now = sim.state, sim.mesh_time()
    sim.params = sim.params.replace(**change)
    assert (sim.tick, sim.mesh_time()) == (20, now)
    assert sim.state.n == sim.params.oscillators
    assert not np.isin(sim.state.phi, before.phi).any()
    assert math.isnan(sim.metrics()["omega"])
    assert len(sim.snapshot().pulses) == 0
    sim.advance(5)
    assert sim.tick == 25


def test_parameters_that_do_not_fit_are_refused():
    """A change that does not fit graph or frequencies is refused and changes nothing."""
    sim = Simulation(seed=1, frequencies=[1.0, 2.0])
    before = sim.save()
    for change in ({"oscillators": 3}, {"frequency_spread": 0.5}):
        with pytest.raises(ParameterError, match=next(iter(change))):
            sim.params = sim.params.replace(**change)
    with pytest.raises(ParameterError, match="a Params"):
        sim.params = None
    assert str(sim.save()) == str(before)


def test_change_of_dt_keeps_mesh_time():
    """With another dt the tick stays, t is tick · dt, and mesh time goes on from where it was."""
    sim = Simulation(seed=1)
    sim.anchor(1000.0, speed=2.0)
    sim.advance(10)
    sim.params = sim.params.replace(dt=0.032)
    assert (sim.tick, sim.t) == (10, 10 * 0.032)
    assert sim.mesh_time() == pytest.approx(1080.0)
    sim.advance(1)
    assert sim.mesh_time() == pytest.approx(1096.0)


def test_reset():
    """Reset with a seed is a new run with that seed; without one, a new state of the same run."""
    sim = Simulation(seed=1)
    sim.intent(x=1, y=2)
    sim.advance(10)
    first = sim.state
    sim.reset()
    assert (sim.tick, sim.seed) == (0, 1)
    assert not np.isin(sim.state.phi, first.phi).any()
    sim.reset(seed=5)
    sim.advance(10)
    other = Simulation(seed=5)
    other.advance(10)
    assert_same(sim, other)


def test_frequency_spread():
    """Drawn frequencies have the spread asked for, seen in how far each uncoupled phase turns."""
    for distribution, width in (("normal", 0.6745), ("lorentz", 1.0), ("uniform", 0.5)):
        p = Params(oscillators=20_000, frequency_spread=0.05, frequency_distribution=distribution)
        sim = Simulation(p.replace(kappa=0.0, gamma=0.0, coupling="global"), seed=1)
        before = sim.state.phi
        sim.advance(1)
        turn = reference.minimum_image(sim.state.phi - before, reference.TAU) / (reference.TAU * p.dt)
        assert np.median(turn) == pytest.approx(1.2, abs=0.003)
        assert np.median(np.abs(turn - 1.2)) == pytest.approx(0.05 * width, rel=0.04)


@pytest.mark.parametrize("n", [9, 2500])
def test_snapshot(n):
    """A snapshot is frozen, its arrays are read-only, its own, and as the simulation is now."""
    sim = Simulation(Params(oscillators=n), seed=1)
    sim.intent(x=100, y=100)
    sim.advance(3)
    shot = sim.snapshot()
    assert isinstance(shot, Snapshot)
    for name in (*ARRAYS, "pressure", "pulses"):
        array = getattr(shot, name)
        assert array.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        shot.tick = 4
    expected = reference.pressure(shot.x, shot.y, sim.t, pulses=shot.pulses)
    np.testing.assert_allclose(shot.pressure, expected, atol=1e-13)
    assert (shot.tick, shot.t, shot.portal, shot.seed) == (3, 3 * 0.016, False, 1)
    assert shot.params is sim.params
    kept = shot.phi.copy()
    sim.advance(10)
    np.testing.assert_array_equal(shot.phi, kept)


def numbers(name):
    spec = SPECS[name]
    return st.floats(spec.low, spec.high) | st.sampled_from([spec.low, spec.high])


REALS = [name for name, spec in SPECS.items() if not spec.choices and name not in ("world", "oscillators")]
allowed = st.fixed_dictionaries(
    {name: numbers(name) for name in REALS if name != "neighbours"}
    | {name: st.sampled_from(spec.choices) for name, spec in SPECS.items() if spec.choices}
    | {"oscillators": st.integers(1, 9), "neighbours": st.integers(1, 12)}
    | {"world": st.tuples(numbers("world"), numbers("world"))}
)


@settings(max_examples=200, deadline=None)
@given(allowed, st.integers(0, 2**32), st.floats(-1e308, 1e308))
def test_never_nan(values, seed, speed):
    """With any allowed parameters and any finite beginning the state stays finite and in range."""
    if values["integrator"] == "rk4":
        values["noise"] = 0.0
    p = Params(**values)
    start = Simulation(p, seed=seed).state
    sim = Simulation(p, seed=seed, state=dataclasses.replace(start, vx=np.full(start.n, speed)))
    sim.anchor(0.0, speed=1e-3)
    sim.hear("a", 0.0, 1.0, 1e6, -200.0)
    for E in (2.0, 1e-3):
        sim.intent(x=0, y=0, E=E, sigma=1)
    sim.pacemaker_flip()
    sim.advance(8)
    for name, side in (("x", p.world[0]), ("y", p.world[1]), ("phi", reference.TAU)):
        values = getattr(sim.state, name)  # a State refuses NaN
        assert (values >= 0).all()
        assert (values < side).all()
    assert all(math.isfinite(value) for value in sim.metrics().values())
