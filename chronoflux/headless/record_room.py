"""``python -m chronoflux.headless ROOM --record-room``: run a recorder in a terminal."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from chronoflux.cli import on_hangup, on_stop_signals
from chronoflux.errors import ChronofluxError
from chronoflux.headless.fleet import Echo
from chronoflux.headless.systemd import notify, watchdog_period
from chronoflux.node.join import RECORDER, join
from chronoflux.node.recorder import Recorder
from chronoflux.telemetry.write.writer import rotate_all

log: logging.Logger = logging.getLogger(__name__)
LOG_PERIOD = 60.0  # s


async def record_room(room: str, duration: float | None, echo: Echo, **options: object) -> None:
    """Record a room for `duration` s or until Ctrl-C. `options` are those of :func:`chronoflux.join`."""
    stop = asyncio.Event()
    on_stop_signals(stop.set)
    on_hangup(rotate_all)
    start: Callable[..., Awaitable[Recorder]] = join
    recorder = await start(room, kind=RECORDER, **options)
    echo(f"{recorder.node_id} records {recorder.room}, log {recorder.path}")
    notify("READY=1")
    began = time.monotonic()
    try:
        await _watch(recorder, stop, None if duration is None else began + duration)
    finally:
        notify("STOPPING=1")
        await recorder.leave("ended")
    seconds, heard = time.monotonic() - began, recorder.heard
    echo(f"{recorder.node_id}: {seconds:.0f} s, {len(heard)} nodes, in {recorder.path}")
    for row in heard.itertuples():
        counts = f"{row.records:,} records, {row.events:,} events, {row.missed} missed, {row.refused} refused"
        echo(f"  {row.name}: {counts}")
    if recorder.status.problem:
        raise ChronofluxError(recorder.status.problem)


async def _watch(recorder: Recorder, stop: asyncio.Event, end: float | None) -> None:
    """Log a status line once per minute, until the end time, a stop signal, or the recorder's end."""
    period, logged = watchdog_period(), time.monotonic()
    every = LOG_PERIOD if period is None else min(LOG_PERIOD, period / 3)
    waits = [asyncio.create_task(recorder.wait_closed()), asyncio.create_task(stop.wait())]
    try:
        while not any(wait.done() for wait in waits):
            left = every if end is None else min(every, end - time.monotonic())
            if left <= 0:
                return
            await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            notify("WATCHDOG=1")
            if time.monotonic() - logged < LOG_PERIOD:
                continue
            logged, heard = time.monotonic(), recorder.heard
            counts = f"{len(heard)} nodes, {heard['records'].sum():,} records"
            log.info("%s: %s; %s", recorder.node_id, counts, recorder.status.text)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
