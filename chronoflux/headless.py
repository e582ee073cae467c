"""``python -m chronoflux.headless``: a node without a notebook."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from chronoflux.errors import ChronofluxError, UsageError
from chronoflux.faces import on_stop_signals, run_command, run_face
from chronoflux.model.params import SPECS, Params
from chronoflux.model.schedule import SCHEDULES

if TYPE_CHECKING:
    from chronoflux.node import Node

log = logging.getLogger(__name__)

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
OSCILLATORS = 100
SERVER = "ws://localhost:8089"


class Duration(click.ParamType[float]):
    """``90``, ``90s``, ``5m``, ``2h30m``, ``1d``: seconds as a float."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See :meth:`click.ParamType.convert`."""
        if isinstance(value, int | float):
            return float(value)
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", value)
        if not parts or "".join(number + unit for number, unit in parts) != value:
            self.fail(f"{value!r}: give seconds, or like 90s, 5m, 2h30m, 1d", param, ctx)
        seconds = sum(float(number) * UNITS[unit or "s"] for number, unit in parts)
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
@click.option("--server", help="signaling server, ws:// or wss://  (default ws://localhost:8089)")
@click.option("--offline", is_flag=True, help="no server, no peers: this swarm alone")
@click.option(
    "--duration", type=Duration(), help="end after this long: 90s, 5m, 8h  (default: when interrupted)"
)
@click.option(
    "--seed", type=click.IntRange(0), help="the run's seed  (default: a fresh one, kept in the log)"
)
@click.option("--schedule", type=click.Choice(list(SCHEDULES)), default="classic", show_default=True,
              help="what the node fires by itself: classic is an intent with probability 0.3 every 5 s, "
                   "the lion gate at 30 s, a flip at 60 s")  # fmt: skip
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
@click.option(
    "--token-file", type=click.Path(path_type=Path, dir_okay=False), help="file with the room's token"
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
    log_dir: Path,
    resume: Path | None,
    token_file: Path | None,
    **parameters: Any,
) -> None:
    from chronoflux.joining import join

    if offline and server:
        raise UsageError("--offline means no server: leave out one of --offline and --server")
    given = {name: value for name, value in parameters.items() if value is not None}
    params = Params(oscillators=oscillators, **given)
    stop = asyncio.Event()
    on_stop_signals(stop.set)
    node = await join(
        room,
        server=None if offline else server or SERVER,
        params=params if resume is None or given else None,
        seed=seed,
        node_id=node_id,
        token=_token(token_file),
        schedule=schedule if resume is None else None,
        log_dir=log_dir,
        resume=resume,
        kind="headless",
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


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        token = path.read_text().strip()
    except OSError as error:
        raise UsageError(f"token file {path}: {error.strerror}; give a readable file") from None
    if not token:
        raise UsageError(f"token file {path} is empty; put the room's token into it")
    return token


if __name__ == "__main__":
    run_command(main)
