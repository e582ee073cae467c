"""The registry of events: what is accepted, filled in, placed and scaled; and the effects."""

from __future__ import annotations

import math
import random
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from chronoflux.errors import ParameterError
from chronoflux.model.events import EVENTS, Registry
from chronoflux.model.params import Params
from chronoflux.model.simulation import Simulation
from chronoflux.model.state import Pulse, Swarm

WORLD = (800.0, 600.0)


def swarm(**more):
    arrays = {name: np.array([1.0, 2.0]) for name in ("x", "y", "vx", "vy", "phi")}
    return Swarm(**arrays, world=WORLD, dt=0.5, rng=np.random.default_rng(1), **more)


def test_known_events():
    """There are intent, lion_gate and pacemaker_flip, found by name and by the wire's type."""
    assert [(kind.name, kind.wire) for kind in EVENTS] == [
        ("intent", "intent"),
        ("lion_gate", "portal"),
        ("pacemaker_flip", "flip"),
    ]
    assert EVENTS.by_wire("portal") is EVENTS["lion_gate"]
    assert EVENTS.by_wire("lion_gate") is None
    assert [kind.name for kind in EVENTS if kind.standing] == ["lion_gate"]


def test_effects():
    """Each event does to the swarm what the model says."""
    s = swarm(tick=4)
    EVENTS["intent"].effect(s, 0.5, x=3.0, y=4.0)
    assert s.pulses == [Pulse(3.0, 4.0, 0.35, 80.0, 1.5)]
    EVENTS["lion_gate"].effect(s, 0.0)
    assert s.portal
    EVENTS["lion_gate"].effect(s, 0.0, on=False)
    assert not s.portal
    EVENTS["pacemaker_flip"].effect(s, 0.0)
    np.testing.assert_array_equal(s.vx, [-0.6, -1.2])
    np.testing.assert_array_equal(s.vy, [-0.6, -1.2])
    np.testing.assert_array_equal(s.phi, [1 + np.pi / 2, 2 + np.pi / 2])


def test_check_fills_in_defaults_and_drops_the_unknown():
    """Checked data has every field, as plain values, and none that the event does not have."""
    checked = EVENTS["intent"].check({"x": 1, "y": 2.5, "colour": "red"}, WORLD)
    assert checked == {"x": 1.0, "y": 2.5, "E": 0.35, "sigma": 80.0}
    assert EVENTS["pacemaker_flip"].check({}, WORLD) == {}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"x": 1},
        {"x": 1, "y": None},
        {"x": -1, "y": 2},
        {"x": 801, "y": 2},
        {"x": 1, "y": 601},
        {"x": 1, "y": 2, "E": 0},
        {"x": 1, "y": 2, "E": 2.1},
        {"x": 1, "y": 2, "sigma": 0.9},
        {"x": 1, "y": 2, "sigma": 801},
        {"x": math.nan, "y": 2},
        {"x": 1, "y": math.inf},
        {"x": "1", "y": 2},
        {"x": True, "y": 2},
        {"x": [1], "y": 2},
    ],
)
def test_check_refuses(data):
    """Missing, mistyped, infinite and out of range are refused in a line that names the event."""
    with pytest.raises(ParameterError, match="intent") as caught:
        EVENTS["intent"].check(data, WORLD)
    assert "\n" not in str(caught.value)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
nested = st.lists(plain, max_size=2) | st.fixed_dictionaries({}, optional={"x": plain})


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(["x", "y", "E", "sigma", "on", "z"], plain | nested)),
    st.sampled_from(list(EVENTS)),
)
def test_check_lets_nothing_else_through(data, kind):
    """Whatever a remote sends is refused by a ParameterError, or comes out finite and in range."""
    try:
        checked = kind.check(data, WORLD)
    except ParameterError:
        return
    assert all(math.isfinite(value) for value in checked.values())
    assert set(checked) == set(kind.payload.__struct_fields__)


def test_place():
    """A position that nobody gave is drawn in the world; one given stays, None counts as not given."""
    kind, rng = EVENTS["intent"], random.Random(1)
    assert kind.place({"x": 1, "y": 2, "E": 1}, WORLD, rng) == {"x": 1, "y": 2, "E": 1}
    placed = [kind.place({"x": 5.0, "y": None}, WORLD, rng) for _ in range(200)]
    assert {p["x"] for p in placed} == {5.0}
    assert 0 <= min(p["y"] for p in placed) < 60
    assert 540 < max(p["y"] for p in placed) <= 600
    assert EVENTS["pacemaker_flip"].place({}, WORLD, rng) == {}


