"""Errors in tasks and timers of the WebRTC libraries that nothing awaits.

aiortc and aioice send, retransmit and close in tasks and timers whose results they never retrieve. If a link
breaks at the wrong moment, one of them fails, and the event loop prints a traceback ("Task exception was
never retrieved") in the user's notebook or terminal, long after the link was replaced. A node judges links by
the messages it receives over them, so these errors carry no information; they go to the debug log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

log: logging.Logger = logging.getLogger(__name__)

LIBRARIES = frozenset({"aiortc", "aioice"})
"""The libraries whose tasks and timers are filtered."""
PACKAGES = LIBRARIES | {"asyncio", "OpenSSL", "pylibsrtp", "pyee", "dns"}
"""Packages that a stray's traceback may contain: the libraries and what they use, but no other code."""

Context = dict[str, Any]
Handler = Callable[[asyncio.AbstractEventLoop, Context], object]


class LibraryErrorHandler:
    """An event loop's exception handler that logs strays and passes all other errors to the previous one.

    ``count`` is the number of strays.
    """

    def __init__(self, before: Handler | None) -> None:
        self.count: int = 0
        self._before = before

    def __call__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        """Handle an error that the loop reports."""
        if is_library_error(context):
            self.count += 1
            log.debug("link: %s", context.get("message"), exc_info=context.get("exception"))
        elif self._before is None:
            loop.default_exception_handler(context)
        else:
            self._before(loop, context)


def install(loop: asyncio.AbstractEventLoop) -> LibraryErrorHandler:
    """Install a `LibraryErrorHandler` in front of a loop's handler, unless there is one already.

    It is never removed: a task's error is reported at garbage collection, possibly after the last link.
    """
    before = loop.get_exception_handler()
    if isinstance(before, LibraryErrorHandler):
        return before
    strays = LibraryErrorHandler(before)
    loop.set_exception_handler(strays)
    return strays


def is_library_error(context: Context) -> bool:
    """Return whether an error comes from a library's own task or timer, with no other code involved."""
    error = context.get("exception")
    if not LIBRARIES & {_package(_module_of(context))}:
        return False
    packages = _packages(error.__traceback__) if isinstance(error, BaseException) else set()
    return packages <= PACKAGES


def _module_of(context: Context) -> str:
    """Return the name of the module of the coroutine or callback that failed."""
    task = context.get("future") or context.get("task")
    if isinstance(task, asyncio.Task):
        frame = getattr(task.get_coro(), "cr_frame", None)
        if frame is not None:
            return str(frame.f_globals.get("__name__", ""))
        error = task.exception() if task.done() and not task.cancelled() else None
        trace = error.__traceback__ if error is not None else None
        return _names(trace)[0] if trace is not None else ""
    callback = getattr(context.get("handle"), "_callback", None)
    while isinstance(callback, partial):
        callback = callback.func
    return getattr(callback, "__module__", None) or ""


def _packages(trace: TracebackType | None) -> set[str]:
    return {_package(name) for name in _names(trace)}


def _names(trace: TracebackType | None) -> list[str]:
    """Return the modules in a traceback, outermost first."""
    names = []
    while trace is not None:
        names.append(str(trace.tb_frame.f_globals.get("__name__", "")))
        trace = trace.tb_next
    return names


def _package(module: str) -> str:
    return module.partition(".")[0]
