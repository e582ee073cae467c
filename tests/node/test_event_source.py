"""A node's own events: checked, placed and limited before they are published."""

from __future__ import annotations

import pytest

import chronoflux as cf
from chronoflux.errors import UsageError
from tests.conftest import Joiner
from tests.support import until

QUICK = cf.Params(oscillators=60)


async def test_more_events_than_peers_take_are_refused_here(joined: Joiner) -> None:
    """More events than peers accept are refused with an error, not lost on the way."""
    node = await joined(server=None, params=QUICK)
    for _ in range(40):
        node.intent()
    with pytest.raises(UsageError, match="20 events per second"):
        [node.intent() for _ in range(20)]


async def test_an_event_is_checked_before_it_is_fired(joined: Joiner) -> None:
    """An unknown field is refused with the names of the known ones; nothing is sent."""
    node = await joined(server=None, params=QUICK)
    with pytest.raises(UsageError, match=r"event intent has no field power; its fields: x, y, E, sigma"):
        node.fire("intent", power=2)
    with pytest.raises(UsageError, match=r"event pacemaker_flip has no field x; its fields: none"):
        node.fire("pacemaker_flip", x=2)
    assert node.sent == 0


async def test_positions_are_drawn_with_the_seed(joined: Joiner) -> None:
    """Positions that are not given are drawn within the world, the same for nodes of the same seed."""

    async def places(**options: object) -> list[tuple[float, float]]:
        node = await joined(server=None, params=QUICK, **options)
        for _ in range(3):
            node.intent()
        await until(lambda: len(node.recent.events) == 3)
        return [(event.data["x"], event.data["y"]) for event in node.recent.events]

    first, again, other = await places(seed=3), await places(seed=3), await places(seed=4)
    assert first == again != other
    width, height = QUICK.world
    assert all(0 <= x < width and 0 <= y < height for x, y in first + other)
