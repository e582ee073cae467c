"""Strays: errors of the WebRTC libraries' own tasks and timers, which nobody waits for.

aiortc and aioice send, retransmit and close in tasks and timers that they never look at again. When a link
goes down at a bad moment one of these fails, and the event loop prints a traceback ("Task exception was never
retrieved") in somebody's notebook or terminal, long after the link was replaced. A node judges links by what
it hears over them, so these errors tell it nothing; they go to the debug log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)

LIBRARIES = frozenset({"aiortc", "aioice"})
"""Whose tasks and timers are meant."""
BENEATH = LIBRARIES | {"asyncio", "OpenSSL", "pylibsrtp", "pyee", "dns"}
"""What may have failed in them: these and what they use, but no code of ours or of the user."""

Context = dict[str, Any]
Handler = Callable[[asyncio.AbstractEventLoop, Context], object]


class Strays:
    """An event loop's exception handler that keeps strays from the one before it, which gets all the rest.

    ``count`` is how many there were.
    """

    def __init__(self, before: Handler | None) -> None:
        self.count = 0
        self._before = before

    def __call__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        """Handle what the loop tells."""
        if is_stray(context):
            self.count += 1
            log.debug("link: %s", context.get("message"), exc_info=context.get("exception"))
        elif self._before is None:
            loop.default_exception_handler(context)
        else:
            self._before(loop, context)


def keep_quiet(loop: asyncio.AbstractEventLoop) -> Strays:
    """Put :class:`Strays` before the handler that a loop has now, unless it is one already.

    It stays: a task's error is found when the task is forgotten, which may be after the last link.
    """
    before = loop.get_exception_handler()
    if isinstance(before, Strays):
        return before
    strays = Strays(before)
    loop.set_exception_handler(strays)
    return strays


def is_stray(context: Context) -> bool:
    """Whether an error is of a library's own task or timer, and no other code had a part in it."""
    error = context.get("exception")
    if not LIBRARIES & {_package(_begun_by(context))}:
        return False
    packages = _passed(error.__traceback__) if isinstance(error, BaseException) else set()
    return packages <= BENEATH


def _begun_by(context: Context) -> str:
    """The name of the module whose coroutine or callback it was."""
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


def _passed(trace: TracebackType | None) -> set[str]:
    return {_package(name) for name in _names(trace)}


def _names(trace: TracebackType | None) -> list[str]:
    """The modules that a traceback passes through, from the outermost on."""
    names = []
    while trace is not None:
        names.append(str(trace.tb_frame.f_globals.get("__name__", "")))
        trace = trace.tb_next
    return names


def _package(module: str) -> str:
    return module.partition(".")[0]
