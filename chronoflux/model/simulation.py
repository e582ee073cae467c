"""`Simulation`: a swarm that is advanced tick by tick."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from chronoflux.errors import ParameterError
from chronoflux.model import observables
from chronoflux.model.engine import (
    ARRAYS,
    NO_BUFFER,
    PLAIN,
    Floats,
    Graph,
    RecordBuffer,
    chosen_engine,
    uninterrupted,
)
from chronoflux.model.events import EVENTS
from chronoflux.model.frequencies import Frequencies
from chronoflux.model.graph import GraphLike, checked_graph, read_graph
from chronoflux.model.params import Params
from chronoflux.model.patterns import Vortices
from chronoflux.model.peer_fields import Field, PeerFields
from chronoflux.model.recording import LATEST, Block, Plan
from chronoflux.model.snapshot import Snapshot as Snapshot
from chronoflux.model.state import Pulse, State, column, finite, length
from chronoflux.model.stepper import QueuedEvent, Stepper
from chronoflux.util.attributes import FixedAttributes
from chronoflux.util.validate import whole

BATCH = 2_000_000
"""Oscillator-ticks in one compiled call: a fraction of a second, after which Ctrl-C takes effect."""
NORMALS = 1 << 18
"""Most random numbers drawn at once, 2 MiB, unless one tick needs more."""
FORMAT = 1
"""Version of what :meth:`Simulation.save` returns."""


class Simulation(FixedAttributes):
    """One swarm. Not for use by two threads at once; pass a :meth:`snapshot` to the other thread instead.

    Parameters
    ----------
    params
        Defaults to ``Params()``, with as many oscillators as `state`, `frequencies` or `graph` have.
    seed
        Seed of everything drawn in the run. None: a new one, kept in ``.seed``.
    state
        The first state; positions are wrapped into the world and phases into ``[0, 2π)``. What it leaves
        out, or everything if it is None, is drawn: positions uniform in the world, velocities zero, phases
        uniform.
    graph
        The coupling, in place of ``params.coupling``; see :func:`~chronoflux.model.graph.read_graph`.
    frequencies
        Natural frequencies in Hz, (n,), in place of ``params.frequency`` and its spread; portal mode shifts
        them by ``portal_frequency − frequency``.

    Raises
    ------
    ParameterError
        When an argument is not allowed or does not fit the others, or ``CHRONOFLUX_ENGINE`` is not allowed.

    Examples
    --------
    Identical oscillators with global coupling synchronise.

    >>> import chronoflux as cf
    >>> simulation = cf.Simulation(cf.Params(oscillators=60, coupling="global", kappa=2.0), seed=1)
    >>> simulation.advance(1000)
    >>> round(simulation.t, 3), round(simulation.metrics()["H"], 3)
    (16.0, 1.0)
    """

    engine: str
    """The engine that computes the ticks, ``"compiled"`` or ``"plain"``: set by ``CHRONOFLUX_ENGINE``."""
    seed: int
    """Seed of everything drawn in the run."""

    def __init__(
        self,
        params: Params | None = None,
        *,
        seed: int | None = None,
        state: State | None = None,
        graph: GraphLike | None = None,
        frequencies: ArrayLike | None = None,
    ) -> None:
        self.engine = chosen_engine()
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
        self._peers = PeerFields()
        self._queue: list[QueuedEvent] = []
        self._set_seed(seed)
        self._stepper = self._begin(params, state)

    # -- beginning ------------------------------------------------------------------------------------

    def _check_fit(self, params: Params) -> None:
        """Refuse parameters that do not fit the graph or the frequencies given."""
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

    def _set_seed(self, seed: int | None) -> None:
        if seed is None:
            seed = secrets.randbits(53)
        self.seed = whole("seed", seed, 0)
        self._rng: np.random.Generator = np.random.Generator(np.random.PCG64(self.seed))

    def _begin(
        self, params: Params, state: State | None = None, *, tick: int = 0, portal: bool = False
    ) -> Stepper:
        """A swarm in `state`, or in one that is drawn, without pulses."""
        return Stepper(
            params,
            self._rng,
            state,
            engine=self.engine,
            graph=self._graph,
            given=self._given,
            tick=tick,
            portal=portal,
        )

    def reset(self, seed: int | None = None, *, tick: int = 0) -> None:
        """Restart at `tick` with a new state, drawn with `seed`; None: with the generator as it is.

        Pulses are removed; portal mode, queued events, the present mesh time and the peers' fields stay.
        """
        if seed is not None:
            self._set_seed(seed)
        self._restart(self.params, tick=whole("tick", tick, 0, LATEST))

    def _restart(self, params: Params, *, tick: int) -> None:
        """Draw a new state at `tick`; the mesh time stays."""
        now = self.mesh_time()
        self._stepper = self._begin(params, tick=tick, portal=self.portal)
        self._peers.shift(tick, now)

    # -- reading --------------------------------------------------------------------------------------

    @property
    def tick(self) -> int:
        """Ticks computed."""
        return self._stepper.tick

    @property
    def t(self) -> float:
        """Simulated time in s, ``tick · dt``."""
        return self._stepper.t

    @property
    def params(self) -> Params:
        """The parameters. Set them between ticks; a change that ``needs_reset`` draws a new state."""
        return self._stepper.params

    @params.setter
    def params(self, params: Params) -> None:
        if not isinstance(params, Params):
            raise ParameterError("params", params, "a Params")
        self._check_fit(params)
        if self.params.needs_reset(params):
            self._restart(params, tick=self.tick)
        else:
            self._stepper.update(params)

    @property
    def portal(self) -> bool:
        """Whether portal mode is on."""
        return self._stepper.portal

    @property
    def pulses(self) -> Floats:
        """The pulses alive now, as in a :class:`Snapshot`: float64 (P, 4) of ``x, y, E(t), sigma``."""
        return self._stepper.alive()

    @property
    def batch(self) -> int:
        """Most ticks that are computed before Ctrl-C takes effect."""
        return 1 if self.engine == PLAIN else max(1, BATCH // self.params.oscillators)

    @property
    def looks(self) -> int:
        """How many neighbour lists were checked since the last reset."""
        return self._stepper.particles.looks

    @property
    def state(self) -> State:
        """A copy of positions, velocities and phases."""
        return State(**self._stepper.particles.arrays())

    def snapshot(self) -> Snapshot:
        """The swarm as it is now, in read-only arrays."""
        return observables.snapshot(self._stepper, self.seed)

    def mean_field(self) -> tuple[float, float, float]:
        """``R``, ``psi`` (rad) and ``omega`` (rad/s; NaN before the first tick) of the mean field; O(n)."""
        return observables.mean_field(self._stepper)

    def metrics(self) -> dict[str, float]:
        """``H, psi, omega, tau, H_local`` as defined in the model; ``omega`` is NaN before the first tick."""
        return observables.metrics(self._stepper)

    def local_order(self) -> Floats:
        """Order of each oscillator and its coupling set, float64 (n,), from 0 to 1; ``H_local`` is its mean.

        See :func:`~chronoflux.model.metrics.local_orders`.
        """
        return observables.local_order(self._stepper)

    def correlation_length(self) -> float:
        """Correlation length of the phases, px; see :func:`~chronoflux.model.patterns.correlation_length`."""
        return observables.correlation_length(self._stepper)

    def vortices(self) -> Vortices:
        """Vortices and antivortices of the phase; see :func:`~chronoflux.model.patterns.vortices`."""
        return observables.vortices(self._stepper)

    # -- advancing ------------------------------------------------------------------------------------

    def advance(self, ticks: int = 1) -> None:
        """Compute `ticks` ticks. Queued events are applied at the start of the first."""
        self._advance(ticks, NO_BUFFER)

    def _advance(self, ticks: int, record: RecordBuffer) -> None:
        left, n = whole("ticks", ticks, 0, LATEST - self.tick), self.params.oscillators
        if left and self._queue:
            queue, self._queue = self._queue, []
            self._stepper.apply(queue, self._rng)
        noisy = self.params.noise > 0
        batch = min(self.batch, max(1, NORMALS // n)) if noisy else self.batch
        while left:
            now = min(left, batch)
            with uninterrupted():
                normals = self._rng.standard_normal((now, n)) if noisy else np.empty((0, n))
                self._stepper.run(now, normals, self._peers, record)
            left, record = left - now, record._replace(begun=record.begun + now)

    def record(
        self,
        ticks: int,
        every: int = 1,
        what: Sequence[str] | str = "phi",
        *,
        of: ArrayLike | None = None,
    ) -> Iterator[Block]:
        """Compute `ticks` ticks and yield the recorded rows, block by block, on demand.

        There is a row after each `every` ticks (at ``tick + every``, ``tick + 2 every``, …), so that
        successive recordings join; remaining ticks at the end are computed but have no row. Between blocks,
        the simulation may be used, and changes to it take effect; `oscillators` must stay as it is. A block
        has as many rows as make 1 MiB of each kind, at least 1 and at most 1024.

        Parameters
        ----------
        ticks
            Number of ticks.
        every
            Ticks from one row to the next.
        what
            One or more of ``phi`` (rad, in [0, 2π)), ``x``, ``y`` (px), ``vx``, ``vy`` (px per 1/60 s).
        of
            Indices of the oscillators to record, (m,); None: all.

        Yields
        ------
        Block
            ``tick``, int64 (rows,), ``t``, float64 (rows,), s, and ``values``: by kind, float64 (rows, m).

        Raises
        ------
        ParameterError
            At once, when an argument is not allowed.
        """
        return self._record(Plan.checked(self.params.oscillators, ticks, every, what, of))

    def _record(self, plan: Plan) -> Iterator[Block]:
        for buffer in plan.buffers():
            plan.check(self.params.oscillators)
            tick = self.tick
            self._advance(buffer.rows.shape[1] * plan.every, buffer)
            yield plan.block(buffer, tick, self.params.dt)
        self.advance(plan.ticks % plan.every)

    def fire(self, name: str, /, *, age: float = 0.0, **data: object) -> None:
        """Queue an event for the start of the next tick.

        Parameters
        ----------
        name
            One of ``EVENTS``.
        age
            How many simulated seconds ago it happened.
        **data
            The event's fields.

        Raises
        ------
        ParameterError
            At once, when there is no such event or field, or one is missing or out of range.
        """
        kind = EVENTS[name]
        if not (finite(age) and age >= 0):
            raise ParameterError("age", age, "seconds, finite and >= 0")
        beyond = self.params.boundary == "plane"  # where peers' pulses may lie outside of the world
        whole = kind.check(data, self.params.world, known=True, beyond=beyond)
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

    # -- peers ----------------------------------------------------------------------------------------

    @property
    def peers_used(self) -> int:
        """P, the number of peers whose fields were used in the last tick."""
        return self._peers.used

    def anchor(self, at: float, speed: float = 1.0) -> None:
        """Assign mesh time `at` (ms) to the present tick; `speed`: simulated seconds per second from here."""
        self._peers.anchor(self.tick, at, speed)

    def mesh_time(self, tick: int | None = None) -> float:
        """Mesh time (ms) of a tick, by default the present one; NaN without an anchor."""
        return self._peers.mesh_time(self.tick if tick is None else tick, self.params.dt)

    @property
    def speed(self) -> float:
        """Simulated seconds per second of mesh time, from the last anchor; 1 before."""
        return self._peers.clock.speed

    def hear(self, peer: str, at: float, R: float, psi: float, omega: float) -> None:
        """Receive a peer's mean field ``R e^{iψ}`` at mesh time `at` (ms), rotating with `omega` (rad/s).

        A field older than the peer's last one is ignored. It acts from the next tick on, while it is at most
        2 s of mesh time away.
        """
        self._peers.hear(peer, Field(at, R, psi, omega))

    def forget(self, peer: str) -> None:
        """Drop a peer's field."""
        self._peers.forget(peer)

    # -- copied, saved and loaded ----------------------------------------------------------------------

    def clone(self, seed: int | None = None) -> Self:
        """Another simulation at the same tick in the same state, including queued events and peers' fields.

        Without `seed` it continues exactly as this one. With one it is a branch: it has the same state and
        natural frequencies, but noise and everything drawn later come from that seed.
        """
        other = self.load(self.save())
        if seed is not None:
            other._set_seed(seed)
        return other

    __copy__ = clone  # a shallow copy would share its arrays

    def save(self) -> dict[str, Any]:
        """Everything needed to continue bit for bit: NumPy arrays, and otherwise values ready for JSON."""
        stepper = self._stepper
        saved: dict[str, Any] = dict(stepper.particles.arrays())
        saved |= {"hertz": stepper.frequencies.hertz.copy(), "turns": stepper.rotations.copy()}
        saved["pulses"] = np.array(stepper.pulses, np.float64).reshape(-1, 5)
        if self._graph is not None:
            saved |= {f"graph_{name}": array.copy() for name, array in self._graph._asdict().items()}
        return saved | {
            "format": FORMAT,
            "params": self.params.to_dict(),
            "seed": self.seed,
            "given": stepper.frequencies.given,
            "generator": self._rng.bit_generator.state,
            "tick": self.tick,
            "portal": self.portal,
            "turned": stepper.rotation_count,
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
        rotations = column("turns", saved["turns"], len(sim._stepper.rotations))
        count, peers = whole("turned", saved["turned"], 0, LATEST), PeerFields.load(saved["peers"])
        sim._peers = peers
        sim._stepper.restore(
            tick=whole("tick", saved["tick"], 0, LATEST),
            portal=bool(saved["portal"]),
            pulses=[Pulse.checked(row) for row in saved["pulses"]],
            frequencies=Frequencies(hertz, bool(saved["given"])),
            rotations=rotations,
            rotation_count=count,
        )
        for name, age, data in saved["queue"]:
            sim.fire(name, age=age, **data)
        return sim


def _size(state: State | None, frequencies: ArrayLike | None, graph: Graph | None) -> int | None:
    """The number of oscillators that the arguments have; None if none was given."""
    if isinstance(state, State):
        return state.n
    if frequencies is not None:
        return max(1, length(frequencies))
    return None if graph is None else len(graph.indptr) - 1
