"""What several tests need."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from chronoflux.mesh.room_session import Room
from chronoflux.node.lifecycle import LifecycleMethods


async def until(condition: Callable[[], Any], timeout: float = 30.0, what: str = "") -> Any:
    """Wait for a condition (a function, also a coroutine function) and return its value.

    Raises AssertionError, naming the condition, when it does not hold in time.
    """
    try:
        async with asyncio.timeout(timeout):
            while True:
                value = condition()
                if inspect.isawaitable(value):
                    value = await value
                if value:
                    return value
                await asyncio.sleep(0.01)
    except TimeoutError:
        name = what or inspect.getsource(condition).strip()
        raise AssertionError(f"not within {timeout:g} s: {name}") from None


def session_of(node: LifecycleMethods) -> Room:
    """The session of a node or recorder in its room."""
    session = node._lifecycle.session
    assert session is not None
    return session
