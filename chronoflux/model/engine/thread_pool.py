"""Threads that compute a large swarm together.

Kernels release the GIL, so the threads run at the same time. None of numba's threading layers is used, and
other uses of numba in the process are not affected.
"""

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


def processors() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # macOS and Windows; a sandbox that forbids the call
        return os.cpu_count() or 1


count: int = processors()
"""Threads that a large swarm is computed on, including the caller's; no result depends on it."""

_busy = threading.Lock()
_single = threading.local()


def threads() -> int:
    """Threads that a large swarm is computed on in this process, including the caller's."""
    return count


def use_threads(most: int) -> None:
    """Compute large swarms on at most this many threads in this process. No result depends on it."""
    global count
    count = most


@cache
def _pool(size: int) -> ThreadPoolExecutor | None:
    """A pool in which all threads have started, because tasks in it wait for each other.

    None where the system does not let that many be started.
    """
    pool = ThreadPoolExecutor(size, thread_name_prefix="swarm")
    started = threading.Barrier(size + 1)
    try:
        for _ in range(size):
            pool.submit(started.wait)
        started.wait()
    except RuntimeError as error:
        started.abort()
        pool.shutdown(wait=False, cancel_futures=True)
        logger.warning("%d threads could not be started (%s): large swarms are computed on one", size, error)
        return None
    return pool


def _forked() -> None:
    """A forked child has none of its parent's threads."""
    global _busy
    _busy = threading.Lock()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


@contextmanager
def single_threaded() -> Iterator[None]:
    """In this block, the calling thread computes without others and leaves their processors free."""
    before, _single.now = getattr(_single, "now", False), True
    try:
        yield
    finally:
        _single.now = before


@contextmanager
def team(wanted: int) -> Iterator[int]:
    """Reserve that many threads, including the caller's, and yield how many there are.

    There is only the caller's within :func:`single_threaded`, while another swarm uses the threads, and where
    the system refuses to start them.
    """
    if wanted == 1 or getattr(_single, "now", False) or not _busy.acquire(blocking=False):
        yield 1
        return
    try:
        yield 1 if _pool(wanted - 1) is None else wanted
    finally:
        _busy.release()


def run_on_threads(workers: int, work: Callable[[int], T]) -> list[T]:
    """The results of `work` for the workers 0 to ``workers − 1``, run at the same time; the caller is 0."""
    pool = _pool(workers - 1) if workers > 1 else None
    others = [pool.submit(work, worker) for worker in range(1, workers)] if pool is not None else []
    return [work(0), *(other.result() for other in others)]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block, so that what a kernel has computed can be noted."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    received = []
    signal.signal(signal.SIGINT, lambda *arguments: received.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if received:
        handler(*received[0])
