"""`NodeOptions` and `RecorderOptions`: what `join`, `Node` and `Recorder` take.

This is the one table of their arguments: the signatures, the docstrings and the command line of
``python -m chronoflux.headless`` are made from it, and values are checked here.
"""

from __future__ import annotations

import functools
import inspect
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from chronoflux.errors import UsageError, shorten
from chronoflux.mesh.ice import Ice, Policy
from chronoflux.mesh.peer import OURS, WITHOUT_SWARM
from chronoflux.model.params import Params
from chronoflux.model.presets import preset_or
from chronoflux.node.identity import checked_name
from chronoflux.node.pacing import Speed, checked_duration, checked_speed
from chronoflux.signal.validation import room_name, server_url
from chronoflux.telemetry.format.snapshots import MOST
from chronoflux.telemetry.write.phase_writer import PhaseOptions
from chronoflux.util.text import did_you_mean, with_parameters

P = ParamSpec("P")
S = TypeVar("S")
Options = TypeVar("Options")
R = TypeVar("R")


def _facts(doc: str, shell: str | None) -> dict[str, str]:
    return {"doc": doc, "shell": doc if shell is None else shell}


def _option(default: Any, doc: str, shell: str | None = None) -> Any:
    """A field. `shell`: the help of the command line, where `doc` does not hold there."""
    return field(default=default, metadata=_facts(doc, shell))


@dataclass(frozen=True, kw_only=True)
class RoomOptions:
    """What a node and a recorder have in common."""

    room: str = field(
        default="chrono-default",
        kw_only=False,
        metadata=_facts("The room's name: 1 to 64 printable characters.", None),
    )
    server: str | None = _option(
        "auto",
        '``"auto"``: ``ws://localhost:8089``, started in this process when nobody answers there; a URL '
        "(``ws://…`` or ``wss://…``); None: stay alone. An unreachable server is tried again and again.",
        "signaling server, ws:// or wss://  (default ws://localhost:8089)",
    )
    node_id: str | None = _option(
        None,
        "A name to be known by; by default made from the machine's. With `join`, a node of this process with "
        "the same name and room is closed first, so that a cell can be run again.",
    )
    token: str | None = _option(
        None, "What the server asks for, if it does.", "only by its environment variable"
    )
    log_dir: str | Path = _option("logs", "Where the run's folder is made.")
    ice_servers: Sequence[Mapping[str, Any]] | None = _option(
        None,
        'In place of the server\'s: ``[{"urls": "turn:…", "username": …, "credential": …}]``.',
        'file with STUN and TURN servers in place of the signaling server\'s: [{"urls": "turn:…", …}]',
    )
    ice_transport_policy: Policy = _option(
        "all",
        '``"relay"``: links only by way of a TURN server: peers do not see this machine\'s addresses.',
    )

    def __post_init__(self) -> None:
        room_name(self.room)
        if self.server not in (None, "auto"):
            object.__setattr__(self, "server", server_url(self.server or ""))
        if self.node_id is not None:
            checked_name(self.node_id)
        object.__setattr__(self, "log_dir", Path(self.log_dir))
        self.ice  # noqa: B018 (checks it)

    def of(self, kind: type[RoomOptions]) -> dict[str, Any]:
        """Those of these options that `kind` has."""
        return {entry.name: getattr(self, entry.name) for entry in fields(kind)}

    @property
    def ice(self) -> Ice:
        """STUN and TURN servers, and what may be used of them."""
        return Ice.wanted(self.ice_servers, self.ice_transport_policy)


