"""The model's door: whatever is not allowed is refused there, naming the argument, what was given and what
is wanted; and what was let in never becomes NaN."""

from __future__ import annotations

import dataclasses
import math

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array

from chronoflux.errors import ParameterError
from chronoflux.model.params import SPECS, Params
from chronoflux.model.simulation import ARRAYS, Simulation
from chronoflux.model.state import State

ZEROS = dict.fromkeys(ARRAYS, np.zeros(3))
RING = csr_array(np.roll(np.eye(3), 1, axis=1))


def state(**changes):
    return State(**ZEROS | changes)


def simulation(**given):
    return Simulation(seed=1, **given)


REFUSED = [
    # the state
    (lambda: state(x=np.zeros(4)), r"state\.y.*\(3,\).*shape \(4,\)"),
    (lambda: state(phi=np.zeros((3, 1))), r"state\.phi.*\(3, 1\).*shape \(3,\)"),
    (lambda: state(phi=np.zeros(3, complex)), r"state\.phi.*complex128.*real numbers, float64"),
    (lambda: state(vx=np.array(["1", "2", "3"])), r"state\.vx.*<U1.*real numbers"),
    (lambda: state(vx=np.zeros(3, bool)), r"state\.vx.*bool.*real numbers"),
    (lambda: state(vx=np.array([None] * 3)), r"state\.vx.*object.*real numbers"),
    (lambda: state(vy=[[1], [1, 2], [3]]), r"state\.vy.*array of shape \(3,\)"),
    (lambda: state(phi=None), r"state\.phi = None.*an array of shape \(n,\)"),
    (lambda: state(x=7.0), r"state\.x = 7\.0.*an array of shape \(n,\)"),
    (lambda: state(x=(float(i) for i in range(3))), r"state\.x = <generator.*an array of shape \(n,\)"),
    (lambda: state(x=np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0])), r"state\.x.*masked.*a number everywhere"),
    (lambda: state(x=np.full(3, np.longdouble("1e999"))), r"state\.x.*infinity.*finite"),
    (lambda: state(y=[0, math.nan, 0]), r"state\.y.*NaN or infinity.*finite"),
    (lambda: state(y=[0, math.inf, 0]), r"state\.y.*NaN or infinity.*finite"),
    (lambda: State(**{name: [] for name in ARRAYS}), r"state\.x.*\(0,\).*n >= 1"),
    (lambda: simulation(state={"x": [1.0]}), "state = 'dict'.*a State"),
    (lambda: simulation(state=state(), params=Params(oscillators=4)), "state = '3 oscillators'.*4, as in"),
    # the frequencies
    (lambda: simulation(frequencies=np.ones((2, 2))), r"frequencies.*\(2, 2\).*shape \(2,\)"),
    (lambda: simulation(frequencies=1.2), r"frequencies = 1\.2.*an array of shape \(n,\)"),
    (lambda: simulation(frequencies=[[1.0], [1.0, 2.0]]), "frequencies.*an array of shape"),
    (lambda: simulation(frequencies="fast"), "frequencies"),
    (lambda: simulation(frequencies=[1.0, 1j]), "frequencies.*complex128.*real numbers"),
    (lambda: simulation(frequencies=[1.0, math.inf]), "frequencies.*NaN or infinity.*finite"),
    (lambda: simulation(frequencies=[1.0, 1e13]), r"frequencies.*within ±1e\+12 Hz"),
    (lambda: simulation(frequencies=[1.0] * 3, params=Params(oscillators=2)), r"frequencies.*\(3,\).*\(2,\)"),
    (lambda: simulation(frequencies=[1.0] * 2, state=state()), r"frequencies.*\(2,\).*\(3,\)"),
    (lambda: simulation(frequencies=[]), r"frequencies.*\(0,\).*n >= 1"),
    # the graph
    (lambda: simulation(graph=csr_array((3, 4))), r"graph.*shape \(3, 4\).*square"),
    (lambda: simulation(graph=csr_array((0, 0))), r"graph.*shape \(0, 0\).*n >= 1"),
    (lambda: simulation(graph=RING * math.nan), "graph.*NaN.*within"),
    (lambda: simulation(graph=RING * math.inf), "graph.*beyond the bound.*within"),
    (lambda: simulation(graph=RING * 1j), "graph.*complex128.*real weights"),
    (lambda: simulation(graph=np.eye(3)), "graph = 'ndarray'.*scipy.sparse CSR array or a networkx graph"),
    (lambda: simulation(graph=[[0, 1], [1, 0]]), "graph = 'list'.*scipy.sparse"),
    (lambda: simulation(graph=coo_array((3,))), r"graph.*shape \(3,\).*square"),
    (lambda: simulation(graph=networkx.Graph()), "graph.*without nodes.*at least one"),
    (lambda: simulation(graph=networkx.Graph([(1, 2, {"weight": math.nan})])), "graph.*NaN.*within"),
    (lambda: simulation(graph=networkx.Graph([(1, 2, {"weight": "far"})])), "graph.*real weights"),
    (lambda: simulation(graph=networkx.Graph([(1, 2, {"weight": [1, 2]})])), r"graph.*\(2, 2\).*one an edge"),
    (
        lambda: simulation(graph=networkx.Graph([(1, 2, {"weight": [1, 2]}), (2, 3)])),
        "graph.*not numbers.*real weights",
    ),
    (lambda: simulation(graph=RING, params=Params(oscillators=4)), "oscillators = 4.*3, the graph's"),
    (lambda: simulation(graph=RING, frequencies=[1.0] * 2), "oscillators = 2.*3, the graph's"),
    # the parameters
    (lambda: Params(oscillators=0), "oscillators = 0.*from 1 to 1e"),
    (lambda: Params(oscillators=-3), "oscillators = -3.*from 1 to"),
    (lambda: Params(oscillators=2.0), r"oscillators = 2\.0.*a whole number"),
    (lambda: Params(neighbours=0), "neighbours = 0.*from 1 to"),
    (lambda: Params(neighbours=-1), "neighbours = -1.*from 1 to"),
    (lambda: Params(world=(0, 600)), r"world = 0.*from 1 to 1e\+07 \(px\)"),
    (lambda: Params(world=(800, 0.0)), "world = 0.0.*from 1 to"),
    (lambda: Params(world=(800, -600)), "world = -600"),
    (lambda: Params(world=(math.nan, 600)), "world = nan"),
    (lambda: Params(world=(1, 2, 3)), r"world = \(1, 2, 3\).*two numbers"),
    (lambda: Params(world="wide"), "world = 'wide'.*two numbers"),
    (lambda: Params(world={800, 600}), "world = {.*two numbers"),
    (lambda: Params(coupling=np.array(["knn", "global"])), "coupling = array.*one of 'knn', 'global'"),
    (lambda: Params(dt=0), "dt = 0.*from 1e-06 to 1"),
    (lambda: simulation(params={"kappa": 1.0}), "params.*a Params"),
    # calls
    (lambda: simulation().advance(-1), "ticks = -1.*whole number >= 0"),
    (lambda: simulation().advance(2.0), r"ticks = 2\.0.*whole number"),
    (lambda: simulation().advance(math.nan), "ticks = nan.*whole number"),
    (lambda: simulation().advance(2**53 + 1), f"ticks = .*at most {2**53}"),
    (lambda: simulation().reset(tick=2**53 + 1), f"tick = .*at most {2**53}"),
    (lambda: simulation().record(1, what=None), "what = None.*one or more of"),
    (lambda: simulation().record(1, what=[["phi"]]), "what = .*one or more of"),
    (lambda: simulation().fire("pacemaker_flip", age=10**400), "age = 1000.*finite"),
    (lambda: simulation().fire("pacemaker_flip", speed=2), r"pacemaker_flip\.speed = 2.*there is none"),
    (lambda: simulation().fire("intent", x=1, y=2, strength=3), r"intent\.strength = 3.*x, y, E, sigma"),
    (lambda: simulation().fire(["intent"]), r"event = \['intent'\].*one of intent"),
    (lambda: simulation().reset(seed="x"), "seed = 'x'.*whole number >= 0"),
    (lambda: simulation().clone(seed=0.5), r"seed = 0\.5.*whole number >= 0"),
    (lambda: simulation().anchor(math.nan), "at = nan.*finite"),
    (lambda: simulation().anchor(0.0, speed=0), "speed = 0.*> 0"),
    (lambda: simulation().anchor("now"), "at = 'now'.*finite"),
    (lambda: simulation().hear("a", 0.0, "all", 0.0, 0.0), "R = 'all'.*from 0 to 1"),
    (lambda: simulation().hear("a", 0.0, 1.5, 0.0, 0.0), r"R = 1\.5.*from 0 to 1"),
    (lambda: simulation().anchor(10**400), "at = 1000.*finite"),
    (lambda: simulation().hear("a", None, 0.5, 0.0, 0.0), "at = None.*finite"),
]
NUMBERS = [name for name, spec in SPECS.items() if not spec.choices and name != "world"]
REFUSED += [
    (lambda name=name, value=value: Params(**{name: value}), f"{name} = {value!r:.40}.*(from|whole|>=)")
    for name in NUMBERS
    for value in (math.nan, math.inf, -math.inf, "1", None, 10**400)
]


