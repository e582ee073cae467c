"""`join`: make a node and let it run, here or in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, cast, overload

from chronoflux.errors import ChronofluxError, UsageError
from chronoflux.node.lifecycle import Lifecycle
from chronoflux.node.node import Node
from chronoflux.node.options import (
    JoinOptions,
    JoinRecorderOptions,
    NodeOptions,
    RecorderOptions,
    describe,
    for_recorder,
    make,
)
from chronoflux.notebook.shutdown_hook import before_shutdown

if TYPE_CHECKING:
    from chronoflux.node.recorder import Recorder

log: logging.Logger = logging.getLogger(__name__)

N = ParamSpec("N")
W = ParamSpec("W")
RECORDER: Literal["recorder"] = "recorder"
_OPEN: dict[tuple[str, str], Lifecycle] = {}
"""The running nodes of this process by room and name."""


class Join(Protocol[N, W]):
    """How `join` is called: with ``kind="recorder"`` for a recorder, otherwise for a node."""

    @overload
    async def __call__(self, *args: W.args, **kwargs: W.kwargs) -> Recorder: ...
    @overload
    async def __call__(self, *args: N.args, **kwargs: N.kwargs) -> Node: ...


def _takes(
    node: Callable[N, JoinOptions], recorder: Callable[W, JoinRecorderOptions]
) -> Callable[[Callable[..., Coroutine[Any, Any, Node | Recorder]]], Join[N, W]]:
    """Give `join` the types of both kinds of options, and a node's signature and docstring."""

    def decorate(function: Callable[..., Coroutine[Any, Any, Node | Recorder]]) -> Join[N, W]:
        describe(function, node)
        return cast("Join[N, W]", function)

    return decorate


@_takes(JoinOptions, JoinRecorderOptions)
async def join(*args: Any, **options: Any) -> Node | Recorder:
    """Join a room with a swarm of your own and start to run; or, with ``kind="recorder"``, write it down.

    Raises
    ------
    UsageError, ParameterError, LogError, SignalingError
        In one line, saying what to do.

    Examples
    --------
    A node alone runs 5 simulated seconds as fast as the machine can. In a notebook, use ``await`` directly.

    >>> import asyncio
    >>> import chronoflux as cf
    >>> async def main():
    ...     params = cf.Params(oscillators=60)
    ...     node = await cf.join("lab", server=None, params=params, seed=1, speed="max", duration=5)
    ...     await node.wait_closed()
    ...     return node.metrics
    >>> metrics = asyncio.run(main())
    >>> 0 <= metrics["H"] <= 1
    True
    """
    node: Node | Recorder
    if options.get("kind") == RECORDER:
        chosen = make(JoinRecorderOptions, "join", args, for_recorder(options))
        # Loads aiortc, which takes half a second.
        module = await asyncio.to_thread(importlib.import_module, "chronoflux.node.recorder")
        node = module.Recorder(**chosen.of(RecorderOptions))
        await _open(node, background=chosen.background)
    else:
        wanted = make(JoinOptions, "join", args, options)
        node = Node(**wanted.of(NodeOptions))
        await _open(node, background=wanted.background)
    return node


async def _open(node: Lifecycle, *, background: bool) -> None:
    """Start, in place of whoever of this process goes by the same name in the same room."""
    key = (node.room, node.node_id)
    earlier, _OPEN[key] = _OPEN.get(key), node

    def forget() -> None:
        if _OPEN.get(key) is node:
            del _OPEN[key]

    node.on_close(forget)
    before_shutdown(_leave_all)
    if earlier is not None:
        with contextlib.suppress(UsageError):  # its loop is gone, and it with it
            await earlier.leave("joined again")
    await (_start_in_thread(node) if background else node.start())


async def _leave_all() -> None:
    """All running nodes of this process leave, from whichever loop."""
    left = await asyncio.gather(
        *(node.leave("the kernel was shut down") for node in list(_OPEN.values())), return_exceptions=True
    )
    for error in left:
        if isinstance(error, Exception):
            log.warning("a node could not leave: %s", error)


async def _start_in_thread(node: Lifecycle) -> None:
    """Start a node on an event loop that lives in a thread of its own, as long as the node does."""
    started: Future[None] = Future()
    abandoned = threading.Event()

    async def live() -> None:
        try:
            await node.start()
        except BaseException as error:
            started.set_exception(error)
            raise
        started.set_result(None)
        if abandoned.is_set():
            await node.leave("nobody waits for it")
        await node.wait_closed()
        # Whoever awaits `leave` from another loop is answered before this one ends.
        if waiting := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(waiting, timeout=5)

    def run() -> None:
        with contextlib.suppress(ChronofluxError, asyncio.CancelledError):  # `started` has told it
            asyncio.run(live())

    threading.Thread(target=run, name=f"chronoflux {node.node_id}", daemon=True).start()
    try:
        await asyncio.shield(asyncio.wrap_future(started))
    except asyncio.CancelledError:
        abandoned.set()
        if started.done() and started.exception() is None:
            await node.leave("nobody waits for it")
        raise