@dataclass(frozen=True, kw_only=True)
class RecorderOptions(RoomOptions):
    """What a :class:`~chronoflux.node.recorder.Recorder` takes. Frozen; checked when made.

    Raises
    ------
    UsageError
        Naming the option, the value and what to give.
    """

    def __post_init__(self) -> None:
        if self.server is None:
            raise UsageError("a recorder hears a room's nodes through its server: give one, or server='auto'")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class NodeOptions(RoomOptions):
    """What a :class:`~chronoflux.node.node.Node` takes. Frozen; checked when made.

    Raises
    ------
    UsageError, ParameterError
        Naming the option, the value and what to give.
    """

    params: Params | None = _option(None, "The swarm's parameters; by default those of ``Params()``.")
    preset: str | None = _option(
        None,
        'In place of `params`: one of ``cf.presets`` by name, such as ``"storm"``.',
        "parameters by name; options given besides come before them",
    )
    seed: int | None = _option(
        None,
        "The run's seed; by default a fresh one, kept in ``node.seed`` and in the log.",
        "the run's seed  (default: a fresh one, kept in the log)",
    )
    schedule: str | Path | None = _option(
        None,
        'What the node does by itself: ``"classic"``, ``"night"`` (a randomised block experiment, alike on '
        'every node of the room), ``"none"`` (default) or a TOML file\'s path.',
        "what the node does by itself: classic is an intent with probability 0.3 every 5 s, the lion gate at "
        "30 s, a flip at 60 s; night is a randomised block experiment, alike on every node of the room; FILE "
        "is TOML, see the README",
    )
    schedule_start: str | None = _option(
        None,
        'Mesh time of the schedule\'s second 0, as ``"2026-11-23T22:00:00Z"``: it then runs in step on every '
        "node that has it, however late each joined. By default second 0 is the run's begin.",
        "mesh time at which the schedule begins, as 2026-11-23T22:00:00Z: in step on every node that has it",
    )
    resume: str | Path | None = _option(
        None,
        "The folder of a run to go on with, bit for bit when it was alone: room, name, seed, parameters and "
        "schedule are its own.",
        "go on where the run of this folder ended, also after a crash: its room, name, seed, parameters and "
        "schedule hold",
    )
    kind: str | None = _option(
        None,
        'What the others are told that this is; by default ``"notebook"`` or ``"headless"``. With `join`, '
        '``"recorder"`` joins without a swarm and writes down what everybody in the room says: it takes '
        "only the options that :class:`chronoflux.Recorder` has.",
    )
    speed: Speed = _option(
        1.0,
        'Simulated seconds per second; alone also ``"max"``, as fast as the machine goes: mesh time is then '
        "what has passed in the swarm.",
        "simulated seconds per second; max, only with --offline: as fast as this machine goes",
    )
    duration: float = _option(
        math.inf,
        "Simulated seconds after which the node leaves by itself.",
        "end after this long: 90s, 5m, 8h; offline in simulated time, to the tick  "
        "(default: when interrupted)",
    )
    snapshots: int = _option(
        MOST, "How many pictures of the swarm, with its state, the run may keep at lion gates and flips."
    )
    phases: float | None = _option(
        None,
        "Every so many simulated seconds all phases go into the run's ``phases.zarr``, which "
        ":func:`chronoflux.load_phases` reads, also while it grows (extra `phases`). By default none do.",
        "phases into the run's phases.zarr every so many simulated seconds: 1s, 0.1s",
    )
    phases_of: int | None = _option(
        None, "Only those of the first so many oscillators.", "only of the first N oscillators"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.params, Params | None):
            raise UsageError(f"params = {shorten(self.params)}: give a chronoflux.Params(…)")
        seed = self.seed
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
            raise UsageError(f"seed = {shorten(seed)}: give a whole number >= 0, or none")
        if self.resume is not None:
            self._refuse_with_resume()
        if self.kind in WITHOUT_SWARM:
            raise UsageError(f"a {self.kind} has no swarm, a Node has: use cf.join(…, kind='recorder')")
        if self.kind is not None and self.kind not in OURS:
            # Others would take it for a client of the first ChronoFlux.
            known = ", ".join(sorted(OURS - set(WITHOUT_SWARM)))
            raise UsageError(f"kind = {self.kind!r}: a node is one of {known}")
        object.__setattr__(self, "speed", checked_speed(self.speed, alone=self.server is None))
        checked_duration(self.duration)
        self.swarm_params, self.wanted_phases  # noqa: B018 (checks both)

    def _refuse_with_resume(self) -> None:
        own = ("params", "preset", "seed", "schedule", "schedule_start")
        if names := [name for name in own if getattr(self, name) is not None]:
            raise UsageError(f"resume goes on with what the run began with: leave out {', '.join(names)}")

    @property
    def swarm_params(self) -> Params | None:
        """The parameters given, or those of the preset."""
        return preset_or(self.params, self.preset)

    @property
    def wanted_phases(self) -> PhaseOptions | None:
        """Which phases are to be recorded."""
        return PhaseOptions.checked(self.phases, self.phases_of)


