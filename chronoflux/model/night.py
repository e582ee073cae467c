"""The schedule `night`: a randomised block experiment for unattended rooms.

Mesh time is divided into blocks of 150 s: 120 s with events, and 30 s without. Eight blocks make a round of
20 minutes: intents of three strengths, a lion gate that opens and closes, pacemaker flips, and three quiet
blocks as controls. The order within a round is drawn from the room's name and the round's number, so it is
the same for every node of a room, whenever it joined. The times within a block are drawn from the node's own
seed.

The analysis uses this randomisation: see :func:`chronoflux.analysis.event_epochs` with ``control="matched"``.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from chronoflux.model.schedule import Entry

BLOCK = 150.0
"""s from the start of a block to that of the next."""
ACTIVE = 120.0
"""s of a block with events; in the rest their effect decays."""
GATE_OPEN = 60.0
"""s for which the lion gate is open."""
INTENTS, FLIPS = 6, 2
"""Intents in a block of intents, and flips in a block of flips."""

BlockKind = Literal["weak", "medium", "strong", "gate", "flip", "quiet"]
STRENGTHS: dict[BlockKind, float] = {"weak": 0.15, "medium": 0.35, "strong": 1.0}
"""Strength E of the intents, by kind of block."""
ROUND: tuple[BlockKind, ...] = ("weak", "medium", "strong", "gate", "flip", "quiet", "quiet", "quiet")
"""The blocks of a round, before they are shuffled."""


class Block(NamedTuple):
    """One block: its number since the epoch of mesh time, its kind, and its start (mesh time, ms)."""

    number: int
    kind: BlockKind
    at: float


def order_of(room: str, number: int) -> tuple[BlockKind, ...]:
    """The blocks of round `number` in a room, in order.

    Examples
    --------
    >>> sorted(order_of("room1", 5)) == sorted(ROUND)
    True
    """
    blocks = list(ROUND)
    random.Random(f"night {number} {room}").shuffle(blocks)
    return tuple(blocks)


def blocks_between(room: str, start: float, end: float) -> list[Block]:
    """The blocks that lie entirely between two mesh times (ms).

    Examples
    --------
    >>> hour = blocks_between("room1", 0.0, 3_600_000.0)
    >>> len(hour), hour[0].at
    (24, 0.0)
    """
    length = 1000 * BLOCK
    first, last = -int(-start // length), int(end // length)
    return [Block(number, _kind(room, number), number * length) for number in range(first, last)]


def start_before(at: float) -> float:
    """Start of the round that contains `at` (mesh time, ms): second 0 of a run's schedule."""
    length = 1000 * BLOCK * len(ROUND)
    return at // length * length


def _kind(room: str, number: int) -> BlockKind:
    return order_of(room, number // len(ROUND))[number % len(ROUND)]


@dataclass(frozen=True, kw_only=True)
class BlockEntry(Entry):
    """An action in blocks of one kind: `count` times, at times drawn from the node's seed.

    ``start``: mesh time (ms) of the schedule's second 0; ``offset``: s from the block's start; None: drawn
    uniformly.
    """

    room: str = ""
    seed: int = 0
    start: float = 0.0
    kind: BlockKind = "quiet"
    count: int = 1
    offset: float | None = None

    def occurrences(self) -> Iterator[float]:
        """Seconds of the schedule, ascending without end."""
        begin = round(self.start / (1000 * BLOCK))
        for number in itertools.count(begin):
            if _kind(self.room, number) != self.kind:
                continue
            second = (number - begin) * BLOCK
            if self.offset is not None:
                yield second + self.offset
                continue
            rng = random.Random(f"{self.seed} {number} {self.kind}")
            moments = sorted(rng.uniform(1, ACTIVE) for _ in range(self.count))
            yield from (second + moment for moment in moments)


def night_entries(room: str, seed: int, start: float) -> Sequence[Entry]:
    """The entries of the schedule `night` in a room, from mesh time `start` (ms), the start of a round."""
    entry = partial(BlockEntry, first=0.0, room=room, seed=seed, start=start)
    intents = [
        entry(kind=kind, count=INTENTS, event="intent", data={"E": strength})
        for kind, strength in STRENGTHS.items()
    ]
    gates = [
        entry(kind="gate", offset=offset, event="lion_gate", data={"on": on})
        for offset, on in ((1.0, True), (1.0 + GATE_OPEN, False))
    ]
    return [*intents, *gates, entry(kind="flip", count=FLIPS, event="pacemaker_flip")]
