"""The first ChronoFlux's page, on the real simple-peer 9, in Chromium and in Firefox, with nodes of ours."""

from __future__ import annotations

import asyncio
import functools
import http.server
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.async_api import Browser, async_playwright

import chronoflux as cf
from chronoflux.mesh import negotiation
from chronoflux.node.node import Node
from chronoflux.signal.server import SignalServer
from tests.conftest import CHROMIUM, CHROMIUM_FLAGS, Joiner, need
from tests.firefox import FIREFOX, running_firefox
from tests.support import until

pytestmark = pytest.mark.browser
QUICK = cf.Params(oscillators=60)
CACHE = Path(__file__).parents[2] / ".cache" / "simple-peer"
LARGE, SMALL = (1366, 768), (390, 700)
KINDS = ("remote_intent", "remote_lion_gate", "remote_pacemaker_flip")


class Tab(Protocol):
    """A page in a browser."""

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""

    async def close(self) -> None:
        """Close it."""


class Opener(Protocol):
    """A browser."""

    async def open(self, url: str, size: tuple[int, int]) -> Tab:
        """A page in a window of so many px."""


class Chromium:
    """A browser driven by Playwright."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    async def open(self, url: str, size: tuple[int, int]) -> Tab:
        """See :class:`Opener`."""
        page = await self._browser.new_page(viewport={"width": size[0], "height": size[1]})
        await page.goto(url)
        return page


@asynccontextmanager
async def running_chromium(profile: Path) -> AsyncIterator[Chromium]:
    """A headless Chromium."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield Chromium(running)
        await running.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web server with the page and simple-peer from npm; its address."""
    npm = shutil.which("npm")
    need(npm, "npm")
    script = CACHE / "node_modules" / "simple-peer" / "simplepeer.min.js"
    if not script.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [str(npm), "install", "--prefix", str(CACHE), "--no-audit", "--no-fund", "simple-peer@9"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).parents[1] / "old_page.html", folder / "index.html")
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


@pytest.fixture(params=["chromium", "firefox"])
async def browser(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    """A headless browser."""
    if request.param == "chromium":
        need(CHROMIUM, "Chromium")
        started: Any = running_chromium
    else:
        need(FIREFOX, "Firefox")
        started = running_firefox
    async with started(tmp_path / "profile") as running:
        yield running


async def opened(
    browser: Opener, site: str, server: SignalServer, size: tuple[int, int] = LARGE, *, playing: bool = False
) -> Tab:
    """The page in room1, in a window of this size."""
    tab = await browser.open(f"{site}?server={server.url}&room=room1", size)
    await until(lambda: tab.evaluate("page.id"))
    assert await tab.evaluate("page.window") == list(size)
    if playing:
        await tab.evaluate("running = true")
    return tab


def recorded(node: Node, origin: str) -> list[int]:
    """How many intents, lion gates and flips of somebody a node has on record."""
    frame = node.telemetry()
    theirs = frame[[isinstance(data, dict) and data.get("origin") == origin for data in frame["data"]]]
    return [int((theirs["type"] == kind).sum()) for kind in KINDS]


def direct(node: Node, kind: str = "old") -> int:
    """How many peers of a kind a node is linked to."""
    peers = node.peers
    return int(((peers["kind"] == kind) & (peers["via"] == "direct") & (peers["state"] == "live")).sum())


async def heard(tab: Tab, kind: str) -> list[dict[str, Any]]:
    """The messages of a type that reached the page over its data channels."""
    found: list[dict[str, Any]] = await tab.evaluate(
        f"page.heard.map(entry => entry.message).filter(message => message.type === {kind!r})"
    )
    return found


async def meet(
    browser: Opener,
    site: str,
    server: SignalServer,
    joined: Joiner,
    size: tuple[int, int],
    *,
    playing: bool,
    boundary: cf.model.params.Boundary = "torus",
) -> None:
    """Two nodes, one there before the page and one after it; events both ways, then seconds of silence."""
    params = QUICK.replace(boundary=boundary)
    one = await joined(server=server.url, params=params)
    one.intent(x=1, y=2)
    one.pacemaker_flip()  # of the last minute: the page must not be told of what came before it
    tab = await opened(browser, site, server, size, playing=playing)
    await until(lambda: direct(one) == 1, 60)
    two = await joined(server=server.url, params=params)
    await until(lambda: direct(two) == direct(one) == 1 and direct(one, "headless") == 1, 60)

    one.intent(x=120, y=80, E=0.5)
    two.lion_gate(on=False)
    two.pacemaker_flip()
    await until(lambda: tab.evaluate("page.flips === 1 && page.intents === 1"))

    for _ in range(30):
        await tab.evaluate("addIntent()")
    await tab.evaluate("lionGate()")
    await tab.evaluate("pacemakerFlip()")
    page = await tab.evaluate("page.id")
    await until(lambda: recorded(one, page) == recorded(two, page) == [30, 1, 1], 60)

    # Longer than a silent link of ours is waited for, and with several tellings of the standing state.
    so_far = len(await heard(tab, "telemetry"))

    async def later() -> bool:
        return len(await heard(tab, "telemetry")) >= so_far + 14

    await until(later, 60)
    assert await tab.evaluate("[page.made, page.linked.length, page.closed, page.errors]") == [2, 2, [], []]
    assert await tab.evaluate("[page.flips, page.intents]") == [2, 1]
    assert direct(one) == direct(two) == 1
    assert recorded(one, page) == recorded(two, page) == [30, 1, 1]
    for node in (one, two):
        frame = node.telemetry()
        own = frame[frame["type"] == "remote_intent"]["data"].map(lambda data: (data["x"], data["y"]))
        inside = [0 <= x <= 800 and 0 <= y <= 600 for x, y in own]
        assert all(inside) or boundary == "plane"
        told = frame[frame["type"] == "peer"]["data"]
        assert [data["change"] for data in told if data["id"] == page] == ["linked"]

    # Telemetry comes by way of the server, once a second at most, with the pulses of which it adds a half.
    pulses = "page.server.some((heard) => heard.type === 'telemetry' && heard.telemetry.intents.length > 0)"
    await until(lambda: tab.evaluate(pulses))
    told = await tab.evaluate("page.server.filter(message => message.type === 'telemetry')")
    for node in (one, two):
        own_told = [message["telemetry"] for message in told if message["from"] == node.peer_id]
        records = int((node.telemetry()["type"] == "telemetry").sum())
        assert 3 <= len(own_told) <= records + 1
        assert all(isinstance(telemetry["intents"], list) for telemetry in own_told)
        assert {"t", "H", "tau", "nodes", "peers"} <= set(own_told[0])
    await tab.close()
    await until(lambda: len(one.peers) == len(two.peers) == 1, 60)


async def test_an_idle_page_keeps_its_links_and_hears_everything_once(
    site: str, browser: Opener, server: SignalServer, joined: Joiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is paused, as it begins, has one link to each of two nodes for as long as it is there. It
    applies each event once, and nodes have each of its events on record once: thirty intents from all over a
    window larger than their world, a lion gate, a flip. It hears of the nodes' pulses through the server."""
    monkeypatch.setattr(negotiation, "SILENT_LINK", 4.0)  # a silent link of ours would be replaced sooner
    await meet(browser, site, server, joined, LARGE, playing=False)