@pytest.mark.parametrize(("wrong", "message"), REFUSED)
def test_refused_at_the_door(wrong, message):
    """A bad argument is refused in one line: its name, what was given, what is wanted."""
    with pytest.raises(ParameterError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)
    assert caught.value.allowed


def test_what_is_right_is_let_in():
    """Lists, integers, single precision, arrays of another order: real numbers that fit are taken."""
    three = state(x=[1, 2, 3], phi=np.float32([0.5, 1, 2]), y=np.arange(6)[::2], vx=np.zeros(3, np.uint8))
    sim = simulation(state=three, frequencies=[1, 2, 3], graph=networkx.cycle_graph(3))
    sim.advance(np.int64(3))
    assert np.isfinite(sim.state.phi).all()


def test_a_state_is_checked_again_where_it_is_used():
    """NaN written into a state after it was made is refused where a simulation would begin with it."""
    start = state()
    start.vx[1] = math.nan
    with pytest.raises(ParameterError, match=r"state\.vx.*NaN or infinity.*finite"):
        simulation(state=start)


def test_scalars_of_numpy_are_numbers():
    """Fields of events may be NumPy's scalars: a pulse at an oscillator's place is one line."""
    sim, twin = simulation(), simulation()
    x, y = sim.state.x[7], np.float32(300)
    sim.intent(x=x, y=y, sigma=np.int16(50))
    twin.intent(x=float(x), y=300.0, sigma=50.0)
    for each in (sim, twin):
        each.lion_gate(np.True_)
        each.advance(3)
    np.testing.assert_array_equal(sim.pulses, twin.pulses)
    assert sim.portal


