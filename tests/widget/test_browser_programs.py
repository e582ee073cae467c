"""The live view in Notebook 7 as in JupyterLab, and in a browser on a slow machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

import chronoflux as cf
from chronoflux.signal.server import SignalServer
from tests.browser import Wire, classic, command, lab, notebook_page, open_notebook, run_all, slow_down
from tests.conftest import Joiner
from tests.node.test_node import events
from tests.support import until
from tests.widget.test_browser import STAGES, drawn

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
import chronoflux as cf
node = await cf.join("room1", server={server!r}, log_dir={logs!r}, node_id="notebook", seed=5,
                     params=cf.Params(oscillators=60))
node
"""
TELL = """
import asyncio, json, os, psutil
from chronoflux.widget import display_node

async def tell():
    flow, loop = display_node(node).flow, asyncio.get_running_loop()
    while True:
        with open("told.new", "w") as file:
            json.dump([flow.pace(loop.time()).lag_ms, psutil.Process().memory_info().rss / 2**20], file)
        os.replace("told.new", "told.json")
        await asyncio.sleep(0.2)

telling = asyncio.create_task(tell())
"""


@pytest.mark.parametrize("program", [lab, classic], ids=["JupyterLab", "Notebook 7"])
async def test_every_control_reaches_the_room(
    program: Callable[[Path], AbstractAsyncContextManager[str]],
    server: SignalServer,
    joined: Joiner,
    tmp_path: Path,
) -> None:
    """Each button pressed, and a click, reach a headless peer; a second view and a reload show the swarm."""
    peer = await joined(server=server.url, params=cf.Params(oscillators=60))

    def heard() -> list[str]:
        return [kind for kind, _ in events(peer).elements()]

    errors: list[str] = []
    cells = [CELL.format(server=server.url, logs=str(tmp_path / "own")), "node"]
    async with program(tmp_path) as url, notebook_page(tmp_path, cells) as page:
        page.on("pageerror", lambda error: errors.append(str(error)))
        wire = Wire().watch(page)
        await open_notebook(page, url)
        own = set(errors)  # of the program, before anything of ours is there
        await run_all(page)
        await page.locator(STAGES).nth(1).wait_for(timeout=120_000)
        await until(lambda: len(wire.shown) > 10, 60, "frames on the page")
        await until(lambda: peer.peers["via"].tolist() == ["direct"], 60, "a link to the notebook")

        toolbar = page.locator(".chronoflux-view").first.locator(".chronoflux-toolbar").first
        for label in ("+ Intent", "Lion Gate", "Pacemaker Flip"):
            await toolbar.get_by_role("button", name=label).click()
        await page.locator(".chronoflux-port").nth(1).click(position={"x": 150, "y": 100})
        wanted = ["remote_intent"] * 2 + ["remote_lion_gate", "remote_pacemaker_flip"]
        await until(lambda: sorted(heard()) == wanted, 30, "four events at the peer")

        await toolbar.get_by_role("button", name="Pause").click()
        await toolbar.get_by_role("button", name="Play").click()
        await toolbar.get_by_role("button", name="Pause").wait_for()
        assert wire.most <= 2

        await command(page, "docmanager:save")
        await open_notebook(page, url)
        await page.locator(STAGES).first.wait_for(timeout=120_000)
        await until(lambda: drawn(page), 30, "a picture after the reload")
    assert not set(errors) - own


async def test_a_browser_six_times_slower(server: SignalServer, tmp_path: Path) -> None:
    """With a sixth of its processor a page still gets the newest state, two frames at most ahead of it.

    Lag stays bounded and the kernel's memory flat: what cannot be shown is never queued.
    """
    cells = [CELL.format(server=server.url, logs=str(tmp_path / "own")), TELL]
    told = tmp_path / "told.json"
    async with lab(tmp_path) as url, notebook_page(tmp_path, cells) as page:
        wire = Wire().watch(page)
        await open_notebook(page, url)
        await run_all(page)
        await until(lambda: len(wire.shown) > 60, 120, "frames on the page")
        await slow_down(page, 6)
        seen = len(wire.shown)
        await until(lambda: len(wire.shown) > seen + 30, 60, "frames on the slow page")
        _, before = json.loads(told.read_text())
        lags = []
        for _ in range(10):
            await asyncio.sleep(1)
            lag, after = json.loads(told.read_text())
            lags.append(lag)
        assert wire.most <= 2
        assert wire.unconfirmed <= 2
        assert after - before < 20
        assert sorted(lags)[len(lags) // 2] < 2000
        print(f"lag {sorted(lags)[5]:.0f} ms, memory {before:.0f} to {after:.0f} MiB")
        await slow_down(page, 1)
        seen = len(wire.shown)
        await until(lambda: len(wire.shown) > seen + 30, 30, "frames as before")
