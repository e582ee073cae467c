"""`Simulation`: a swarm that is advanced tick by tick."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from chronoflux.errors import ParameterError
from chronoflux.model.engine.arrays import Floats
from chronoflux.model.engine.choice import PLAIN, chosen
from chronoflux.model.engine.field import FAINT, strength
from chronoflux.model.engine.particles import ParticleStore, in_range
from chronoflux.model.engine.phases import GLOBAL, GRAPH, KNN, TAU, Coupling, Graph
from chronoflux.model.engine.plain import PlainStore
from chronoflux.model.engine.record_buffer import ARRAYS, NO_BUFFER, RecordBuffer
from chronoflux.model.engine.step import ExternalForcing, StepParams
from chronoflux.model.engine.thread_pool import uninterrupted
from chronoflux.model.events import EVENTS, EventKind
from chronoflux.model.frequencies import Frequencies
from chronoflux.model.graph import NO_GRAPH, checked_graph, read_graph
from chronoflux.model.observables import Measured
from chronoflux.model.params import Params
from chronoflux.model.peer_fields import Field, Peers
from chronoflux.model.recording import LATEST, Block, Plan
from chronoflux.model.snapshot import Snapshot as Snapshot
from chronoflux.model.state import Pulse, State, Swarm, column, finite, length
from chronoflux.util.attributes import FixedAttributes
from chronoflux.util.validate import whole

OMEGA_WINDOW = 0.5
"""Simulated seconds over which the mean-field frequency is taken."""
BATCH = 2_000_000
"""Oscillator-ticks in one compiled call: a fraction of a second, after which Ctrl-C is heard."""
NORMALS = 1 << 18
"""Most random numbers drawn at once, 2 MiB, unless one tick needs more."""
FORMAT = 1
"""Version of what :meth:`Simulation.save` returns."""


class Simulation(FixedAttributes, Measured):
    """One swarm. Not for use by two threads at once; hand a :meth:`snapshot` to the other instead.

    Parameters
    ----------
    params
        Defaults to ``Params()``, with as many oscillators as `state`, `frequencies` or `graph` have.
    seed
        Makes the run. None: a fresh one, kept in ``.seed``.
    state
        Where to begin; positions are wrapped into the world and phases into ``[0, 2π)``. What it leaves out,
        or everything when it is None, is drawn: positions uniform in the world, no velocity, phases uniform.
    graph
        Who pulls on whom, in place of ``params.coupling``; see :func:`~chronoflux.model.graph.read_graph`.
    frequencies
        Natural frequencies in Hz, (n,), in place of ``params.frequency`` and its spread; portal mode shifts
        them by ``portal_frequency − frequency``.

    Raises
    ------
    ParameterError
        When these do not fit each other or are not what is allowed, ``CHRONOFLUX_ENGINE`` included.

    Examples
    --------
    Identical oscillators that all pull on each other synchronise.

    >>> import chronoflux as cf
    >>> simulation = cf.Simulation(cf.Params(oscillators=60, coupling="global", kappa=2.0), seed=1)
    >>> simulation.advance(1000)
    >>> round(simulation.t, 3), round(simulation.metrics()["H"], 3)
    (16.0, 1.0)
    """

    engine: str

    def __init__(
        self,
        params: Params | None = None,
        *,
        seed: int | None = None,
        state: State | None = None,
        graph: Any = None,
        frequencies: Any = None,
    ) -> None:
        self.engine = chosen()
        """What computes the ticks, ``"compiled"`` or ``"plain"``: as ``CHRONOFLUX_ENGINE`` said."""
        self._graph = None if graph is None else read_graph(graph)
        if params is None:
            n = _size(state, frequencies, self._graph)
            params = Params() if n is None else Params(oscillators=n)
        if not isinstance(params, Params):
            raise ParameterError("params", params, "a Params")
        if state is not None and not isinstance(state, State):
            raise ParameterError("state", type(state).__name__, "a State")
        if state is not None and state.n != params.oscillators:
            raise ParameterError("state", f"{state.n} oscillators", f"{params.oscillators}, as in params")
        self._given = None if frequencies is None else Frequencies.read(frequencies, params.oscillators)
        self._check_fit(params)
        self._params = params
        self._peers = Peers()
        self._queue: list[tuple[EventKind, float, dict[str, Any]]] = []
        self._sow(seed)
        self._begin(state, tick=0, portal=False)

    # -- beginning ------------------------------------------------------------------------------------

    def _check_fit(self, params: Params) -> None:
        """Refuse parameters that do not go with the graph or the frequencies given."""
        n = params.oscillators
        if self._graph is not None and len(self._graph.indptr) != n + 1:
            raise ParameterError(
                "oscillators", n, f"{len(self._graph.indptr) - 1}, the graph's number of nodes"
            )
        if self._given is not None:
            if len(self._given.hertz) != n:
                raise ParameterError("oscillators", n, f"{len(self._given.hertz)}, the number of frequencies")
            if params.frequency_spread > 0:
                raise ParameterError(
                    "frequency_spread", params.frequency_spread, "0 where frequencies are given"
                )

    def _sow(self, seed: int | None) -> None:
        if seed is None:
            seed = secrets.randbits(53)
        self.seed: int = whole("seed", seed, 0)
        self._rng: np.random.Generator = np.random.Generator(np.random.PCG64(self.seed))

    def _begin(self, state: State | None, *, tick: int, portal: bool) -> None:
        """Start from `state`, or from one drawn; without pulses and without a past of ψ."""
        p, n, rng = self._params, self._params.oscillators, self._rng
        given = {name: getattr(state, name, None) for name in ARRAYS}
        arrays = {
            name: column(f"state.{name}", value, n) for name, value in given.items() if value is not None
        }
        for name, side in zip(("x", "y", "phi"), (*p.world, TAU), strict=True):
            if given[name] is None:
                arrays[name] = rng.random(n) * side
        for name in ("vx", "vy"):
            arrays.setdefault(name, np.zeros(n))
        self._tick, self._portal = tick, portal
        self._pulses: list[Pulse] = []
        self._frequencies = self._given or Frequencies.draw(p, rng)
        self._turns = np.zeros(max(1, round(OMEGA_WINDOW / p.dt)))
        self._turned = 0
        self._step_params = self._make_step_params()
        store = PlainStore if self.engine == PLAIN else ParticleStore
        arrays, omega = in_range(arrays, p.world), self._frequencies.omega(p, portal)
        self._particles = store(arrays, omega, self._step_params)
        self._refresh()

    def reset(self, seed: int | None = None, *, tick: int = 0) -> None:
        """Start again at `tick` with a new state, drawn with `seed`, or else by the generator as it stands.

        Pulses are gone; portal mode, queued events, the mesh time of now and the peers' fields stay.
        """
        if seed is not None:
            self._sow(seed)
        self._renew(self._params, tick=whole("tick", tick, 0, LATEST))

    def _renew(self, params: Params, *, tick: int) -> None:
        """A new state at `tick`, in the same mesh time as before."""
        now = self.mesh_time()
        self._params = params
        self._begin(None, tick=tick, portal=self.portal)
        self._peers.shift(tick, now)

    def _make_step_params(self) -> StepParams:
        p = self._params
        kind = GLOBAL if p.coupling == "global" else KNN
        kind = kind if self._graph is None else GRAPH
        return StepParams(
            world=p.world,
            plane=p.boundary == "plane",
            portal=self._portal,
            dt=p.dt,
            gamma=p.gamma,
            eta=p.eta,
            noise=p.noise,
            neighbours=p.neighbours,
            rk4=p.integrator == "rk4",
            coupling=Coupling(kind, p.kappa, p.phase_lag, p.mesh_coupling),
        )

    def _refresh(self) -> None:
        """Tell the particles of parameters, portal and pulses, after a change of any of them."""
        self._step_params = self._make_step_params()
        self._fired = np.array(self._pulses, np.float64).reshape(-1, 5)
        self._particles.update_params(
            self._step_params, self._frequencies.omega(self._params, self._portal), self._fired
        )

    # -- what it is -----------------------------------------------------------------------------------

    @property
    def params(self) -> Params:
        """The parameters. To be set between ticks; a change that ``needs_reset`` draws a new state."""
        return self._params

    @params.setter
    def params(self, params: Params) -> None:
        if not isinstance(params, Params):
            raise ParameterError("params", params, "a Params")
        self._check_fit(params)
        if self._params.needs_reset(params):
            self._renew(params, tick=self.tick)
        else:
            self._params = params
            self._refresh()

    @property
    def batch(self) -> int:
        """Most ticks that are computed without hearing Ctrl-C."""
        return 1 if self.engine == PLAIN else max(1, BATCH // self._params.oscillators)

    @property
    def looks(self) -> int:
        """How many oscillators' neighbours had to be looked at again so far; since the last reset."""
        return self._particles.looks

    @property
    def state(self) -> State:
        """A copy of positions, velocities and phases."""
        return State(**self._particles.arrays())

    # -- going on -------------------------------------------------------------------------------------

    def advance(self, ticks: int = 1) -> None:
        """Compute `ticks` ticks. Events fired since the last one are applied at the start of the first."""
        self._advance(ticks, NO_BUFFER)

    def _advance(self, ticks: Any, film: RecordBuffer) -> None:
        left, n = whole("ticks", ticks, 0, LATEST - self._tick), self._params.oscillators
        if left and self._queue:
            self._apply_events()
        noisy = self._params.noise > 0
        batch = min(self.batch, max(1, NORMALS // n)) if noisy else self.batch
        while left:
            now = min(left, batch)
            with uninterrupted():
                self._run(now, self._rng.standard_normal((now, n)) if noisy else np.empty((0, n)), film)
            left, film = left - now, film._replace(begun=film.begun + now)

    def record(
        self, ticks: int, every: int = 1, what: Sequence[str] | str = "phi", *, of: Any = None
    ) -> Iterator[Block]:
        """Compute `ticks` ticks and yield what happens in them, block by block, as it is asked for.

        A row stands after each `every` ticks (at ``tick + every``, ``tick + 2 every``, …), so that recordings
        one after the other join; ticks left over at the end are computed but have no row. Between blocks
        the simulation may be used, and what is done to it takes effect; `oscillators` must stay as it is.
        A block has as many rows as make 1 MiB of each kind, at least 1 and at most 1024.

        Parameters
        ----------
        what
            Of ``phi`` (rad, in [0, 2π)), ``x``, ``y`` (px), ``vx``, ``vy`` (px per 1/60 s): one or more.
        of
            The numbers of the oscillators to record, (m,); None: all.

        Raises
        ------
        ParameterError
            At once, when these are not what is allowed.
        """
        return self._record(Plan.checked(self._params.oscillators, ticks, every, what, of))

    def _record(self, plan: Plan) -> Iterator[Block]:
        for film in plan.films():
            plan.check(self._params.oscillators)
            tick = self._tick
            self._advance(film.rows.shape[1] * plan.every, film)
            yield plan.block(film, tick, self._params.dt)
        self.advance(plan.ticks % plan.every)

    def _run(self, ticks: int, normals: Floats, film: RecordBuffer) -> None:
        others = ExternalForcing(self._fired, self._peers.table(), self._peers.clock)
        graph = self._graph or NO_GRAPH
        self._particles.run(ticks, self._tick, graph, others, normals, self._turns, self._turned, film)
        self._tick += ticks
        self._turned += ticks
        self._peers.count(self._tick - 1, self._params.dt)
        if len(self._alive()) < len(self._fired):
            self._pulses = [pulse for pulse in self._pulses if strength(pulse.E, self.t - pulse.t) > FAINT]
            self._refresh()

    def fire(self, name: str, /, *, age: float = 0.0, **data: Any) -> None:
        """Queue an event for the start of the next tick.

        `name` is one of ``EVENTS``, `data` its fields, `age` how many simulated seconds ago it happened.

        Raises
        ------
        ParameterError
            At once, when there is no such event or field, or one is missing or out of range.
        """
        kind = EVENTS[name]
        if not (finite(age) and age >= 0):
            raise ParameterError("age", age, "seconds, finite and >= 0")
        beyond = self._params.boundary == "plane"  # where peers' pulses may lie outside of the world
        whole = kind.check(data, self._params.world, known=True, beyond=beyond)
        self._queue.append((kind, float(age), whole))

    def intent(self, *, x: float, y: float, E: float = 0.35, sigma: float = 80.0) -> None:
        """Queue a pulse of pressure at ``x, y`` (px), of strength `E` and width `sigma` (px)."""
        self.fire("intent", x=x, y=y, E=E, sigma=sigma)

    def lion_gate(self, on: bool = True) -> None:
        """Queue portal mode on, or off."""
        self.fire("lion_gate", on=on)

    def pacemaker_flip(self) -> None:
        """Queue a flip: every velocity × −0.6, every phase + π/2."""
        self.fire("pacemaker_flip")

    def _apply_events(self) -> None:
        queue, self._queue = self._queue, []
        p, arrays = self._params, self._particles.arrays()
        swarm = Swarm(
            **arrays,
            world=p.world,
            dt=p.dt,
            rng=self._rng,
            tick=self._tick,
            portal=self._portal,
            pulses=self._pulses,
        )
        for kind, age, data in queue:
            kind.effect(swarm, age, **data)
        self._portal, self._pulses = swarm.portal, swarm.pulses
        self._particles.put(in_range({name: getattr(swarm, name) for name in ARRAYS}, p.world))
        self._refresh()

    # -- others ---------------------------------------------------------------------------------------

    @property
    def peers_used(self) -> int:
        """P, how many peers' fields were used in the last tick."""
        return self._peers.used

    def anchor(self, at: float, speed: float = 1.0) -> None:
        """Mesh time `at` (ms) belongs to the current tick; `speed` simulated seconds a second from here."""
        self._peers.anchor(self.tick, at, speed)

    def mesh_time(self, tick: int | None = None) -> float:
        """Mesh time (ms) of a tick, by default the current one; NaN without an anchor."""
        return self._peers.mesh_time(self.tick if tick is None else tick, self._params.dt)

    @property
    def speed(self) -> float:
        """Simulated seconds a second of mesh time, as last anchored; 1 before."""
        return self._peers.clock.speed

    def hear(self, peer: str, at: float, R: float, psi: float, omega: float) -> None:
        """A peer's mean field ``R e^{iψ}`` at mesh time `at` (ms), turning with `omega` (rad/s).

        One older than the one held of that peer is ignored. It pulls from the next tick on, while it is no
        more than 2 s of mesh time away.
        """
        self._peers.hear(peer, Field(at, R, psi, omega))

    def forget(self, peer: str) -> None:
        """Let go of a peer's field."""
        self._peers.forget(peer)

    # -- copied, saved and loaded ----------------------------------------------------------------------

    def clone(self, seed: int | None = None) -> Self:
        """Another simulation at the same tick in the same state, queued events and peers' fields included.

        Without `seed` it goes on exactly as this one will. With one it is a branch: the same state and
        natural frequencies, but noise and whatever else is drawn from here on come from that seed.
        """
        other = self.load(self.save())
        if seed is not None:
            other._sow(seed)
        return other

    __copy__ = clone  # and not two that share their arrays

    def save(self) -> dict[str, Any]:
        """Everything needed to go on bit for bit: NumPy arrays, and for the rest values ready for JSON."""
        saved: dict[str, Any] = dict(self._particles.arrays())
        saved |= {"hertz": self._frequencies.hertz.copy(), "turns": self._turns.copy()}
        saved["pulses"] = np.array(self._pulses, np.float64).reshape(-1, 5)
        if self._graph is not None:
            saved |= {f"graph_{name}": array.copy() for name, array in self._graph._asdict().items()}
        return saved | {
            "format": FORMAT,
            "params": self._params.to_dict(),
            "seed": self.seed,
            "given": self._frequencies.given,
            "generator": self._rng.bit_generator.state,
            "tick": self._tick,
            "portal": self._portal,
            "turned": self._turned,
            "peers": self._peers.save(),
            "queue": [[kind.name, age, data] for kind, age, data in self._queue],
        }

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> Self:
        """The simulation that :meth:`save` was called on.

        Raises
        ------
        ParameterError, KeyError, TypeError, ValueError
            When `saved` is not what :meth:`save` returned.
        """
        if saved.get("format") != FORMAT:
            raise ParameterError("format", saved.get("format"), f"{FORMAT}, what this version saves")
        rows = [f"graph_{name}" for name in Graph._fields]
        graph = checked_graph(*(saved[name] for name in rows)) if saved.keys() & set(rows) else None
        sim = cls(
            Params.from_dict(saved["params"]),
            seed=saved["seed"],
            state=State(**{name: saved[name] for name in ARRAYS}),
            graph=graph,
            frequencies=saved["hertz"] if saved["given"] else None,
        )
        sim._rng.bit_generator.state = saved["generator"]
        hertz = column("frequencies", saved["hertz"], sim.params.oscillators)
        sim._frequencies = Frequencies(hertz, bool(saved["given"]))
        sim._turns = column("turns", saved["turns"], len(sim._turns))
        sim._turned, sim._peers = whole("turned", saved["turned"], 0, LATEST), Peers.load(saved["peers"])
        sim._tick, sim._portal = whole("tick", saved["tick"], 0, LATEST), bool(saved["portal"])
        sim._pulses = [Pulse.checked(row) for row in saved["pulses"]]
        for name, age, data in saved["queue"]:
            sim.fire(name, age=age, **data)
        sim._refresh()
        return sim


def _size(state: State | None, frequencies: Any, graph: Graph | None) -> int | None:
    """How many oscillators what was given speaks of, if anything was."""
    if isinstance(state, State):
        return state.n
    if frequencies is not None:
        return max(1, length(frequencies))
    return None if graph is None else len(graph.indptr) - 1
