"""Run a node in the foreground: a cell waits for it and shows a progress bar."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Any, Protocol

from tqdm import tqdm

from chronoflux.errors import UsageError, shorten

PERIOD = 0.5
"""Seconds between two updates."""
_FORM = "{bar:30} {n:.0f}/{total:.0f} s{postfix}"


class Running(Protocol):
    """The part of a node's interface that the progress bar uses."""

    @property
    def closed(self) -> bool:
        """Whether the node has ended."""

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The latest metrics."""


async def watch(node: Running, seconds: float) -> None:
    """Wait for `seconds`, or until `node` ends; a progress bar shows its order and its number of peers.

    Raises
    ------
    UsageError
        When `seconds` is not a finite number >= 0.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise UsageError(f"seconds = {shorten(seconds)}: give how long to wait, such as 60")
    begin = time.monotonic()
    with tqdm(total=seconds, bar_format=_FORM) as bar:
        while not node.closed and bar.n < seconds:
            await asyncio.sleep(min(PERIOD, seconds - bar.n))
            H, peers = node.metrics.get("H", math.nan), node.metrics.get("peers") or 0
            bar.set_postfix_str(f"H {H:.2f}, {peers} peer{'' if peers == 1 else 's'}", refresh=False)
            bar.update(min(time.monotonic() - begin, seconds) - bar.n)
