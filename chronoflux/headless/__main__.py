"""``python -m chronoflux.headless``: run nodes, or a recorder, without a notebook."""

from __future__ import annotations

import json
import logging
import math
import os
import random
import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict, TypeVar, get_args

import click

from chronoflux.cli import read_token, run_command, run_face
from chronoflux.errors import ParameterError, UsageError
from chronoflux.headless.fleet import Echo, run_fleet
from chronoflux.headless.progress import set_up_logging
from chronoflux.mesh.ice import Policy
from chronoflux.model.params import SPECS, Params
from chronoflux.model.presets import PRESETS
from chronoflux.model.schedule import duration
from chronoflux.node.options import OPTIONS, shell_help
from chronoflux.node.pacing import Speed, checked_speed
from chronoflux.util.help_page import HelpPage, NearestChoice
from chronoflux.util.plugins import load_plugins
from chronoflux.util.text import plain_lines

load_plugins()  # before the options are made, which name the presets

log: logging.Logger = logging.getLogger("chronoflux.headless")  # also where this file is `__main__`

OSCILLATORS = 100
DRY_RUN = 3600.0  # s of the schedule that a dry run shows without --duration
SERVER = "ws://localhost:8089"
Command = TypeVar("Command", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """A duration such as ``90``, ``90s``, ``5m``, ``2h30m`` or ``1d``, in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See :meth:`click.ParamType.convert`."""
        if isinstance(value, int | float):
            return float(value)
        try:
            seconds = duration(str(value))
        except ParameterError as error:
            self.fail(f"{value!r}: give {error.allowed}", param, ctx)
        if seconds <= 0:
            self.fail(f"{value!r}: give more than 0 s", param, ctx)
        return seconds


class SpeedType(click.ParamType[Speed]):
    """``max``, or simulated seconds per second."""

    name = "speed"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Speed:
        """See :meth:`click.ParamType.convert`."""
        try:
            return checked_speed(value if value == "max" else float(str(value)), alone=True)
        except (UsageError, ValueError):
            self.fail(f"{value!r}: give simulated seconds per second, more than 0, or max", param, ctx)


def parameter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for every parameter of the model, except oscillators, which is an argument."""
    defaults = Params(oscillators=OSCILLATORS)
    for entry in reversed(fields(Params)):
        spec, default = SPECS[entry.name], getattr(defaults, entry.name)
        kind: Any = NearestChoice(spec.choices) if spec.choices else type(default)
        if entry.name == "oscillators":
            continue
        more: dict[str, Any] = {"nargs": 2, "type": float} if entry.name == "world" else {"type": kind}
        shown = " ".join(f"{side:g}" for side in default) if entry.name == "world" else default
        unit = f" [{spec.unit}]" if spec.unit else ""
        text = f"{spec.doc}{unit}  (default {shown})"
        command = click.option(
            "--" + entry.name.replace("_", "-"), entry.name, default=None, help=text, **more
        )(command)
    return command


def node_option(name: str, flag: str = "", **more: Any) -> Callable[[Command], Command]:
    """Return a decorator that adds an option of :func:`chronoflux.join`, with its default and its help."""
    settings: dict[str, Any] = {"default": OPTIONS[name].default, "help": shell_help(name)} | more
    settings["show_default"] = settings["default"] is not None
    return click.option(flag or "--" + name.replace("_", "-"), name, **settings)


GROUPS = {
    "Room and network": [
        *("server", "offline", "token_file", "ice_servers", "ice_transport_policy", "record_room", "nodes"),
    ],
    "Time and schedule": ["duration", "speed", "seed", "schedule", "schedule_start", "dry_run", "resume"],
    "Files": ["log_dir", "phases", "phases_of"],
    "The swarm": ["preset", "params_file", *SPECS],
}
EXAMPLES = (
    "chronoflux headless room1 200 bot-1",
    "chronoflux headless room1 --server ws://192.168.1.7:8089 --duration 8h --schedule night",
    "chronoflux headless --offline --preset storm --duration 1h --speed max --seed 7",
)


@click.command(cls=HelpPage, groups=GROUPS, examples=EXAMPLES)
@click.argument("room", default="chrono-default")
@click.argument("oscillators", required=False, type=int)
@click.argument("node_id", required=False)
@node_option("server", default=None, envvar="CHRONOFLUX_SERVER", show_envvar=True)
@click.option("--offline", is_flag=True, help="run without a server and peers")
@node_option("duration", default=None, type=Duration())
@node_option("speed", type=SpeedType(), metavar="1|max")
@node_option("seed", type=click.IntRange(0))
@node_option("schedule", default="classic", metavar="classic|night|none|FILE")
@node_option("schedule_start", "--at", metavar="TIME")
@click.option("--dry-run", is_flag=True, help="print the actions of the schedule and exit")
@node_option("log_dir", type=click.Path(path_type=Path))
@node_option("resume", type=click.Path(path_type=Path), metavar="RUN")
@node_option("phases", type=Duration(), metavar="SECONDS")
@node_option("phases_of", type=click.IntRange(1), metavar="N")
@click.option("--record-room", is_flag=True,
              help="run no swarm, but record the telemetry, events and clock offsets of all nodes in ROOM, "
                   "in one run folder")  # fmt: skip
@click.option(
    "--token-file", type=click.Path(path_type=Path, dir_okay=False), help="file with the room's token"
)
@node_option("ice_servers", type=click.Path(path_type=Path, dir_okay=False))
@node_option("ice_transport_policy", type=NearestChoice(get_args(Policy)))
@node_option("token", envvar="CHRONOFLUX_TOKEN", hidden=True)
@node_option("preset", type=NearestChoice(list(PRESETS)))
@click.option(
    "--params",
    "params_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file with parameters of the model; other options take precedence",
)
@click.option(
    "--nodes",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="number of nodes in this process: NODE_ID-1, NODE_ID-2, …, with consecutive seeds",
)
@click.option("--quiet", is_flag=True, help="print only warnings and errors")
@click.option(
    "--log-level",
    type=NearestChoice(["debug", "info", "warning", "error"]),
    help="least level of messages on stderr  (default: info; with --quiet warning)",
)
@click.option("--log-json", is_flag=True, help="print all output on stderr, as one JSON object per line")
@click.option("--debug", is_flag=True, help="show tracebacks and all log messages")
@parameter_options
def main(debug: bool, quiet: bool, log_level: str | None, log_json: bool, **options: Any) -> None:
    """Run a node without a notebook: OSCILLATORS oscillators in ROOM, under the name NODE_ID.

    Without arguments: 100 oscillators in the room chrono-default, under a name made from the machine's.

    The node joins the room, links to its peers and writes a log. Ctrl-C ends it in order: the peers are told,
    the log is closed, a summary is printed. A second Ctrl-C ends it at once.
    """
    usual = "debug" if debug else "warning" if quiet else "info"
    set_up_logging(log_level or usual, as_json=log_json)

    def echo(line: str) -> None:
        if log_json:
            log.info(line)
        elif not quiet:
            click.echo(plain_lines(line))

    run_face(lambda: _run(**options, bar=not (quiet or log_json), echo=echo), debug=debug)


async def _run(
    room: str,
    oscillators: int | None,
    node_id: str | None,
    server: str | None,
    offline: bool,
    duration: float | None,
    speed: Speed,
    seed: int | None,
    schedule: str,
    schedule_start: str | None,
    dry_run: bool,
    preset: str | None,
    params_file: Path | None,
    log_dir: Path,
    resume: Path | None,
    phases: float | None,
    phases_of: int | None,
    record_room: bool,
    token_file: Path | None,
    token: str | None,
    ice_servers: Path | None,
    ice_transport_policy: Policy,
    nodes: int,
    bar: bool,
    echo: Echo,
    **parameters: Any,
) -> None:
    if offline and server:
        raise UsageError("--offline and --server exclude each other: leave out one")
    checked_speed(speed, alone=offline)
    if resume is not None and nodes > 1:
        raise UsageError("--resume resumes one run: leave out --nodes, or start one process per run")
    given = {name: value for name, value in parameters.items() if value is not None}
    if record_room:
        if nodes > 1 or speed != 1.0 or params_file or preset or phases is not None:
            raise UsageError(
                "a recorder has no swarm: leave out --nodes, --speed, --params, --preset and --phases"
            )
        from chronoflux.headless.record_room import record_room as record

        await record(
            room,
            duration,
            echo,
            server=None if offline else server or SERVER,
            node_id=node_id,
            token=token or read_token(token_file),
            log_dir=log_dir,
            ice_servers=_ice_servers(ice_servers),
            ice_transport_policy=ice_transport_policy,
            params=given or None,
            seed=seed,
            resume=resume,
        )
        return
    params = _params(preset, params_file, oscillators, given)
    identities = _identities(node_id, seed, nodes)
    if dry_run:
        for identity in identities:
            _print_schedule(
                schedule,
                schedule_start,
                params,
                room=room,
                until=duration or DRY_RUN,
                seed=identity["seed"],
            )
        return
    common = {
        "room": room,
        "server": None if offline else server or SERVER,
        "params": params if resume is None or given else None,
        "token": token or read_token(token_file),
        "schedule": schedule if resume is None else None,
        "schedule_start": schedule_start,
        "log_dir": log_dir,
        "resume": resume,
        "phases": phases,
        "phases_of": phases_of,
        "kind": "headless",
        "speed": speed,
        "duration": duration if offline and duration is not None else math.inf,
        "ice_servers": _ice_servers(ice_servers),
        "ice_transport_policy": ice_transport_policy,
    }
    await run_fleet(
        [{**common, **identity} for identity in identities],
        deadline=None if duration is None or offline else duration / float(speed),
        duration=duration,
        bar=bar,
        echo=echo,
    )


class Identity(TypedDict):
    """Name and seed of one node of this process."""

    node_id: str | None
    seed: int | None


def _identities(node_id: str | None, seed: int | None, nodes: int) -> list[Identity]:
    """Return name and seed of each node of this process; None where the node makes its own."""
    if nodes == 1:
        return [{"node_id": node_id, "seed": seed}]
    name = node_id or f"headless-{socket.gethostname()[:32]}-{os.getpid()}"
    return [
        {"node_id": f"{name}-{number + 1}", "seed": None if seed is None else seed + number}
        for number in range(nodes)
    ]


def _params(
    preset: str | None, file: Path | None, oscillators: int | None, given: Mapping[str, Any]
) -> Params:
    """Return the parameters of a preset or a file, with those given as options."""
    if preset is not None and file is not None:
        raise UsageError("--preset and --params exclude each other: leave out one")
    if preset is not None:
        base = PRESETS[preset]
    else:
        base = Params(oscillators=OSCILLATORS)
        if file is not None:
            base = _read_params(file).replace(oscillators=OSCILLATORS)
    changes: Mapping[str, Any] = given if oscillators is None else {**given, "oscillators": oscillators}
    return base.replace(**changes)


def _read_params(path: Path) -> Params:
    try:
        with path.open("rb") as file:
            return Params.from_dict(tomllib.load(file))
    except OSError as error:
        raise UsageError(f"--params {path}: {error.strerror}; give a readable file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--params {path}: not valid TOML ({error})") from None
    except ParameterError as error:
        raise UsageError(f"--params {path}: {error}") from None


def _print_schedule(
    given: str, start: str | None, params: Params, *, room: str, until: float, seed: int | None
) -> None:
    """Print the actions of a schedule up to second `until`, as in a run with this seed."""
    from chronoflux.node.schedule_loader import open_schedule

    if seed is None:
        seed = random.SystemRandom().getrandbits(63)
    schedule = open_schedule(given, seed, params, room=room, start=start)
    origin = "the start of the run"
    if schedule.start is not None:
        origin = datetime.fromtimestamp(schedule.start / 1000, UTC).isoformat()
    actions = schedule.due(until, params.world)
    click.echo(f"{schedule.name}, seed {seed}: {len(actions)} actions in {until:g} s from {origin}")
    for action in actions:
        data = ", ".join(
            f"{name} = {value:.6g}" if isinstance(value, float) else f"{name} = {value}"
            for name, value in action.data.items()
        )
        click.echo(f"{action.t:12.3f} s  {action.event or 'params':16} {data}")


def _ice_servers(path: Path | None) -> list[dict[str, object]] | None:
    if path is None:
        return None
    try:
        servers = json.loads(_read(path))
    except ValueError as error:
        raise UsageError(f"--ice-servers {path}: not valid JSON ({error})") from None
    if not isinstance(servers, list):
        raise UsageError(f'--ice-servers {path}: give a list such as [{{"urls": "turn:host:3478", …}}]')
    return servers


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"--ice-servers {path}: {why}; give a readable file") from None


if __name__ == "__main__":
    run_command(main)
