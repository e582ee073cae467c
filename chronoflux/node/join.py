"""`join`: make a node and run it, on this event loop or in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal, ParamSpec, Protocol, cast, overload

from chronoflux.errors import ChronofluxError, UsageError
from chronoflux.node.node import Node
from chronoflux.node.options import (
    JoinOptions,
    JoinRecorderOptions,
    bind,
    describe,
    for_recorder,
)
from chronoflux.notebook.shutdown_hook import before_shutdown

if TYPE_CHECKING:
    from chronoflux.node.recorder import Recorder

log: logging.Logger = logging.getLogger(__name__)

N = ParamSpec("N")
W = ParamSpec("W")
RECORDER: Literal["recorder"] = "recorder"
_RUNNING: dict[tuple[str, str], Node | Recorder] = {}
"""The running nodes of this process by room and name."""


class Join(Protocol[N, W]):
    """The types of `join`: with ``kind="recorder"`` it returns a recorder, otherwise a node."""

    @overload
    async def __call__(self, *args: W.args, **kwargs: W.kwargs) -> Recorder: ...
    @overload
    async def __call__(self, *args: N.args, **kwargs: N.kwargs) -> Node: ...


def _takes(
    node: Callable[N, JoinOptions], recorder: Callable[W, JoinRecorderOptions]
) -> Callable[[Callable[..., Coroutine[object, object, Node | Recorder]]], Join[N, W]]:
    """Give `join` the types of both kinds of options, and a node's signature and docstring."""

    def decorate(function: Callable[..., Coroutine[object, object, Node | Recorder]]) -> Join[N, W]:
        describe(function, node)
        return cast("Join[N, W]", function)

    return decorate


@_takes(JoinOptions, JoinRecorderOptions)
async def join(*args: object, **options: object) -> Node | Recorder:
    """Join a room with a swarm of your own and run it; with ``kind="recorder"``, record the room instead.

    Raises
    ------
    UsageError, ParameterError, LogError, SignalingError
        In one line that names the remedy.

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
    # Names are checked here, in the name of `join`; values once, by Node and Recorder.
    node: Node | Recorder
    if options.get("kind") == RECORDER:
        given = bind(JoinRecorderOptions, "join", args, for_recorder(options))
        background = bool(given.pop("background", False))
        del given["kind"]
        # Imports aiortc, which takes half a second.
        module = await asyncio.to_thread(importlib.import_module, "chronoflux.node.recorder")
        node = module.Recorder(**given)
    else:
        given = bind(JoinOptions, "join", args, options)
        background = bool(given.pop("background", False))
        make: Callable[..., Node] = Node  # it checks the arguments when it is called
        node = make(**given)
    await _open(node, background=background)
    return node


async def _open(node: Node | Recorder, *, background: bool) -> None:
    """Start a node, in place of an earlier one of this process with the same room and name."""
    key = (node.room, node.node_id)
    earlier, _RUNNING[key] = _RUNNING.get(key), node

    def forget() -> None:
        if _RUNNING.get(key) is node:
            del _RUNNING[key]

    node.on_close(forget)
    before_shutdown(_leave_all)
    if earlier is not None:
        with contextlib.suppress(UsageError):  # its event loop does not run any more
            await earlier.leave("joined again")
    await (_start_in_thread(node) if background else node.start())


async def _leave_all() -> None:
    """Make all running nodes of this process leave, on whichever loop they run."""
    results = await asyncio.gather(
        *(node.leave("the kernel was shut down") for node in list(_RUNNING.values())), return_exceptions=True
    )
    for error in results:
        if isinstance(error, Exception):
            log.warning("a node could not leave: %s", error)


async def _start_in_thread(node: Node | Recorder) -> None:
    """Start a node on its own event loop, in a thread that ends with the node."""
    started: Future[None] = Future()
    abandoned = threading.Event()

    async def run_node() -> None:
        try:
            await node.start()
        except BaseException as error:
            started.set_exception(error)
            raise
        started.set_result(None)
        if abandoned.is_set():
            await node.leave("the call of join was cancelled")
        await node.wait_closed()
        # Callers that await `leave` on another loop get their answer before this one ends.
        if waiting := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(waiting, timeout=5)

    def run_loop() -> None:
        with contextlib.suppress(ChronofluxError, asyncio.CancelledError):  # `started` has reported it
            asyncio.run(run_node())

    threading.Thread(target=run_loop, name=f"chronoflux {node.node_id}", daemon=True).start()
    try:
        await asyncio.shield(asyncio.wrap_future(started))
    except asyncio.CancelledError:
        abandoned.set()
        if started.done() and started.exception() is None:
            await node.leave("the call of join was cancelled")
        raise
