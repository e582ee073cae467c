"""Run the nodes of one headless process: they start, are watched and end together."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from chronoflux.cli import on_hangup, on_stop_signals
from chronoflux.errors import ChronofluxError
from chronoflux.headless.progress import Progress
from chronoflux.headless.systemd import notify, watchdog_period

if TYPE_CHECKING:
    from chronoflux.node.node import Node

T = TypeVar("T")
POLL_PERIOD = 1.0  # s between two looks at the nodes
FLUSH_TIMEOUT = 0.3  # s for flushing the logs when the process has to end at once
Echo = Callable[[str], None]
"""Prints a line."""


async def run_fleet(
    members: Sequence[Mapping[str, object]],
    *,
    deadline: float | None,
    duration: float | None,
    bar: bool,
    echo: Echo,
) -> None:
    """Run nodes until all have ended, the deadline is reached, or a signal stops them.

    A second signal ends the process at once.

    Parameters
    ----------
    members
        Arguments of :func:`chronoflux.join` for each node.
    deadline
        Seconds after which the nodes leave; None: no deadline.
    duration
        Simulated seconds the nodes will run, to estimate the time left.
    bar
        Whether to show a progress line in a terminal.
    echo
        Called with a line when a node starts, and with its summary lines at the end.

    Raises
    ------
    ChronofluxError
        At the end, when a node had a problem.
    """
    from chronoflux.node.join import join
    from chronoflux.telemetry.write.writer import rotate_all

    stop = asyncio.Event()
    nodes: list[Node] = []
    start: Callable[..., Coroutine[object, object, Node]] = join
    on_stop_signals(stop.set, lambda: _flush(nodes))
    on_hangup(rotate_all)
    began = math.nan
    try:
        for options in members:
            nodes.append(node := await _unless(stop, start(**options)))
            size = node.params.oscillators
            echo(f"{node.node_id} in {node.room}: {size} oscillators, seed {node.seed}, log {node.path}")
        notify("READY=1")
        began = time.monotonic()
        with Progress(nodes, duration, bar=bar) as progress:
            await _watch(nodes, stop, None if deadline is None else began + deadline, progress)
    finally:
        notify("STOPPING=1")
        await asyncio.gather(*(node.leave("ended") for node in nodes))
    for node in nodes:
        _summary(node, time.monotonic() - began, echo)
    if problems := [node.status.problem for node in nodes if node.status.problem]:
        raise ChronofluxError("; ".join(problems))


def _flush(nodes: Sequence[Node]) -> None:
    for node in nodes:
        node.flush(FLUSH_TIMEOUT / len(nodes))


async def _unless(stop: asyncio.Event, work: Coroutine[object, object, T]) -> T:
    """Await `work`, and cancel it when `stop` is set."""
    task, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
        return await task
    finally:
        stopped.cancel()
        await asyncio.wait({stopped})


async def _watch(nodes: Sequence[Node], stop: asyncio.Event, end: float | None, progress: Progress) -> None:
    """Watch the nodes every second until the end time, a stop signal, or the end of all nodes."""
    waits: list[asyncio.Task[object]] = [
        asyncio.create_task(_all_closed(nodes)),
        asyncio.create_task(stop.wait()),
    ]
    period = watchdog_period()
    every = POLL_PERIOD if period is None else min(POLL_PERIOD, period / 3)
    seen: list[float] = []
    try:
        while end is None or time.monotonic() < end:
            left = every if end is None else min(every, max(0.0, end - time.monotonic()))
            if (await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED))[0]:
                break
            progress.show()
            now = [node.t for node in nodes]
            if period is not None and (not seen or all(map(_healthy, nodes, seen, now))):
                notify("WATCHDOG=1")
                seen = now
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)


async def _all_closed(nodes: Sequence[Node]) -> None:
    for node in nodes:
        await node.wait_closed()


def _healthy(node: Node, before: float, now: float) -> bool:
    """Return whether a node's swarm moves, or is still for a reason that a restart would not change."""
    return now > before or node.closed or not node.playing or node.status.problem is not None


def _summary(node: Node, seconds: float, echo: Echo) -> None:
    """Print a summary of a run in a few lines."""
    from chronoflux.model.metrics import null_order

    frame = node.telemetry()
    records = frame[frame["type"] == "telemetry"]
    echo(f"{node.node_id}: {seconds:.0f} s, {len(frame)} records in {node.path}")
    if len(records):
        means = {name: records[name].mean() for name in ("H", "H_local", "H_mesh", "tau")}
        mean, high = null_order(node.params.oscillators)
        echo("  mean " + ", ".join(f"{name} {value:.3f}" for name, value in means.items()))
        echo(f"  unrelated phases: H {mean:.3f} on average, 95th percentile {high:.3f}")
        echo(f"  events sent {node.sent}, received {node.received}; peers {records['peers'].max():.0f}")
