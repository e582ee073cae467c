"""`RecordedField`: pulses, portal mode and parameters of a run, from its recorded commands.

Commands are applied to it as to a simulation. Events act on a swarm whose oscillators are unknown: positions,
velocities and phases are NaN. Their effect on pulses and portal mode is the same as in the live run.
"""

from __future__ import annotations

import bisect
import math
from typing import Any, NamedTuple

import numpy as np

from chronoflux.errors import ChronofluxError, plain
from chronoflux.model.commands import Change, Entry, read_command
from chronoflux.model.engine import FAINT, Floats, decay, strength
from chronoflux.model.events import EVENTS, EventKind
from chronoflux.model.params import SPECS, Params
from chronoflux.model.peer_fields import PeerFields
from chronoflux.model.state import Pulse, Swarm

OSCILLATORS = frozenset({"x", "y", "vx", "vy", "phi"})


class UnseenSwarm(Swarm):
    """A swarm of which only pulses, portal mode, world and time are known.

    Its oscillators are NaN, in arrays that are made on first use. The state of its generator is not recorded:
    an event that draws from it needs recomputation.
    """

    def __init__(self, params: Params, *, tick: int, t: float, portal: bool, pulses: list[Pulse]) -> None:
        self.world: tuple[float, float] = params.world
        self.dt: float = params.dt
        self.tick: int = tick
        self.portal: bool = portal
        self.pulses: list[Pulse] = pulses
        self._n, self._t = params.oscillators, t

    @property
    def t(self) -> float:
        """Recorded simulated time, s."""
        return self._t

    def __getattr__(self, name: str) -> Any:
        if name == "rng":
            raise ChronofluxError("it draws random numbers, which are not recorded")
        if name not in OSCILLATORS:
            raise AttributeError(f"a swarm has no {name}")
        values = np.full(self._n, math.nan)
        setattr(self, name, values)
        return values


class _State(NamedTuple):
    params: Params
    portal: bool
    pulses: Floats
    began: float


class RecordedField:
    """Parameters, portal mode and pulses at each moment of a run; records are added in order.

    `params`: the initial parameters.
    """

    def __init__(self, params: Params) -> None:
        self.problem: str | None = None
        """The first event whose effect cannot be shown, and why; None: there is none."""
        self._params, self._tick, self._t, self._began = params, 0, 0.0, 0.0
        self._mesh_time = math.nan  # that of the record
        self._peers = PeerFields()
        self._queue: list[tuple[EventKind, float, dict[str, Any]]] = []
        self._portal, self._pulses = False, list[Pulse]()
        self._times, self._states = [-math.inf], [_State(params, False, np.empty((0, 5)), 0.0)]

    # -- commands, see chronoflux.model.commands.Target ------------------------------------------------

    @property
    def params(self) -> Params:
        """The present parameters."""
        return self._params

    @params.setter
    def params(self, params: Params) -> None:
        renewed = self._params.needs_reset(params)
        now = self.mesh_time()
        self._params = params
        if renewed:
            self._renew(now)

    @property
    def tick(self) -> int:
        """The present tick."""
        return self._tick

    @property
    def speed(self) -> float:
        """Simulated seconds per second of mesh time."""
        return self._peers.clock.speed

    def mesh_time(self) -> float:
        """Mesh time of the tick, ms; before the first anchor, that of the record."""
        found = self._peers.mesh_time(self._tick, self._params.dt)
        return self._mesh_time if math.isnan(found) else found

    def anchor(self, at: float, speed: float) -> None:
        """Assign mesh time `at` (ms) to the present tick."""
        self._peers.anchor(self._tick, at, speed)

    def fire(self, name: str, /, *, age: float, **data: Any) -> None:
        """Queue an event for the next tick. Records of other versions may lack fields."""
        kind = EVENTS[name]
        self._queue.append((kind, age, kind.check(data, None)))

    def reset(self, seed: int | None, *, tick: int) -> None:
        """Remove all pulses; portal mode, mesh time and queued events stay."""
        self._renew(self.mesh_time())

    def _renew(self, now: float) -> None:
        self._pulses, self._began = [], self._t
        if not math.isnan(self._peers.clock.at):
            self._peers.shift(self._tick, now)

    def hear(self, peer: str, at: float, R: float, psi: float, omega: float) -> None:
        """Ignored: a peer's field acts on oscillators only."""

    def forget(self, peer: str) -> None:
        """Ignored."""

    # -- adding ----------------------------------------------------------------------------------------

    def take(self, entry: Entry, tick: int, t: float, at: float) -> None:
        """Apply the command of a record at `tick`, second `t`, mesh time `at` (ms), if it has one."""
        if tick != self._tick or t != self._t:
            self.settle()
        self._tick, self._t, self._mesh_time = tick, t, at
        try:
            command = read_command(entry)
            if isinstance(command, Change):  # drop parameters of other versions
                command = Change({name: v for name, v in command.values.items() if name in SPECS})
            if command is not None:
                command.apply(self)
        except (ChronofluxError, TypeError) as error:
            self._complain(f"{entry.type} at {t:.1f} s", error)
        self._keep()

    def settle(self) -> None:
        """Apply the queued events."""
        queue, self._queue = self._queue, []
        if not queue:
            return
        self._pulses = [pulse for pulse in self._pulses if strength(pulse.E, self._t - pulse.t) > FAINT]
        for kind, age, data in queue:
            try:
                self._act(kind, age, data)
            except Exception as error:  # noqa: BLE001 - effects are users' code, and find NaN here
                self._complain(f"{kind.name} at {self._t:.1f} s", error)
        self._keep()

    def _act(self, kind: EventKind, age: float, data: dict[str, Any]) -> None:
        """Apply an event, completely or not at all."""
        swarm = UnseenSwarm(
            self._params, tick=self._tick, t=self._t, portal=self._portal, pulses=list(self._pulses)
        )
        kind.effect(swarm, age, **data)
        self._pulses = [Pulse.checked(pulse) for pulse in swarm.pulses]
        self._portal = bool(swarm.portal)

    def _keep(self) -> None:
        pulses = np.array(self._pulses, np.float64).reshape(-1, 5)
        self._times.append(self._t)
        self._states.append(_State(self._params, self._portal, pulses, self._began))

    def _complain(self, what: str, error: Exception) -> None:
        if self.problem is None:
            self.problem = f"{what} is not shown as recorded: {plain(error)}"

    # -- reading ---------------------------------------------------------------------------------------

    def _at(self, t: float) -> _State:
        return self._states[bisect.bisect_right(self._times, t) - 1]

    def params_at(self, t: float) -> Params:
        """The parameters at second `t`."""
        return self._at(t).params

    def portal_at(self, t: float) -> bool:
        """Whether portal mode was on at second `t`."""
        return self._at(t).portal

    def pulses_at(self, t: float) -> Floats:
        """The pulses alive at second `t`, float64 (P, 4) of ``x, y, E(t), sigma``."""
        fired = self._at(t).pulses
        alive = np.empty((len(fired), 4))
        return alive[: decay(fired, t, alive)].copy()

    def began_at(self, t: float) -> float:
        """Second at which the swarm of second `t` began: 0, or that of the last reset."""
        return self._at(t).began
