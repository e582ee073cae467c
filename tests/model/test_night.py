"""The schedule `night`: blocks whose order is the room's, and moments that are the node's own."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from chronoflux.model.night import (
    ACTIVE,
    BLOCK,
    FLIPS,
    INTENTS,
    ROUND,
    STRENGTHS,
    blocks_between,
    night_entries,
    order_of,
)
from chronoflux.model.params import Params
from chronoflux.model.schedule import Action, Schedule

LENGTH = BLOCK * len(ROUND)
START = 1_496_000 * LENGTH * 1000  # ms, the beginning of a round


def actions(room: str, seed: int, *, start: float = START, until: float = 4 * LENGTH) -> list[Action]:
    schedule = Schedule("night", night_entries(room, seed, start), seed, params=Params(), start=start)
    return schedule.due(until, Params().world)


def test_every_round_has_every_kind_in_an_order_drawn_from_the_room() -> None:
    """A round is a permutation; rooms and rounds differ; the same room and round are alike."""
    assert Counter(order_of("room1", 3)) == Counter(ROUND)
    assert order_of("room1", 3) == order_of("room1", 3)
    assert len({order_of("room1", number) for number in range(40)}) > 35
    assert len({order_of(f"room{number}", 3) for number in range(40)}) > 35


def test_each_kind_is_in_each_place_as_often() -> None:
    """Over many rounds a kind's place is even: that is what the permutation test relies on."""
    places = Counter(order_of("room1", number).index("gate") for number in range(4000))
    assert set(places) == set(range(len(ROUND)))
    assert max(places.values()) - min(places.values()) < 160  # ± 4 standard deviations of 21


def test_what_is_done_lies_in_the_blocks_of_its_kind() -> None:
    """Six intents of the block's strength, gates that open and close, flips; nothing in quiet blocks."""
    blocks = blocks_between("room1", START, START + 4000 * LENGTH)
    found: dict[int, list[Action]] = {}
    for action in actions("room1", 7):
        found.setdefault(int(action.t // BLOCK), []).append(action)
        assert action.t % BLOCK <= ACTIVE
    for place, block in enumerate(blocks):
        done = found.get(place, [])
        if block.kind == "quiet":
            assert not done
        elif block.kind == "gate":
            assert [action.data["on"] for action in done] == [True, False]
        elif block.kind == "flip":
            assert [action.event for action in done] == ["pacemaker_flip"] * FLIPS
        else:
            assert [action.data["E"] for action in done] == [STRENGTHS[block.kind]] * INTENTS


def test_at_least_thirty_seconds_lie_between_blocks() -> None:
    """What is done in two blocks is 30 s apart or more."""
    moments = [action.t for action in actions("room1", 7)]
    gaps = [b - a for a, b in pairwise(moments) if a // BLOCK != b // BLOCK]
    assert min(gaps) >= BLOCK - ACTIVE


def test_nodes_share_the_blocks_and_not_the_moments() -> None:
    """Two nodes of a room have the same kinds of block at the same time, and their own moments in them."""
    one, two = actions("room1", 1), actions("room1", 2)
    assert {int(a.t // BLOCK) for a in one} == {int(a.t // BLOCK) for a in two}
    intents = [{action.t for action in done if action.event == "intent"} for done in (one, two)]
    assert not intents[0] & intents[1]


def test_who_joins_later_is_in_the_same_block() -> None:
    """A schedule that begins two rounds later goes on as the earlier one does, to the moment."""
    early = [action for action in actions("room1", 1) if action.t >= 2 * LENGTH]
    late = actions("room1", 1, start=START + 2000 * LENGTH, until=2 * LENGTH)
    assert [round(action.t + 2 * LENGTH, 6) for action in late] == [round(action.t, 6) for action in early]
