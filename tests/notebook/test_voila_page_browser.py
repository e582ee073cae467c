"""Notebook 02 as a page of its own, served as by ``make app``, on a phone in a real Chromium."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page

import chronoflux as cf
from chronoflux.signal.server import SignalServer
from tests.browser import PHONE, Wire, chromium, room_app
from tests.conftest import Joiner
from tests.node.test_node import events
from tests.support import until

pytestmark = [pytest.mark.browser, pytest.mark.slow]


async def test_a_visitor_with_a_phone(server: SignalServer, joined: Joiner, tmp_path: Path) -> None:
    """A phone joins the room of its address, taps, drags, is in one column, and leaves with its page."""
    peer = await joined("room2", server=server.url, params=cf.Params(oscillators=60))

    def heard() -> int:
        return sum(kind == "remote_intent" for kind, _ in events(peer).elements())

    async with (
        room_app(tmp_path, goodbye_after=4, CHRONOFLUX_SERVER=server.url) as url,
        chromium(**PHONE) as context,
    ):
        page = await context.new_page()
        wire = Wire().watch(page)
        await visit(page, f"{url}/?room=room2")
        await until(lambda: peer.peers["via"].tolist() == ["direct"], 60, "a link to the visitor")
        assert peer.peers["kind"].tolist() == ["notebook"]
        await until(lambda: len(wire.shown) > 10, 60, "frames on the phone")

        # One column, as wide as the screen, without code.
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        picture, sliders = page.locator(".chronoflux-stage"), page.locator(".chronoflux-parameters")
        above, below = await box(picture), await box(sliders)
        assert below["y"] >= above["y"] + above["height"]
        assert below["width"] == pytest.approx(above["width"], abs=2)
        assert "import" not in await page.locator("body").inner_text()

        # A tap and a trail reach the peer.
        await page.touchscreen.tap(above["x"] + 100, above["y"] + 100)
        await until(lambda: heard() == 1, 20, "the tap")
        await drag(page, above["x"] + 40, above["y"] + 60)
        await until(lambda: heard() >= 4, 20, "a trail")
        assert wire.most <= 2

        # The page says goodbye, and another is just gone: both nodes leave in order.
        await page.close(run_before_unload=True)
        await until(lambda: len(peer.peers) == 0, 30, "the visitor to leave")
        page = await context.new_page()
        await visit(page, f"{url}/?room=room2")
        await until(lambda: len(peer.peers) == 1, 30, "the next visitor")
        await page.close()
        await until(lambda: len(peer.peers) == 0, 60, "the next visitor to leave")
    runs = cf.load(tmp_path / "logs")
    ends = runs[runs.type == "end"]
    assert [reason["reason"] for reason in ends["data"]] == ["the kernel was shut down"] * 2
    assert ends["room"].tolist() == ["room2"] * 2


async def test_an_address_that_names_no_room(server: SignalServer, tmp_path: Path) -> None:
    """An invalid room name is refused in one line, escaped, and nobody joins."""
    async with room_app(tmp_path, CHRONOFLUX_SERVER=server.url) as url, chromium(**PHONE) as context:
        page = await context.new_page()
        await page.goto(f"{url}/?room=<b>x</b>%07", timeout=120_000)
        line = page.get_by_text(
            "room '<b>x</b>\\x07' is not a valid room name: give 1 to 64 printable characters"
        )
        await line.wait_for(timeout=60_000)
        assert await page.locator(".chronoflux-view").count() == 0
    assert not (tmp_path / "logs").exists()


async def visit(page: Page, url: str) -> None:
    """Open the page and wait for its picture."""
    await page.goto(url, timeout=240_000)  # the first one may have to compile
    await page.locator(".chronoflux-stage canvas").first.wait_for(timeout=120_000)


async def box(part: Locator) -> Any:
    """Where a part of the page is."""
    found = await part.first.bounding_box()
    assert found is not None
    return found


async def drag(page: Page, x: float, y: float) -> None:
    """Draw a line with a finger."""
    finger = await page.context.new_cdp_session(page)
    for step in range(8):
        kind = "touchMove" if step else "touchStart"
        point = {"x": x + 35 * step, "y": y}
        await finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        await asyncio.sleep(0.16)
    await finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
