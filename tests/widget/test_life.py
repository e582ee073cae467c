"""A node's view on a long day: reloaded, its tab closed, its kernel restarted; touched; reached by keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import CDPSession, Page

from chronoflux.model.params import Params
from chronoflux.node.node import Node
from chronoflux.signal.server import SignalServer
from tests.browser import Wire, command, lab, notebook_page, open_notebook, run_all
from tests.conftest import Joiner
from tests.support import until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

JOIN = """
import asyncio, json, os
import chronoflux as cf
from chronoflux.widget import display_node

node = await cf.join("room1", server={url!r}, node_id="me", params=cf.Params(oscillators=40), log_dir="logs")

async def tell():
    while True:
        json.dump([os.getpid(), display_node(node).flow.watched], open("told.tmp", "w"))
        os.replace("told.tmp", "told.json")
        await asyncio.sleep(0.1)

telling = asyncio.create_task(tell())
node
"""
STAGES = ".chronoflux-stage > canvas"


def told(folder: Path) -> tuple[int, bool]:
    """The kernel's process, and whether it knows of a page that watches."""
    try:
        process, watched = json.loads((folder / "told.json").read_text())
    except OSError:
        return 0, False
    return process, watched


def heard(peer: Node) -> int:
    """Number of intents of others on record at a peer."""
    return sum(record["type"] == "remote_intent" for record in _records(peer))


def _records(peer: Node) -> Iterator[dict[str, Any]]:
    peer.flush()
    for line in (peer.path / "telemetry.jsonl").read_bytes().splitlines():
        yield json.loads(line)


async def shown(page: Page, wire: Wire) -> None:
    """Wait until frames come and are confirmed, from now on."""
    await page.locator(STAGES).first.wait_for(timeout=120_000)
    before = len(wire.shown)
    await until(lambda: len(wire.shown) > before + 10, 60, "frames on the page")


async def fresh(page: Page) -> tuple[Page, Wire]:
    """Another page of the same browser, watched."""
    other = await page.context.new_page()
    return other, Wire().watch(other)


async def click(page: Page, peer: Node) -> None:
    """A click on the picture is one intent at the peer, and no more."""
    before, received = heard(peer), peer.received
    await page.locator(".chronoflux-port").first.click(position={"x": 200, "y": 150})
    await until(lambda: heard(peer) > before, 20, "the intent at the peer")
    await page.locator(".chronoflux-port").first.click(position={"x": 300, "y": 250})
    await until(lambda: heard(peer) > before + 1, 20, "the second intent at the peer")
    assert heard(peer) == before + 2
    assert peer.received == received + 2


async def test_reload_closed_tab_and_restart(server: SignalServer, joined: Joiner, tmp_path: Path) -> None:
    """Two views of one node; a reload; a tab closed and opened again; restart and run all: each time the
    picture goes on, a click is one intent at a peer, and the peer sees one notebook."""
    peer = await joined(server=server.url, params=Params(oscillators=40), node_id="peer")

    def company() -> list[str]:
        return [
            name for name, state in peer.peers[["name", "state"]].itertuples(index=False) if state == "live"
        ]

    async with (
        lab(tmp_path) as url,
        notebook_page(tmp_path, [JOIN.format(url=server.url), "node"]) as first,
    ):
        wire = Wire().watch(first)
        await open_notebook(first, url)
        await run_all(first)
        await shown(first, wire)
        await first.locator(STAGES).nth(1).wait_for(timeout=30_000)
        await until(lambda: company() == ["me"], 30, "the peers to meet")
        await click(first, peer)

        await command(first, "docmanager:save")
        wire = Wire().watch(first)
        await open_notebook(first, url)
        await shown(first, wire)
        await click(first, peer)
        kernel = told(tmp_path)[0]

        page, wire = await fresh(first)
        await first.close()
        await until(lambda: not told(tmp_path)[1], 20, "the kernel to know that nobody watches")
        await open_notebook(page, url)
        await shown(page, wire)
        await click(page, peer)
        assert told(tmp_path) == (kernel, True)
        assert company() == ["me"]

        await page.evaluate("void window.jupyterapp.commands.execute('notebook:restart-run-all')")
        await page.locator(".jp-Dialog .jp-mod-accept").click(timeout=20_000)
        await until(lambda: told(tmp_path)[0] != kernel, 120, "the new kernel")
        await shown(page, wire)
        await until(lambda: company() == ["me"], 40, "one notebook, as before")
        await click(page, peer)
        assert wire.most <= 2


