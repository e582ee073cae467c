"""States: checked when made, and their own."""

from __future__ import annotations

import numpy as np
import pytest

from chronoflux.errors import ParameterError
from chronoflux.model.state import State

GOOD = {name: [0, 1] for name in ("x", "y", "vx", "vy", "phi")}


def test_good():
    """Lists and integers become float64 arrays of the state's own."""
    x = np.array([1.0, 2.0])
    state = State(**GOOD | {"x": x})
    x[0] = 9
    assert state.x.tolist() == [1.0, 2.0]
    assert state.phi.dtype == np.float64
    assert state.n == 2


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"phi": [1, np.nan]}, "state.phi.*finite"),
        ({"vx": [1, np.inf]}, "state.vx.*finite"),
        ({"y": [1, 2, 3]}, r"state.y = .*\(3,\).*\(2,\)"),
        ({"x": [[1, 2]]}, "state.x.*shape"),
        ({"vy": [1j, 2]}, "state.vy.*complex"),
        ({"phi": ["a", "b"]}, "state.phi"),
        ({"x": [], "y": [], "vx": [], "vy": [], "phi": []}, "n >= 1"),
    ],
)
def test_bad(bad, message):
    """What is not finite, real, one-dimensional and of one length is refused by name."""
    with pytest.raises(ParameterError, match=message):
        State(**GOOD | bad)


def test_phases_alone_are_enough():
    """Positions that are left out stay open, velocities are zero."""
    state = State(phi=[0.0, 1.0, 2.0])
    assert state.n == 3
    assert state.x is None
    assert state.vx.tolist() == state.vy.tolist() == [0.0, 0.0, 0.0]


def test_phases_cannot_be_left_out():
    """A state without phases is refused, and one whose parts do not fit."""
    with pytest.raises(TypeError, match="phi"):
        State(x=[1.0], y=[1.0])
    with pytest.raises(ParameterError, match=r"state.phi = .*\(2,\)"):
        State(x=[1.0, 2.0, 3.0], phi=[0.0, 1.0])
