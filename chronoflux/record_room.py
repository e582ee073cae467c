"""``python -m chronoflux.headless ROOM --record-room``: a recorder at work in a terminal."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import click

from chronoflux.errors import ChronofluxError
from chronoflux.faces import on_stop_signals
from chronoflux.joining import RECORDER, join
from chronoflux.recorder import Recorder

log = logging.getLogger(__name__)
SAY_EVERY = 60.0  # s


async def record_room(room: str, duration: float | None, **options: Any) -> None:
    """Write down what happens in a room, for `duration` s or until Ctrl-C; see :func:`chronoflux.join`."""
    stop = asyncio.Event()
    on_stop_signals(stop.set)
    recorder: Recorder = await join(room, kind=RECORDER, **options)
    click.echo(f"{recorder.node_id} records {recorder.room}, log {recorder.path}")
    began = time.monotonic()
    try:
        await _watch(recorder, stop, None if duration is None else began + duration)
    finally:
        await recorder.leave("ended")
    seconds, heard = time.monotonic() - began, recorder.heard
    click.echo(f"{recorder.node_id}: {seconds:.0f} s, {len(heard)} nodes, in {recorder.path}")
    for row in heard.itertuples():
        counts = f"{row.records:,} records, {row.events:,} events, {row.missed} missed, {row.refused} refused"
        click.echo(f"  {row.name}: {counts}")
    if recorder.status.problem:
        raise ChronofluxError(recorder.status.problem)


async def _watch(recorder: Recorder, stop: asyncio.Event, end: float | None) -> None:
    """Say once a minute how it goes, until the time is over, somebody interrupts, or it ends by itself."""
    waits = [asyncio.create_task(recorder.wait_closed()), asyncio.create_task(stop.wait())]
    try:
        while not any(wait.done() for wait in waits):
            left = SAY_EVERY if end is None else min(SAY_EVERY, end - time.monotonic())
            if left <= 0:
                return
            await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            heard = recorder.heard
            counts = f"{len(heard)} nodes, {heard['records'].sum():,} records"
            log.info("%s: %s; %s", recorder.node_id, counts, recorder.status.text)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
