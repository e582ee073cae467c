"""Threads that go through a compiled run together: who takes which part of the swarm, and where all wait for
the last.

Two words of shared memory are all they need, changed by the processor's own indivisible instructions, so that
to meet costs less than a microsecond, where going back to Python costs a hundred. No result may depend on
who takes what. A team of one takes everything at once and waits for nobody.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from chronoflux.model.engine.arrays import Floats, Longs
from chronoflux.model.engine.jit import device_function, get_or_insert_function

LINE = 8
"""int64s in a line of a processor's cache: what one thread writes lies in lines of its own."""
PIECES = 8
"""Pieces that a thread's part is taken in, so that one held up leaves more to the others."""
PATIENCE = 2000
"""Looks at whether the others have come, until the processor is offered to somebody else."""
_WORD, SIZE = ir.IntType(64), 8


class Team(NamedTuple):
    """What a team shares.

    ``left``: int64 (workers · LINE,), in a line for each the first slot of its part that nobody has taken
    yet. ``ends``: int64 (workers + 1,), where the parts begin and the last one ends. ``piece``: slots taken
    at once. ``meeting``: int64 (2 LINE,), how many have come, and how often all had.
    ``told``: int64 (workers, LINE), ``speeds``: float64 (workers, LINE), what each tells the others.
    """

    left: Longs
    ends: Longs
    piece: int
    meeting: Longs
    told: Longs
    speeds: Floats


def make_team(workers: int, n: int, block: int) -> Team:
    """A team of so many, for n slots, taken in multiples of `block`."""
    most = -(-n // (workers * PIECES)) if workers > 1 else n
    piece = max(1, -(-most // block)) * block
    pieces = -(-n // piece)
    ends = np.minimum(np.arange(workers + 1) * pieces // workers * piece, n)
    left = np.zeros(workers * LINE, np.int64)
    left[::LINE] = ends[:-1]
    told = np.zeros((workers, LINE), np.int64)
    return Team(left, ends, piece, np.zeros(2 * LINE, np.int64), told, np.zeros((workers, LINE)))


def atomic_add(shared: Longs, place: int, more: int) -> int:
    """Add to one of the int64s `shared` at once, and return what it was; none is seen half done."""
    was = shared[place]
    shared[place] += more
    return int(was)


def atomic_load(shared: Longs, place: int) -> int:
    """One of the int64s `shared`, and after it whatever was written before it was."""
    return int(shared[place])


def yield_thread() -> None:
    """Let whoever else waits for this processor have it."""


@intrinsic
def _atomic_add(typing: Any, shared: Any, place: Any, more: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        word = builder.gep(array.data, [args[1]])
        return builder.atomic_rmw("add", word, args[2], "seq_cst")

    return types.int64(shared, types.intp, types.int64), generate


@intrinsic
def _atomic_load(typing: Any, shared: Any, place: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        word = builder.gep(array.data, [args[1]])
        return builder.load_atomic(word, "acquire", SIZE, typ=_WORD)

    return types.int64(shared, types.intp), generate


@intrinsic
def _yield_thread(typing: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        name = "SwitchToThread" if os.name == "nt" else "sched_yield"
        kind = ir.FunctionType(ir.IntType(32), ())
        function = get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
        builder.call(function, ())
        return context.get_dummy_value()

    return types.void(), generate


@overload(atomic_add)
def _atomic_add_compiled(shared, place, more):  # type: ignore[no-untyped-def]
    return lambda shared, place, more: _atomic_add(shared, place, more)  # type: ignore[call-arg]


@overload(atomic_load)
def _atomic_load_compiled(shared, place):  # type: ignore[no-untyped-def]
    return lambda shared, place: _atomic_load(shared, place)  # type: ignore[call-arg]


@overload(yield_thread)
def _yield_thread_compiled():  # type: ignore[no-untyped-def]
    return lambda: _yield_thread()  # type: ignore[call-arg]


@device_function
def next_chunk(team: Team, worker: int) -> tuple[int, int]:
    """The next slots for that worker, from the first up to the second: of its own part while there are any,
    then of the others'. ``(0, 0)`` when none are left."""
    workers = len(team.told)
    for other in range(workers):
        owner = (worker + other) % workers
        end = team.ends[owner + 1]
        if workers == 1 or atomic_load(team.left, owner * LINE) < end:
            first = atomic_add(team.left, owner * LINE, team.piece)
            if first < end:
                return first, min(first + team.piece, end)
    return 0, 0


@device_function
def arrive(team: Team) -> bool:
    """Wait until all have come. The last does not: for it this is True, and all wait for :func:`release`."""
    turn = atomic_load(team.meeting, LINE)
    if atomic_add(team.meeting, 0, 1) == len(team.told) - 1:
        return True
    looks = 0
    while atomic_load(team.meeting, LINE) == turn:
        looks += 1
        if looks > PATIENCE:
            yield_thread()
    return False


@device_function
def release(team: Team) -> None:
    """All have come, and everything may be taken again."""
    for worker in range(len(team.told)):
        team.left[worker * LINE] = team.ends[worker]
    team.meeting[0] = 0
    atomic_add(team.meeting, LINE, 1)
