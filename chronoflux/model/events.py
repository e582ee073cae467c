"""The events of a swarm: each is one function and one line in the registry `EVENTS`.

An effect is a function ``effect(swarm, age, *, field: type = default, …)``. `swarm` is the
:class:`~chronoflux.model.state.Swarm` to act on, `age` the simulated seconds since the event was fired. The
keyword parameters are the event's data; their types and :class:`msgspec.Meta` bounds define what is accepted
from a remote node. The line in the registry also creates a button, a message, a log record and a name for
``Simulation.fire``.
"""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, get_type_hints

import msgspec
import numpy as np
from msgspec import Meta

from chronoflux.errors import ParameterError
from chronoflux.model.engine import World as World
from chronoflux.model.state import Pulse, Swarm

FARTHEST = 1e6
"""Largest distance from the origin (px) of a position outside this world that another node may send."""
LARGEST = 1e7
"""Longest side of a world, px."""

X = Annotated[float, Meta(ge=-LARGEST, le=LARGEST, extra={"px": "x"})]
"""A position along the world's width, px; scaled between worlds; drawn if it is not given."""
Y = Annotated[float, Meta(ge=-LARGEST, le=LARGEST, extra={"px": "y"})]
"""A position along the world's height, px."""
Length = Annotated[float, Meta(ge=1, le=LARGEST, extra={"px": "length"})]
"""A length in px, at least 1 and at most the larger side of the world; scaled between worlds."""


def intent(
    swarm: Swarm,
    age: float,
    *,
    x: X,
    y: Y,
    E: Annotated[float, Meta(gt=0, le=2)] = 0.35,
    sigma: Length = 80.0,
) -> None:
    """Add a pulse of pressure at ``x, y``."""
    swarm.pulses.append(Pulse(x, y, E, sigma, swarm.t - age))


def lion_gate(swarm: Swarm, age: float, *, on: bool = True) -> None:
    """Switch portal mode on or off: no jet, and the portal frequency."""
    swarm.portal = on


def pacemaker_flip(swarm: Swarm, age: float) -> None:
    """Multiply every velocity by −0.6 and advance every phase by π/2."""
    swarm.vx *= -0.6
    swarm.vy *= -0.6
    swarm.phi += np.pi / 2


@dataclass(frozen=True)
class EventKind:
    """One kind of event.

    ``name`` is the log record's type, ``wire`` the message's type, ``label`` the button's text.
    ``nested`` names the object that contains the data in the message (the first ChronoFlux's ``intent``).
    ``standing`` marks a lasting state of the room, of which only the latest event counts. After
    ``significant`` events, a snapshot of the swarm is saved in the run's folder.
    """

    effect: Callable[..., None]
    wire: str
    label: str
    nested: str | None = None
    standing: bool = False
    significant: bool = False
    name: str = field(init=False)
    payload: type[msgspec.Struct] = field(init=False, repr=False)
    _places: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        name = self.effect.__name__
        hints = get_type_hints(self.effect, include_extras=True)
        parameters = list(inspect.signature(self.effect).parameters.values())[2:]
        columns = [
            (p.name, hints[p.name]) if p.default is p.empty else (p.name, hints[p.name], p.default)
            for p in parameters
        ]
        if clash := RESERVED & {column[0] for column in columns}:
            raise ParameterError(f"event {name}", sorted(clash), "fields of other names: these are taken")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "payload", msgspec.defstruct(name, columns, kw_only=True))
        object.__setattr__(self, "_places", _places(hints))

    def check(
        self, data: Mapping[str, Any], world: World | None, *, known: bool = False, beyond: bool = False
    ) -> dict[str, Any]:
        """`data` with defaults filled in, as Python values; NumPy scalars are accepted as numbers.

        Unknown fields are dropped, or with `known` refused. With `beyond`, positions may lie outside the
        world. In a world of unknown size (None), lengths are not bounded either.

        Raises
        ------
        ParameterError
            When a field is missing, of the wrong type, not finite or out of range.
        """
        fields = self.payload.__struct_fields__
        if known and (unknown := sorted(data.keys() - set(fields))):
            there = "there are " + ", ".join(fields) if fields else "there is none"
            raise ParameterError(f"{self.name}.{unknown[0]}", data[unknown[0]], f"no such field: {there}")
        plain = {
            name: value.item() if isinstance(value, np.generic) else value for name, value in data.items()
        }
        try:
            whole: dict[str, Any] = msgspec.to_builtins(msgspec.convert(plain, self.payload))
        except msgspec.ValidationError as error:
            raise ParameterError(self.name, dict(data), str(error)) from None
        for name, value in whole.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ParameterError(f"{self.name}.{name}", value, "a finite number")
        sides = (FARTHEST, FARTHEST) if world is None else world
        for name, place in self._places.items():
            limit = {"x": sides[0], "y": sides[1], "length": max(sides)}[place]
            if place != "length" and (beyond or world is None):
                if abs(whole[name]) > max(FARTHEST, limit):
                    raise ParameterError(f"{self.name}.{name}", whole[name], f"at most {FARTHEST:g} px away")
                continue
            if whole[name] > limit:
                raise ParameterError(
                    f"{self.name}.{name}", whole[name], f"at most {limit:g} px in this world"
                )
            if whole[name] < 0:
                raise ParameterError(f"{self.name}.{name}", whole[name], "at least 0 px")
        return whole

    @property
    def placed(self) -> bool:
        """Whether its data have positions or lengths in px, which depend on the sender's world."""
        return bool(self._places)

    def place(self, data: Mapping[str, Any], world: World, rng: random.Random) -> dict[str, Any]:
        """`data` with missing positions drawn uniformly in the world."""
        sides = {"x": world[0], "y": world[1]}
        drawn = {
            name: rng.uniform(0, sides[place])
            for name, place in self._places.items()
            if place in sides and data.get(name) is None
        }
        return {**data, **drawn}

    def scale(self, data: Mapping[str, Any], source: World, target: World) -> dict[str, Any]:
        """`data` from a world of another size, in px of this one; lengths by the geometric mean ratio.

        Positions inside their own world stay inside this one; lengths always are within bounds.
        """
        fx, fy = target[0] / source[0], target[1] / source[1]
        factor = {"x": fx, "y": fy, "length": math.sqrt(fx * fy)}
        side = {"x": source[0], "y": source[1]}
        most = {"x": target[0], "y": target[1], "length": max(target)}

        def scaled(place: str, value: float) -> float:
            found = value * factor[place]
            if place == "length":
                return min(max(found, 1.0), most[place])
            return min(found, most[place]) if 0 <= value <= side[place] else found

        return {
            name: scaled(self._places[name], value) if name in self._places else value
            for name, value in data.items()
        }

    def wrapped(self, data: Mapping[str, Any], world: World) -> dict[str, Any]:
        """`data` with positions wrapped into the world, as on a torus."""

        def wrapped(place: str, value: float) -> float:
            side = world[0] if place == "x" else world[1]
            return value if place == "length" or 0 <= value <= side else value % side

        return {
            name: wrapped(self._places[name], value) if name in self._places else value
            for name, value in data.items()
        }


