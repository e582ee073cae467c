"""Commands: the actions on a swarm between two ticks. Each has one meaning in live and in recorded runs.

A command knows how it is applied (``apply``), how it is logged (``entry`` for records, ``line`` for inputs)
and how it is read back (:func:`read_command`, :func:`read_input`). A live run applies and logs it. Recomputed
runs, counterfactual runs and replays of the record read it back and apply it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

from chronoflux.model.events import EVENTS, RECORDS
from chronoflux.model.params import SPECS, Params
from chronoflux.util.float32 import single, widened

REMOTE = "remote_"
"""Prefix of the type of a record of a peer's event."""


class Target(Protocol):
    """What commands are applied to: a simulation, or the recorded state of one in a replay."""

    @property
    def params(self) -> Params:
        """The parameters in force."""

    @params.setter
    def params(self, params: Params) -> None: ...

    @property
    def tick(self) -> int:
        """The present tick."""

    @property
    def speed(self) -> float:
        """Simulated seconds per second of mesh time."""

    def mesh_time(self) -> float:
        """Mesh time of the present tick, ms; NaN without an anchor."""

    def anchor(self, at: float, speed: float) -> None:
        """Assign mesh time `at` (ms) to the present tick."""

    def fire(self, name: str, /, *, age: float, **data: object) -> None:
        """Queue an event for the start of the next tick, fired `age` simulated seconds ago."""

    def reset(self, seed: int | None, *, tick: int) -> None:
        """Restart at `tick` with a new state."""

    def hear(self, peer: str, at: float, R: float, psi: float, omega: float) -> None:
        """Receive a peer's mean field."""

    def forget(self, peer: str) -> None:
        """Drop a peer's field."""


class Entry(NamedTuple):
    """A record of a command: its type and data; for events also ``id``, ``origin`` and time of firing.

    ``at`` is mesh time in ms; None: the time of the record itself.
    """

    type: str
    data: Mapping[str, Any]
    at: float | None = None
    id: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Anchor:
    """Assigns mesh time `at` (ms) to the present tick; `speed`: simulated seconds per second from here.

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

    `at`: mesh time (ms) at which it was fired. The age of a peer's event (`own` is false) is the mesh time
    since then; an own event has no age. ``id``: the event's id; ``origin``: the node that fired it.
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
    """Sets parameters, by name, to values as in JSON."""

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
    """Draws a new state with `seed`; None: with the generator as it is."""

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
    """The mean field of `peer` at mesh time `at` (ms): R, psi (rad), omega (rad/s)."""

    peer: str
    at: float
    R: float
    psi: float
    omega: float

    @classmethod
    def rounded(cls, peer: str, at: float, R: float, psi: float, omega: float) -> Self:
        """The field with the precision of the log: `at` to 1 µs, the rest as float32."""
        return cls(peer, round(at, 3), *(widened(single(value)) for value in (R, psi, omega)))

    def apply(self, target: Target) -> None:
        """Apply it."""
        target.hear(self.peer, self.at, self.R, self.psi, self.omega)

    def line(self) -> dict[str, Any]:
        """Its line in the inputs, with the fewest digits that identify a float32."""
        values = {"R": single(self.R), "psi": single(self.psi), "omega": single(self.omega)}
        return {"peer": self.peer, "at": self.at, **values}


@dataclass(frozen=True, slots=True)
class Forget:
    """Drops the field of `peer`."""

    peer: str

    def apply(self, target: Target) -> None:
        """Apply it."""
        target.forget(self.peer)

    def line(self) -> dict[str, Any]:
        """Its line in the inputs."""
        return {"peer": self.peer}


Input: TypeAlias = Hear | Forget
"""Commands that are recorded in a run's inputs; all others are records in its log."""
Command: TypeAlias = Anchor | Fire | Change | Reset | Input


def read_command(entry: Entry) -> Anchor | Fire | Change | Reset | None:
    """The command of a record; None if the record is not of a command.

    Raises
    ------
    ParameterError
        When it names an event that is not registered.
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
    """The command of a line in the inputs; without `at`, the peer is gone."""
    return Forget(peer) if at is None else Hear(peer, at, widened(R), widened(psi), widened(omega))


def _number(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) else otherwise