@pytest.mark.slow
@pytest.mark.parametrize("playing", [True, False])
@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("boundary", ["torus", "plane"])
async def test_pages_playing_and_idle_in_windows_of_any_size(
    site: str,
    browser: Opener,
    server: SignalServer,
    joined: Joiner,
    size: tuple[int, int],
    playing: bool,
    boundary: cf.model.params.Boundary,
) -> None:
    """The same with a page that plays, in a phone's window, and in a world that is a plane."""
    await meet(browser, site, server, joined, size, playing=playing, boundary=boundary)


@pytest.mark.slow
async def test_a_page_links_again_after_its_link_broke(
    site: str, browser: Opener, server: SignalServer, joined: Joiner
) -> None:
    """A page does not call again when its link breaks; the node does, and events go on."""
    tab = await opened(browser, site, server)
    node = await joined(server=server.url, params=QUICK)
    await until(lambda: direct(node) == 1, 60)
    await tab.evaluate("links.forEach((peer) => peer.destroy())")
    await until(lambda: tab.evaluate("page.linked.length === 2"), 90)
    node.pacemaker_flip()
    await until(lambda: tab.evaluate("page.flips === 1"))
    await tab.evaluate("addIntent()")
    page = await tab.evaluate("page.id")
    await until(lambda: recorded(node, page)[0] == 1)


@pytest.mark.slow
@pytest.mark.parametrize("away", [0.0, 8.0])
async def test_a_page_is_one_peer_after_the_server_was_restarted(
    site: str, browser: Opener, joined: Joiner, unused_tcp_port: int, away: float
) -> None:
    """A page comes back under another id when the server was restarted, before the nodes or after them. Then
    each node has one row and one link for it, and events go both ways once."""
    async with SignalServer(port=unused_tcp_port) as server:
        nodes = [await joined(server=server.url, params=QUICK) for _ in range(2)]
        tab = await opened(browser, site, server)
        await until(lambda: all(direct(node) == 1 for node in nodes), 60)
        before = await tab.evaluate("page.id")
    await asyncio.sleep(away)
    async with SignalServer(port=unused_tcp_port) as server:
        await until(lambda: tab.evaluate(f"page.id !== {before!r}"), 60)
        page = await tab.evaluate("page.id")

        def whole() -> bool:
            peers = [node.peers for node in nodes]
            return all(
                frame.loc[frame["kind"] == "old", "id"].tolist() == [page] and {*frame["via"]} == {"direct"}
                for frame in peers
            )

        await until(whole, 90)
        flips = await tab.evaluate("page.flips")
        nodes[0].pacemaker_flip()
        await until(lambda: tab.evaluate(f"page.flips === {flips + 1}"))
        await tab.evaluate("pacemakerFlip()")
        await until(lambda: [recorded(node, page)[2] for node in nodes] == [1, 1])
        await asyncio.sleep(3)
        assert await tab.evaluate("page.flips") == flips + 2
        assert [recorded(node, page)[2] for node in nodes] == [1, 1]
        for node in nodes:
            await node.leave()
