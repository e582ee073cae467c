"""The page's model and its random numbers, against the package's and NumPy's."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chronoflux as cf
from tests.page import make_static

HERE = Path(__file__).parent
EVENTS: list[tuple[int, str, dict[str, Any]]] = [
    (100, "intent", {"x": 300.0, "y": 200.0, "sigma": 80.0}),
    (300, "pacemaker_flip", {}),
    (400, "lion_gate", {"on": True}),
    (700, "lion_gate", {"on": False}),
    (701, "intent", {"x": 790.0, "y": 590.0, "E": 1.2, "sigma": 120.0}),
]
PEERS = {
    "b": {"at": 1000.0, "R": 0.7, "psi": 0.3, "omega": 7.1},
    "a": {"at": 2500.0, "R": 0.4, "psi": 2.3, "omega": 7.9},
}
CASES: dict[str, tuple[cf.Params, int, bool]] = {
    "classic": (cf.Params(), 2000, False),
    "global": (cf.Params(coupling="global", frequency_spread=0.1), 2000, True),
    "plane": (cf.Params(boundary="plane", gamma=12.0, eta=0.12), 2000, False),
    "drift": (cf.presets["drift"], 2000, True),
    "spirals": (cf.presets["spirals"], 300, False),
    "spread": (cf.presets["spread"], 1000, False),
    "storm": (cf.presets["storm"], 500, True),
    "choir": (cf.presets["choir"], 2000, False),
    "rk4": (cf.Params(integrator="rk4", frequency_spread=0.05, frequency_distribution="lorentz"), 2000, True),
    "uniform": (
        cf.Params(frequency_spread=0.05, frequency_distribution="uniform", phase_lag=0.4),
        1000,
        False,
    ),
    "three": (cf.Params(oscillators=3), 500, True),
    "alone": (cf.Params(oscillators=1), 200, False),
    "crowded": (
        cf.Params(oscillators=60, world=(40.0, 30.0), neighbours=18, gamma=20.0, eta=0.05),
        500,
        False,
    ),
}


def node(script: str, given: Any) -> Any:
    """What a script says of a JSON value."""
    done = subprocess.run(
        ["node", str(HERE / script)], input=json.dumps(given), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def events_of(params: cf.Params, ticks: int) -> list[tuple[int, str, dict[str, Any]]]:
    """The events before tick `ticks`, with positions of a world of 800 × 600 px in this one."""
    sides = {"x": params.world[0] / 800, "y": params.world[1] / 600}
    sides["sigma"] = min(1.0, *sides.values())
    return [
        (tick, name, {key: value * sides[key] if key in sides else value for key, value in data.items()})
        for tick, name, data in EVENTS
        if tick < ticks
    ]


def distance(a: np.ndarray, b: Any, period: float) -> float:
    """The largest difference on a circle of length `period`."""
    return float(np.max(np.abs((a - np.array(b) + period / 2) % period - period / 2)))


@pytest.fixture(scope="module")
def computed() -> dict[str, Any]:
    """Each case as the page computes it."""
    cases = [
        {
            "params": params.to_dict(),
            "seed": "7",
            "state": {},
            "peers": PEERS if coupled else {},
            "events": events_of(params, ticks),
            "ticks": ticks,
        }
        for params, ticks, coupled in CASES.values()
    ]
    return dict(zip(CASES, node("run_model.mjs", cases), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_the_page_computes_the_same_swarm(name: str, computed: dict[str, Any]) -> None:
    """From one seed both agree to 1e-9 px and rad, noise, events and peers' fields included."""
    params, ticks, coupled = CASES[name]
    simulation = cf.Simulation(params, seed=7)
    for peer, field in (PEERS if coupled else {}).items():
        simulation.anchor(1000.0)
        simulation.hear(peer, **field)
    done = 0
    for tick, event, data in events_of(params, ticks):
        simulation.advance(tick - done)
        simulation.fire(event, **data)
        done = tick
    simulation.advance(ticks - done)
    page, state = computed[name], simulation.state
    assert distance(state.x, page["x"], params.world[0]) < 1e-9
    assert distance(state.y, page["y"], params.world[1]) < 1e-9
    assert distance(state.phi, page["phi"], 2 * np.pi) < 1e-9
    np.testing.assert_allclose(page["vx"], state.vx, atol=1e-9)
    for metric, value in simulation.metrics().items():
        assert page["metrics"][metric] == pytest.approx(value, abs=1e-9)


def test_random_numbers_are_those_of_numpy() -> None:
    """Uniform, normal and Cauchy numbers of any seed agree bit for bit, and go on from a saved state."""
    seeds = [0, 7, 2**53 + 1, 123456789012345678901234567890, 2**160 + 3]
    for seed, drawn in zip(seeds, node("run_random.mjs", list(map(str, seeds))), strict=True):
        generator = np.random.Generator(np.random.PCG64(seed))
        assert drawn[:100] == generator.random(100).tolist()
        assert drawn[100:20_100] == generator.standard_normal(20_000).tolist()
        assert drawn[20_100:20_200] == generator.standard_cauchy(100).tolist()
        assert drawn[20_200:] == (2 * generator.random(100)).tolist()


@pytest.mark.parametrize("name", make_static.FILES)
def test_generated_files_are_up_to_date(name: str) -> None:
    """A static file is what it is made from: tables of normal numbers, colour maps."""
    assert (make_static.STATIC / name).read_text() == make_static.FILES[name]()