CORNERS = {
    **{name: (SPECS[name].low, SPECS[name].high) for name in NUMBERS},
    "oscillators": (1, 2, 500),
    "neighbours": (1, 10_000_000),
    "world": ((1.0, 1.0), (1.0, 1e7), (1e7, 1.0), (1e7, 1e7)),
    **{name: spec.choices for name, spec in SPECS.items() if spec.choices},
}
ONE_BY_ONE = [(name, value) for name, values in CORNERS.items() for value in values]


def drive(sim, ticks):
    """Run through pulses, portal, flips and a peer, and look for what is not finite or out of range."""
    p = sim.params
    sim.anchor(0.0)
    sim.hear("a", 0.0, 1.0, -1e6, 200.0)
    sim.intent(x=p.world[0], y=0.0, E=2.0, sigma=1.0)
    sim.intent(x=0.0, y=p.world[1], E=2.0, sigma=max(p.world))
    for _ in range(3):
        sim.pacemaker_flip()
        sim.lion_gate(not sim.portal)
        sim.advance(ticks)
        now = sim.state  # a State refuses NaN and infinity
        for values, side in ((now.x, p.world[0]), (now.y, p.world[1]), (now.phi, 2 * math.pi)):
            assert (values >= 0).all()
            assert (values < side).all()
        assert all(math.isfinite(value) for value in sim.metrics().values())
        assert np.all(sim.local_order() <= 1)
        assert min(sim.vortices()) >= 0
        assert not math.isinf(sim.correlation_length())


@pytest.mark.parametrize(("name", "value"), ONE_BY_ONE)
def test_each_parameter_at_its_extremes(name, value):
    """With one parameter at the end of its range, and the others as they are, nothing becomes NaN."""
    values = {"oscillators": 60, "gamma": 50.0, "frequency_spread": 0.1} | {name: value}
    drive(simulation(params=Params(**values)), 100)


corners = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in CORNERS.items()})


@settings(max_examples=50, deadline=None)
@given(corners, st.sampled_from([0.0, 1e-300, 1e9, -1e308]), st.integers(0, 99))
def test_all_parameters_at_their_extremes(values, speed, seed):
    """With every parameter at one end or the other, from any speed, nothing becomes NaN."""
    if values["integrator"] == "rk4":
        values["noise"] = 0.0
    p = Params(**values | {"oscillators": min(values["oscillators"], 20)})
    start = Simulation(p, seed=seed).state
    drive(Simulation(p, seed=seed, state=dataclasses.replace(start, vx=np.full(start.n, speed))), 5)


@pytest.mark.parametrize("integrator", ["euler", "rk4"])
@pytest.mark.parametrize("weight", [1e12, -1e12, 1e-300, 0.0])
def test_graphs_and_frequencies_at_their_extremes(integrator, weight):
    """The heaviest graph and the highest frequencies at the strongest coupling and longest tick: no NaN."""
    p = Params(oscillators=4, kappa=100, dt=1.0, integrator=integrator)
    graph = csr_array(np.full((4, 4), weight))
    drive(Simulation(p, seed=1, graph=graph, frequencies=[1e12, -1e12, 0.0, 5e-324]), 30)


@pytest.mark.parametrize("coupling", ["knn", "global"])
@pytest.mark.parametrize("boundary", ["torus", "plane"])
def test_a_swarm_in_one_spot(coupling, boundary):
    """A swarm collapsed into one corner, with nothing between its oscillators, stays finite."""
    n = 50
    spot = np.full(n, -0.0)
    start = State(x=spot, y=spot, vx=spot, vy=spot, phi=np.full(n, 2 * math.pi))
    drive(Simulation(Params(oscillators=n, coupling=coupling, boundary=boundary), seed=1, state=start), 50)
