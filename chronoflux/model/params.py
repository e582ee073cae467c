"""`Params`: every parameter of the model, with its unit, range and meaning.

This is the only table of parameters: the docstring, command-line options, sliders and README's table are made
from it.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import textwrap
from collections.abc import Mapping, Set
from dataclasses import Field, asdict, dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any, Literal, Self, TypedDict, TypeVar, Unpack, get_args

from chronoflux.errors import ParameterError
from chronoflux.model.state import finite
from chronoflux.util.text import did_you_mean, with_parameters

Coupling = Literal["knn", "global"]
Boundary = Literal["torus", "plane"]
Integrator = Literal["euler", "rk4"]
Distribution = Literal["normal", "lorentz", "uniform"]
T = TypeVar("T")


@dataclass(frozen=True)
class Spec:
    """The description of one parameter.

    ``unit`` and ``doc`` are for people; ``low`` and ``high`` are the accepted bounds; ``slider`` is the range
    of a control; a change of a parameter with ``reset`` draws a new state.
    """

    unit: str
    doc: str
    low: float = -math.inf
    high: float = math.inf
    slider: tuple[float, float] | None = None
    reset: bool = False
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        if self.choices:
            return "one of " + ", ".join(repr(choice) for choice in self.choices)
        if self.low == -math.inf and self.high == math.inf:
            bounds = "finite"
        elif self.high == math.inf:
            bounds = f">= {self.low:g}"
        else:
            bounds = f"from {self.low:g} to {self.high:g}"
        return bounds + (f" ({self.unit})" if self.unit else "")


def _number(default: Any, unit: str, doc: str, **options: Any) -> Any:
    return field(default=default, metadata={"spec": Spec(unit, doc, **options)})


def _choice(default: str, kind: Any, doc: str, *, reset: bool = False) -> Any:
    return field(default=default, metadata={"spec": Spec("", doc, choices=get_args(kind), reset=reset)})


def _documented(cls: type[T]) -> type[T]:
    """Add each parameter to the docstring, and refuse unknown names with a ParameterError."""
    init = cls.__init__

    @functools.wraps(init)
    def checked(self: T, *values: Any, **named: Any) -> None:
        _refuse_unknown(named)
        init(self, *values, **named)

    cls.__init__ = checked  # type: ignore[assignment]
    lines = map(_numpydoc, fields(cls))  # type: ignore[arg-type]
    cls.__doc__ = with_parameters(inspect.getdoc(cls) or "", lines)
    return cls


def _numpydoc(entry: Field[Any]) -> str:
    """Name, type, default, meaning and range of a parameter, as in a numpydoc section."""
    spec: Spec = entry.metadata["spec"]
    kind = spec.allowed if spec.choices else str(entry.type)
    doc = spec.doc if spec.choices else f"{spec.doc}: {spec.allowed}"
    text = textwrap.fill(f"{doc}.", 90, initial_indent="    ", subsequent_indent="    ")
    return f"{entry.name} : {kind}, default {entry.default!r}\n{text}"


class ParamChanges(TypedDict, total=False):
    """Some of the parameters, as keyword arguments; see :class:`Params`."""

    oscillators: int
    neighbours: int
    kappa: float
    eta: float
    gamma: float
    frequency: float
    portal_frequency: float
    frequency_spread: float
    frequency_distribution: Distribution
    phase_lag: float
    noise: float
    coupling: Coupling
    mesh_coupling: float
    boundary: Boundary
    world: tuple[float, float]
    dt: float
    integrator: Integrator


@_documented
@dataclass(frozen=True, kw_only=True)
class Params:
    """The parameters of one swarm. Frozen, and checked on creation; :meth:`replace` makes a changed copy.

    ``integrator="euler"`` suits the classic swarm, and is the only one with noise. Identical oscillators with
    global coupling have constants of motion, the cross ratios of Watanabe and Strogatz (Physica D 74, 197,
    1994): in a run they drift by 1e-3 to 1e-2 with Euler steps, and by 1e-10 with ``"rk4"``. Use ``"rk4"``
    where they matter: clusters, chimeras, near-integrable motion, neutral stability.

    Raises
    ------
    ParameterError
        It names the parameter, its value and what is allowed.

    Examples
    --------
    >>> from chronoflux import Params
    >>> params = Params(oscillators=60, kappa=1.5)
    >>> params.replace(noise=0.1).changes(params)
    {'noise': 0.0}
    """

    oscillators: int = _number(
        220, "", "number of oscillators", low=1, high=10_000_000, slider=(60, 800), reset=True
    )
    neighbours: int = _number(
        8, "", "k, number of nearest neighbours in the coupling", low=1, high=10_000_000, slider=(2, 18)
    )
    kappa: float = _number(0.7, "rad/s", "κ, coupling within the swarm", low=-100, high=100, slider=(0, 2))
    eta: float = _number(0.18, "1/s", "η, drag on the motion", low=0, high=1e4, slider=(0, 1))
    gamma: float = _number(
        0.55, "px²/(frame·s)", "γ, force per pressure gradient", low=-1e4, high=1e4, slider=(0, 2)
    )
    frequency: float = _number(1.2, "Hz", "f, natural frequency", low=-100, high=100)
    portal_frequency: float = _number(0.9, "Hz", "natural frequency in portal mode", low=-100, high=100)
    frequency_spread: float = _number(
        0.0, "Hz", "σ_f, spread of the natural frequencies", low=0, high=100, reset=True
    )
    frequency_distribution: Distribution = _choice(
        "normal", Distribution, "distribution of the natural frequencies", reset=True
    )
    phase_lag: float = _number(0.0, "rad", "α, phase lag of the coupling", low=-2 * math.pi, high=2 * math.pi)
    noise: float = _number(0.0, "rad²/s", "D, strength of the phase noise", low=0, high=1e3)
    coupling: Coupling = _choice("knn", Coupling, "k nearest neighbours, or all oscillators")
    mesh_coupling: float = _number(
        0.35, "rad/s", "κ_mesh, coupling to the peers' mean fields", low=-100, high=100, slider=(0, 2)
    )
    boundary: Boundary = _choice("torus", Boundary, "periodic (torus) or plain (plane) distances", reset=True)
    world: tuple[float, float] = field(
        default=(800.0, 600.0),
        metadata={"spec": Spec("px", "width and height of the world", low=1, high=1e7, reset=True)},
    )
    dt: float = _number(0.016, "s", "length of a tick", low=1e-6, high=1, reset=True)
    integrator: Integrator = _choice(
        "euler",
        Integrator,
        "integration of the phases: euler as in the classic swarm; rk4 conserves constants of motion",
        reset=True,
    )

    def __post_init__(self) -> None:
        for name, spec in SPECS.items():
            object.__setattr__(self, name, _checked(name, getattr(self, name), spec))
        if self.integrator == "rk4" and self.noise > 0:
            raise ParameterError("noise", self.noise, "0 with integrator 'rk4' (noise needs 'euler')")

    def replace(self, **changes: Unpack[ParamChanges]) -> Self:
        """A checked copy with some parameters changed."""
        _refuse_unknown(changes)
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The values by name, ready for JSON."""
        return asdict(self) | {"world": list(self.world)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`. Missing names have their defaults, unknown ones are refused."""
        _refuse_unknown(values)
        return cls(**values)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of :meth:`to_json`."""
        return cls.from_dict(json.loads(text))

    def needs_reset(self, other: Params) -> bool:
        """Whether a change from these parameters to `other` draws a new state."""
        return any(spec.reset and getattr(self, name) != getattr(other, name) for name, spec in SPECS.items())

    def changes(self, other: Params) -> dict[str, Any]:
        """The values of `other` that differ, by name, ready for JSON."""
        mine, theirs = self.to_dict(), other.to_dict()
        return {name: value for name, value in theirs.items() if value != mine[name]}

    def __str__(self) -> str:
        rows = ((name, getattr(self, name), spec) for name, spec in SPECS.items())
        return "\n".join(f"{name:24} {value!s:>16}  {spec.unit:14} {spec.doc}" for name, value, spec in rows)


def _checked(name: str, value: Any, spec: Spec) -> Any:
    if spec.choices:
        if not isinstance(value, str) or value not in spec.choices:
            raise ParameterError(name, value, spec.allowed)
        return value
    if name == "world":
        try:
            if isinstance(value, (str, Set, Mapping)):
                raise TypeError
            width, height = value
        except (TypeError, ValueError):
            raise ParameterError(name, value, "two numbers, width and height in px") from None
        return (_real(name, width, spec), _real(name, height, spec))
    if name in ("oscillators", "neighbours"):
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise ParameterError(name, value, f"a whole number {spec.allowed}")
        return int(_real(name, value, spec))
    return _real(name, value, spec)


def _real(name: str, value: Any, spec: Spec) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ParameterError(name, value, f"a number {spec.allowed}")
    if not (finite(value) and spec.low <= float(value) <= spec.high):
        raise ParameterError(name, value, spec.allowed)
    return float(value)


def _refuse_unknown(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name not in SPECS:
            meant, known = did_you_mean(name, SPECS), ", ".join(SPECS)
            raise ParameterError(name, value, f"no parameter has this name{meant}; there are {known}")


SPECS: dict[str, Spec] = {entry.name: entry.metadata["spec"] for entry in fields(Params)}
"""The description of each parameter, by name, in the order of the documentation."""
