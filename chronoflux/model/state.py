"""What a swarm is at one tick: `State` as given or shown, `Pulse`, and the mutable `Swarm` itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any, NamedTuple, Self

import numpy as np

from chronoflux.errors import ParameterError
from chronoflux.model.engine.arrays import Floats


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
    def checked(cls, values: Any) -> Self:
        """A pulse of five numbers; ParameterError unless they are finite and the width is positive."""
        pulse = cls(*map(float, values))
        if not (np.isfinite(pulse).all() and pulse.sigma > 0):
            raise ParameterError("pulse", pulse, "x, y, E, sigma > 0, t, all finite")
        return pulse


_LEFT_OUT: Any = None
"""What a caller of :class:`State` may leave out; arrays afterwards, at the latest in the simulation."""


@dataclass(frozen=True, kw_only=True)
class State:
    """Positions, velocities and phases of a swarm: float64 arrays of shape (n,).

    ``x, y`` in px, ``vx, vy`` in px per 1/60 s, ``phi`` in rad. Checked when made. Phases alone are enough:
    a position that is None is drawn by the simulation that begins with the state, uniform in its world, and
    a velocity that is None is zero. A state that comes from a simulation has all five.

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
        """How many oscillators."""
        return len(self.phi)


def finite(value: Any) -> bool:
    """Whether it is a real number, no bool, and finite as a float."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # a whole number beyond any float
        return False


def length(value: Any) -> int:
    """How long an array-like is; 1 where it has no length."""
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
    with np.errstate(over="ignore"):  # longer floats than float64
        numbers = np.array(given, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise ParameterError(name, "array with NaN or infinity", "finite numbers")
    return numbers


@dataclass(kw_only=True)
class Swarm:
    """The mutable swarm that event effects act on.

    ``x, y`` (px), ``vx, vy`` (px per 1/60 s), ``phi`` (rad): float64, shape (n,), to be changed in
    place. ``world`` in px, ``tick``, ``t`` in s, ``rng`` the run's seeded generator.
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
