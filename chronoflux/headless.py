"""``python -m chronoflux.headless``: a node without a notebook."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from chronoflux.errors import ChronofluxError, ParameterError, UsageError
from chronoflux.faces import on_stop_signals, read_token, run_command, run_face
from chronoflux.model.params import SPECS, Params
from chronoflux.model.schedule import Schedule, duration

if TYPE_CHECKING:
    from chronoflux.mesh.ice import Policy
    from chronoflux.node import Node

log = logging.getLogger(__name__)

OSCILLATORS = 100
COMING = 3600.0  # s of the schedule that a dry run shows when it is not told
SERVER = "ws://localhost:8089"


class Duration(click.ParamType[float]):
    """``90``, ``90s``, ``5m``, ``2h30m``, ``1d``: seconds as a float."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See :meth:`click.ParamType.convert`."""
        if isinstance(value, int | float):
            return float(value)
        try:
            seconds = duration(value)
        except ParameterError as error:
            self.fail(f"{value!r}: give {error.allowed}", param, ctx)
        if seconds <= 0:
            self.fail(f"{value!r}: give more than 0 s", param, ctx)
        return seconds


def parameter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for every parameter of the model (the number of oscillators is an argument)."""
    defaults = Params(oscillators=OSCILLATORS)
    for entry in reversed(fields(Params)):
        spec, default = SPECS[entry.name], getattr(defaults, entry.name)
        kind: Any = click.Choice(spec.choices) if spec.choices else type(default)
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


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("room", default="chrono-default")
@click.argument("oscillators", default=OSCILLATORS, type=int)
@click.argument("node_id", required=False)
@click.option(
    "--server",
    envvar="CHRONOFLUX_SERVER",
    show_envvar=True,
    help="signaling server, ws:// or wss://  (default ws://localhost:8089)",
)
@click.option("--offline", is_flag=True, help="no server, no peers: this swarm alone")
@click.option(
    "--duration", type=Duration(), help="end after this long: 90s, 5m, 8h  (default: when interrupted)"
)
@click.option(
    "--seed", type=click.IntRange(0), help="the run's seed  (default: a fresh one, kept in the log)"
)
@click.option(
    "--schedule",
    default="classic",
    show_default=True,
    metavar="classic|none|FILE",
    help="what the node does by itself: classic is an intent with probability 0.3 every 5 s, the lion gate "
    "at 30 s, a flip at 60 s; FILE is TOML, see the README",
)
@click.option(
    "--at",
    "schedule_start",
    metavar="TIME",
    help="mesh time at which the schedule begins, as 2026-11-23T22:00:00Z: in step on every node that has it",
)
@click.option("--dry-run", is_flag=True, help="print what the schedule is going to do, and end")
@click.option(
    "--log-dir",
    type=click.Path(path_type=Path),
    default=Path("logs"),
    show_default=True,
    help="where the run's folder is made",
)
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN",
              help="go on where the run of this folder ended, also after a crash: its room, name, seed, "
                   "parameters and schedule hold")  # fmt: skip
@click.option("--record-room", is_flag=True,
              help="no swarm: write down the telemetry, events and clock offsets of everybody in ROOM, into "
                   "one run folder")  # fmt: skip
@click.option(
    "--token-file", type=click.Path(path_type=Path, dir_okay=False), help="file with the room's token"
)
@click.option(
    "--ice-servers",
    type=click.Path(path_type=Path, dir_okay=False),
    help='file with STUN and TURN servers in place of the signaling server\'s: [{"urls": "turn:…", …}]',
)
@click.option(
    "--ice-transport-policy",
    type=click.Choice(["all", "relay"]),
    default="all",
    show_default=True,
    help="relay: links only by way of a TURN server",
)
@click.option("--token", envvar="CHRONOFLUX_TOKEN", hidden=True, help="only by its environment variable")
@click.option(
    "--params",
    "params_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file with parameters of the model; options given besides come before it",
)
@click.option("--debug", is_flag=True, help="show tracebacks and all log messages")
@parameter_options
def main(debug: bool, **options: Any) -> None:
    """Run a node without a notebook: OSCILLATORS oscillators in ROOM, known as NODE_ID.

    Without arguments: 100 oscillators in chrono-default, under a name made from the machine's.

    It joins the room, links to everybody there, writes its log, and ends in order at Ctrl-C.
    """
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO, format="%(message)s", stream=sys.stderr
    )
    for noisy in ("aioice", "aiortc", "websockets", "numba"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    run_face(lambda: _run(**options), debug=debug)


async def _run(
    room: str,
    oscillators: int,
    node_id: str | None,
    server: str | None,
    offline: bool,
    duration: float | None,
    seed: int | None,
    schedule: str,
    schedule_start: str | None,
    dry_run: bool,
    params_file: Path | None,
    log_dir: Path,
    resume: Path | None,
    record_room: bool,
    token_file: Path | None,
    token: str | None,
    ice_servers: Path | None,
    ice_transport_policy: Policy,
    **parameters: Any,
) -> None:
    from chronoflux.joining import join
    from chronoflux.schedules import open_schedule

    if offline and server:
        raise UsageError("--offline means no server: leave out one of --offline and --server")
    given = {name: value for name, value in parameters.items() if value is not None}
    if record_room:
        from chronoflux.record_room import record_room as record

        await record(
            room,
            duration,
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
    base = Params() if params_file is None else _read_params(params_file)
    params = base.replace(oscillators=oscillators, **given)
    if dry_run:
        if seed is None:
            seed = random.SystemRandom().getrandbits(63)
        coming = open_schedule(schedule, seed, params, start=schedule_start)
        _show_coming(coming, duration or COMING, params, seed)
        return
    stop = asyncio.Event()
    on_stop_signals(stop.set)
    node = await join(
        room,
        server=None if offline else server or SERVER,
        params=params if resume is None or given else None,
        seed=seed,
        node_id=node_id,
        token=token or read_token(token_file),
        schedule=schedule if resume is None else None,
        schedule_start=schedule_start,
        log_dir=log_dir,
        resume=resume,
        kind="headless",
        ice_servers=_ice_servers(ice_servers),
        ice_transport_policy=ice_transport_policy,
    )
    size = node.params.oscillators
    click.echo(f"{node.node_id} in {node.room}: {size} oscillators, seed {node.seed}, log {node.path}")
    started = time.monotonic()
    try:
        await _watch(node, stop, None if duration is None else started + duration)
    finally:
        await node.leave("ended")
    _summary(node, time.monotonic() - started)
    if node.status.problem:
        raise ChronofluxError(node.status.problem)


async def _watch(node: Node, stop: asyncio.Event, end: float | None) -> None:
    """Show progress until the time is over, somebody interrupts, or the node ends by itself."""
    terminal = sys.stderr.isatty()
    began, spoken = time.monotonic(), 0.0
    ended = asyncio.create_task(node.wait_closed())
    stopped = asyncio.create_task(stop.wait())
    line = tqdm(
        total=None if end is None else round(end - began),
        unit="s",
        disable=not terminal,
        bar_format=None if end else "{elapsed} {postfix}",
    )
    try:
        with line:
            while end is None or time.monotonic() < end:
                left = 1.0 if end is None else min(1.0, max(0.0, end - time.monotonic()))
                await asyncio.wait({ended, stopped}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if ended.done() or stopped.done():
                    break
                now = time.monotonic()
                line.n = round(now - began)
                line.set_postfix_str(_progress(node))
                if not terminal and node.metrics and now - spoken >= 60:
                    spoken = now
                    log.info("%s: %s", node.node_id, _progress(node))
    finally:
        for task in (ended, stopped):
            task.cancel()
        await asyncio.wait({ended, stopped})


def _progress(node: Node) -> str:
    from chronoflux.model.metrics import null_order

    metrics = node.metrics
    numbers = " ".join(
        f"{name} {metrics[name]:.3f}" for name in ("H", "H_mesh", "tau") if metrics.get(name) is not None
    )
    return f"{numbers} (H by chance {null_order(node.params.oscillators)[0]:.3f}) · {node.status.text}"


def _summary(node: Node, seconds: float) -> None:
    """What the run was, in a few lines."""
    from chronoflux.model.metrics import null_order

    frame = node.telemetry()
    records = frame[frame["type"] == "telemetry"]
    click.echo(f"{node.node_id}: {seconds:.0f} s, {len(frame)} records in {node.path}")
    if len(records):
        means = {name: records[name].mean() for name in ("H", "H_local", "H_mesh", "tau")}
        mean, high = null_order(node.params.oscillators)
        click.echo("  mean " + ", ".join(f"{name} {value:.3f}" for name, value in means.items()))
        click.echo(f"  unrelated phases: H {mean:.3f} on average, 19 of 20 times below {high:.3f}")
        click.echo(f"  events sent {node.sent}, received {node.received}; peers {records['peers'].max():.0f}")


def _read_params(path: Path) -> Params:
    try:
        with path.open("rb") as file:
            return Params.from_dict(tomllib.load(file))
    except OSError as error:
        raise UsageError(f"parameters {path}: {error.strerror}; give a readable file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"parameters {path}: not TOML: {error}") from None
    except ParameterError as error:
        raise UsageError(f"parameters {path}: {error}") from None


def _show_coming(schedule: Schedule, until: float, params: Params, seed: int) -> None:
    """Print what a schedule does up to second `until`, drawn as a run with this seed would."""
    origin = "the start of the run"
    if schedule.start is not None:
        origin = datetime.fromtimestamp(schedule.start / 1000, UTC).isoformat()
    actions = schedule.due(until, params.world)
    click.echo(f"{schedule.name}, seed {seed}: {len(actions)} in {until:g} s from {origin}")
    for action in actions:
        facts = ", ".join(
            f"{name} = {value:.6g}" if isinstance(value, float) else f"{name} = {value}"
            for name, value in action.data.items()
        )
        click.echo(f"{action.t:12.3f} s  {action.event or 'params':16} {facts}")


def _ice_servers(path: Path | None) -> list[dict[str, Any]] | None:
    if path is None:
        return None
    try:
        servers = json.loads(_read(path, "file of ICE servers"))
    except ValueError as error:
        raise UsageError(f"file of ICE servers {path}: not JSON ({error})") from None
    if not isinstance(servers, list):
        raise UsageError(f'file of ICE servers {path}: give a list, like [{{"urls": "turn:host:3478", …}}]')
    return servers


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"{what} {path}: {why}; give a readable file") from None


if __name__ == "__main__":
    run_command(main)
