"""A swarm at one tick: `State`, `Pulse`, and the mutable `Swarm` that events act on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any, NamedTuple, Self

import numpy as np

from chronoflux.errors import ParameterError
from chronoflux.model.engine import Floats


class Pulse(NamedTuple):
    """An intent pulse: centre ``x, y`` in px, strength ``E`` at time ``t`` in s, width ``sigma`` in px.

    Examples
    --------
    >>> from chronoflux import Pulse
    >>> Pulse(x=400.0, y=300.0, E=0.35, sigma=80.0, t=0.0)
    Pulse(x=400.0, y=300.0, E=0.35, sigma=80.0, t=0.0)
    """

    x: float
    y: float
    E: float
    sigma: float
    t: float

    @classmethod
    def checked(cls, values: Iterable[float]) -> Self:
        """A pulse of five numbers; ParameterError unless they are finite and the width is positive."""
        pulse = cls(*map(float, values))
        if not (np.isfinite(pulse).all() and pulse.sigma > 0):
            raise ParameterError("pulse", pulse, "x, y, E, sigma > 0, t, all finite")
        return pulse


_LEFT_OUT: Any = None
"""Default of the arrays of a :class:`State` that a caller may omit; the simulation fills them in."""


@dataclass(frozen=True, kw_only=True)
class State:
    """Positions, velocities and phases of a swarm: float64 arrays of shape (n,).

    ``x, y`` in px, ``vx, vy`` in px per 1/60 s, ``phi`` in rad; checked on creation. Phases alone are enough:
    a simulation that begins with the state draws a position that is None, uniform in its world, and a
    velocity that is None is zero. The state of a simulation has all five.

    Raises
    ------
    ParameterError
        When an array is not one-dimensional, not real, not finite, empty, or of another length.

    Examples
    --------
    >>> State(phi=[0.0, 3.1]).n
    2
    """

    x: Floats = _LEFT_OUT
    y: Floats = _LEFT_OUT
    vx: Floats = _LEFT_OUT
    vy: Floats = _LEFT_OUT
    phi: Floats

    def __post_init__(self) -> None:
        n = length(self.phi if self.x is None else self.x)
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value is None and entry.name in ("vx", "vy"):
                value = np.zeros(n)
            if value is not None or entry.name == "phi":
                object.__setattr__(self, entry.name, column(f"state.{entry.name}", value, n))

    @property
    def n(self) -> int:
        """The number of oscillators."""
        return len(self.phi)


def finite(value: Any) -> bool:
    """Whether it is a real number, not a bool, and finite as a float."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # an integer too large for a float
        return False


def length(value: Any) -> int:
    """The length of an array-like; 1 if it has none."""
    try:
        return len(value)
    except TypeError:
        return 1


def column(name: str, value: Any, n: int) -> Floats:
    """`value` as a new float64 array of shape (n,); ParameterError unless it is real, finite and fits."""
    try:
        given = np.asarray(value)
    except ValueError:  # lists of different lengths
        raise ParameterError(name, value, f"an array of shape ({n or 'n'},)") from None
    if given.ndim == 0:
        raise ParameterError(name, value, "an array of shape (n,)")
    if given.ndim != 1 or given.shape != (n,) or n == 0:
        raise ParameterError(name, f"array of shape {given.shape}", f"shape ({n or 'n'},), n >= 1")
    if given.dtype.kind not in "fiu":
        raise ParameterError(name, f"array of {given.dtype}", "real numbers, float64")
    if np.ma.is_masked(value):
        raise ParameterError(name, "array with masked values", "a number everywhere")
    with np.errstate(over="ignore"):  # floats longer than float64
        numbers = np.array(given, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ParameterError(name, "array with NaN or infinity", "finite numbers")
    return numbers


@dataclass(kw_only=True)
class Swarm:
    """The mutable swarm that event effects act on.

    ``x, y`` (px), ``vx, vy`` (px per 1/60 s), ``phi`` (rad): float64, shape (n,), changed in
    place. ``world`` in px, ``tick``, ``t`` in s; ``rng``: the run's seeded generator.
    """

    x: Floats
    y: Floats
    vx: Floats
    vy: Floats
    phi: Floats
    world: tuple[float, float]
    dt: float
    rng: np.random.Generator
    tick: int = 0
    portal: bool = False
    pulses: list[Pulse] = field(default_factory=list)

    @property
    def t(self) -> float:
        """Simulated time in s, ``tick · dt``."""
        return self.tick * self.dt