def test_scale():
    """Positions scale with the sides, lengths with their mean, strengths not at all."""
    scaled = EVENTS["intent"].scale({"x": 400, "y": 300, "E": 0.3, "sigma": 80}, WORLD, (1600, 300))
    assert scaled == pytest.approx({"x": 800, "y": 150, "E": 0.3, "sigma": 80})


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.sampled_from([None, (800.0, 600.0), (1600.0, 300.0), (60.0, 40.0)]),
)
def test_any_position_up_to_a_million_px_is_taken_from_others(x, y, source):
    """Whatever its world, a position another node gives is finite and inside this one once it is wrapped;
    inside its own world it stays where it is, scaled."""
    kind = EVENTS["intent"]
    data = kind.check({"x": x, "y": y, "sigma": 30.0}, source, beyond=True)
    scaled = kind.scale(data, source or WORLD, WORLD)
    wrapped = kind.wrapped(scaled, WORLD)
    assert 0 <= wrapped["x"] <= WORLD[0]
    assert 0 <= wrapped["y"] <= WORLD[1]
    if source and 0 <= x <= source[0] and 0 <= y <= source[1]:
        assert (
            wrapped == scaled == pytest.approx(scaled | {"x": x * 800 / source[0], "y": y * 600 / source[1]})
        )
    assert (wrapped["x"] - scaled["x"]) % 800 == pytest.approx(0) or x < 0  # −1e-20 comes to 800
    assert 1 <= wrapped["sigma"] <= 800


@pytest.mark.parametrize("x", [1e6 + 1, -1e6 - 1, math.inf, -math.inf, math.nan])
def test_further_away_is_nowhere(x):
    """Beyond a million px, or not finite, it is refused from whatever world it comes."""
    for source in (None, WORLD):
        with pytest.raises(ParameterError, match="intent"):
            EVENTS["intent"].check({"x": x, "y": 1.0}, source, beyond=True)


def test_on_the_plane_a_pulse_may_lie_outside():
    """A pulse beyond the world's rim reaches into it on the plane, as in the first ChronoFlux."""
    sim = Simulation(Params(boundary="plane"), seed=1)
    sim.intent(x=850.0, y=-20.0)
    sim.advance()
    assert sim.snapshot().pulses[:, :2].tolist() == [[850.0, -20.0]]


@pytest.fixture
def kick():
    """A user's own event, in the registry for the length of a test."""

    def kick(swarm: Swarm, age: float, *, by: Annotated[float, Meta(ge=-5, le=5)] = 1.0) -> None:
        swarm.vx += by
        swarm.phi -= 10.0
        swarm.x -= 1000.0

    yield EVENTS.register(kick, wire="kick", label="Kick")
    EVENTS.unregister("kick")


def test_an_event_of_ones_own(kick):
    """One function and one line make an event that a simulation fires, checks, saves and applies."""
    sim = Simulation(seed=1)
    with pytest.raises(ParameterError, match="by"):
        sim.fire("kick", by=6)
    sim.fire("kick", by=2)
    other = Simulation.load(sim.save())
    for one in (sim, other):
        one.advance()
        assert one.state.vx.min() > 1.9
        assert one.state.phi.min() >= 0
        assert one.state.x.min() >= 0
    np.testing.assert_array_equal(sim.state.phi, other.state.phi)


def test_registering_again_replaces(kick):
    """The same function registered again, as when a cell is run twice, replaces the kind of its name."""
    again = EVENTS.register(kick.effect, wire="kick", label="Kick harder")
    assert EVENTS["kick"] is again
    assert [kind.name for kind in EVENTS].count("kick") == 1


def test_registry_refuses_clashes(kick):
    """A wire type that another event has, and a field the wire needs for itself, are refused."""
    registry = Registry()
    registry.register(kick.effect, wire="taken", label="")

    def other(swarm: Swarm, age: float) -> None:
        """Nothing."""

    with pytest.raises(ParameterError, match=r"unregister\('kick'\)"):
        registry.register(other, wire="taken", label="")
    registry.unregister("kick")

    def late(swarm: Swarm, age: float, *, at: float = 0.0) -> None:
        """Nothing."""

    with pytest.raises(ParameterError, match=r"event late.*at"):
        registry.register(late, wire="late", label="")
    assert list(registry) == []


def test_unknown_event():
    """An unknown name is refused with those there are."""
    with pytest.raises(ParameterError, match="event = 'bang' is not allowed: one of intent, lion_gate"):
        EVENTS["bang"]
