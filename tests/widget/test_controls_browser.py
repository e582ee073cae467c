"""Every control of the live view, worked in a real JupyterLab, Notebook and Voilà as a person works it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page

from chronoflux.model.params import SPECS, Params
from chronoflux.widget.display_options import EXPORTS
from tests.browser import classic, lab, notebook_page, pages, run_notebook
from tests.support import until
from tests.widget.test_browser import SETUP

pytestmark = pytest.mark.browser

Program = Callable[[Path], contextlib.AbstractAsyncContextManager[str]]

TELL = """
import asyncio, json

async def tell():
    while True:
        await asyncio.sleep(0.1)
        told = dict(params=source.params.to_dict(), playing=source.playing, speed=source.speed)
        told |= dict(steps=source.steps, resets=source.resets, fired=[name for name, *_ in source.fired])
        json.dump(told, open("told.json", "w"))

telling = asyncio.create_task(tell())
"""


class Told:
    """What the kernel says of its swarm."""

    def __init__(self, path: Path) -> None:
        self._path, self._last = path, dict[str, Any](params={})

    def __getitem__(self, name: str) -> Any:
        with contextlib.suppress(OSError, ValueError):  # not there yet, or just being written
            self._last = json.loads(self._path.read_text())
        return self._last[name]

    async def changed(self, before: dict[str, Any]) -> set[str]:
        """The names of parameters that are no longer as before, once there are any."""
        await until(lambda: self["params"] != before, 20, "a parameter that moves")
        return {name for name, value in self["params"].items() if value != before[name]}


def button(page: Page, name: str) -> Locator:
    """A button of the view; an icon may stand before its name."""
    named = re.compile(rf"(^|\W){re.escape(name)}$")
    return page.locator(".chronoflux-view").get_by_role("button", name=named)


async def press(page: Page, name: str) -> None:
    """Click a button of the view."""
    await button(page, name).click()


async def nudge(slider: Locator) -> None:
    """Move a slider by a step, with the keyboard."""
    handle = slider.get_by_role("slider")
    full = await handle.get_attribute("aria-valuenow") == await handle.get_attribute("aria-valuemax")
    await handle.press("ArrowLeft" if full else "ArrowRight")


async def retype(field: Locator) -> None:
    """Give a field another value than it has."""
    text = await field.input_value()
    await field.fill("640 × 480" if "×" in text else f"{1.5 * float(text) or 0.5:.6g}")
    await field.press("Enter")


async def choose(menu: Locator) -> None:
    """Choose the next entry of a menu."""
    now = await menu.evaluate("menu => menu.selectedIndex")
    await menu.select_option(index=1 - now if now < 2 else 0)


@pytest.mark.slow
@pytest.mark.parametrize("program", [lab, classic, pages])
async def test_every_control_does_what_it_says(program: Program, tmp_path: Path) -> None:
    """Each parameter's control moves that parameter and no other; each button, menu and box does its part."""
    told = Told(tmp_path / "told.json")
    async with program(tmp_path) as url, notebook_page(tmp_path, [SETUP, TELL]) as page:
        await run_notebook(page, url)
        panel = page.locator(".chronoflux-parameters")
        await panel.wait_for(timeout=120_000)
        await until(lambda: bool(told["params"]), 60, "word of the kernel")

        # Parameters.
        await panel.get_by_text("More parameters").click()
        moved: list[str] = []
        for kind, work in ((".widget-slider", nudge), ("input[type=number]", retype)):
            for number in range(await panel.locator(kind).count()):
                before = dict(told["params"])
                await work(panel.locator(kind).nth(number))
                (name,) = await told.changed(before)
                moved.append(name)
        before = dict(told["params"])
        await retype(panel.locator("input[type=text]").last)
        moved += await told.changed(before)
        await press(page, "Defaults")  # among others no noise, for which there is no rk4
        defaults = json.loads(Params().to_json())
        await until(lambda: told["params"] == defaults, 20, "the defaults")
        menus = panel.locator("select")
        for number in range(1, await menus.count()):  # the first is that of the presets
            before = dict(told["params"])
            await choose(menus.nth(number))
            moved += await told.changed(before)
        # A parameter with a slider has a number field beside it.
        assert sorted(moved) == sorted([*SPECS, *(name for name, spec in SPECS.items() if spec.slider)])

        # How it goes, and the events.
        await press(page, "Step")
        await until(lambda: told["steps"] == 1 and not told["playing"], 20, "a step")
        await press(page, "Play")
        await until(lambda: told["playing"], 20, "a swarm that moves")
        await press(page, "Reset")
        await until(lambda: told["resets"] == 1, 20, "another beginning")
        await page.get_by_label("speed").first.select_option("× 2")
        await until(lambda: told["speed"] == 2, 20, "another speed")
        for name in ("+ Intent", "Lion Gate: off", "Lion Gate: on", "Pacemaker Flip"):
            await press(page, name)
        wanted = ["intent", "lion_gate", "lion_gate", "pacemaker_flip"]
        await until(lambda: told["fired"] == wanted, 20, "the events")

        # By keyboard, though the notebook has uses of its own for these keys.
        pane = page.locator(".chronoflux-port").first
        for part, key in ((pane, "ArrowRight"), (pane, "Enter"), (button(page, "Pacemaker Flip"), "Enter")):
            await part.press(key)
        wanted += ["intent", "pacemaker_flip"]
        await until(lambda: told["fired"] == wanted, 20, "the events from the keyboard")
        assert await page.locator(".chronoflux-view").count() == 1  # no cell was opened, run or left

        # The frame rate, and files.
        await page.get_by_label("frame rate").first.check()
        await page.get_by_text("frames/s").first.wait_for(timeout=20_000)
        for label, *_ in EXPORTS.values():
            async with page.expect_download(timeout=60_000) as download:
                await press(page, label)
            assert (await (await download.value).path()).stat().st_size
