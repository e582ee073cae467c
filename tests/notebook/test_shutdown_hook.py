"""A kernel that is shut down lets its nodes leave first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from chronoflux.notebook import shutdown_hook
from chronoflux.notebook.shutdown_hook import before_shutdown


class Kernel:
    """The interface of ipykernel that the hook uses: `do_shutdown` answers at once, or is awaitable."""

    awaited = False

    def __init__(self) -> None:
        self.told: list[bool] = []

    def do_shutdown(self, restart: bool) -> Any:
        self.told.append(restart)
        answer = {"status": "ok", "restart": restart}
        return asyncio.sleep(0, answer) if self.awaited else answer


@pytest.fixture(params=[False, True])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    own = Kernel()
    own.awaited = request.param
    monkeypatch.setattr(shutdown_hook, "kernel", lambda: own)
    return own


async def test_leaving_comes_first_and_once(kernel: Kernel) -> None:
    """The first function given is awaited before the kernel's own shutdown, whose answer is returned."""
    seen: list[tuple[str, int]] = []

    async def leave() -> None:
        seen.append(("left", len(kernel.told)))

    before_shutdown(leave)
    before_shutdown(lambda: asyncio.sleep(0, seen.append(("twice", 0))))
    assert await kernel.do_shutdown(True) == {"status": "ok", "restart": True}
    assert seen == [("left", 0)]
    assert kernel.told == [True]


async def test_nothing_keeps_a_kernel_from_going(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A function that takes too long or fails does not stop the shutdown; a failure is logged."""
    monkeypatch.setattr(shutdown_hook, "PATIENCE", 0.01)
    before_shutdown(lambda: asyncio.sleep(60))
    assert (await kernel.do_shutdown(False))["status"] == "ok"
    del kernel.do_shutdown

    async def fail() -> None:
        raise OSError("full")

    before_shutdown(fail)
    assert (await kernel.do_shutdown(False))["status"] == "ok"
    assert "could not leave" in caplog.text


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that is no kernel nothing is wrapped."""
    monkeypatch.setattr(shutdown_hook, "kernel", lambda: None)
    before_shutdown(lambda: asyncio.sleep(0))
