"""Commands: what is done to a swarm between two ticks. One type, with one meaning everywhere.

A command knows how it is applied (``apply``), how a log says it (``entry`` for records, ``line`` for inputs)
and how it is read back (:func:`read_command`, :func:`read_input`). A live run applies it and puts it on
record; a recomputed run, a counterfactual one and a replay of the record read it back and apply the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

from chronoflux.model.events import EVENTS, RECORDS
from chronoflux.model.params import SPECS, Params
from chronoflux.util.float32 import single, widened

REMOTE = "remote_"
"""The record of a peer's event has this before its name."""


class Target(Protocol):
    """What commands are applied to: a simulation, or what a replay shows of one without computing it."""

    @property
    def params(self) -> Params:
        """The parameters in force."""

    @params.setter
    def params(self, params: Params) -> None: ...

    @property
    def tick(self) -> int:
        """The current tick."""

    @property
    def speed(self) -> float:
        """Simulated seconds a second of mesh time."""

    def mesh_time(self) -> float:
        """Mesh time of the current tick, ms; NaN without an anchor."""

    def anchor(self, at: float, speed: float) -> None:
        """Mesh time `at` (ms) belongs to the current tick."""

    def fire(self, name: str, /, *, age: float, **data: Any) -> None:
        """Queue an event for the start of the next tick; it was fired `age` simulated seconds ago."""

    def reset(self, seed: int | None, *, tick: int) -> None:
        """Begin again at `tick` with a new state."""

    def hear(self, peer: str, at: float, R: float, psi: float, omega: float) -> None:
        """A peer's mean field."""

    def forget(self, peer: str) -> None:
        """A peer's field no longer counts."""


class Entry(NamedTuple):
    """A record of a command: its type and data; for events ``id``, ``origin`` and when it was fired.

    ``at`` is mesh time in ms; None: the time of the record itself.
    """

    type: str
    data: Mapping[str, Any]
    at: float | None = None
    id: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Anchor:
    """Mesh time `at` (ms) belongs to the current tick; from here `speed` simulated seconds pass a second.

    ``why`` and ``facts`` are for readers of the log.
    """

    at: float
    speed: float = 1.0
    why: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, target: Target) -> None:
        """Apply it."""
        target.anchor(self.at, self.speed)

    def entry(self) -> Entry:
        """Its record."""
        return Entry("clock", {"why": self.why, "speed": self.speed, **self.facts}, self.at)


@dataclass(frozen=True, slots=True)
class Fire:
    """An event of type `name`, applied at the start of the next tick.

    `at`: mesh time (ms) at which it was fired. An event of a peer (`own` is false) is as old as the mesh time
    since; an own one has no age. ``id`` and ``origin`` say which event it is and who fired it.
    """

    name: str
    data: Mapping[str, Any] = field(default_factory=dict)
    at: float | None = None
    own: bool = True
    id: str | None = None
    origin: str | None = None

    def apply(self, target: Target) -> None:
        """Apply it."""
        late = 0.0 if self.own or self.at is None else max(0.0, target.mesh_time() - self.at)
        target.fire(self.name, age=late / 1000 * target.speed, **self.data)

    @property
    def type(self) -> str:
        """The type of its record."""
        return self.name if self.own else REMOTE + self.name

    def entry(self) -> Entry:
        """Its record."""
        return Entry(self.type, dict(self.data), self.at, self.id, self.origin)


@dataclass(frozen=True, slots=True)
class Change:
    """Parameters set to other values, by name; values are as in JSON."""

    values: Mapping[str, Any]

    @property
    def renews(self) -> bool:
        """Whether it draws a new state."""
        return any(name in SPECS and SPECS[name].reset for name in self.values)

    def apply(self, target: Target) -> None:
        """Apply it."""
        target.params = target.params.replace(**self.values)

    def entry(self) -> Entry:
        """Its record."""
        return Entry("reset" if self.renews else "params", self.values)


@dataclass(frozen=True, slots=True)
class Reset:
    """A new state, drawn with `seed`; None: by the generator as it stands."""

    seed: int | None
    renews = True

    def apply(self, target: Target) -> None:
        """Apply it."""
        target.reset(self.seed, tick=target.tick)

    def entry(self) -> Entry:
        """Its record."""
        return Entry("reset", {"seed": self.seed})


@dataclass(frozen=True, slots=True)
class Hear:
    """The mean field of `peer` at mesh time `at` (ms): order R, angle psi (rad), omega (rad/s)."""

    peer: str
    at: float
    R: float
    psi: float
    omega: float

    @classmethod
    def rounded(cls, peer: str, at: float, R: float, psi: float, omega: float) -> Self:
        """The field as a log can say it: `at` to a µs, the rest as float32."""
        return cls(peer, round(at, 3), *(widened(single(value)) for value in (R, psi, omega)))

    def apply(self, target: Target) -> None:
        """Apply it."""
        target.hear(self.peer, self.at, self.R, self.psi, self.omega)

    def line(self) -> dict[str, Any]:
        """Its line among the inputs, with the fewest digits that tell a float32 from others."""
        values = {"R": single(self.R), "psi": single(self.psi), "omega": single(self.omega)}
        return {"peer": self.peer, "at": self.at, **values}


@dataclass(frozen=True, slots=True)
class Forget:
    """The field of `peer` no longer counts."""

    peer: str

    def apply(self, target: Target) -> None:
        """Apply it."""
        target.forget(self.peer)

    def line(self) -> dict[str, Any]:
        """Its line among the inputs."""
        return {"peer": self.peer}


Input: TypeAlias = Hear | Forget
"""Commands on record among a run's inputs; the others are records of its log."""
Command: TypeAlias = Anchor | Fire | Change | Reset | Input


def read_command(entry: Entry) -> Anchor | Fire | Change | Reset | None:
    """The command that a record is of; None for a record of something else.

    Raises
    ------
    ParameterError
        When it names an event that is not registered here.
    """
    data = entry.data
    match entry.type:
        case "clock":
            speed = data.get("speed")
            return None if entry.at is None else Anchor(entry.at, _number(speed, 1.0))
        case "reset" if "seed" in data:
            return Reset(data["seed"])
        case "params" | "reset":
            return Change(data)
    name = entry.type.removeprefix(REMOTE)
    if entry.type in RECORDS or (entry.id is None and name not in EVENTS):
        return None
    return Fire(EVENTS[name].name, data, entry.at, name == entry.type, entry.id, entry.origin)


def read_input(
    peer: str, at: float | None, R: float = 0.0, psi: float = 0.0, omega: float = 0.0
) -> Hear | Forget:
    """The command that a line among the inputs is of; without `at` the peer is gone."""
    return Forget(peer) if at is None else Hear(peer, at, widened(R), widened(psi), widened(omega))


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) else otherwise
