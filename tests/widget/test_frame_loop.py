"""The loop behind a live picture: when it composes, sends, polls and ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chronoflux.widget.frame_loop import FrameLoop
from tests.sources import SwarmSource
from tests.support import until

WATCHING = {"watching": True, "displayed": True, "client": "a"}
HIDDEN = {"watching": False, "displayed": True, "client": "a"}
REMOVED = {"watching": False, "displayed": False, "client": "a"}


class Recorder:
    """What a loop composed, sent and said; `content` is what it composes, None for nothing new."""

    def __init__(self) -> None:
        self.content: str | None = "first"
        self.sent: list[tuple[str, int]] = []
        self.polls = self.updates = 0
        self.ends: list[BaseException | None] = []
        self.removed = 0

    def loop(self, source: SwarmSource) -> FrameLoop[str]:
        return FrameLoop(
            source,
            self.compose,
            lambda content, number: self.sent.append((content, number)),
            fps=1000,
            update=self.update,
            on_end=self.ends.append,
            on_removed=self.remove,
        )

    def compose(self, fresh: bool) -> str | None:
        self.polls += 1
        content, self.content = self.content, None
        return content or ("fresh" if fresh else None)

    def update(self) -> None:
        self.updates += 1

    def remove(self) -> None:
        self.removed += 1


async def test_nothing_is_composed_while_nobody_watches() -> None:
    """A frame is composed and sent once a page watches, and none while it is hidden; another page that
    opens gets one though nothing is new."""
    source, recorder = SwarmSource(), Recorder()
    loop = recorder.loop(source)
    await asyncio.sleep(0.05)
    assert (recorder.polls, recorder.updates) == (0, 0)
    assert loop.receive(WATCHING)
    await until(lambda: recorder.sent == [("first", 1)])
    assert recorder.updates == 1
    loop.receive({"shown": 1, "client": "a"})
    loop.receive(HIDDEN)
    recorder.content = "second"
    await asyncio.sleep(0.05)
    assert recorder.sent == [("first", 1)]
    loop.receive(WATCHING | {"client": "b"})
    await until(lambda: recorder.sent == [("first", 1), ("second", 2)])
    loop.receive(WATCHING | {"client": "c"})
    await until(lambda: recorder.sent[-1] == ("fresh", 3))
    loop.stop()
    await loop.wait_closed()
    assert recorder.ends == []  # stopped, which is no end of the source


@pytest.mark.parametrize(
    "message", [{}, {"click": [0.5, 0.5]}, {"shown": "x", "client": "a"}, {"watching": 3}]
)
async def test_other_messages_are_left_to_others(message: dict[str, Any]) -> None:
    """Only reports about frames and visibility are handled."""
    loop = Recorder().loop(SwarmSource())
    assert not loop.receive(message)
    loop.stop()
    await loop.wait_closed()


async def test_an_ended_loop_still_shows_its_last_frame() -> None:
    """It ends with the source; a page opened later gets a frame; removed from all pages it says so."""
    source, recorder = SwarmSource(), Recorder()
    loop = recorder.loop(source)
    await source.leave()
    await loop.wait_closed()
    await until(lambda: recorder.ends == [None])
    assert recorder.removed == 0
    loop.receive(WATCHING)
    assert recorder.sent == [("first", 1)]
    loop.receive(REMOVED)
    assert recorder.removed == 1


async def test_an_error_ends_the_loop_and_is_reported() -> None:
    """What composing raises reaches `on_end`, and no frame stays unconfirmed."""
    recorder = Recorder()
    loop = recorder.loop(SwarmSource())
    error = RuntimeError("no snapshot")

    def fail(fresh: bool) -> str | None:
        raise error

    recorder.compose = fail  # type: ignore[method-assign]
    failing = recorder.loop(SwarmSource())
    failing.receive(WATCHING)
    await until(lambda: recorder.ends == [error])
    assert failing.flow.in_flight == 0
    loop.stop()
    await loop.wait_closed()
