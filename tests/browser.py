"""A real JupyterLab in a real Chromium, for tests of what a person at a notebook sees and does.

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

import nbformat
from playwright.async_api import Page, WebSocket, async_playwright

from tests.conftest import CHROMIUM, CHROMIUM_FLAGS, need
from tests.support import until

ROOT = Path(__file__).parent.parent


@contextlib.asynccontextmanager
async def lab(folder: Path) -> AsyncIterator[str]:
    """A JupyterLab of its own on a free port of this machine, serving `folder`; yields its address.

    Its settings, workspaces and logs are in ``folder/.lab``, its kernels can import the tests' helpers.
    """
    own = folder / ".lab"
    _settle(own)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder,
        "ServerApp.allow_root": True,
        "ServerApp.open_browser": False,
        "ServerApp.password": "",
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": True,
        "LabApp.news_url": "",
    }
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
        "PYTHONPATH": str(ROOT),
    }
    with (own / "lab.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "jupyterlab"),
            *(f"--{name}={value}" for name, value in options.items()),
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            await until(lambda: process.returncode is not None or _answers(f"{url}/api"), 120, "JupyterLab")
            assert process.returncode is None, (own / "lab.log").read_text()
            yield url
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


@contextlib.asynccontextmanager
async def notebook_page(folder: Path, cells: Sequence[str], **options: Any) -> AsyncIterator[Page]:
    """An empty page of Chromium, for a new notebook with these cells, to be opened by `open_notebook`.

    `options`: of its context, such as ``has_touch=True``; ``page.context`` makes further pages.
    """
    need(CHROMIUM, "chromium")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, folder / "test.ipynb")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        try:
            context = await browser.new_context(viewport={"width": 1440, "height": 1000}, **options)
            yield await context.new_page()
        finally:
            await browser.close()


async def open_notebook(page: Page, url: str) -> None:
    """Go to the notebook (again) and wait for its kernel."""
    await page.goto(f"{url}/lab/tree/test.ipynb?reset")
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
