"""A real Jupyter in a real Chromium, for tests of what a person at a notebook sees and does.

JupyterLab, Notebook 7, and Voilà for the notebook that is a page.

::

    async with lab(tmp_path) as server, notebook_page(tmp_path, ["1 + 1"]) as page:
        await open_notebook(page, server)
        await run_all(page)
        await page.wait_for_selector(".jp-OutputArea-output")
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Page, WebSocket, async_playwright

from tests.conftest import CHROMIUM, CHROMIUM_FLAGS, need
from tests.support import until

ROOT = Path(__file__).parent.parent
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
"""What a phone's browser is like."""


@contextlib.asynccontextmanager
async def lab(folder: Path) -> AsyncIterator[str]:
    """A JupyterLab of its own on a free port of this machine, serving `folder`; yields where its files are.

    Its settings, workspaces and logs are in ``folder/.lab``, its kernels can import the tests' helpers.
    """
    options = {"LabApp.expose_app_in_browser": True, "LabApp.news_url": ""}
    async with _jupyter("jupyterlab", folder, options) as url:
        yield f"{url}/lab/tree"


@contextlib.asynccontextmanager
async def classic(folder: Path) -> AsyncIterator[str]:
    """The same with Jupyter Notebook 7."""
    async with _jupyter("notebook", folder, {"JupyterNotebookApp.expose_app_in_browser": True}) as url:
        yield f"{url}/notebooks"


@contextlib.asynccontextmanager
async def pages(folder: Path) -> AsyncIterator[str]:
    """The same with Voilà, which runs a notebook when it is visited, and shows no code."""
    port = _free_port()
    options = ["--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1"]
    command = [sys.executable, "-m", "voila", str(folder), *options]
    async with _serving(command, folder, f"http://127.0.0.1:{port}", "/voila/templates/lab/static/voila.js"):
        yield f"http://127.0.0.1:{port}/voila/render"


@contextlib.asynccontextmanager
async def _jupyter(module: str, folder: Path, options: dict[str, object]) -> AsyncIterator[str]:
    port = _free_port()
    options = options | {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder,
        "ServerApp.allow_root": True,
        "ServerApp.open_browser": False,
        "ServerApp.password": "",
        "IdentityProvider.token": "",
    }
    command = [sys.executable, "-m", module, *(f"--{name}={value}" for name, value in options.items())]
    async with _serving(command, folder, f"http://127.0.0.1:{port}", "/api") as url:
        yield url


@contextlib.asynccontextmanager
async def room_app(folder: Path, *, goodbye_after: int = 60, **environment: str) -> AsyncIterator[str]:
    """Notebook 02 as ``chronoflux app`` serves it, with its own logs in ``folder/logs``; yields its address.

    `goodbye_after`: seconds without a connection after which a visitor's kernel is ended.
    """
    port = _free_port()
    options = ["--port", str(port), "--idle-timeout", str(goodbye_after), "--log-dir", str(folder / "logs")]
    command = [sys.executable, "-m", "chronoflux", "app", *options]
    # Any visit of the page starts a node: something else is asked for whether it serves.
    url = f"http://127.0.0.1:{port}"
    async with _serving(command, folder, url, "/voila/templates/lab/static/voila.js", **environment) as url:
        yield url


@contextlib.asynccontextmanager
async def _serving(
    command: Sequence[str], folder: Path, url: str, sign: str, **environment: str
) -> AsyncIterator[str]:
    """A server as a process of its own, once it answers at `sign`."""
    own = folder / ".lab"
    _settle(own)
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
        "PYTHONPATH": str(ROOT),
        **environment,
    }
    with (own / "lab.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            await until(lambda: process.returncode is not None or _answers(f"{url}{sign}"), 120, command[2])
            assert process.returncode is None, (own / "lab.log").read_text()
            yield url
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


@contextlib.asynccontextmanager
async def chromium(**device: Any) -> AsyncIterator[BrowserContext]:
    """A headless Chromium; `device`: what its pages take themselves for, as playwright names it."""
    need(CHROMIUM, "chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        try:
            yield await browser.new_context(**device)
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def notebook_page(folder: Path, cells: Sequence[str], **device: Any) -> AsyncIterator[Page]:
    """An empty page of Chromium, for a new notebook with these cells, to be opened by `open_notebook`.

    `device`: as for :func:`chromium`, such as ``has_touch=True``; ``page.context`` makes further pages.
    """
    write_notebook(folder, cells)
    async with chromium(viewport={"width": 1440, "height": 1000}, **device) as context:
        yield await context.new_page()


def write_notebook(folder: Path, cells: Sequence[str]) -> None:
    """Write ``test.ipynb`` with these cells into `folder`."""
    import nbformat

    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, folder / "test.ipynb")


async def slow_down(page: Page, times: float) -> None:
    """Make the processor of a page so many times slower; 1: as it is."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Emulation.setCPUThrottlingRate", {"rate": times})


async def run_notebook(page: Page, url: str) -> None:
    """Go to the notebook and have all of it run, in whichever of the three programs."""
    if url.endswith("/voila/render"):
        await page.goto(f"{url}/test.ipynb", timeout=120_000)
    else:
        await open_notebook(page, url)
        await run_all(page)


async def open_notebook(page: Page, url: str) -> None:
    """Go to the notebook (again), in either of the two programs that edit it, and wait for its kernel."""
    await page.goto(f"{url}/test.ipynb?reset", timeout=120_000)
    await page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
    await page.evaluate(READY)


READY = """async () => {
  const context = window.jupyterapp.shell.currentWidget.sessionContext;
  await context.ready;
  await context.session.kernel.info;
}"""


async def run_all(page: Page) -> None:
    """Run all cells and wait until they are done."""
    await command(page, "notebook:run-all-cells")


async def command(page: Page, name: str, **arguments: object) -> None:
    """Execute a command of JupyterLab, such as ``apputils:change-theme``."""
    await page.evaluate(
        "([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => null)", [name, arguments]
    )


@dataclass
class Wire:
    """What went over a page's web sockets, as far as frames go: seen from outside, by the browser.

    `unconfirmed` is the number of frames that the page has been sent and has not confirmed; `most` the
    largest it ever was.
    """

    sent: set[int] = field(default_factory=set)
    shown: set[int] = field(default_factory=set)
    most: int = 0

    @property
    def unconfirmed(self) -> int:
        return len(self.sent - self.shown)

    def watch(self, page: Page) -> Wire:
        """Listen to all web sockets that the page opens from now on."""
        page.on("websocket", self._listen)
        return self

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._received)
        socket.on("framesent", self._sent)

    def _received(self, payload: str | bytes) -> None:
        for number in re.findall(rb'"chronoflux": ?\{[^}]*"number": ?(\d+)', _bytes(payload)):
            self.sent.add(int(number))
        self.most = max(self.most, self.unconfirmed)

    def _sent(self, payload: str | bytes) -> None:
        for number in re.findall(rb'"shown": ?(\d+)', _bytes(payload)):
            self.shown.update(range(int(number) + 1))


def _bytes(payload: str | bytes) -> bytes:
    return payload.encode() if isinstance(payload, str) else payload


def _settle(own: Path) -> None:
    """Settings that keep JupyterLab from asking the network or the person for anything."""
    quiet = own / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