async def test_touch(server: SignalServer, joined: Joiner, tmp_path: Path) -> None:
    """A tap is an intent; a drag fires a few, and does not scroll the page."""
    peer = await joined(server=server.url, params=Params(oscillators=40), node_id="peer")
    cells = [JOIN.format(url=server.url)]
    async with lab(tmp_path) as url, notebook_page(tmp_path, cells, has_touch=True) as page:
        wire = Wire().watch(page)
        await open_notebook(page, url)
        await run_all(page)
        await shown(page, wire)
        await until(lambda: len(peer.peers) == 1 and (peer.peers["via"] == "direct").all(), 40, "a link")
        box = await page.locator(".chronoflux-port").first.bounding_box()
        assert box is not None
        await page.touchscreen.tap(box["x"] + 100, box["y"] + 100)
        await until(lambda: heard(peer) == 1, 20, "the intent of a tap")
        touch = await page.context.new_cdp_session(page)
        await _finger(touch, "touchStart", box["x"] + 60, box["y"] + 60)
        for step in range(1, 9):
            await _finger(touch, "touchMove", box["x"] + 60 + 40 * step, box["y"] + 60 + 30 * step)
            await page.wait_for_timeout(140)
        await _finger(touch, "touchEnd")
        await until(lambda: heard(peer) >= 5, 20, "the trail")
        assert heard(peer) <= 10
        assert (await page.locator(".chronoflux-port").first.bounding_box()) == box


async def _finger(touch: CDPSession, kind: str, *place: float) -> None:
    points = [{"x": place[0], "y": place[1]}] if place else []
    await touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


async def test_every_control_has_a_name(tmp_path: Path, server: SignalServer) -> None:
    """A screen reader is told what each control is, and all of them can be reached by keys."""
    async with lab(tmp_path) as url, notebook_page(tmp_path, [JOIN.format(url=server.url)]) as page:
        wire = Wire().watch(page)
        await open_notebook(page, url)
        await run_all(page)
        await shown(page, wire)
        view = page.locator(".chronoflux-view").first
        await view.get_by_role("slider", name="kappa: coupling within the swarm").wait_for(timeout=10_000)
        names = await view.locator("button, select, input, [role=slider], [role=application]").evaluate_all(
            """all => all.filter((one) => one.checkVisibility()).map((one) =>
              one.getAttribute("aria-label") || one.labels?.[0]?.textContent || one.textContent)"""
        )
        assert len(names) > 20
        assert all(name.strip() for name in names), names
        pause = view.get_by_role("button", name="Pause")
        await pause.focus()
        await page.keyboard.press("Enter")
        await view.get_by_role("button", name="Play").wait_for(timeout=10_000)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        (log,) = (tmp_path / "logs").glob("*/telemetry.jsonl")
        await until(lambda: '"reset"' in log.read_text(), 10, "a reset by keys alone")


async def test_confirming_frames_is_no_work_of_the_kernel(tmp_path: Path, server: SignalServer) -> None:
    """JupyterLab's kernel looks idle while frames are confirmed, not busy and idle by turns; a cell that
    runs still makes it look busy."""
    cells = [JOIN.format(url=server.url)]
    async with lab(tmp_path) as url, notebook_page(tmp_path, cells) as page:
        wire = Wire().watch(page)
        await open_notebook(page, url)
        await run_all(page)
        await shown(page, wire)
        await page.evaluate(STATES)
        before = len(wire.shown)
        await until(lambda: len(wire.shown) > before + 60, 60, "frames on the page")
        assert len(await page.evaluate("window.states")) < 10
        await page.evaluate("window.states = []")
        await run_all(page)
        await shown(page, wire)
        assert "busy" in await page.evaluate("window.states")


STATES = """() => {
  window.states = [];
  const { session } = window.jupyterapp.shell.currentWidget.sessionContext;
  session.kernel.statusChanged.connect((_, state) => window.states.push(state));
}"""
