"""The live view in a real JupyterLab: shown, steered, clicked, and never more than two frames ahead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.browser import Wire, command, lab, notebook_page, open_notebook, run_all
from tests.support import until

pytestmark = pytest.mark.browser

SETUP = """
from chronoflux.model.params import Params
from chronoflux.widget import mimebundle
from tests.sources import SwarmSource

SwarmSource._repr_mimebundle_ = lambda self, **_: mimebundle(self)
source = SwarmSource(Params(oscillators=12)).start()
source
"""
STAGES = ".chronoflux-stage > canvas"

BRIGHT = """canvas => {
  // The part of the picture, in percent, that is clearly lighter than its middle pixel: crests, pulses.
  // Without the margin, where portal mode has its frame, and the corner with the clock.
  const [w, h] = [62, 44];
  const small = new OffscreenCanvas(w, h).getContext("2d");
  small.imageSmoothingEnabled = false;
  small.drawImage(canvas, 20, 20, 10 * w, 10 * h, 0, 0, w, h);
  const { data } = small.getImageData(0, 0, w, h);
  const light = [];
  for (let i = 0; i < data.length; i += 4) light.push(data[i] + data[i + 1] + data[i + 2]);
  const middle = light.slice().sort((a, b) => a - b)[light.length >> 1];
  return 100 * light.filter((value) => value > middle + 12).length / light.length;
}"""

OUTPUT = """() => {
  const cell = window.jupyterapp.shell.currentWidget.content.widgets[0];
  return Object.keys(cell.model.outputs.get(0).data);
}"""


async def bright(page: Page, nth: int = 0) -> float:
    """How much of a display stands out, in percent."""
    part: float = await page.locator(STAGES).nth(nth).evaluate(BRIGHT)
    return part


@pytest.mark.slow
async def test_a_notebook_shows_and_steers_the_swarm(tmp_path: Path) -> None:
    """A person sees the swarm, presses, clicks, displays it twice and reloads; frames stay in step."""
    errors: list[str] = []
    async with lab(tmp_path) as url, notebook_page(tmp_path, [SETUP, "source"]) as page:
        page.on("pageerror", lambda error: errors.append(str(error)))
        wire = Wire().watch(page)
        await open_notebook(page, url)
        await run_all(page)
        await page.locator(STAGES).nth(1).wait_for(timeout=120_000)

        # The live view is shown, in both places, and the still is there for readers only.
        await until(lambda: len(wire.shown) > 10, 60, "frames on the page")
        assert "image/png" in await page.evaluate(OUTPUT)
        assert await page.locator(".jp-RenderedImage").count() == 0
        await until(lambda: crests(page), 5, "the jet")

        # Portal mode: the jet is gone.
        await page.get_by_role("button", name="Lion Gate: off").first.click()
        await page.get_by_role("button", name="Lion Gate: on").first.wait_for()
        await until(lambda: calm(page), 10, "no jet")

        # + Intent, and then a click on the picture: pixels change, in both displays.
        await page.get_by_role("button", name="+ Intent").first.click()
        await until(lambda: stirred(page, 0), 5, "a pulse in the first display")
        await until(lambda: calm(page), 15, "the pulse to fade")
        await page.locator(".chronoflux-port").nth(1).click(position={"x": 150, "y": 100})
        await until(lambda: stirred(page, 1), 5, "a pulse in the second display")

        assert len(wire.shown) > 30
        assert wire.most <= 2

        # Reloaded, the page shows the swarm again, held as it is.
        await page.get_by_role("button", name="Pause").first.click()
        await page.get_by_role("button", name="Play").first.wait_for()
        await command(page, "docmanager:save")
        await open_notebook(page, url)
        await page.locator(STAGES).first.wait_for(timeout=120_000)
        await until(lambda: drawn(page), 20, "a picture after the reload")
    assert errors == []


FIRED = """
import asyncio, json

async def tell():
    while True:
        json.dump([len(source.fired), source.params.phase_lag, source.notes], open("told.json", "w"))
        await asyncio.sleep(0.2)

telling = asyncio.create_task(tell())
"""


@pytest.mark.slow
async def test_every_way_to_reach_the_swarm(tmp_path: Path) -> None:
    """A drag leaves a trail, keys fire at a cross, preset, note and colours are chosen, a file is kept."""
    told = tmp_path / "told.json"

    def facts() -> tuple[int, float, list[str]]:
        try:
            fired, lag, notes = json.loads(told.read_text())
        except (OSError, ValueError):  # not there yet, or just being written
            return 0, 0.0, []
        return fired, lag, notes

    async with lab(tmp_path) as url, notebook_page(tmp_path, [SETUP, FIRED]) as page:
        await open_notebook(page, url)
        await run_all(page)
        pane = page.locator(".chronoflux-port").first
        await pane.wait_for(timeout=120_000)
        await until(lambda: drawn(page), 60, "a picture")
        box = await pane.bounding_box()
        assert box is not None

        await page.mouse.move(box["x"] + 40, box["y"] + 40)
        await page.mouse.down()
        for step in range(1, 8):
            await page.mouse.move(box["x"] + 40 + 40 * step, box["y"] + 40)
            await page.wait_for_timeout(160)
        await page.mouse.up()
        await until(lambda: facts()[0] >= 4, 20, "a trail of intents")
        trail = facts()[0]
        assert trail <= 8

        await pane.focus()
        for key in ("ArrowRight", "ArrowUp", "Enter"):
            await page.keyboard.press(key)
        await until(lambda: facts()[0] == trail + 1, 20, "an intent from the keyboard")
        assert await page.get_by_role("application", name="The swarm").count() == 1

        await page.get_by_label("preset").first.select_option("spirals")
        await until(lambda: facts()[1] == 0.9, 20, "the preset")
        note = page.get_by_label("note", exact=True).first
        await note.fill("coffee")
        await note.press("Enter")
        await until(lambda: facts()[2] == ["coffee"], 20, "the note")

        await page.get_by_label("colours").first.select_option("day, on light")
        await until(lambda: light(page), 20, "a light picture")
        async with page.expect_download(timeout=60_000) as download:
            await page.get_by_role("button", name="Picture").first.click()
        kept = await download.value
        assert kept.suggested_filename.startswith("room1-test-")
        assert begins(await kept.path(), b"\x89PNG")


def begins(path: Path, start: bytes) -> bool:
    """Whether a file begins so."""
    return path.read_bytes().startswith(start)


async def light(page: Page) -> bool:
    """Whether the picture is light at rest."""
    corner = "canvas => canvas.getContext('2d').getImageData(60, 60, 1, 1).data[1]"
    return bool(await page.locator(STAGES).first.evaluate(corner) > 200)


async def crests(page: Page) -> bool:
    """Whether the jet can be seen."""
    return await bright(page) > 2


async def calm(page: Page) -> bool:
    """Whether nothing but dots stands out."""
    return await bright(page) < 1


async def stirred(page: Page, nth: int) -> bool:
    """Whether a pulse stands out."""
    return await bright(page, nth) > 3


async def drawn(page: Page) -> bool:
    """Whether there is a picture at all."""
    corner = "canvas => canvas.getContext('2d').getImageData(40, 40, 1, 1).data[3]"
    return bool(await page.locator(STAGES).first.evaluate(corner))
