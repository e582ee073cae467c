"""`NodeOptions` and `RecorderOptions`: the arguments of `join`, `Node` and `Recorder`.

This is the one table of these arguments. The signatures, the docstrings and the command line of
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


def _metadata(doc: str, shell: str | None) -> dict[str, str]:
    return {"doc": doc, "shell": doc if shell is None else shell}


def _option(default: Any, doc: str, shell: str | None = None) -> Any:
    """Return a field. `shell` is the help of the command line, where it differs from `doc`."""
    return field(default=default, metadata=_metadata(doc, shell))


@dataclass(frozen=True, kw_only=True)
class RoomOptions:
    """The arguments that nodes and recorders have in common."""

    room: str = field(
        default="chrono-default",
        kw_only=False,
        metadata=_metadata("The room's name: 1 to 64 printable characters.", None),
    )
    server: str | None = _option(
        "auto",
        'The signaling server. ``"auto"``: ``ws://localhost:8089``, started in this process if no server '
        "answers there; a URL (``ws://…`` or ``wss://…``); None: no room. An unreachable server is retried.",
        "signaling server, ws:// or wss://  (default ws://localhost:8089)",
    )
    node_id: str | None = _option(
        None,
        "The node's name; by default made from the machine's. With `join`, a node of this process with the "
        "same name and room is closed first, so that a cell can be run again.",
    )
    token: str | None = _option(
        None, "The room's token, if the server asks for one.", "only by its environment variable"
    )
    log_dir: str | Path = _option("logs", "The folder in which the run's folder is made.")
    ice_servers: Sequence[Mapping[str, object]] | None = _option(
        None,
        "STUN and TURN servers in place of the signaling server's: "
        '``[{"urls": "turn:…", "username": …, "credential": …}]``.',
        'file with STUN and TURN servers in place of the signaling server\'s: [{"urls": "turn:…", …}]',
    )
    ice_transport_policy: Policy = _option(
        "all",
        '``"relay"``: links only through a TURN server, so that peers do not see this machine\'s addresses.',
    )

    def __post_init__(self) -> None:
        room_name(self.room)
        if self.server not in (None, "auto"):
            object.__setattr__(self, "server", server_url(self.server or ""))
        if self.node_id is not None:
            checked_name(self.node_id)
        object.__setattr__(self, "log_dir", Path(self.log_dir))
        self.ice  # noqa: B018 (checks it)

    @property
    def ice(self) -> Ice:
        """STUN and TURN servers, and the policy."""
        return Ice.from_options(self.ice_servers, self.ice_transport_policy)


@dataclass(frozen=True, kw_only=True)
class RecorderOptions(RoomOptions):
    """The arguments of :class:`~chronoflux.node.recorder.Recorder`. Frozen; checked when made.

    Raises
    ------
    UsageError
        When a value is not allowed. Names the option, the value and the remedy.
    """

    def __post_init__(self) -> None:
        if self.server is None:
            raise UsageError("server = None: a recorder needs a server; give its URL, or server='auto'")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class NodeOptions(RoomOptions):
    """The arguments of :class:`~chronoflux.node.node.Node`. Frozen; checked when made.

    Raises
    ------
    UsageError, ParameterError
        When a value is not allowed. Names the option, the value and the remedy.
    """

    params: Params | None = _option(None, "The swarm's parameters; by default ``Params()``.")
    preset: str | None = _option(
        None,
        'The name of one of ``cf.presets``, such as ``"storm"``, in place of `params`.',
        "parameters by name; other options take precedence",
    )
    seed: int | None = _option(
        None,
        "The run's seed; by default a random one, which ``node.seed`` and the log hold.",
        "the run's seed  (default: a random one, which the log holds)",
    )
    schedule: str | Path | None = _option(
        None,
        'Events and changes of parameters by a plan: ``"classic"``, ``"night"`` (a randomised block '
        'experiment, the same on every node of the room), ``"none"`` (default) or the path of a TOML file.',
        "events and changes of parameters by a plan: classic is an intent with probability 0.3 every 5 s, "
        "the lion gate at 30 s, a flip at 60 s; night is a randomised block experiment, the same on every "
        "node of the room; FILE is TOML",
    )
    schedule_start: str | None = _option(
        None,
        'Mesh time of the schedule\'s second 0, such as ``"2026-11-23T22:00:00Z"``: the schedule then runs '
        "in step on all nodes that have it, however late each joined. By default it is the run's start.",
        "mesh time at which the schedule starts, such as 2026-11-23T22:00:00Z: in step on all nodes that "
        "have it",
    )
    resume: str | Path | None = _option(
        None,
        "The folder of a run to resume, bit for bit if it was alone. Room, name, seed, parameters and "
        "schedule are those of that run.",
        "resume the run of this folder where it ended, also after a crash, with its room, name, seed, "
        "parameters and schedule",
    )
    kind: str | None = _option(
        None,
        'The kind of node that peers see; by default ``"notebook"`` or ``"headless"``. With `join`, '
        '``"recorder"`` joins without a swarm and records every node of the room; it takes only the options '
        "of :class:`chronoflux.Recorder`.",
    )
    speed: Speed = _option(
        1.0,
        'Simulated seconds per second. Without a room also ``"max"``, as fast as the machine can: mesh time '
        "is then the time that has passed in the swarm.",
        "simulated seconds per second; max, only with --offline: as fast as this machine can",
    )
    duration: float = _option(
        math.inf,
        "Simulated seconds after which the node leaves.",
        "time after which the run ends, such as 90s, 5m, 8h; offline in simulated time, to the tick  "
        "(default: when interrupted)",
    )
    snapshots: int = _option(
        MOST, "Most snapshots (picture and state) that the run may keep, taken at lion gates and flips."
    )
    phases: float | None = _option(
        None,
        "Simulated seconds between two records of all phases in the run's ``phases.zarr``, which "
        ":func:`chronoflux.load_phases` reads, also while it grows (extra `phases`). None: no phases.",
        "simulated seconds between two records of all phases in the run's phases.zarr, such as 1s, 0.1s",
    )
    phases_of: int | None = _option(
        None, "Record phases of the first `phases_of` oscillators only.", "only of the first N oscillators"
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
            raise UsageError(
                f"kind = {self.kind!r}: a {self.kind} has no swarm, but a Node has; use "
                "cf.join(…, kind='recorder')"
            )
        if self.kind is not None and self.kind not in OURS:
            # Peers would treat any other kind as a client of the first ChronoFlux.
            known = ", ".join(sorted(OURS - set(WITHOUT_SWARM)))
            raise UsageError(f"kind = {self.kind!r}: give one of {known}")
        object.__setattr__(self, "speed", checked_speed(self.speed, alone=self.server is None))
        checked_duration(self.duration)
        self.swarm_params, self.wanted_phases  # noqa: B018 (checks both)

    def _refuse_with_resume(self) -> None:
        own = ("params", "preset", "seed", "schedule", "schedule_start")
        if names := [name for name in own if getattr(self, name) is not None]:
            raise UsageError(f"resume takes these from the run: leave out {', '.join(names)}")

    @property
    def swarm_params(self) -> Params | None:
        """The parameters given, or those of the preset; None: neither is given."""
        return preset_or(self.params, self.preset)

    @property
    def wanted_phases(self) -> PhaseOptions | None:
        """Which phases are recorded; None: none."""
        return PhaseOptions.checked(self.phases, self.phases_of)


@dataclass(frozen=True, kw_only=True)
class _Background:
    background: bool = _option(
        False,
        "Run node and network in their own thread, so that a long blocking cell does not stop them.",
    )


@dataclass(frozen=True, kw_only=True)
class JoinOptions(_Background, NodeOptions):
    """The arguments of :func:`~chronoflux.node.join.join` for a node."""


@dataclass(frozen=True, kw_only=True)
class JoinRecorderOptions(_Background, RecorderOptions):
    """The arguments of :func:`~chronoflux.node.join.join` for a recorder."""

    kind: Literal["recorder"] = field(metadata=_metadata("Joins as a recorder.", None))


# -- signatures and docstrings from the options --------------------------------------------------------


def init_takes(
    options: Callable[P, Options],
) -> Callable[[Callable[[S, Options], None]], Callable[Concatenate[S, P], None]]:
    """Give the ``__init__`` of a class the signature and the Parameters section of `options`."""

    def decorate(function: Callable[[S, Options], None]) -> Callable[Concatenate[S, P], None]:
        name = function.__qualname__.partition(".")[0]

        @functools.wraps(function)
        def init(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
            function(self, _make(options, name, args, kwargs))

        describe(init, options, inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY))
        return init

    return decorate


def _make(
    options: Callable[..., Options], caller: str, args: Sequence[object], kwargs: Mapping[str, object]
) -> Options:
    return options(**bind(options, caller, args, kwargs))


def bind(
    options: Callable[..., object], caller: str, args: Sequence[object], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """Return the arguments by name, without checking their values.

    Raises
    ------
    TypeError
        In the name of the `caller`, when there is no option of that name, or one is missing.
    """
    signature = inspect.signature(options)
    for name in kwargs:
        if name not in signature.parameters:
            raise TypeError(f"{caller}() has no option {name!r}{did_you_mean(name, signature.parameters)}")
    try:
        return signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        raise TypeError(f"{caller}(): {error}; only the room may be given without its name") from None


def describe(
    function: Callable[..., object], options: Callable[..., object], *first: inspect.Parameter
) -> None:
    """Set the signature, the annotations and the docstring of a function from `options`."""
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
    """Return an entry of a Parameters section."""
    default = "" if entry.default is MISSING else f", default {entry.default!r}"
    doc = textwrap.fill(entry.metadata["doc"], 100, initial_indent="    ", subsequent_indent="    ")
    return f"{entry.name} : {entry.type}{default}\n{doc}"


def for_recorder(given: Mapping[str, object]) -> dict[str, object]:
    """Return the options given for a recorder, without those of a node that have their default.

    Raises
    ------
    UsageError
        When an option of a node has another value.
    """
    own = {entry.name for entry in fields(JoinRecorderOptions)}
    of_node = {name: value for name, value in given.items() if name in OPTIONS and name not in own}
    if refused := [name for name in OPTIONS if name in of_node and not _is_default(name, of_node[name])]:
        raise UsageError(f"a recorder has no swarm: leave out {', '.join(refused)}")
    return {name: value for name, value in given.items() if name not in of_node}


def _is_default(name: str, value: object) -> bool:
    default = OPTIONS[name].default
    return value is None or (type(value) is type(default) and value == default)


def shell_help(name: str) -> str:
    """Return the help of an option on the command line."""
    text: str = OPTIONS[name].metadata["shell"].replace("``", "").rstrip(".")
    return text[:1].lower() + text[1:]


OPTIONS: Mapping[str, Field[Any]] = {entry.name: entry for entry in fields(JoinOptions)}
"""The options of `join` by name."""
