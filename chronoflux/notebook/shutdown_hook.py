"""Let nodes leave before their Jupyter kernel shuts down: peers are told, logs are closed."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from chronoflux.notebook.kernel import kernel

log: logging.Logger = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that leaving may take. Jupyter waits 2.5 s for a kernel, then ends it."""


def before_shutdown(leave: Callable[[], Awaitable[Any]]) -> None:
    """Make the Jupyter kernel of this process await `leave` before it shuts down.

    Only the first call has an effect, and only in a kernel. Kernels have no public hook for this, so
    ``do_shutdown``, the method that subclasses override, is wrapped. It runs on the kernel's control thread,
    on its own event loop. A kernel that is killed does not call it.
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