RESERVED = frozenset({"type", "id", "origin", "at", "hops", "from", "n", "stamp", "world"})
RECORDS = frozenset(
    {"telemetry", "clock", "params", "reset", "play", "pause", "step", "note", "peer", "missed", "refused"}
    | {"resume", "stall", "gap", "end"}
)
"""Types of log records that are not events; no event may have such a name."""


def _places(hints: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, hint in hints.items():
        for meta in getattr(hint, "__metadata__", ()):
            if isinstance(meta, Meta) and meta.extra and "px" in meta.extra:
                found[name] = meta.extra["px"]
    return found


class Registry:
    """The kinds of events, by name and by message type."""

    def __init__(self) -> None:
        self._kinds: dict[str, EventKind] = {}

    def register(self, effect: Callable[..., None], *, wire: str, label: str, **more: Any) -> EventKind:
        """Add a kind of event, named like the function `effect`; replace one of that name."""
        kind = EventKind(effect, wire, label, **more)
        if kind.name in RECORDS or kind.name.startswith("remote_"):
            raise ParameterError("event", kind.name, "another name: this one is used by other log records")
        if (other := self.by_wire(wire)) is not None and other.name != kind.name:
            raise ParameterError(
                "wire", wire, f"a type that no other event has; EVENTS.unregister({other.name!r}) frees it"
            )
        self._kinds[kind.name] = kind
        return kind

    def unregister(self, name: str) -> None:
        """Remove a kind of event."""
        del self._kinds[name]

    def by_wire(self, wire: str) -> EventKind | None:
        """The kind whose messages have this type; None if there is none."""
        return next((kind for kind in self._kinds.values() if kind.wire == wire), None)

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __getitem__(self, name: str) -> EventKind:
        try:
            return self._kinds[name]
        except (KeyError, TypeError):
            raise ParameterError("event", name, "one of " + ", ".join(self._kinds)) from None

    def __iter__(self) -> Iterator[EventKind]:
        return iter(tuple(self._kinds.values()))


EVENTS = Registry()
EVENTS.register(intent, wire="intent", label="+ Intent", nested="intent")
EVENTS.register(lion_gate, wire="portal", label="Lion Gate", standing=True, significant=True)
EVENTS.register(pacemaker_flip, wire="flip", label="Pacemaker Flip", significant=True)
