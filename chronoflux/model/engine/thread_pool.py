"""Threads that compute a large swarm together. Kernels let go of the GIL, so that they really run at once; no
threading layer of numba's is involved, and other uses of numba in the process are left alone."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

T = TypeVar("T")

logger: logging.Logger = logging.getLogger(__name__)


def available() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # macOS and Windows; a sandbox that forbids to ask
        return os.cpu_count() or 1


count: int = available()
"""Threads that large swarms are computed on, the caller's among them; no result depends on it."""

_busy = threading.Lock()
_lone = threading.local()


@cache
def _pool(size: int) -> ThreadPoolExecutor | None:
    """Threads enough that none of so many workers waits for another to end: they wait for each other.

    None where the system does not let so many be started.
    """
    pool = ThreadPoolExecutor(size, thread_name_prefix="swarm")
    meeting = threading.Barrier(size + 1)
    try:
        for _ in range(size):
            pool.submit(meeting.wait)
        meeting.wait()
    except RuntimeError as error:
        meeting.abort()
        pool.shutdown(wait=False, cancel_futures=True)
        logger.warning("%d threads could not be started (%s): large swarms are computed on one", size, error)
        return None
    return pool


def _forked() -> None:
    """A child has none of its parent's threads."""
    global _busy
    _busy = threading.Lock()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


@contextmanager
def alone() -> Iterator[None]:
    """What this thread computes in the block it computes by itself, and leaves other processors to others."""
    before, _lone.now = getattr(_lone, "now", False), True
    try:
        yield
    finally:
        _lone.now = before


@contextmanager
def team(wanted: int) -> Iterator[int]:
    """Have that many threads, the caller's among them; or only the caller's, if it is to be :func:`alone`,
    while another swarm has them, or where the system refuses them."""
    if wanted == 1 or getattr(_lone, "now", False) or not _busy.acquire(blocking=False):
        yield 1
        return
    try:
        yield 1 if _pool(wanted - 1) is None else wanted
    finally:
        _busy.release()


def together(workers: int, work: Callable[[int], T]) -> list[T]:
    """The results of `work` for the workers 0 to ``workers − 1``, all at the same time; the caller is 0."""
    pool = _pool(workers - 1) if workers > 1 else None
    helpers = [pool.submit(work, worker) for worker in range(1, workers)] if pool is not None else []
    return [work(0), *(helper.result() for helper in helpers)]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block: what a kernel has done can then be noted down."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    came = []
    signal.signal(signal.SIGINT, lambda *arguments: came.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if came:
        handler(*came[0])