@dataclass(frozen=True, kw_only=True)
class _Background:
    background: bool = _option(
        False,
        "Run node and network in a thread of their own, so that a long blocking cell does not hold them up.",
    )


@dataclass(frozen=True, kw_only=True)
class JoinOptions(_Background, NodeOptions):
    """What :func:`~chronoflux.node.join.join` takes for a node."""


@dataclass(frozen=True, kw_only=True)
class JoinRecorderOptions(_Background, RecorderOptions):
    """What :func:`~chronoflux.node.join.join` takes for a recorder."""

    kind: Literal["recorder"] = field(metadata=_facts("What makes it a recorder.", None))


# -- signatures and docstrings from these --------------------------------------------------------------


def takes(options: Callable[P, Options]) -> Callable[[Callable[[Options], R]], Callable[P, R]]:
    """Give a function of one options object the signature and the Parameters section of these options."""

    def decorate(function: Callable[[Options], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(make(options, function.__name__, args, kwargs))

        describe(call, options)
        return call

    return decorate


def init_takes(
    options: Callable[P, Options],
) -> Callable[[Callable[[S, Options], None]], Callable[Concatenate[S, P], None]]:
    """The same for the ``__init__`` of a class."""

    def decorate(function: Callable[[S, Options], None]) -> Callable[Concatenate[S, P], None]:
        name = function.__qualname__.partition(".")[0]

        @functools.wraps(function)
        def init(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
            function(self, make(options, name, args, kwargs))

        describe(init, options, inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY))
        return init

    return decorate


def make(
    options: Callable[..., Options], caller: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Options:
    """The options object.

    Raises
    ------
    TypeError
        In the name of the `caller`, when an option has no such name, or one is missing.
    """
    known = inspect.signature(options).parameters
    for name in kwargs:
        if name not in known:
            raise TypeError(f"{caller}() has no option {name!r}{did_you_mean(name, known)}")
    try:
        inspect.signature(options).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{caller}(): {error}; only the room may be given without its name") from None
    return options(*args, **kwargs)


def describe(function: Callable[..., Any], options: Callable[..., Any], *first: inspect.Parameter) -> None:
    """Set the signature, the annotations and the docstring that `options` give a function."""
    entries = inspect.signature(options).parameters
    returns = function.__annotations__.get("return")
    signature = inspect.Signature([*first, *entries.values()], return_annotation=returns)
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__annotations__ = {name: entry.annotation for name, entry in entries.items()} | {
        "return": returns
    }
    lines = map(_numpydoc, fields(options))  # type: ignore[arg-type]
    function.__doc__ = with_parameters(inspect.getdoc(function) or "", lines)


def _numpydoc(entry: Field[Any]) -> str:
    """Name, type, default and meaning of an option, as a docstring says them."""
    default = "" if entry.default is MISSING else f", default {entry.default!r}"
    doc = textwrap.fill(entry.metadata["doc"], 100, initial_indent="    ", subsequent_indent="    ")
    return f"{entry.name} : {entry.type}{default}\n{doc}"


def for_recorder(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options given for a recorder, without those that only a node has and that say nothing.

    Raises
    ------
    UsageError
        When one of these says something.
    """
    own = {entry.name for entry in fields(JoinRecorderOptions)}
    only = {name: entry.default for name, entry in OPTIONS.items() if name not in own}
    silent = [
        name
        for name, default in only.items()
        if name in given
        and (given[name] is None or (type(given[name]) is type(default) and given[name] == default))
    ]
    if names := [name for name in only if name in given and name not in silent]:
        raise UsageError(f"a recorder has no swarm: leave out {', '.join(names)}")
    return {name: value for name, value in given.items() if name not in silent}


def shell_help(name: str) -> str:
    """What the command line says of an option of `join`."""
    text: str = OPTIONS[name].metadata["shell"].replace("``", "").rstrip(".")
    return text[:1].lower() + text[1:]


OPTIONS: Mapping[str, Field[Any]] = {entry.name: entry for entry in fields(JoinOptions)}
"""What is known about each option of `join`, by name."""
