"""A browser page built on the real simple-peer 9 links with our nodes, through either side's dialling."""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

import chronoflux as cf
from chronoflux.node import Node
from chronoflux.signal.server import SignalServer
from tests.conftest import CHROMIUM, CHROMIUM_FLAGS, Joiner, need
from tests.support import until

pytestmark = pytest.mark.browser
QUICK = cf.Params(oscillators=60)
CACHE = Path(__file__).parent.parent / ".cache" / "simple-peer"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web server with the page and simple-peer from npm; its address."""
    need(CHROMIUM, "Chromium")
    npm = shutil.which("npm")
    need(npm, "npm")
    script = CACHE / "node_modules" / "simple-peer" / "simplepeer.min.js"
    if not script.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [str(npm), "install", "--prefix", str(CACHE), "--no-audit", "--no-fund", "simple-peer@9"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).parent / "old_page.html", folder / "index.html")
    shutil.copy(script, folder)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium."""
    need(CHROMIUM, "Chromium")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield running
        await running.close()


async def opened(browser: Browser, site: str, server: SignalServer) -> Page:
    """The old page in room1."""
    page = await browser.new_page()
    await page.goto(f"{site}?server={server.url}&room=room1")
    await page.wait_for_function("myId !== null")
    return page


async def seen(page: Page, kind: str) -> list[dict[str, Any]]:
    """The messages of a type that reached the page over its data channel."""
    found: list[dict[str, Any]] = await page.evaluate(
        "kind => seen.map(entry => entry.message).filter(message => message.type === kind)", kind
    )
    return found


def recorded(node: Node, kind: str) -> int:
    """How many events of a type a node has on record."""
    return int((node.telemetry()["type"] == kind).sum())


@pytest.mark.parametrize("who_dials", ["page", "node"])
async def test_events_go_both_ways_between_an_old_page_and_a_node(
    site: str, browser: Browser, server: SignalServer, joined: Joiner, who_dials: str
) -> None:
    """The page and a node link whoever dials; intent, portal and flip arrive once, there and here."""
    if who_dials == "page":
        node = await joined(server=server.url, params=QUICK)
        page = await opened(browser, site, server)
    else:
        page = await opened(browser, site, server)
        node = await joined(server=server.url, params=QUICK)
    await page.wait_for_function("linked.length === 1", timeout=20_000)
    await until(lambda: node.peers["via"].tolist() == ["direct"])
    assert node.peers["name"].tolist() == ["old-page"]

    node.intent(x=120, y=80, E=0.5)
    node.lion_gate()
    node.pacemaker_flip()

    async def arrived() -> bool:
        return all([len(await seen(page, kind)) == 1 for kind in ("intent", "portal", "flip")])

    await until(arrived)
    intent = (await seen(page, "intent"))[0]["intent"]
    assert {name: intent[name] for name in ("x", "y", "E")} == {"x": 120, "y": 80, "E": 0.5}

    await page.evaluate("fire({type: 'intent', intent: {x: 300, y: 200, E: 0.35, sigma: 80}})")
    await page.evaluate("fire({type: 'portal'})")
    await page.evaluate("fire({type: 'flip'})")
    kinds: tuple[str, ...] = ("remote_intent", "remote_lion_gate", "remote_pacemaker_flip")
    await until(lambda: [recorded(node, kind) for kind in kinds] == [1, 1, 1])
    assert len(node.snapshot().pulses) >= 1

    async def telemetry() -> list[dict[str, Any]]:
        return await seen(page, "telemetry")

    first = (await until(telemetry))[0]["telemetry"]
    assert isinstance(first["intents"], list)
    assert {"t", "H", "tau", "nodes", "peers"} <= set(first)
    assert await page.evaluate("errors") == []


async def test_a_page_that_goes_away_is_dropped(
    site: str, browser: Browser, server: SignalServer, joined: Joiner
) -> None:
    """When the tab is closed the node drops the page and runs on."""
    node = await joined(server=server.url, params=QUICK)
    page = await opened(browser, site, server)
    await until(lambda: node.peers["via"].tolist() == ["direct"], timeout=20)
    await page.close()
    await until(lambda: len(node.peers) == 0, timeout=20)
    tick = node.snapshot().tick
    await until(lambda: node.snapshot().tick > tick)
