"""Firefox, driven by WebDriver BiDi: a WebSocket that it opens itself, without a driver beside it."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

FIREFOX = next((path for name in ("firefox-esr", "firefox") if (path := shutil.which(name))), "")
STARTS = 60.0  # s
PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.min_background_timeout_value": 4,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.prefs.recommended": True,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


class Firefox:
    """A running one; commands are those of WebDriver BiDi."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}

    async def listen(self) -> None:
        """Take answers until the browser ends."""
        async for text in self._socket:
            message = json.loads(text)
            waiting = self._answers.pop(message.get("id"), None)
            if waiting is None or waiting.done():
                continue  # an event, or an answer that nobody waits for any more
            if message["type"] == "success":
                waiting.set_result(message["result"])
            else:
                waiting.set_exception(AssertionError(f"{message['error']}: {message.get('message')}"))

    async def ask(self, method: str, **params: Any) -> Any:
        """Give a command and wait for its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(STARTS):
            return await answer

    async def open(self, url: str, size: tuple[int, int]) -> FirefoxTab:
        """A new tab with a page in a window of so many px."""
        context = (await self.ask("browsingContext.create", type="tab"))["context"]
        viewport = {"width": size[0], "height": size[1]}
        await self.ask("browsingContext.setViewport", context=context, viewport=viewport)
        await self.ask("browsingContext.navigate", context=context, url=url, wait="complete")
        return FirefoxTab(self, context)


class FirefoxTab:
    """A page in a tab."""

    def __init__(self, browser: Firefox, context: str) -> None:
        self._browser, self._context = browser, context

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON can say it."""
        result = await self._browser.ask(
            "script.evaluate",
            expression=f"JSON.stringify([{expression}])",
            target={"context": self._context},
            awaitPromise=False,
        )
        if result["type"] != "success":
            raise AssertionError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])[0]

    async def close(self) -> None:
        """Close the tab."""
        await self._browser.ask("browsingContext.close", context=self._context)


def _make_profile(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
    (folder / "user.js").write_text("".join(lines))


@asynccontextmanager
async def running_firefox(profile: Path) -> AsyncIterator[Firefox]:
    """A headless Firefox with a fresh profile in this folder."""
    _make_profile(profile)
    process = await asyncio.create_subprocess_exec(
        *(FIREFOX, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"HOME": str(profile), "PATH": "/usr/bin:/bin", "MOZ_HEADLESS": "1"},
    )
    assert process.stderr is not None
    draining: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(STARTS):
            said = ""
            while (found := re.search(r"WebDriver BiDi listening on (\S+)", said)) is None:
                line = (await process.stderr.readline()).decode(errors="replace")
                assert line, f"Firefox ended: {said}"
                said += line
        draining = asyncio.create_task(process.stderr.read(), name="Firefox says")
        async with connect(f"{found[1]}/session", max_size=None, compression=None) as socket:
            browser = Firefox(socket)
            listening = asyncio.create_task(browser.listen(), name="Firefox answers")
            try:
                await browser.ask("session.new", capabilities={})
                yield browser
            finally:
                listening.cancel()
                await asyncio.wait([listening])
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if draining is not None:
            await draining
