"""The page in real browsers, in a room with real nodes."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

import chronoflux as cf
from chronoflux.signal.server import SignalServer
from tests.conftest import CHROMIUM, CHROMIUM_FLAGS, Joiner, need
from tests.support import until

pytestmark = pytest.mark.browser

STATE = """() => {
    const { node, view } = window.chronoflux;
    return { t: node.swarm.t, frames: view.frames, metrics: node.metrics, peers: node.peers,
             portal: node.swarm.portal, settled: node.clock.settled, reference: node.clock.reference,
             refused: [...node.mesh.peers.values()].flatMap((peer) => [...peer.refused]) };
}"""

MOVES = "!!window.chronoflux && window.chronoflux.view.frames > 2"


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A headless Chromium."""
    need(CHROMIUM, "Chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


async def opened(browser: Browser, server: SignalServer, room: str, **options: Any) -> Page:
    """The page of a room, in a context of its own; whatever its console says is an error."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    await page.goto(f"http://127.0.0.1:{server.port}/#{room}")
    # A script in the page that waits would be refused by its policy.
    await until(
        lambda: page.evaluate("!!window.chronoflux && window.chronoflux.view.frames > 2"), 30, "a picture"
    )
    page.said = said  # type: ignore[attr-defined]
    return page


async def linked(page: Page, others: int) -> dict[str, Any]:
    """The page's state once it is linked with so many others, and on the room's time."""

    async def state() -> dict[str, Any] | None:
        found: dict[str, Any] = await page.evaluate(STATE)
        direct = [peer for peer in found["peers"] if peer["via"] == "direct" and peer["H"] is not None]
        return found if len(direct) == others and found["settled"] else None

    found: dict[str, Any] = await until(state, 60, f"{others} links of the page")
    return found


async def test_two_pages_and_a_node_are_one_room(server: SignalServer, joined: Joiner) -> None:
    """Two pages and a Python node link directly, follow one clock, hear each other's events once, lock."""
    quick = cf.Params(oscillators=60, coupling="global", kappa=2.0, mesh_coupling=2.0)
    node = await joined(server=server.url, room="r", params=quick, node_id="python")
    async with chromium() as browser:
        pages = [await opened(browser, server, "r") for _ in range(2)]
        for page in pages:
            await page.evaluate("node => window.chronoflux.node.change(node)", quick.to_dict())
        for page in pages:
            assert (await linked(page, 2))["reference"] == node.peer_id
        await until(lambda: (node.peers["via"] == "direct").sum() == 2)
        assert set(node.peers["kind"]) == {"page"}
        await pages[0].click("button[data-event=lion_gate]")
        await pages[1].click("#picture", position={"x": 100, "y": 100})
        await until(lambda: {"remote_lion_gate", "remote_intent"} <= set(node.telemetry()["type"]))
        node.pacemaker_flip()
        await until(lambda: node.metrics.get("H_mesh", 0) > 0.97, 60, "a room that is locked")
        for page in pages:
            state = await page.evaluate(STATE)
            assert state["portal"] is True
            # A machine that is busy says its fields late, which is refused; nothing else is.
            assert {kind for kind, _ in state["refused"]} <= {"field", "probe-reply"}
        counts = node.telemetry()["type"].value_counts()
        assert (counts["remote_lion_gate"], counts["remote_intent"]) == (1, 1)
        for page in pages:
            assert page.said == []  # type: ignore[attr-defined]
            await page.close()
        await until(lambda: not len(node.peers), 20, "pages that left")


async def test_a_reloaded_page_goes_on_and_its_log_is_a_run(
    server: SignalServer, joined: Joiner, tmp_path: Path
) -> None:
    """After a reload the tab has its id, its swarm and its log; the log is an archive of a run folder, which
    pandas reads, with nothing missing and each event once."""
    node = await joined(server=server.url, room="r", params=cf.Params(oscillators=60), node_id="python")
    async with chromium() as browser:
        page = await opened(browser, server, "r", accept_downloads=True)
        before = await linked(page, 1)
        await page.click("button[data-event=pacemaker_flip]")
        node.lion_gate()
        await until(lambda: "remote_pacemaker_flip" in set(node.telemetry()["type"]))
        await until(lambda: page.evaluate("window.chronoflux.node.swarm.portal"), 10, "portal mode")
        await page.evaluate("window.chronoflux.node.keep()")
        identity = await page.evaluate("window.chronoflux.node.mesh.id")
        await page.reload()
        await until(lambda: page.evaluate(MOVES), 30, "a picture")
        after = await linked(page, 1)
        assert await page.evaluate("window.chronoflux.node.mesh.id") == identity
        assert after["t"] > before["t"]
        assert after["portal"] is True
        told = "window.chronoflux.node.history.filter(record => record.peers > 0).length > 2"
        await until(lambda: page.evaluate(told), 30, "records with a peer")
        await page.click("#open-drawer")
        async with page.expect_download() as download:
            await page.click("#save-log")
        with zipfile.ZipFile(await (await download.value).path()) as files:
            assert files.testzip() is None
            files.extractall(tmp_path / "page")
        assert page.said == []  # type: ignore[attr-defined]
    frame = cf.load(tmp_path / "page", strict=True)
    counts = frame["type"].value_counts()
    assert (counts["pacemaker_flip"], counts["remote_lion_gate"]) == (1, 1)
    assert counts["telemetry"] >= 3
    assert frame["H"].between(0, 1).sum() >= 3
    assert list(frame["tick"].dropna()) == sorted(frame["tick"].dropna())
    assert len(cf.load_peerings(tmp_path / "page")) > 0
