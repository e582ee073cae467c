"""A Jupyter kernel that is shut down lets its nodes leave first: peers are told, logs are closed."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from chronoflux.notebook.kernel import kernel

log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that leaving may take. Jupyter itself waits for a kernel 2.5 s and then ends it."""


def before_shutdown(leave: Callable[[], Awaitable[Any]]) -> None:
    """Have the kernel of this process, if it is one, await `leave` before it goes; the first call counts.

    Kernels have no public hook for this: ``do_shutdown``, which subclasses are to override, is wrapped. It
    runs on the kernel's control thread, on a loop of its own. A kernel that is killed does nothing any more.
    """
    own = kernel()
    if own is None or "do_shutdown" in vars(own):
        return
    shut_down = own.do_shutdown

    async def do_shutdown(restart: bool) -> Any:
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await leave()
        except Exception:
            log.exception("the nodes of this kernel could not leave")
        answer = shut_down(restart)
        return await answer if inspect.isawaitable(answer) else answer

    own.do_shutdown = do_shutdown
