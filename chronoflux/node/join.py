"""`join`: make a node and let it run, here or in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import math
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from chronoflux.errors import ChronofluxError, UsageError
from chronoflux.mesh.ice import Policy
from chronoflux.model.params import Params
from chronoflux.node.lifecycle import Lifecycle
from chronoflux.node.node import Node
from chronoflux.node.pacing import Speed
from chronoflux.notebook.shutdown_hook import before_shutdown
from chronoflux.telemetry.format.snapshots import MOST
from chronoflux.telemetry.write.phase_writer import Wanted

if TYPE_CHECKING:
    from chronoflux.node.recorder import Recorder

log: logging.Logger = logging.getLogger(__name__)

RECORDER: Literal["recorder"] = "recorder"
_OPEN: dict[tuple[str, str], Lifecycle] = {}
"""The running nodes of this process by room and name."""


@overload
async def join(  # type: ignore[overload-overlap]
    room: str = ...,
    *,
    server: str = ...,
    node_id: str | None = ...,
    token: str | None = ...,
    log_dir: str | Path = ...,
    background: bool = ...,
    kind: Literal["recorder"],
    ice_servers: Sequence[Mapping[str, Any]] | None = ...,
    ice_transport_policy: Policy = ...,
) -> Recorder: ...


@overload
async def join(
    room: str = ...,
    *,
    server: str | None = ...,
    params: Params | None = ...,
    preset: str | None = ...,
    seed: int | None = ...,
    node_id: str | None = ...,
    token: str | None = ...,
    schedule: str | Path | None = ...,
    schedule_start: str | None = ...,
    log_dir: str | Path = ...,
    resume: str | Path | None = ...,
    background: bool = ...,
    kind: str | None = ...,
    speed: float = ...,
    snapshots: int = ...,
    phases: float | None = ...,
    phases_of: int | None = ...,
    ice_servers: Sequence[Mapping[str, Any]] | None = ...,
    ice_transport_policy: Policy = ...,
) -> Node: ...


async def join(
    room: str = "chrono-default",
    *,
    server: str | None = "auto",
    params: Params | None = None,
    preset: str | None = None,
    seed: int | None = None,
    node_id: str | None = None,
    token: str | None = None,
    schedule: str | Path | None = None,
    schedule_start: str | None = None,
    log_dir: str | Path = "logs",
    resume: str | Path | None = None,
    background: bool = False,
    kind: str | None = None,
    speed: Speed = 1.0,
    duration: float = math.inf,
    snapshots: int = MOST,
    phases: float | None = None,
    phases_of: int | None = None,
    ice_servers: Sequence[Mapping[str, Any]] | None = None,
    ice_transport_policy: Policy = "all",
) -> Node | Recorder:
    """Join a room with a swarm of your own and start to run; or, with ``kind="recorder"``, write it down.

    Parameters
    ----------
    room
        1 to 64 printable characters.
    server
        ``"auto"``: ``ws://localhost:8089``, started in this process when nobody answers there; a URL
        (``ws://…`` or ``wss://…``); None: stay alone. An unreachable server is tried again and again.
    params, seed
        The swarm's parameters and its seed; without a seed a fresh one, kept in ``node.seed``.
    preset
        In place of `params`: one of ``cf.presets`` by name, such as ``"storm"``.
    node_id
        A name to be known by; by default made from the machine's. A node of this process with the same
        name and room is closed first, so that a cell can be run again.
    token
        What the server asks for, if it does.
    schedule
        What the node does by itself: ``"classic"``, ``"night"`` (a randomised block experiment, alike on
        every node of the room), ``"none"`` (default) or a TOML file's path.
    schedule_start
        Mesh time of the schedule's second 0, as ``"2026-11-23T22:00:00Z"``: it then runs in step on every
        node that has it, however late each joined. By default second 0 is the run's begin.
    log_dir
        Where the run's folder is made.
    resume
        The folder of a run to go on with, bit for bit when it was alone: room, name, seed, parameters and
        schedule are its own.
    background
        Run node and network in a thread of their own, so that a long blocking cell does not hold them up.
    kind
        What the others are told that this is; by default ``"notebook"`` or ``"headless"``. ``"recorder"``
        joins without a swarm and writes down what everybody in the room says, see
        :class:`chronoflux.node.recorder.Recorder`.
    speed
        Simulated seconds per second; alone also ``"max"``, as fast as the machine goes: mesh time is then
        what has passed in the swarm.
    duration
        Simulated seconds after which the node leaves by itself.
    snapshots
        How many pictures of the swarm, with its state, the run may keep at lion gates and flips.
    phases
        Every so many simulated seconds all phases go into the run's ``phases.zarr``, which
        :func:`chronoflux.load_phases` reads, also while it grows (extra `phases`). By default none do.
    phases_of
        Only those of the first so many oscillators.
    ice_servers
        In place of the server's: ``[{"urls": "turn:…", "username": …, "credential": …}]``.
    ice_transport_policy
        ``"relay"``: links only by way of a TURN server, so that peers do not see this machine's addresses.

    Raises
    ------
    UsageError, ParameterError, LogError, SignalingError
        In one line, saying what to do.
    """
    node: Node | Recorder
    if kind == RECORDER:
        _refuse_without_swarm(
            params=params, preset=preset, seed=seed, schedule=schedule, resume=resume, phases=phases
        )
        # Loads aiortc, which takes half a second.
        module = await asyncio.to_thread(importlib.import_module, "chronoflux.node.recorder")
        node = module.Recorder(
            room,
            server=server,
            node_id=node_id,
            token=token,
            log_dir=log_dir,
            ice_servers=ice_servers,
            ice_transport_policy=ice_transport_policy,
        )
    else:
        node = Node(
            room,
            server=server,
            params=params,
            preset=preset,
            seed=seed,
            node_id=node_id,
            token=token,
            schedule=schedule,
            schedule_start=schedule_start,
            log_dir=log_dir,
            resume=resume,
            kind=kind,
            speed=speed,
            duration=duration,
            snapshots=snapshots,
            phases=Wanted.checked(phases, phases_of),
            ice_servers=ice_servers,
            ice_transport_policy=ice_transport_policy,
        )
    await _open(node, background=background)
    return node


def _refuse_without_swarm(**given: object) -> None:
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise UsageError(f"a recorder has no swarm: leave out {', '.join(names)}")


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
