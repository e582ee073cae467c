"""Waiting for a node in the foreground."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from chronoflux.errors import UsageError
from chronoflux.notebook.progress_bar import watch


async def test_it_waits_and_tells(capsys: pytest.CaptureFixture[str]) -> None:
    """It lasts as long as requested, the event loop keeps running, and order and peers are shown."""
    node = SimpleNamespace(closed=False, metrics={"H": 0.52, "peers": 1})
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    beating, begin = asyncio.create_task(beat()), time.monotonic()
    await watch(node, 0.2)
    assert time.monotonic() - begin >= 0.2
    assert beats > 2
    beating.cancel()
    assert "H 0.52, 1 peer" in capsys.readouterr().err


async def test_a_node_that_ends_is_not_waited_for() -> None:
    """An ended node returns at once; before the first metrics nothing is wrong."""
    await asyncio.wait_for(watch(SimpleNamespace(closed=True, metrics={}), 1000), 1)
    await watch(SimpleNamespace(closed=False, metrics={}), 0.01)


@pytest.mark.parametrize("seconds", ["60", -1, float("nan"), float("inf"), True, None])
async def test_what_is_no_time_is_refused(seconds: object) -> None:
    """Anything but a finite number of seconds is refused in one line."""
    with pytest.raises(UsageError, match="seconds"):
        await watch(SimpleNamespace(closed=False, metrics={}), seconds)
