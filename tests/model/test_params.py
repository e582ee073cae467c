"""Parameters: the documented defaults, what is refused and how, and the way through JSON."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from typing import get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoflux.errors import ChronofluxError, ParameterError
from chronoflux.model.params import SPECS, ParamChanges, Params

DEFAULTS = {
    "oscillators": 220,
    "neighbours": 8,
    "kappa": 0.7,
    "eta": 0.18,
    "gamma": 0.55,
    "frequency": 1.2,
    "portal_frequency": 0.9,
    "frequency_spread": 0.0,
    "frequency_distribution": "normal",
    "phase_lag": 0.0,
    "noise": 0.0,
    "coupling": "knn",
    "mesh_coupling": 0.35,
    "boundary": "torus",
    "world": (800.0, 600.0),
    "dt": 0.016,
    "integrator": "euler",
}


def test_defaults():
    """The defaults are those of the model, and every one is described."""
    assert dataclasses.asdict(Params()) == DEFAULTS
    assert list(SPECS) == list(DEFAULTS)
    assert all(spec.doc for spec in SPECS.values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"oscillators": 0}, "oscillators = 0 is not allowed: from 1 to 1e.07"),
        ({"oscillators": 2.5}, "oscillators = 2.5.*whole number"),
        ({"oscillators": True}, "oscillators = True"),
        ({"oscillators": 20_000_000}, "oscillators"),
        ({"neighbours": 0}, "neighbours = 0"),
        ({"kappa": math.nan}, "kappa = nan.*rad/s"),
        ({"kappa": "much"}, "kappa = 'much'.*number"),
        ({"kappa": None}, "kappa = None"),
        ({"eta": -0.1}, "eta = -0.1"),
        ({"noise": -1}, "noise = -1"),
        ({"dt": 0}, "dt = 0.*1e-06 to 1"),
        ({"dt": -0.016}, "dt = -0.016"),
        ({"dt": math.inf}, "dt = inf"),
        ({"coupling": "ring"}, "coupling = 'ring'.*'knn', 'global'"),
        ({"coupling": ["knn"]}, "coupling"),
        ({"boundary": 3}, "boundary = 3"),
        ({"integrator": "rk45"}, "integrator = 'rk45'.*'euler', 'rk4'"),
        ({"world": (800,)}, r"world = \(800,\).*two numbers"),
        ({"world": 800}, "world = 800.*two numbers"),
        ({"world": (800, 0)}, "world = 0"),
        ({"integrator": "rk4", "noise": 0.1}, "noise = 0.1.*euler"),
        ({"kapa": 1}, "kapa = 1.*no parameter.*kappa"),
    ],
)
def test_refused(values, message):
    """A bad value is refused with its name, the value, and what is allowed, in one line."""
    with pytest.raises(ParameterError, match=message) as caught:
        Params(**values)
    assert isinstance(caught.value, ChronofluxError)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)
    assert caught.value.name in {*values, "noise"}
    with pytest.raises(ParameterError, match=message):
        Params().replace(**values)


def test_keyword_only_and_frozen():
    """Parameters are given by name and do not change."""
    with pytest.raises(TypeError):
        Params(220)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Params().kappa = 2


def test_numpy_numbers():
    """NumPy's numbers are taken, and become plain ones."""
    p = Params(oscillators=np.int32(9), kappa=np.float32(0.5), world=np.array([10, 20]))
    assert (type(p.oscillators), type(p.kappa), p.world) == (int, float, (10.0, 20.0))


@given(
    st.builds(
        Params,
        oscillators=st.integers(1, 10**7),
        kappa=st.floats(-100, 100),
        noise=st.floats(0, 1e3),
        world=st.tuples(st.floats(1, 1e7), st.floats(1, 1e7)),
        boundary=st.sampled_from(["torus", "plane"]),
        dt=st.floats(1e-6, 1),
    )
)
def test_through_json(p):
    """Parameters survive JSON exactly."""
    assert Params.from_json(p.to_json()) == p
    assert Params.from_dict(json.loads(json.dumps(p.to_dict()))) == p


def test_missing_and_unknown_in_json():
    """Missing names take their defaults; unknown ones are refused."""
    assert Params.from_json('{"kappa": 1}') == Params(kappa=1)
    with pytest.raises(ParameterError, match="colour"):
        Params.from_json('{"colour": 1}')


RESET = {
    "oscillators": 5,
    "world": (9, 9),
    "dt": 0.1,
    "integrator": "rk4",
    "boundary": "plane",
    "frequency_spread": 1.0,
    "frequency_distribution": "uniform",
}


def test_what_resets():
    """Only the size, world, tick, integrator, boundary and frequency draw start the swarm anew."""
    for name, value in RESET.items():
        assert Params().needs_reset(Params(**{name: value})), name
    calm = Params(
        neighbours=3, kappa=1, eta=1, gamma=1, frequency=1, portal_frequency=1, phase_lag=1, noise=1
    ).replace(coupling="global", mesh_coupling=1)
    assert not Params().needs_reset(calm)
    assert not Params().needs_reset(Params())
    assert {name for name, spec in SPECS.items() if spec.reset} == set(RESET)


def test_changes():
    """Changes are the new values by name, as plain values."""
    assert Params().changes(Params(kappa=1.0, world=(9, 9))) == {"kappa": 1.0, "world": [9.0, 9.0]}


def test_shown():
    """Printed, each parameter stands in a line with value, unit and meaning."""
    lines = str(Params()).splitlines()
    assert len(lines) == len(SPECS)
    assert any("kappa" in line and "0.7" in line and "rad/s" in line for line in lines)


def test_the_signature_names_every_parameter():
    """An editor sees each parameter with its default and type, and one line of help with unit and range."""
    found = inspect.signature(Params).parameters
    assert list(found) == list(SPECS)
    assert found["kappa"].default == 0.7
    assert found["kappa"].annotation == "float"
    assert {p.kind for p in found.values()} == {inspect.Parameter.KEYWORD_ONLY}
    lines = (inspect.getdoc(Params) or "").splitlines()
    for name, spec in SPECS.items():
        place = next(n for n, line in enumerate(lines) if line.startswith(f"{name} : "))
        said = " ".join(line.strip() for line in lines[place + 1 : place + 4])
        assert " ".join(spec.doc.split()[:3]) in said
        assert spec.unit in said


def test_replace_takes_every_parameter():
    """The keyword arguments of `replace` are the parameters, with their types."""
    assert get_type_hints(ParamChanges) == get_type_hints(Params)
    assert list(get_type_hints(ParamChanges)) == list(SPECS)


def test_a_misspelt_name_is_answered_with_the_nearest():
    """Who writes `kapa` is told of `kappa`."""
    with pytest.raises(ParameterError, match=r"did you mean kappa\?"):
        Params(kapa=1.0)
    with pytest.raises(ParameterError, match=r"did you mean oscillators\?"):
        Params().replace(ocsillators=10)
